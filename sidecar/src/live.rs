//! One entity in memory: what is stored, who fetches, who watches, and what follows from it.
//!
//! The decisions here are pure functions of the state and of `now`; the lock around the state is
//! never held while anything waits.

mod course;
mod habits;
mod importing;
mod judging;
mod leaving;
mod mirrored;
mod stored;
mod suit;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use viewcache_protocol::{ByteRange, EntityId, EntityKey, FillId, Selecting, Wanted};

use crate::extents::Extents;
use crate::fills::Leads;
use crate::origin::Asker;
use crate::pace::Latency;
use crate::pairs::Half;
use crate::policy::{Admit, Quality, Reason, Withheld};
use crate::readers::Readers;
use crate::recent::Recent;
use crate::report::Present;
use crate::seam;
use crate::store::{EntityRecord, Loaded, Rows};
use crate::terms::Terms;
use crate::traffic::Counts;
use crate::unwritten::Unwritten;
pub use course::{Next, Spot};
pub use habits::Habits;
pub use importing::{Course, Offer};
pub use judging::{Judgement, Snapshot};
pub use leaving::{Ended, Leaving};
pub use mirrored::Mirrored;
pub use stored::{AGE_STEP, Reading, Segment};
pub use suit::Suit;
pub use trouble::Trouble;

/// An entity in memory, shared by everything that works on it.
#[derive(Debug)]
pub struct Live {
    /// Its identity.
    pub id: EntityId,
    state: Mutex<State>,
    /// Woken whenever the state changes in a way that a reader may wait for.
    pub changed: Notify,
    /// Woken whenever a reader comes, goes on or leaves: the sidecar's own leads wait for it.
    pub demand: Notify,
    /// Held from looking at the state until the index and then the state say what follows from it,
    /// so that the index never goes back to something older.
    indexing: Mutex<()>,
}

impl Live {
    /// An entity as it was stored, or one that is new.
    pub fn new(key: &EntityKey, loaded: Option<Loaded>, terms: Terms, now: SystemTime) -> Self {
        let mut state = State {
            record: EntityRecord::new(key.clone(), now),
            rows: Rows::default(),
            stored: Extents::default(),
            writing: Extents::default(),
            unwritten: Unwritten::default(),
            housed: Extents::default(),
            segments: BTreeMap::new(),
            touched: BTreeSet::new(),
            ended: Vec::new(),
            recent: Recent::default(),
            leads: Leads::default(),
            mirrors: Vec::new(),
            proven: false,
            vouched: None,
            withheld: None,
            settled: None,
            channel: None,
            grace: 0,
            purged_before: None,
            asker: None,
            asked_with: None,
            readers: Readers::default(),
            habits: Habits::default(),
            terms,
            latency: Latency::default(),
            trouble: Trouble::default(),
            validated_at: None,
            excused_until: None,
            declined_until: None,
            cramped_until: None,
            traffic: Counts::default(),
            dirty: false,
            recorded: None,
        };
        if let Some(loaded) = loaded {
            state.restore(loaded);
        }
        Self {
            id: key.id(),
            state: Mutex::new(state),
            changed: Notify::new(),
            demand: Notify::new(),
            indexing: Mutex::new(()),
        }
    }

    /// The right to change what the index has of it; for blocking threads.
    pub fn index_lock(&self) -> MutexGuard<'_, ()> {
        seam::lock(&self.indexing)
    }

    /// The state, for as long as the guard lives; never across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        // A panic under this lock is a bug, but the state stays consistent enough to serve:
        // whatever it says is stored is checked when read.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Everything that is known of an entity.
