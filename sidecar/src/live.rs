//! One entity in memory: what is stored, who fetches, who watches, and what follows from it.
//!
//! The decisions here are pure functions of the state and of `now`; the lock around the state is
//! never held while anything waits.

mod leaving;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Instant, SystemTime};

use tokio::sync::Notify;
use viewcache_protocol::message::ForwardToken;
use viewcache_protocol::{ByteRange, EntityId, EntityKey, Wanted};

use crate::extents::Extents;
use crate::fills::{LEASE, Leads, STALL};
use crate::freshness;
use crate::store::{EntityRecord, GenerationRecord, Loaded, Place, Rows};
pub use leaving::{Ended, Leaving};
pub use stored::{AGE_STEP, Reading, Segment};

/// An entity in memory, shared by everything that works on it.
#[derive(Debug)]
pub struct Live {
    /// Its identity.
    pub id: EntityId,
    state: Mutex<State>,
    /// Woken whenever the state changes in a way that somebody may wait for.
    pub changed: Notify,
    /// Held from looking at the state until the index and then the state say what follows from it,
    /// so that the index never goes back to something older.
    indexing: Mutex<()>,
}

impl Live {
    /// An entity as it was stored, or one that is new.
    pub fn new(key: &EntityKey, loaded: Option<Loaded>, now: SystemTime) -> Self {
        let mut state = State {
            record: EntityRecord::new(key.clone(), now),
            rows: Rows::default(),
            stored: Extents::default(),
            writing: Extents::default(),
            housed: Extents::default(),
            segments: BTreeMap::new(),
            touched: BTreeSet::new(),
            ended: Vec::new(),
            leads: Leads::default(),
            viewers: 0,
            declined_until: None,
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
            indexing: Mutex::new(()),
        }
    }

    /// The right to change what the index has of it; for blocking threads.
    pub fn index_lock(&self) -> MutexGuard<'_, ()> {
        self.indexing
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
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
    /// Responses being streamed from here.
    pub viewers: u32,
    /// Until when requests are handed to the origin because its answers are not storable.
    pub declined_until: Option<Instant>,
    /// Whether the record has changed since it was persisted.
    pub dirty: bool,
    /// The generation whose record is in the index, so that rows may follow.
    pub recorded: Option<u64>,
}

/// What to do with a request, in the words of DESIGN "Life of a request" 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// All of the wanted range is stored, or the answer needs no byte (416).
    Hit,
    /// Some is stored or on its way.
    Partial,
    /// Nothing is; `grant` tells whether the response may be mirrored.
    Miss {
        /// What Cache-Status says of it.
        forward: ForwardToken,
        /// Whether to grant a lead.
        grant: bool,
    },
}

/// How a response goes on at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Stored up to here.
    Stored(u64),
    /// Somebody is bringing it: wait for a change, until then at the most.
    Follow(Instant),
    /// Nobody is: fetch this.
    Fetch(ByteRange),
    /// The generation is gone.
    Gone,
}

/// What the response needs to know of the generation that it is made of.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The generation.
    pub generation: GenerationRecord,
    /// Where its bytes are.
    pub place: Place,
    /// Seconds of freshness left; `None` when it never goes stale.
    pub ttl: Option<i64>,
    /// Whether its gaps may be filled from other transfers.
    pub combinable: bool,
}

impl State {
    /// The living generation when it may be used without asking the origin.
    pub fn usable(&self, id: EntityId, now: SystemTime) -> Option<Snapshot> {
        let generation = self.record.generation.as_ref()?;
        let immutable = self.record.key.profile().immutable();
        let ttl = freshness::ttl(&generation.headers, generation.received(), now);
        let usable = immutable || ttl > 0;
        usable.then(|| Snapshot {
            generation: generation.clone(),
            place: generation.place(id),
            ttl: (!immutable).then_some(ttl),
            combinable: generation.identity.combinable(self.record.key.profile()),
        })
    }

