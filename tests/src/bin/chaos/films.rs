//! What there is to watch, and how the origin behaves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use e2e::content::Content;
use e2e::origin::{Origin, Ranges, Script};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Zipf};

/// The films that are stored before the first fault.
pub(crate) const KEPT: usize = 50;
/// One in so many sessions watches a film that is new, or was lately.
const NEW: u32 = 5;
/// The new films that others may still come to.
const LATELY: usize = 20;
/// Those that somebody may still watch.
const WATCHED: usize = 400;
/// One in so many of the kept ones is long.
const LONG_EACH: usize = 10;
const MIB: u64 = 1 << 20;
/// More than what is buffered between the sidecar and a viewer.
const LONG: u64 = 24 * MIB;

/// A film, or rather its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Film {
    path: Arc<str>,
    length: u64,
    /// Whether it was stored before the first fault.
    pub(crate) kept: bool,
}

impl Film {
    pub(crate) fn new(path: &str, length: u64, kept: bool) -> Self {
        let path = path.into();
        Self { path, length, kept }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn content(&self, version: u64) -> Content {
        Content::new(&format!("{}#{version}", self.path), self.length)
    }

    /// The version that an ETag names.
    pub(crate) fn version(etag: &str) -> Option<u64> {
        let text = etag.strip_prefix("\"v")?.strip_suffix('"')?;
        text.parse().ok()
    }

    fn script(&self, version: u64) -> Script {
        let mut script = Script::new(self.content(version));
        script.etag = Some(format!("\"v{version}\""));
        script
    }
}

/// How the origin behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Well.
    #[default]
    Honest,
    /// It thinks for long, and trickles.
    Slow,
    /// It resets the connection after a part of each body.
    Resetting,
    /// Its Content-Range is one off, and so is its complete length.
    Lying,
    /// Films that are not kept have another version again and again.
    Changing,
    /// Their URLs are good for a second.
    Expiring,
}

/// Everything that can be watched.
#[derive(Debug)]
pub(crate) struct Films {
    origin: Arc<Origin>,
    kept: Vec<Film>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    /// The films that were new, the latest last.
    new: Vec<Film>,
    named: u64,
    version: u64,
    token: u64,
}

impl Films {
    /// Puts the films on the origin.
    pub(crate) fn new(origin: Arc<Origin>) -> Self {
        let film = |index: usize| {
            let length = match index % LONG_EACH {
                0 => LONG,
                rest => 2 * MIB + (rest as u64 % 7) * (MIB / 3),
            };
            Film::new(&format!("/kept/{index}"), length, true)
        };
        let films = Self {
            origin,
            kept: (0..KEPT).map(film).collect(),
            state: Mutex::new(State {
                manner: Manner::Honest,
                new: Vec::new(),
                named: 0,
                version: 1,
                token: 1,
            }),
        };
        films.behave(Manner::Honest);
        films
    }

    pub(crate) fn kept(&self) -> &[Film] {
        &self.kept
    }

    /// One that somebody may want to watch.
    pub(crate) fn choose(&self, random: &mut impl Rng) -> Film {
        if random.random_ratio(1, NEW) {
            return self.new_or_lately(random);
        }
        // The distribution's parameters are constants that it takes.
        let rank = Zipf::new(KEPT as f64, 0.8).map_or(1.0, |zipf| zipf.sample(random));
        let index = (rank as usize).clamp(1, KEPT) - 1;
        self.kept[index].clone()
    }

    fn new_or_lately(&self, random: &mut impl Rng) -> Film {
        let mut state = self.lock();
        let count = state.new.len();
        if 0 < count && random.random_ratio(1, 2) {
            let index = random.random_range(count.saturating_sub(LATELY)..count);
            return state.new[index].clone();
        }
        let length = random.random_range(MIB..3 * MIB);
        self.release(&mut state, length)
    }

    /// One for whoever watches at the pace of a film: kept or new, and long.
    pub(crate) fn choose_long(&self, random: &mut impl Rng) -> Film {
        if random.random_ratio(1, 2) {
            return self.release(&mut self.lock(), LONG);
        }
        let index = random.random_range(0..KEPT / LONG_EACH) * LONG_EACH;
        self.kept[index].clone()
    }

    fn release(&self, state: &mut State, length: u64) -> Film {
        state.named += 1;
        let film = Film::new(&format!("/new/{}", state.named), length, false);
        self.origin.script(film.path(), state.script(&film));
        state.new.push(film.clone());
        if WATCHED < state.new.len() {
            state.new.remove(0);
        }
        film
    }

    /// What a URL must have now.
    pub(crate) fn query(&self) -> String {
        format!("?token={}", self.lock().token)
    }

    /// Whether the origin refuses a URL that has this.
    pub(crate) fn expired(&self, query: &str) -> bool {
        let expiring = self.lock().manner == Manner::Expiring;
        expiring && self.query() != query
    }

    /// Behaves like this from now on.
    pub(crate) fn behave(&self, manner: Manner) {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.manner, manner);
        self.put(&state);
        if before == Manner::Changing {
            // What is stored of them may be of several versions still: nobody takes them up again.
            state.new.clear();
        }
    }

    /// A version or a signature is over.
    pub(crate) fn turn(&self) {
        let mut state = self.lock();
        match state.manner {
            Manner::Changing => state.version += 1,
            Manner::Expiring => state.token += 1,
            _ => return,
        }
        self.put(&state);
    }

    fn put(&self, state: &State) {
        for film in self.kept.iter().chain(&state.new) {
            self.origin.script(film.path(), state.script(film));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn script(&self, film: &Film) -> Script {
        let mut script = film.script(if film.kept { 1 } else { self.version });
        match self.manner {
            Manner::Honest => {}
            Manner::Slow => {
                script.latency = Duration::from_secs(2);
                script.pace = Some((64 * 1024, Duration::from_millis(50)));
            }
            Manner::Resetting => {
                script.cut_after = Some(100_000);
                script.resets = true;
            }
            Manner::Lying => script.ranges = Ranges::Mislabeled,
            // A kept film has one version and one URL.
            Manner::Changing => {}
            Manner::Expiring if !film.kept => {
                script.requires = Some(("token".to_owned(), self.token.to_string()));
            }
            Manner::Expiring => {}
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(Film::version("\"v12\""), Some(12));
        assert_eq!(Film::version("W/\"v12\""), None);
        let film = Film::new("/a", 1000, false);
        assert_ne!(film.content(1), film.content(2));
        assert_eq!(
            film.script(7).etag.as_deref().and_then(Film::version),
            Some(7)
        );
    }
}