#[derive(Debug)]
pub struct State {
    /// What is persisted.
    pub record: EntityRecord,
    /// The stored runs with their checksums.
    pub rows: Rows,
    /// The same as coverage.
    pub stored: Extents,
    /// What is being written right now: not stored yet, and not to be written again.
    pub writing: Extents,
    /// The bytes of that, those that come from the origin.
    pub unwritten: Unwritten,
    /// What has just arrived.
    pub recent: Recent,
    /// What has room on the disk: what is stored, and what is being written there.
    pub housed: Extents,
    /// The segments of which anything is stored or in use.
    pub segments: BTreeMap<u64, Segment>,
    /// Those that were used since the index was last told.
    pub touched: BTreeSet<u64>,
    /// Generations that have ended while bytes of them were being written.
    pub ended: Vec<Ended>,
    /// Who is fetching.
    pub leads: Leads,
    /// The mirrored transfers that were granted.
    pub mirrors: Vec<Mirrored>,
    /// Whether the index is about to be told that it is worth keeping.
    pub proven: bool,
    /// Why it is worth keeping for the sake of another one, if it is.
    pub vouched: Option<Reason>,
    /// Why it is not completed although it is worth that, if so.
    pub withheld: Option<Withheld>,
    /// By which rule, and when, was last settled what is completed in its place.
    pub settled: Option<(Quality, Instant)>,
    /// What the request that last was granted a lead had in the fields that may select a response.
    pub asked_with: Option<Selecting>,
    /// Responses being streamed from here, and read-aheads.
    pub readers: Readers,
    /// Which viewers go on where they have stopped.
    pub habits: Habits,
    /// The rules.
    pub terms: Terms,
    /// How long the origin takes to begin an answer.
    pub latency: Latency,
    /// The channel that its video belongs to.
    pub channel: Option<String>,
    /// Its segments are kept so much longer than others, in milliseconds.
    pub grace: u64,
    /// It was purged before this transfer: what older ones bring that had begun is of what is gone.
    pub purged_before: Option<FillId>,
    /// How the origin can be asked for more without a viewer: as the newest request did.
    pub asker: Option<Asker>,
    /// What went wrong at the origin since its last byte.
    pub trouble: Trouble,
    /// When the origin last said that the living generation is still the one.
    pub validated_at: Option<Instant>,
    /// Until when it is not asked again, having failed, where a stale answer may be given then.
    pub excused_until: Option<Instant>,
    /// Until when requests are handed to the origin because its answers are not storable.
    pub declined_until: Option<Instant>,
    /// There was no room for the rest of it, which is not fetched before this for the policy's sake.
    pub cramped_until: Option<Instant>,
    /// What was asked for and sent since that was last counted.
    pub traffic: Counts,
    /// Whether the record has changed since it was persisted.
    pub dirty: bool,
    /// The generation whose record is in the index, so that rows may follow.
    pub recorded: Option<u64>,
}

/// In so many runs the watched bytes of an entity are kept; what would be one more is left out.
const WATCHED_RUNS: usize = 256;

impl State {
    /// Bytes went to a viewer, so many of them from the store.
    pub fn delivered(&mut self, range: ByteRange, cached: u64) {
        self.record.bytes_from_cache += cached;
        self.record.watched.insert_bounded(range, WATCHED_RUNS);
        self.dirty = true;
    }

    /// A viewer has begun. True when that may make the entity worth keeping.
    pub fn came(&mut self, viewer: &str) -> bool {
        if viewer.is_empty() || !self.counts_viewers() {
            return false;
        }
        self.record.watchers.came(viewer);
        self.dirty = true;
        !self.record.admitted
    }

    /// Whether it matters who comes.
    const fn counts_viewers(&self) -> bool {
        !self.record.admitted || !self.record.watchers.several()
    }

    /// A viewer has watched these bytes. True when that may make the entity worth keeping.
    pub fn watch(&mut self, viewer: &str, range: ByteRange) -> bool {
        let undecided = !self.record.admitted && !viewer.is_empty();
        if undecided {
            self.record.watchers.watched(viewer, range);
            self.record.most_watched = self.record.most_watched.max(self.record.watchers.most());
        }
        undecided
    }

    /// Bytes of generation `seq` have come from `offset` on: who reads close behind has them from
    /// memory. False when that is not the living generation: they belong to nobody any more, and
    /// its readers would take them for their own.
    pub fn publish(
        &mut self,
        seq: u64,
        fill: FillId,
        offset: u64,
        bytes: Bytes,
        keep: u64,
        awaited: u64,
    ) -> bool {
        let lives = self.lives(seq);
        if lives {
            self.recent.push(fill, offset, bytes, keep, awaited);
        }
        lives
    }

    /// Whether the entity is worth keeping and was not known to be. It is admitted once the index
    /// has been told.
    pub fn prove(&mut self, admit: Option<Admit>, downloaded: bool) -> Option<Reason> {
        let complete_length = self.record.generation.as_ref()?.complete_length();
        if self.record.admitted || self.proven {
            return None;
        }
        let reason = match downloaded {
            true => Reason::Download,
            false => {
                let judged = admit?.judge(&self.record.watchers, complete_length);
                judged.or(self.vouched)?
            }
        };
        self.proven = true;
        Some(reason)
    }