    /// Judges a request.
    pub fn judge(
        &self,
        id: EntityId,
        wanted: &Wanted,
        wall: SystemTime,
        now: Instant,
    ) -> Judgement {
        let declined = self.declined_until.is_some_and(|until| now < until);
        let leading = self.leads.tentative_until(now).is_some();
        let miss = |forward| {
            if leading && !declined {
                Judgement::Partial
            } else {
                Judgement::Miss {
                    forward,
                    grant: !leading,
                }
            }
        };
        if self.record.generation.is_none() {
            return miss(ForwardToken::UriMiss);
        }
        let Some(snapshot) = self.usable(id, wall) else {
            return miss(ForwardToken::Stale);
        };
        let Some(range) = resolve(wanted, snapshot.generation.complete_length()) else {
            return Judgement::Hit;
        };
        if self.stored.covers(range) {
            return Judgement::Hit;
        }
        if !snapshot.combinable {
            // Another transfer must not complete it: the origin answers, and when nobody uses the
            // old bytes any more, its answer replaces them.
            return Judgement::Miss {
                forward: ForwardToken::Partial,
                grant: !self.busy(),
            };
        }
        let fetching = self.leads.fetching(range, now);
        if self.stored.touches(range) || fetching || 0 < self.viewers || leading {
            return Judgement::Partial;
        }
        Judgement::Miss {
            forward: ForwardToken::Partial,
            grant: true,
        }
    }

    /// How a response of generation `seq` goes on at `offset`, which it came to at `since` and
    /// which is before `end`. `window` bounds what one fetch asks for.
    pub fn next(
        &self,
        seq: u64,
        offset: u64,
        end: u64,
        window: u64,
        since: Instant,
        now: Instant,
    ) -> Next {
        if self
            .record
            .generation
            .as_ref()
            .is_none_or(|generation| generation.seq != seq)
        {
            return Next::Gone;
        }
        if let Some(run_end) = self.stored.run_end(offset) {
            return Next::Stored(run_end.min(end));
        }
        // A disk that hangs must not hang the viewer: after a while its bytes are fetched too.
        let written_until = self.writing.run_end(offset);
        if written_until.is_some() && now < since + STALL {
            return Next::Follow(since + STALL);
        }
        if let Some(stall) = self.leads.awaited(offset, now) {
            return Next::Follow(stall);
        }
        if let Some(until) = self.leads.overtaken(offset, since, now) {
            return Next::Follow(until);
        }
        let stops = [
            written_until.or_else(|| self.writing.next_start(offset)),
            self.stored.next_start(offset),
            self.leads.next_frontier(offset, now),
        ];
        let stop = stops.into_iter().flatten().min().unwrap_or(end).min(end);
        match ByteRange::new(offset, stop.min(offset.saturating_add(window))) {
            Some(range) => Next::Fetch(range),
            None => Next::Gone,
        }
    }

    /// Whether this process is streaming or writing it.
    pub fn active(&self) -> bool {
        0 < self.viewers || !self.writing.is_empty() || !self.ended.is_empty()
    }

    /// Whether somebody watches, fetches or writes it.
    pub fn busy(&self) -> bool {
        self.active() || !self.leads.is_empty()
    }

    /// Whether nobody would miss it in memory.
    pub fn idle(&self) -> bool {
        !self.busy() && !self.dirty && self.touched.is_empty()
    }
}

/// The bytes that `wanted` means in an entity of `complete_length`; `None` is 416.
pub fn resolve(wanted: &Wanted, complete_length: u64) -> Option<ByteRange> {
    match wanted.range {
        Some(spec) => spec.resolve(complete_length),
        None => ByteRange::new(0, complete_length),
    }
}

/// How much one fetch may ask of the origin: the youtube profile's origins pace larger ones.
pub const fn window(key: &EntityKey) -> u64 {
    match key.profile() {
        viewcache_protocol::Profile::Generic => 2 * LEASE,
        viewcache_protocol::Profile::Youtube => 10 << 20,
    }
}

#[cfg(test)]
mod tests;
