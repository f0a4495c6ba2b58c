//! Why what of an entity went, was not stored or not completed: counted, and remembered for the
//! newest entities.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use strum::VariantArray;
use viewcache_protocol::{DeclineReason, EntityId};

use super::Service;
use crate::error::Refusal;
use crate::events::{self, Event, Subject};
use crate::imports::SkipReason;
use crate::live::Live;
use crate::policy::Withheld;
use crate::store::{Gone, millis};

/// Of so many entities something is remembered.
const MOST: usize = 20_000;

/// Why a segment went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Evicted {
    /// Room was needed.
    Room,
    /// Provisional, or admitted, segments had more than their share.
    Share,
    /// Its channel had more than its quota.
    Quota,
    /// A better quality of the same video is complete.
    Lower,
    /// The operator wanted it.
    Operator,
}

impl Evicted {
    /// The token in metric labels and histories.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Share => "share",
            Self::Quota => "quota",
            Self::Lower => "lower",
            Self::Operator => "operator",
        }
    }
}

/// How often something has happened for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Times {
    /// How often.
    pub times: u64,
    /// Bytes of disk that it gave back.
    pub bytes: u64,
    /// When it last happened, in milliseconds since the epoch.
    #[serde(skip)]
    pub last: u64,
}

/// What is remembered of an entity, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Segments that were evicted.
    pub evicted: BTreeMap<&'static str, Times>,
    /// Responses, or parts of them, that were not stored.
    pub declined: BTreeMap<&'static str, Times>,
    /// That it was not completed.
    pub not_completed: BTreeMap<&'static str, Times>,
}

#[derive(Debug, Default)]
struct Remembered {
    entities: HashMap<EntityId, History>,
    /// In the order in which they came.
    order: VecDeque<EntityId>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Histories(Mutex<Remembered>);

impl Histories {
    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn note(&self, id: EntityId, note: impl FnOnce(&mut History)) {
        let mut remembered = self.remembered();
        if !remembered.entities.contains_key(&id) {
            remembered.order.push_back(id);
            if MOST < remembered.order.len()
                && let Some(oldest) = remembered.order.pop_front()
            {
                remembered.entities.remove(&oldest);
            }
        }
        note(remembered.entities.entry(id).or_default());
    }
}

impl Times {
    fn count(&mut self, bytes: u64) {
        self.times += 1;
        self.bytes += bytes;
        self.last = millis(SystemTime::now());
    }
}

impl Service {
    /// A segment has been evicted.
    pub(super) fn evicted(&self, id: EntityId, why: Evicted, gone: Gone) {
        let (reason, bytes) = (why.as_str(), gone.room);
        self.events.tell(|| {
            let (subject, ranges) = match &gone.was {
                Some((key, range)) => (Subject::of(key), vec![*range]),
                None => (Subject::nameless(id), Vec::new()),
            };
            Event::Evicted(events::Evicted {
                subject,
                ranges,
                bytes,
                reason,
            })
        });
        self.metrics.evictions.inc(why);
        self.metrics.evicted_bytes.add(why, bytes);
        self.histories.note(id, |history| {
            let times = history.evicted.entry(why.as_str()).or_default();
            times.count(bytes);
        });
    }

    /// A response is not stored.
    pub fn declined(&self, id: EntityId, reason: DeclineReason) {
        self.metrics.declines.inc(reason);
        self.histories.note(id, |history| {
            let times = history.declined.entry(reason.as_str()).or_default();
            times.count(0);
        });
    }

    /// What was imported is not what the origin has.
    pub(super) fn disowned(&self, id: EntityId) {
        self.metrics.import_skips.inc(SkipReason::Differs);
        self.histories.note(id, |history| {
            let times = history.declined.entry("import-differs").or_default();
            times.count(0);
        });
    }

    /// Some bytes of a response are not stored; they are counted by [`Service::refuse`].
    pub(super) fn passed_over(&self, id: EntityId, why: Refusal) {
        self.histories.note(id, |history| {
            history.declined.entry(why.as_str()).or_default().count(0)
        });
    }

    /// Says why an entity is not completed that is worth it; `None` when it is. It is counted when
    /// that changes.
    pub(super) fn withhold(&self, live: &Live, why: Option<Withheld>) {
        let before = std::mem::replace(&mut live.state().withheld, why);
        let Some(why) = why.filter(|why| before != Some(*why)) else {
            return;
        };
        let reason = why.as_str();
        tracing::debug!(entity = %live.id, reason, "not completed");
        self.metrics.withheld.inc(why);
        self.histories.note(live.id, |history| {
            history.not_completed.entry(reason).or_default().count(0)
        });
    }

    /// Why what of an entity went, or was not stored, since this process began.
    pub fn history(&self, id: EntityId) -> Option<History> {
        self.histories.remembered().entities.get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entities_are_remembered() {
        let histories = Histories::default();
        let id = |number: u32| EntityId::from_bytes(u128::from(number).to_be_bytes());
        let most = u32::try_from(MOST).unwrap();
        for number in 0..=most {
            histories.note(id(number), |h| {
                h.evicted.entry("room").or_default().count(5)
            });
        }
        histories.note(id(1), |h| h.evicted.entry("room").or_default().count(7));
        let remembered = histories.remembered();
        assert_eq!(
            (remembered.entities.len(), remembered.order.len()),
            (MOST, MOST)
        );
        assert!(!remembered.entities.contains_key(&id(0)));
        let times = remembered.entities[&id(1)].evicted["room"];
        assert_eq!((times.times, times.bytes), (2, 12));
    }
}
