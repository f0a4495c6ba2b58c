//! What becomes of a request, by what is known of its entity. Pure.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use viewcache_protocol::message::ForwardToken;
use viewcache_protocol::{ByteRange, DecideRequest, EntityId, Validator, Wanted};

use super::{State, parts, resolve};
use crate::preconditions::{self, Verdict};
use crate::store::{GenerationRecord, Place};
use crate::terms::Miss;

/// How long the filter may take an entity for a hit without asking. A hot entity costs one
/// decision in this time; what is purged or evicted meanwhile is routed here for so long and
/// costs a fetch.
pub(super) const MEMORY: Duration = Duration::from_secs(10);

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
        let ttl = match self.record.invalidated {
            true => i64::MIN,
            false => generation.ttl(wall),
        };
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
        let leniency = snapshot.generation.leniency();
        let failing = self.excused_until.is_some_and(|until| now < until);
        let usable = snapshot.stale_within(leniency.while_revalidate)
            || failing && snapshot.stale_within(leniency.if_error);
        Some(snapshot).filter(|_| usable)
    }

    /// The same after the origin has failed to say whether it is still the one.
    pub fn excused(&self, id: EntityId, wall: SystemTime) -> Option<Snapshot> {
        let snapshot = self.snapshot(id, wall)?;
        let leniency = snapshot.generation.leniency();
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
        // A head brings no bytes, and several ranges are not mirrored.
        let bytes = !head && wanted.parts.is_empty();
        let free = self.is_free(now);
        let miss = |forward| {
            if (leading || relayed) && !declined && bytes {
                Judgement::Partial
            } else {
                Judgement::Miss {
                    forward,
                    grant: !leading && bytes,
                }
            }
        };
        let Some(living) = &self.record.generation else {
            return miss(self.unknown());
        };
        if !living.answers(selecting) {
            // The origin's answer replaces it, when nobody uses it any more.
            return Judgement::Miss {
                forward: ForwardToken::VaryMiss,
                grant: free && bytes,
            };
        }
        let Some(snapshot) = self.usable(id, wall, now) else {
            if !declined && bytes && self.validator(wanted).is_some() {
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
        if !wanted.parts.is_empty() {
            let parts = parts(wanted, snapshot.generation.complete_length());
            let stored = parts.is_some_and(|parts| parts.iter().all(|&p| self.stored.covers(p)));
            return match stored {
                true => Judgement::Hit,
                false => miss(ForwardToken::Partial),
            };
        }
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
                grant: free,
            };
        }
        let fetching = self.leads.fetching(range, now, &self.terms);
        let sequential = 0 < self.terms.read_ahead && self.habits.sequential(&wanted.viewer, range);
        let busy = fetching || leading || !self.readers.is_empty();
        // What was imported is compared with the origin's before bytes of both stand together.
        let unproven = snapshot.generation.is_unproven();
        if self.stored.touches(range) || busy || relayed || sequential || unproven {
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
        // The filter remembers by the URL's key.
        let numbered = 0 < self.record.key.number();
        if varies || numbered || !self.stored.covers(whole) {
            return None;
        }
        if self.record.key.profile().immutable() {
            return Some(MEMORY);
        }
        if self.record.invalidated {
            return None;
        }
        // Rounded up, so the last second may be over already.
        let ttl = generation.ttl(now);
        let fresh = u64::try_from(ttl.saturating_sub(1)).ok()?;
        Some(Duration::from_secs(fresh).min(MEMORY)).filter(|memory| !memory.is_zero())
    }
}
