//! One entity in memory: what is stored, who fetches, who watches, and what follows from it.
//!
//! The decisions here are pure functions of the state and of `now`; the lock around the state is
//! never held while anything waits.

mod course;
mod habits;
mod leaving;
mod stored;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use viewcache_protocol::message::ForwardToken;
use viewcache_protocol::{ByteRange, DecideRequest, EntityId, EntityKey, Validator, Wanted};

use crate::extents::Extents;
use crate::fills::Leads;
use crate::freshness;
use crate::pace::Latency;
use crate::preconditions::{self, Verdict};
use crate::readers::Readers;
use crate::recent::Recent;
use crate::store::{EntityRecord, GenerationRecord, Loaded, Place, Rows};
use crate::terms::{Miss, Terms};
pub use course::{Next, Spot};
pub use habits::Habits;
pub use leaving::{Ended, Leaving};
pub use stored::{AGE_STEP, Reading, Segment};
pub use trouble::Trouble;

/// How long the filter may take an entity for a hit without asking. A hot entity costs one
/// decision in this time; what is purged or evicted meanwhile is routed here for so long and
/// costs a fetch.
const MEMORY: Duration = Duration::from_secs(10);

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
            housed: Extents::default(),
            segments: BTreeMap::new(),
            touched: BTreeSet::new(),
            ended: Vec::new(),
            recent: Recent::default(),
            leads: Leads::default(),
            readers: Readers::default(),
            habits: Habits::default(),
            terms,
            latency: Latency::default(),
            trouble: Trouble::default(),
            validated_at: None,
            excused_until: None,
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
            demand: Notify::new(),
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
    /// Responses being streamed from here, and read-aheads.
    pub readers: Readers,
    /// Which viewers go on where they have stopped.
    pub habits: Habits,
    /// The rules.
    pub terms: Terms,
    /// How long the origin takes to begin an answer.
    pub latency: Latency,
    /// What went wrong at the origin since its last byte.
    pub trouble: Trouble,
    /// When the origin last said that the living generation is still the one.
    pub validated_at: Option<Instant>,
    /// Until when it is not asked again, having failed, where a stale answer may be given then.
    pub excused_until: Option<Instant>,
    /// Until when requests are handed to the origin because its answers are not storable.
    pub declined_until: Option<Instant>,
    /// Whether the record has changed since it was persisted.
    pub dirty: bool,
    /// The generation whose record is in the index, so that rows may follow.
    pub recorded: Option<u64>,
}

/// In so many runs the watched bytes of an entity are kept; what would be one more is left out.
const WATCHED_RUNS: usize = 256;

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

/// What a response needs to know of the generation that it is made of.
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

impl Snapshot {
    /// Whether it is not fresh.
    pub fn is_stale(&self) -> bool {
        self.ttl.is_some_and(|ttl| ttl <= 0)
    }

    /// Whether it has been stale for no longer than this.
    fn stale_within(&self, time: Duration) -> bool {
        let since = self.ttl.map_or(0, |ttl| ttl.min(0).unsigned_abs());
        !time.is_zero() && since <= time.as_secs()
    }
}

impl State {
    /// The living generation.
    pub fn snapshot(&self, id: EntityId, wall: SystemTime) -> Option<Snapshot> {
        let generation = self.record.generation.as_ref()?;
        let profile = self.record.key.profile();
        let ttl = freshness::ttl(&generation.headers, generation.received(), wall);
        Some(Snapshot {
            generation: generation.clone(),
            place: generation.place(id),
            ttl: (!profile.immutable()).then_some(ttl),
            combinable: generation.identity.combinable(profile),
        })
    }

    /// The living generation when it may be used without asking the origin first: fresh, or stale
    /// where the origin allows that.
    pub fn usable(&self, id: EntityId, wall: SystemTime, now: Instant) -> Option<Snapshot> {
        let snapshot = self.snapshot(id, wall)?;
        if !snapshot.is_stale() {
            return Some(snapshot);
        }
        let leniency = freshness::leniency(&snapshot.generation.headers);
        let failing = self.excused_until.is_some_and(|until| now < until);
        let usable = snapshot.stale_within(leniency.while_revalidate)
            || failing && snapshot.stale_within(leniency.if_error);
        Some(snapshot).filter(|_| usable)
    }

    /// The same after the origin has failed to say whether it is still the one.
    pub fn excused(&self, id: EntityId, wall: SystemTime) -> Option<Snapshot> {
        let snapshot = self.snapshot(id, wall)?;
        let leniency = freshness::leniency(&snapshot.generation.headers);
        let usable = snapshot.stale_within(leniency.if_error);
        Some(snapshot).filter(|_| usable)
    }

