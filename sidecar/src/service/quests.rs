//! Qualities that are to be completed in the place of those that are watched: looked for in the
//! store, asked for at the resolver, and waited for.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use viewcache_protocol::EntityKey;

use super::Service;
use super::completion::{LINGER, attended};
use crate::catalogue::{same_version, video_of};
use crate::completion::goes_on;
use crate::live::Live;
use crate::policy::{Quality, Reason, Rules, Withheld};
use crate::quest::{Choice, Having, InVain, choose};
use crate::store::StoreError;

/// For so long it is not looked again what is completed in the place of an entity, under the same
/// rule.
const SETTLED: Duration = Duration::from_secs(60);

/// So many qualities are sought at once; for one more, that which was sought first is given up.
const MOST: usize = 256;

/// A better quality than what is watched is sought.
#[derive(Debug)]
struct Quest {
    /// What is watched.
    watched: Arc<Live>,
    key: EntityKey,
    /// What would do, the best first.
    itags: Vec<String>,
    /// Whether what is watched does when nothing else can be had.
    or_itself: bool,
    /// The rule that says so.
    quality: Quality,
    /// Somebody was last seen to watch it.
    attended_at: Instant,
    /// Whether it goes on without viewers.
    insistent: bool,
    /// Looking for it in the store and asking the resolver.
    search: Option<JoinHandle<Found>>,
    /// When that is done next; `None` is when a viewer brings one.
    search_at: Option<Instant>,
    /// What has come of it in the end.
    found: Option<Found>,
}

/// What has come of a search.
#[derive(Debug)]
enum Found {
    /// One is complete.
    There,
    /// This one can be completed.
    Entity(Arc<Live>),
    /// None can be had; the resolver may be asked again then.
    Nothing(Option<Instant>),
}

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Quests {
    all: Mutex<Vec<Quest>>,
    in_vain: Mutex<InVain>,
}

impl Quests {
    fn all(&self) -> MutexGuard<'_, Vec<Quest>> {
        self.all
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn in_vain(&self) -> MutexGuard<'_, InVain> {
        self.in_vain
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    pub(super) fn clear(&self) {
        self.all().clear();
    }

    /// Gives up those that do not stay, by what is watched and the rule that they follow.
    pub(super) fn retain(&self, stays: impl Fn(&Live, &Quality) -> bool) {
        let stays = |quest: &Quest| stays(&quest.watched, &quest.quality);
        self.all().retain(stays);
    }
}

impl Quest {
    fn new(watched: &Arc<Live>, key: EntityKey) -> Self {
        let now = Instant::now();
        Self {
            watched: Arc::clone(watched),
            key,
            itags: Vec::new(),
            or_itself: false,
            quality: Quality::default(),
            attended_at: now,
            insistent: false,
            search: None,
            search_at: Some(now),
            found: None,
        }
    }

    /// Whether an entity would do.
    fn suits(&self, key: &EntityKey) -> bool {
        let itag = key.part("itag").unwrap_or_default();
        self.itags.iter().any(|known| known == itag)
            && same_version(&self.key, key)
            && video_of(&self.key) == video_of(key)
    }
}

impl Service {
    /// Looks for one of several qualities of what is watched.
    pub(super) fn seek(&self, live: &Arc<Live>, itags: Vec<String>, or_itself: bool, rules: Rules) {
        let key = {
            let state = live.state();
            let settled = state.settled.as_ref();
            let lately = |at: &Instant| at.elapsed() < SETTLED;
            if settled.is_some_and(|(by, at)| *by == rules.quality && lately(at)) {
                return;
            }
            state.record.key.clone()
        };
        let mut quests = self.quests.all();
        let known = quests.iter().position(|quest| quest.watched.id == live.id);
        let quest = match known {
            Some(known) => &mut quests[known],
            None => {
                if MOST <= quests.len() {
                    quests.remove(0);
                }
                quests.push_mut(Quest::new(live, key))
            }
        };
        let now = Instant::now();
        let other = quest.itags != itags;
        if other {
            quest.search_at = Some(now);
            quest.search = None;
        }
        quest.itags = itags;
        quest.or_itself = or_itself;
        quest.quality = rules.quality;
        quest.attended_at = now;
        quest.insistent = rules.insistent;
        drop(quests);
        if other {
            self.wake_completions();
        }
    }

    /// A viewer has brought a URL: perhaps that of a quality that is sought.
    pub(super) fn offered(self: &Arc<Self>, live: &Arc<Live>) {
        if self.quests.is_empty() {
            return;
        }
        let key = live.state().record.key.clone();
        let mut quests = self.quests.all();
        let ends = |quest: &mut Quest| quest.watched.id != live.id && quest.suits(&key);
        let ended: Vec<Quest> = quests.extract_if(.., ends).collect();
        drop(quests);
        for quest in ended {
            self.fulfil(quest, Found::Entity(Arc::clone(live)));
        }
    }

    /// Goes on with what is sought.
    pub(super) fn pursue(self: &Arc<Self>) {
        let (now, policy) = (Instant::now(), self.policy());
        let mut quests = self.quests.all();
        let ends = |quest: &mut Quest| {
            let attended = now < quest.attended_at + LINGER;
            !self.quest_goes_on(quest, now)
                || !goes_on(attended, quest.insistent, &policy.completion)
        };
        let ended: Vec<Quest> = quests.extract_if(.., ends).collect();
        drop(quests);
        for mut quest in ended {
            if let Some(found) = quest.found.take() {
                self.fulfil(quest, found);
            }
        }
    }

