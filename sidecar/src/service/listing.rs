//! Pages of entities, videos and channels. What would have to look at all of them does so in steps
//! that are bounded, each for itself, and keeps no more than a page.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;
use viewcache_protocol::{EntityId, EntityKey};

use super::Service;
use crate::catalogue::{Channel, Video, video_of};
use crate::coverage::Coverage;
use crate::extents::Extents;
use crate::listing::By;
use crate::report::{self, Present, Status};
use crate::store::{EntityRecord, Patience, StoreError};

/// Which entities are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Qualities of this video.
    pub video: Option<String>,
    /// Of this channel's videos.
    pub channel: Option<String>,
    /// Of this quality.
    pub itag: Option<String>,
    /// That stand so.
    pub status: Option<Status>,
    /// That are not known to be worth keeping, or are.
    pub provisional: Option<bool>,
    /// That the operator keeps, or not.
    pub pinned: Option<bool>,
    /// Whose profile has this name.
    pub profile: Option<String>,
    /// Whose keys begin so.
    pub prefix: Option<String>,
}

impl Filter {
    /// Whether an entity of this key can be meant.
    pub(super) fn names(&self, key: &EntityKey) -> bool {
        let is = |wanted: &Option<String>, has: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| has == Some(wanted))
        };
        is(&self.itag, key.part("itag"))
            && is(&self.profile, Some(key.profile().name()))
            && self
                .prefix
                .as_ref()
                .is_none_or(|prefix| key.as_str().starts_with(&prefix[..]))
            && self.video.as_ref().is_none_or(|id| video_of(key) == *id)
    }

    fn stands(&self, record: &EntityRecord) -> bool {
        self.provisional.is_none_or(|is| is != record.admitted)
            && self.pinned.is_none_or(|is| is == record.pinned)
    }
}

/// How far a walk over entities has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// The video whose entities are walked over, where those of a channel are.
    video: Option<String>,
    /// The last that was looked at.
    pub after: Option<EntityId>,
    /// Whether there are no more.
    pub over: bool,
}

/// Which videos are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoFilter {
    /// Of this channel.
    pub channel: Option<String>,
    /// In whose id or title this is, in lower case.
    pub search: Option<String>,
}

/// How far a walk over videos has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoWalk {
    /// The last that was looked at.
    pub after: Option<String>,
    /// Whether there are no more.
    pub over: bool,
}

/// What a channel's videos take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Totals {
    /// Its videos, stored or not.
    pub videos: u64,
    /// Their entities of which something is stored.
    pub entities: u64,
    /// The bytes that are stored of them.
    pub cached_bytes: u64,
    /// Those of pinned entities among them.
    pub pinned_bytes: u64,
}

impl Service {
    /// The entities that a walk comes to next, at most `most`, as the index has them.
    fn walk(
        &self,
        filter: &Filter,
        walk: &mut Walk,
        most: usize,
    ) -> Result<Vec<(EntityId, EntityRecord)>, StoreError> {
        let found = match (&filter.video, &filter.channel) {
            (Some(video), _) => {
                let ids = self.store.entities_of(video, walk.after, most)?;
                walk.over = ids.len() < most;
                ids
            }
            (None, Some(channel)) => self.walk_channel(channel, walk, most)?,
            (None, None) => {
                let page = self.store.page(walk.after, most)?;
                walk.over = page.len() < most;
                walk.after = page.last().map(|(id, _)| *id).or(walk.after);
                return Ok(page);
            }
        };
        walk.after = found.last().copied().or(walk.after);
        let mut records = Vec::with_capacity(found.len());
        for id in found {
            records.extend(self.store.record(id)?.map(|record| (id, record)));
        }
        Ok(records)
    }

    fn walk_channel(
        &self,
        channel: &str,
        walk: &mut Walk,
        most: usize,
    ) -> Result<Vec<EntityId>, StoreError> {
        /// So many videos of which nothing is stored are passed over in one step.
        const BARREN: usize = 1000;
        for _ in 0..BARREN {
            if let Some(video) = &walk.video {
                let ids = self.store.entities_of(video, walk.after, most)?;
                if !ids.is_empty() {
                    return Ok(ids);
                }
            }
            let mut next = self.store.videos_of(channel, walk.video.as_deref(), 1)?;
            let Some(video) = next.pop() else {
                walk.over = true;
                break;
            };
            (walk.video, walk.after) = (Some(video), None);
        }
        Ok(Vec::new())
    }

