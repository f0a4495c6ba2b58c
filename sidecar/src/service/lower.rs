//! Qualities of a video that go because a better one is complete.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use viewcache_protocol::{ByteRange, EntityId, EntityKey};

use super::Service;
use super::history::Evicted;
use crate::catalogue::video_of;
use crate::live::{Live, State};
use crate::lower::Rival;
use crate::seam;
use crate::store::{Gone, Loaded, Patience, StoreError, millis};
use crate::watchers::Watchers;

/// Whoever has asked for an entity within so long watches it: players pause between requests.
const WATCHED: Duration = Duration::from_secs(10);

/// So many entities are looked at in one go when all are.
const PAGE: usize = 256;

/// The videos of which a quality may have to go.
#[derive(Debug, Default)]
pub(super) struct Lower(Mutex<Looking>);

#[derive(Debug, Default)]
struct Looking {
    videos: HashSet<String>,
    /// When all entities are looked at: after which.
    all: Option<Option<EntityId>>,
}

impl Lower {
    fn looking(&self) -> MutexGuard<'_, Looking> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// This video is looked at.
    pub(super) fn look_at(&self, video: String) {
        self.looking().videos.insert(video);
    }

    /// All of them are, some at a time.
    pub(super) fn look_at_all(&self) {
        self.looking().all = Some(None);
    }
}

impl Service {
    /// Something of an entity was stored, or may go now: perhaps it is lower than one that is
    /// complete, or complete itself.
    pub(super) fn look_for_lower(&self, live: &Live) {
        let video = {
            let state = live.state();
            let key = &state.record.key;
            let looks = key.part("itag").is_some() && self.rules(&state).drop_lower;
            looks.then(|| video_of(key))
        };
        if let Some(video) = video {
            self.lower.look_at(video);
        }
    }

    /// Removes the qualities than which a better one of the same video is complete, where the rules
    /// want that. Blocks.
    pub(super) fn drop_lower(self: &Arc<Self>) {
        let (mut videos, all) = {
            let mut looking = self.lower.looking();
            (std::mem::take(&mut looking.videos), looking.all.take())
        };
        if let Some(after) = all {
            match self.store.page(after, PAGE) {
                Ok(page) => {
                    let more = page.last().filter(|_| page.len() == PAGE);
                    let next = more.map(|(id, _)| Some(*id));
                    let mut looking = self.lower.looking();
                    // Unless it has begun again meanwhile.
                    looking.all = looking.all.or(next);
                    drop(looking);
                    let keys = page.iter().map(|(_, record)| &record.key);
                    let qualities = keys.filter(|key| key.part("itag").is_some());
                    videos.extend(qualities.map(video_of));
                }
                Err(error) => self.trouble("what is lower is not known", &error),
            }
        }
        for video in videos {
            match self.drop_lower_of(&video) {
                Ok(false) => {}
                // Somebody watches one.
                Ok(true) => self.lower.look_at(video),
                Err(error) => self.trouble("a lower quality stays", &error),
            }
        }
    }

    /// The same for one video. True when it is to be looked at again.
    fn drop_lower_of(self: &Arc<Self>, video: &str) -> Result<bool, StoreError> {
        let rivals = self.rivals(video)?;
        let mut again = false;
        for (id, key, rival) in &rivals {
            let channel = self.channel_of(key, Patience::Wait)?;
            let rules = self.rules_of(key.profile(), channel.as_deref());
            let others = rivals.iter().map(|(.., other)| other);
            if rules.drop_lower
                && rival.outdone(others, &rules.quality)
                && !self.downloads.remember(*id)
            {
                again |= self.drop_entity(*id)?;
            }
        }
        Ok(again)
    }

    /// Removes an entity that is lower, unless it is pinned. True when it is not removed because
    /// somebody watches it.
    fn drop_entity(self: &Arc<Self>, id: EntityId) -> Result<bool, StoreError> {
        self.unwant(id);
        let long_ago = millis(seam::wall() - WATCHED);
        let watched = |state: &State| state.busy() || long_ago < state.record.last_accessed;
        let segments = self.store.segments_of(id)?;
        let Some(live) = self.known(id)? else {
            return Ok(false);
        };
        let (mut stays, mut goes) = (false, false);
        self.remove(&live, |state| {
            stays = !state.record.pinned && watched(state);
            goes = !state.record.pinned && !stays;
            goes
        })?;
        if goes {
            tracing::info!(entity = %id, "a better quality is complete");
            for (_, segment) in segments {
                let gone = Gone {
                    room: segment.allocated,
                    was: None,
                    watchers: Watchers::default(),
                };
                self.evicted(id, Evicted::Lower, gone);
            }
        }
        Ok(stays)
    }

    /// The qualities of a video of which something is stored. Blocks.
    fn rivals(&self, video: &str) -> Result<Vec<(EntityId, EntityKey, Rival)>, StoreError> {
        let mut rivals = Vec::new();
        for id in self.store.entities_of(video, None, usize::MAX)? {
            let known = match self.table.find(id) {
                Some(live) => {
                    let state = live.state();
                    Some((state.record.key.clone(), state.complete()))
                }
                // None of them need come into memory for this.
                None => self.store.load(id)?.map(|Loaded { record, rows, .. }| {
                    let stored: u64 = rows.ranges().map(ByteRange::len).sum();
                    let generation = record.generation.as_ref();
                    let complete = generation.is_some_and(|g| g.complete_length() == stored);
                    (record.key, complete)
                }),
            };
            if let Some((key, complete)) = known
                && let Some(rival) = Rival::new(&key, complete)
            {
                rivals.push((id, key, rival));
            }
        }
        Ok(rivals)
    }

    /// Whether a better quality of the same video is complete, where lower ones go then.
    pub(super) async fn is_outdone(self: &Arc<Self>, live: &Live) -> bool {
        let (key, complete, rules) = {
            let state = live.state();
            let key = state.record.key.clone();
            (key, state.complete(), self.rules(&state))
        };
        let Some(rival) = Rival::new(&key, complete).filter(|_| rules.drop_lower) else {
            return false;
        };
        let service = Arc::clone(self);
        let outdone = tokio::task::spawn_blocking(move || {
            let rivals = service.rivals(&video_of(&key))?;
            let others = rivals.iter().map(|(.., other)| other);
            Ok::<_, StoreError>(rival.outdone(others, &rules.quality))
        });
        matches!(outdone.await, Ok(Ok(true)))
    }
}