    /// Looks whether something has come of a search, and begins one when it is time. False when that
    /// is its end.
    fn quest_goes_on(self: &Arc<Self>, quest: &mut Quest, now: Instant) -> bool {
        if attended(&quest.watched.state()) {
            quest.attended_at = now;
        }
        if let Some(found) = quest.search.as_mut().and_then(FutureExt::now_or_never) {
            quest.search = None;
            match found.unwrap_or(Found::Nothing(None)) {
                Found::Nothing(again) if !quest.or_itself => {
                    self.withhold(&quest.watched, Some(Withheld::AwaitsPreferred));
                    quest.search_at = again;
                }
                found => {
                    quest.found = Some(found);
                    return false;
                }
            }
        }
        if quest.search.is_none() && quest.search_at.is_some_and(|at| at <= now) {
            quest.search_at = None;
            let search = Arc::clone(self).search(quest.key.clone(), quest.itags.clone());
            quest.search = Some(tokio::spawn(search));
        }
        true
    }

    /// A search is over.
    fn fulfil(self: &Arc<Self>, quest: Quest, found: Found) {
        let watched = &quest.watched;
        watched.state().settled = Some((quest.quality, Instant::now()));
        self.withhold(watched, None);
        match found {
            Found::There => {}
            Found::Entity(live) => {
                self.vouch(&live, Reason::Preferred);
                self.want(&live, Some(watched), quest.insistent);
            }
            Found::Nothing(_) => self.want_itself(watched, None, quest.insistent),
        }
    }

    /// Looks in the store and asks the resolver for the first of several qualities that can be had.
    async fn search(self: Arc<Self>, like: EntityKey, itags: Vec<String>) -> Found {
        let video = video_of(&like);
        let looking = {
            let (service, like, video) = (Arc::clone(&self), like.clone(), video.clone());
            tokio::task::spawn_blocking(move || service.known_qualities(&like, &video, &itags))
        };
        let mut known = match looking.await {
            Ok(Ok(known)) => known,
            Ok(Err(error)) => {
                self.trouble("the qualities of a video are not known", &error);
                return Found::Nothing(Some(Instant::now() + SETTLED));
            }
            Err(_) => return Found::Nothing(None),
        };
        loop {
            let choice = choose(known.iter().map(|known| (&known.itag[..], known.having)));
            let itag = match choice {
                Choice::There => return Found::There,
                Choice::Complete(itag) => {
                    let found = known.iter().find(|known| known.itag == itag);
                    return match found.and_then(|found| found.live.clone()) {
                        Some(live) => Found::Entity(live),
                        None => Found::Nothing(None),
                    };
                }
                Choice::Ask(itag) => itag.to_owned(),
                Choice::None => break,
            };
            if let Some(live) = self.ask_for(&like, &itag).await {
                self.quests.in_vain().forget(&video, &itag);
                return Found::Entity(live);
            }
            self.quests.in_vain().note(&video, &itag, Instant::now());
            for known in known.iter_mut().filter(|known| known.itag == itag) {
                known.having = Having::Nowhere;
            }
        }
        let now = Instant::now();
        let in_vain = self.quests.in_vain();
        let again = known
            .iter()
            .filter_map(|known| in_vain.until(&video, &known.itag, now));
        Found::Nothing(again.min())
    }

    /// How each of several qualities of a video can be had. Blocks.
    fn known_qualities(
        self: &Arc<Self>,
        like: &EntityKey,
        video: &str,
        itags: &[String],
    ) -> Result<Vec<Known>, StoreError> {
        let mut entities = Vec::new();
        for id in self.store.entities_of(video, None, usize::MAX)? {
            if let Some(live) = self.known(id)? {
                let key = live.state().record.key.clone();
                if same_version(like, &key) {
                    entities.push((key, live));
                }
            }
        }
        let now = Instant::now();
        let known = |itag: &String| {
            let of_it = entities
                .iter()
                .filter(|(key, _)| key.part("itag") == Some(itag));
            let having = |live: &Live| {
                let state = live.state();
                match state.asker.is_some() && !state.record.url_expired {
                    _ if state.complete() => Having::Complete,
                    true => Having::Reachable,
                    false => Having::Nowhere,
                }
            };
            let mut found: Vec<_> = of_it.map(|(_, live)| (having(live), live)).collect();
            found.sort_by_key(|(having, _)| match having {
                Having::Complete => 0,
                Having::Reachable => 1,
                Having::Askable | Having::Nowhere => 2,
            });
            let askable =
                self.resolver.is_some() && self.quests.in_vain().until(video, itag, now).is_none();
            let (having, live) = match found.first() {
                Some((having @ (Having::Complete | Having::Reachable), live)) => {
                    (*having, Some(Arc::clone(live)))
                }
                _ if askable => (Having::Askable, None),
                _ => (Having::Nowhere, None),
            };
            Known {
                itag: itag.clone(),
                having,
                live,
            }
        };
        Ok(itags.iter().map(known).collect())
    }
}

/// A quality that would do.
#[derive(Debug)]
struct Known {
    itag: String,
    having: Having,
    /// If it is known.
    live: Option<Arc<Live>>,
}