    /// Looks at `most` entities more; those that are meant come back, each with the value that the
    /// list is sorted by. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn meant(
        &self,
        filter: &Filter,
        by: By,
        walk: &mut Walk,
        most: usize,
    ) -> Result<Vec<(u64, EntityId)>, StoreError> {
        let now = SystemTime::now();
        let mut meant = Vec::new();
        for (id, record) in self.walk(filter, walk, most)? {
            if !filter.names(&record.key) {
                continue;
            }
            if let Some(channel) = &filter.channel
                && filter.video.is_some()
                && self.channel_of(&record.key, Patience::Wait)?.as_ref() != Some(channel)
            {
                continue;
            }
            // What is stored is looked at only for those who ask.
            let counted = filter.status.is_some() || by == By::CachedBytes;
            let Some((record, present)) = self.present(id, Some(record), counted, None)? else {
                continue;
            };
            let status = || {
                let fetching = 0 < present.fills;
                report::status(&record, present.cached_bytes, fetching, now).0
            };
            if filter.stands(&record) && filter.status.is_none_or(|wanted| status() == wanted) {
                meant.push((value(by, &record, &present), id));
            }
        }
        Ok(meant)
    }

    /// An entity as it is now: in memory, or as the index has it (`record`, if that was read
    /// already). Its stored bytes are counted if `counted`. `None` when there is none.
    fn present(
        &self,
        id: EntityId,
        record: Option<EntityRecord>,
        counted: bool,
        buckets: Option<u32>,
    ) -> Result<Option<(EntityRecord, Present)>, StoreError> {
        let covered = |stored: &Extents, record: &EntityRecord| {
            let length = record.generation.as_ref()?.complete_length();
            Some(Coverage::of(stored, length, buckets?).digits())
        };
        if let Some(live) = self.table.find(id) {
            let state = live.state();
            // Purged meanwhile.
            if state.record.generation.is_none() {
                return Ok(None);
            }
            let record = state.record.clone();
            let present = Present {
                cached_bytes: if counted { state.stored.bytes() } else { 0 },
                channel: state.channel.clone(),
                coverage: covered(&state.stored, &record),
                ..state.doings(Instant::now())
            };
            return Ok(Some((record, present)));
        }
        let record = match record {
            Some(record) => record,
            None => match self.store.record(id)? {
                Some(record) => record,
                None => return Ok(None),
            },
        };
        let mut present = Present::default();
        if let Some(generation) = &record.generation {
            if buckets.is_some() {
                let loaded = self.store.load(id)?;
                let rows = loaded.map(|loaded| loaded.rows).unwrap_or_default();
                let stored: Extents = rows.ranges().collect();
                present.cached_bytes = stored.bytes();
                present.coverage = covered(&stored, &record);
            } else if counted {
                present.cached_bytes = self.store.stored(id, generation.seq)?;
            }
        }
        Ok(Some((record, present)))
    }

    /// What is told of entities in lists; those that are gone meanwhile are left out. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tell_entities(
        &self,
        ids: &[EntityId],
        buckets: Option<u32>,
    ) -> Result<Vec<report::Entity>, StoreError> {
        let now = SystemTime::now();
        let mut told = Vec::with_capacity(ids.len());
        for &id in ids {
            let Some((record, mut present)) = self.present(id, None, true, buckets)? else {
                continue;
            };
            if self.table.find(id).is_none() {
                present.channel = self.channel_of(&record.key, Patience::Wait)?;
            }
            told.push(report::Entity::new(id, record, present, now));
        }
        Ok(told)
    }

    /// Length and stored bytes of an entity, without taking it into memory. Blocks.
    pub(super) fn extent_of(&self, id: EntityId) -> Result<(Option<u64>, u64), StoreError> {
        let present = self.present(id, None, true, None)?;
        Ok(present.map_or((None, 0), |(record, present)| {
            let length = record.generation.map(|g| g.complete_length());
            (length, present.cached_bytes)
        }))
    }

    /// The videos that come next after one, at most so many. Blocks.
    fn videos_after(
        &self,
        filter: &VideoFilter,
        after: Option<String>,
        most: usize,
    ) -> Result<Vec<String>, StoreError> {
        if let Some(channel) = &filter.channel {
            return self.store.videos_of(channel, after.as_deref(), most);
        }
        let (mut videos, mut after) = (Vec::new(), after);
        while videos.len() < most {
            let Some(next) = self.store.next_video(after.as_deref())? else {
                break;
            };
            videos.push(next.clone());
            after = Some(next);
        }
        Ok(videos)
    }

    /// Looks at `most` videos more. Those that are meant come back, each with the value that the
    /// list is sorted by. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn meant_videos(
        &self,
        filter: &VideoFilter,
        by: By,
        walk: &mut VideoWalk,
        most: usize,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        let videos = self.videos_after(filter, walk.after.clone(), most)?;
        walk.over = videos.len() < most;
        walk.after = videos.last().cloned().or(walk.after.take());
        let mut meant = Vec::new();
        for id in videos {
            if let Some(search) = &filter.search {
                let title = self
                    .store
                    .video(&id, Patience::Wait)?
                    .and_then(|said| said.title);
                let mut texts = [Some(&id), title.as_ref()].into_iter().flatten();
                if !texts.any(|text| text.to_lowercase().contains(&search[..])) {
                    continue;
                }
            }
            let value = match by {
                By::Id => 0,
                by => {
                    let video = self.tell_video(&id, None)?.map(|(video, _)| video);
                    video.map_or(0, |video| match by {
                        By::Id => 0,
                        By::StartedAt => video.started_millis,
                        By::LastAccessed => video.accessed_millis,
                        By::CachedBytes => video.cached_bytes,
                        By::Hits => video.hits,
                    })
                }
            };
            meant.push((value, id));
        }
        Ok(meant)
    }

    /// What is told of a video, and its entities. `None` when nothing is known of it. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tell_video(
        &self,
        id: &str,
        buckets: Option<u32>,
    ) -> Result<Option<(report::Video, Vec<EntityId>)>, StoreError> {
        /// An entity is one quality: more than these belong to no real video.
        const MOST: usize = 1000;
        let now = SystemTime::now();
        let said: Option<Video> = self.store.video(id, Patience::Wait)?;
        let entities = self.store.entities_of(id, None, MOST)?;
        if said.is_none() && entities.is_empty() {
            return Ok(None);
        }
        let mut video = report::Video::new(id.to_owned(), said.unwrap_or_default());
        let mut coverage = buckets.map(|buckets| Coverage::new(buckets as usize));
        for &entity in &entities {
            let Some((record, present)) = self.present(entity, None, true, None)? else {
                continue;
            };
            if let (Some(coverage), Some(generation)) = (&mut coverage, &record.generation) {
                let length = generation.complete_length();
                self.with_stored(entity, |stored| coverage.add(stored, length))?;
            }
            video.add(&record, &present, now);
        }
        let known = video.complete_length.is_some();
        video.coverage = coverage.filter(|_| known).map(|c| c.digits());
        Ok(Some((video, entities)))
    }

    /// Looks at which bytes of an entity are stored.
    fn with_stored(&self, id: EntityId, look: impl FnOnce(&Extents)) -> Result<(), StoreError> {
        match self.table.find(id) {
            Some(live) => look(&live.state().stored),
            None => {
                let loaded = self.store.load(id)?;
                let rows = loaded.map(|loaded| loaded.rows).unwrap_or_default();
                look(&rows.ranges().collect());
            }
        }
        Ok(())
    }

    /// The channel that comes next after one: somebody has said something of it, or videos belong
    /// to it. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn next_channel(&self, after: Option<&str>) -> Result<Option<String>, StoreError> {
        let said = self.said_channel_after(after);
        Ok(match (said, self.store.next_channel(after)?) {
            (Some(said), Some(named)) => Some(said.min(named)),
            (said, named) => said.or(named),
        })
    }

    /// What is said of a channel; `None` when it is not known, and no video belongs to it. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn known_channel(&self, id: &str) -> Result<Option<Channel>, StoreError> {
        if let Some(channel) = self.channel(id) {
            return Ok(Some(channel));
        }
        let named = !self.store.videos_of(id, None, 1)?.is_empty();
        Ok(named.then(Channel::default))
    }

    /// Adds `most` more of a channel's entities to its totals. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn add_up(
        &self,
        channel: &str,
        totals: &mut Totals,
        walk: &mut Walk,
        most: usize,
    ) -> Result<(), StoreError> {
        let mut looked = 0;
        while looked < most {
            if let Some(video) = &walk.video {
                let left = most - looked;
                let ids = self.store.entities_of(video, walk.after, left)?;
                for &id in &ids {
                    if let Some((record, present)) = self.present(id, None, true, None)? {
                        totals.entities += 1;
                        totals.cached_bytes += present.cached_bytes;
                        if record.pinned {
                            totals.pinned_bytes += present.cached_bytes;
                        }
                    }
                }
                walk.after = ids.last().copied();
                looked += ids.len();
                if ids.len() == left {
                    continue;
                }
            }
            looked += 1;
            let mut next = self.store.videos_of(channel, walk.video.as_deref(), 1)?;
            let Some(video) = next.pop() else {
                walk.over = true;
                break;
            };
            totals.videos += 1;
            (walk.video, walk.after) = (Some(video), None);
        }
        Ok(())
    }
}

/// By what an entity is sorted.
fn value(by: By, record: &EntityRecord, present: &Present) -> u64 {
    match by {
        By::Id => 0,
        By::StartedAt => record.started_at,
        By::LastAccessed => record.last_accessed,
        By::CachedBytes => present.cached_bytes,
        By::Hits => record.hits,
    }
}