    /// A request has come by which the origin can be asked for more. Of URLs that expire the one
    /// that does so last is kept. True when it is better than what was known.
    pub fn learn(&mut self, asker: Asker) -> bool {
        let known = self.asker.as_ref();
        let worse = known.is_some_and(|known| asker.expires() < known.expires());
        if !worse {
            self.asker = Some(asker);
        }
        !worse
    }

    /// Forgets leads that lapsed or went silent, and what they left in memory.
    pub fn expire(&mut self, now: Instant) {
        self.leads.expire(now);
        let leads = &self.leads;
        self.recent.retain_fills(|fill| leads.holds(fill));
        self.mirrors.retain(|mirrored| leads.holds(mirrored.fill));
    }

    /// Remembers what a viewer asks for, as far as that is known.
    pub fn note(&mut self, wanted: &Wanted) {
        let living = self.record.generation.as_ref();
        let range = living.and_then(|living| resolve(wanted, living.complete_length()));
        if let Some(range) = range.filter(|_| 0 < self.terms.read_ahead) {
            self.habits.note(&wanted.viewer, range);
        }
    }

    /// Which half of a pair it is, as far as that is known.
    pub fn half(&self) -> Option<Half> {
        let headers = self.record.generation.iter().flat_map(|g| &g.headers);
        let mut types = headers.filter(|(name, _)| name == "content-type");
        Half::of(&self.record.key, types.next().map(|(_, value)| &value[..]))
    }

    /// What it is being watched together with; `now` is in milliseconds since the epoch.
    pub fn partner(&self, now: u64) -> Option<EntityId> {
        let partner = self.record.partners.watched(now)?;
        Some(partner.key.id())
    }

    /// Whether all of it is stored.
    pub fn complete(&self) -> bool {
        let generation = self.record.generation.as_ref();
        generation.is_some_and(|g| self.stored.bytes() == g.complete_length())
    }

    /// Whether something is missing of it that could be asked for.
    pub fn lacks(&self) -> bool {
        let length = self.record.generation.as_ref().map(|g| g.complete_length());
        self.asker.is_some() && length.is_none_or(|length| self.stored.bytes() < length)
    }

    /// Whether not all of it is stored.
    pub fn lacks_bytes(&self) -> bool {
        let length = self.record.generation.as_ref().map(|g| g.complete_length());
        let whole = length.and_then(|length| ByteRange::new(0, length));
        whole.is_none_or(|whole| !self.stored.covers(whole))
    }

    /// Whether this process is streaming or writing it.
    pub fn active(&self) -> bool {
        !self.readers.is_empty() || !self.writing.is_empty() || !self.ended.is_empty()
    }

    /// Whether somebody watches, fetches or writes it.
    pub fn busy(&self) -> bool {
        self.active() || !self.leads.is_empty()
    }

    /// What is done with it just now.
    pub fn doings(&self, now: Instant) -> Present {
        Present {
            fills: self.leads.underway(now, &self.terms),
            viewers: self.readers.viewers() + self.leads.mirrored(now, &self.terms).count(),
            ..Present::default()
        }
    }

    /// Whether nobody would miss it in memory.
    pub fn idle(&self) -> bool {
        !self.busy() && !self.dirty && self.touched.is_empty()
    }
}

/// The bytes that several wanted ranges mean in an entity of `complete_length`: those that lie in
/// it (RFC 9110 section 15.3.7.2); none at all is 416. `None` when they are not in order or
/// overlap: an answer apart would be more work than it is worth (RFC 9110 section 17.15).
pub fn parts(wanted: &Wanted, complete_length: u64) -> Option<Vec<ByteRange>> {
    let parts = wanted.parts.iter();
    let parts: Vec<ByteRange> = parts
        .filter_map(|spec| spec.resolve(complete_length))
        .collect();
    let ascending = parts.is_sorted_by(|one, next| one.end() <= next.start());
    ascending.then_some(parts)
}

/// The bytes that `wanted` means in an entity of `complete_length`; `None` is 416.
pub fn resolve(wanted: &Wanted, complete_length: u64) -> Option<ByteRange> {
    match wanted.range {
        Some(spec) => spec.resolve(complete_length),
        None => ByteRange::new(0, complete_length),
    }
}

#[cfg(test)]
mod tests;
