//! Which of several qualities that would do is completed, and when the resolver is asked for one
//! again. Pure; time is passed in.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

/// How a quality can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Having {
    /// All of it is stored.
    Complete,
    /// A viewer has brought its URL.
    Reachable,
    /// The resolver may be asked for it.
    Askable,
    /// Not at all, for now.
    Nowhere,
}

/// What is to be done next for the first of them that can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// Nothing: one is there.
    There,
    /// This one is completed.
    Complete(&'a str),
    /// The resolver is asked for this one.
    Ask(&'a str),
    /// None can be had now.
    None,
}

/// What is to be done for the first of these that can be had.
pub fn choose<'a>(itags: impl IntoIterator<Item = (&'a str, Having)>) -> Choice<'a> {
    let choice = |(itag, having)| match having {
        Having::Complete => Some(Choice::There),
        Having::Reachable => Some(Choice::Complete(itag)),
        Having::Askable => Some(Choice::Ask(itag)),
        Having::Nowhere => None,
    };
    itags.into_iter().find_map(choice).unwrap_or(Choice::None)
}

/// The pause after the resolver was first asked in vain; it doubles with each time.
const PAUSE: Duration = Duration::from_secs(1);

/// And is never longer than this: what does not exist now may in a while.
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// So many are remembered.
const MOST: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// The qualities for which the resolver was asked in vain: how often, and until when it is not
/// asked again.
#[derive(Debug)]
pub struct InVain(LruCache<String, (u32, Instant)>);

impl Default for InVain {
    fn default() -> Self {
        let mut cache = LruCache::unbounded();
        cache.resize(MOST);
        Self(cache)
    }
}

impl InVain {
    /// Until when it is not asked for this quality of a video; `None` when it may be.
    pub fn until(&self, video: &str, itag: &str, now: Instant) -> Option<Instant> {
        let (_, until) = self.0.peek(&name(video, itag))?;
        Some(*until).filter(|until| now < *until)
    }

    /// It had none.
    pub fn note(&mut self, video: &str, itag: &str, now: Instant) {
        let (times, until) = self.0.get_or_insert_mut(name(video, itag), || (0, now));
        let pause = PAUSE * 2u32.pow((*times).min(16));
        *until = now + pause.min(PAUSE_MAX);
        *times = times.saturating_add(1);
    }

    /// It had one.
    pub fn forget(&mut self, video: &str, itag: &str) {
        self.0.pop(&name(video, itag));
    }
}

fn name(video: &str, itag: &str) -> String {
    format!("{video} {itag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_can_be_had_is_taken() {
        use Having::{Askable, Complete, Nowhere, Reachable};
        let check = |having: &[Having], expected| {
            let itags = ["1", "2", "3"].into_iter().zip(having.iter().copied());
            assert_eq!(choose(itags), expected, "{having:?}");
        };
        check(&[Reachable, Complete], Choice::Complete("1"));
        check(&[Nowhere, Askable, Reachable], Choice::Ask("2"));
        check(&[Nowhere, Complete, Askable], Choice::There);
        check(&[Askable, Complete], Choice::Ask("1"));
        check(&[Nowhere, Nowhere, Nowhere], Choice::None);
        check(&[], Choice::None);
    }

    #[test]
    fn who_is_asked_in_vain_is_left_alone_for_twice_as_long_each_time() {
        let now = Instant::now();
        let mut vain = InVain::default();
        let pause = |vain: &InVain, itag| vain.until("v", itag, now).map(|until| until - now);
        assert_eq!(pause(&vain, "22"), None);
        for secs in [1, 2, 4] {
            vain.note("v", "22", now);
            assert_eq!(pause(&vain, "22"), Some(Duration::from_secs(secs)));
        }
        assert_eq!(vain.until("v", "22", now + Duration::from_secs(4)), None);
        assert_eq!(
            (pause(&vain, "18"), vain.until("w", "22", now)),
            (None, None)
        );
        for _ in 0..50 {
            vain.note("v", "22", now);
        }
        assert_eq!(pause(&vain, "22"), Some(PAUSE_MAX));
        vain.forget("v", "22");
        assert_eq!(pause(&vain, "22"), None);
    }
}