    /// By what to ask the origin if the living generation is still the one, rather than for its
    /// bytes; `None` when nothing of what is wanted is stored.
    pub fn validator(&self, wanted: &Wanted) -> Option<Validator> {
        let living = self.record.generation.as_ref()?;
        let range = resolve(wanted, living.complete_length())?;
        let validator = living.identity.validator.clone()?;
        self.stored.touches(range).then_some(validator)
    }

    /// Whether the living generation's gaps may be filled from other transfers.
    pub fn combinable(&self) -> bool {
        let living = self.record.generation.as_ref();
        living.is_some_and(|generation| generation.identity.combinable(self.record.key.profile()))
    }

    /// Judges a request.
    pub fn judge(
        &self,
        id: EntityId,
        request: &DecideRequest,
        wall: SystemTime,
        now: Instant,
    ) -> Judgement {
        let DecideRequest {
            wanted,
            head,
            conditions,
            selecting,
            ..
        } = request;
        let declined = self.declined_until.is_some_and(|until| now < until);
        let leading = self.leads.tentative_until(now).is_some();
        let relayed = self.terms.miss == Miss::Relay;
        let miss = |forward| {
            if (leading || relayed) && !declined && !head {
                Judgement::Partial
            } else {
                Judgement::Miss {
                    forward,
                    grant: !leading && !head,
                }
            }
        };
        let Some(living) = &self.record.generation else {
            return miss(ForwardToken::UriMiss);
        };
        if !living.answers(selecting) {
            // The origin's answer replaces it, when nobody uses it any more.
            return Judgement::Miss {
                forward: ForwardToken::VaryMiss,
                grant: !self.busy() && !head,
            };
        }
        let Some(snapshot) = self.usable(id, wall, now) else {
            if !declined && !head && self.validator(wanted).is_some() {
                return Judgement::Partial;
            }
            return miss(ForwardToken::Stale);
        };
        let whole;
        let wanted = match preconditions::judge(conditions, &snapshot.generation.headers) {
            Verdict::NotModified => return Judgement::Hit,
            Verdict::Forward => {
                return Judgement::Miss {
                    forward: ForwardToken::Bypass,
                    grant: false,
                };
            }
            Verdict::Answer { ranged: true } => wanted,
            Verdict::Answer { ranged: false } => {
                whole = wanted.without_header_range();
                &whole
            }
        };
        let Some(range) = resolve(wanted, snapshot.generation.complete_length()) else {
            return Judgement::Hit;
        };
        if *head {
            return Judgement::Hit;
        }
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
        let fetching = self.leads.fetching(range, now, &self.terms);
        let sequential = 0 < self.terms.read_ahead && self.habits.sequential(&wanted.viewer, range);
        let busy = fetching || leading || !self.readers.is_empty();
        if self.stored.touches(range) || busy || relayed || sequential {
            return Judgement::Partial;
        }
        Judgement::Miss {
            forward: ForwardToken::Partial,
            grant: true,
        }
    }

    /// For how long every request for this entity is a hit, whatever its range and its headers:
    /// when all of it is stored, it does not vary, and it stays fresh for longer.
    pub fn memorable(&self, now: SystemTime) -> Option<Duration> {
        let generation = self.record.generation.as_ref()?;
        let varies = generation.headers.iter().any(|(name, _)| name == "vary");
        let whole = ByteRange::new(0, generation.complete_length())?;
        if varies || !self.stored.covers(whole) {
            return None;
        }
        if self.record.key.profile().immutable() {
            return Some(MEMORY);
        }
        // Rounded up, so the last second may be over already.
        let ttl = freshness::ttl(&generation.headers, generation.received(), now);
        let fresh = u64::try_from(ttl.saturating_sub(1)).ok()?;
        Some(Duration::from_secs(fresh).min(MEMORY)).filter(|memory| !memory.is_zero())
    }

    /// Bytes went to a viewer.
    pub fn delivered(&mut self, range: ByteRange, stored: bool) {
        if stored {
            self.record.bytes_from_cache += range.len();
        }
        self.record.watched.insert_bounded(range, WATCHED_RUNS);
        self.dirty = true;
    }

    /// Forgets leads that lapsed or went silent, and what they left in memory.
    pub fn expire(&mut self, now: Instant) {
        self.leads.expire(now);
        let leads = &self.leads;
        self.recent.retain_fills(|fill| leads.holds(fill));
    }

    /// Remembers what a viewer asks for, as far as that is known.
    pub fn note(&mut self, wanted: &Wanted) {
        let living = self.record.generation.as_ref();
        let range = living.and_then(|living| resolve(wanted, living.complete_length()));
        if let Some(range) = range.filter(|_| 0 < self.terms.read_ahead) {
            self.habits.note(&wanted.viewer, range);
        }
    }

    /// Whether this process is streaming or writing it.
    pub fn active(&self) -> bool {
        !self.readers.is_empty() || !self.writing.is_empty() || !self.ended.is_empty()
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

#[cfg(test)]
mod tests;
