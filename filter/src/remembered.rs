//! Hits that are not asked for. The sidecar may say that for some seconds every request for an
//! entity is a hit; until they are over the filter routes such requests without a decision.
//!
//! What is remembered lies in Envoy's shared data, which the VMs of all workers see. It has no
//! bound and forgets nothing by itself, so a fixed number of slots is used, and a value says whose
//! it is and until when. The last one to write has the slot. Nothing here need be true: an entity
//! may have been purged or evicted meanwhile, but any route is correct.

use std::collections::BTreeMap;

use viewcache_protocol::EntityId;

/// How many entities can be remembered at once; a power of two. With keys and bookkeeping they
/// take a few MB of Envoy's memory.
const SLOTS: u16 = 1 << 14;

/// The longest that a hit is remembered, in milliseconds, whatever the sidecar says. An expiry
/// that is further away comes from a clock that was set back, and does not count.
const LONGEST: u64 = 10_000;

/// How late a worker's clock may be: it is read at every tick.
const LATE: u64 = 5_000;

/// How long remembered hits are not used after one has failed over: as long as what was
/// remembered until then could have been.
const DISTRUST: u64 = LONGEST;

/// The slot that says until when no remembered hit is used, by any worker.
pub const DISTRUST_SLOT: &str = "viewcache.distrust";

/// What every value begins with; another layout gets another.
const LAYOUT: u8 = 1;

/// The number of an entity's slot, which others share.
pub fn number(entity: &EntityId) -> u16 {
    let [first, second, ..] = *entity.as_bytes();
    u16::from_be_bytes([first, second]) % SLOTS
}

/// The slot of an entity's hit.
pub fn slot(entity: &EntityId) -> String {
    format!("viewcache.hit.{}", number(entity))
}

/// How many slots a worker keeps a copy of.
const COPIES: usize = 1024;

/// A worker's own copies of the hits that it has lately found in the shared data, because each
/// look there costs. They are dropped at every tick, so that they are at most that old.
#[derive(Debug, Default)]
pub struct Copies {
    /// Milliseconds since the epoch at the last tick; 0 before the first.
    now: u64,
    hits: BTreeMap<u16, Vec<u8>>,
}

impl Copies {
    /// A tick: everything is read anew.
    pub fn renew(&mut self, now: u64) {
        *self = Self {
            now,
            ..Self::default()
        };
    }

    /// What is remembered of an entity; `shared` reads a slot of the shared data. Distrust is
    /// always looked for: it must be heard of at once.
    pub fn recall(
        &mut self,
        entity: &EntityId,
        shared: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Recalled {
        let number = number(entity);
        let recalled = |slot| Recalled {
            slot,
            distrust: shared(DISTRUST_SLOT),
            now: self.now,
        };
        if let Some(copy) = self.hits.get(&number) {
            let recalled = recalled(Some(copy.clone()));
            if recalled.is_hit(entity) {
                return recalled;
            }
        }
        let recalled = recalled(shared(&slot(entity)));
        if let Some(value) = recalled.slot.as_ref().filter(|_| recalled.is_hit(entity)) {
            if COPIES <= self.hits.len() {
                self.hits.clear();
            }
            self.hits.insert(number, value.clone());
        }
        recalled
    }
}

/// The value of an entity's slot: what is asked for in the next `millis` is a hit.
pub fn hit(entity: &EntityId, now: u64, millis: u64) -> Vec<u8> {
    let expiry = now.saturating_add(millis.min(LONGEST));
    [&[LAYOUT], &entity.as_bytes()[..], &expiry.to_be_bytes()].concat()
}

/// The value of [`DISTRUST_SLOT`] after a remembered hit has failed over.
pub fn distrust(now: u64) -> Vec<u8> {
    let expiry = now.saturating_add(DISTRUST);
    [&[LAYOUT], &expiry.to_be_bytes()[..]].concat()
}

/// What was found in the shared data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recalled {
    /// The value of the entity's slot.
    pub slot: Option<Vec<u8>>,
    /// The value of [`DISTRUST_SLOT`].
    pub distrust: Option<Vec<u8>>,
    /// Milliseconds since the epoch when it was read; 0 when the time could not be had.
    pub now: u64,
}

impl Recalled {
    /// Whether it says that the entity is a hit.
    pub fn is_hit(&self, entity: &EntityId) -> bool {
        let expiry = self.slot.as_deref().and_then(|value| {
            let rest = value.strip_prefix(&[LAYOUT])?;
            rest.strip_prefix(entity.as_bytes())
        });
        let distrusted = self
            .distrust
            .as_deref()
            .and_then(|value| value.strip_prefix(&[LAYOUT]));
        !self.before(distrusted) && self.before(expiry)
    }

    /// Whether these are the bytes of an expiry that is still to come.
    fn before(&self, expiry: Option<&[u8]>) -> bool {
        let expiry = expiry.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
        let left = expiry.and_then(|expiry| expiry.checked_sub(self.now));
        left.is_some_and(|left| 0 < left && left <= LONGEST + LATE)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn entity(first: u8, last: u8) -> EntityId {
        let mut bytes = [7; 16];
        (bytes[0], bytes[15]) = (first, last);
        EntityId::from_bytes(bytes)
    }

    fn at(now: u64, slot: &[u8]) -> Recalled {
        Recalled {
            slot: Some(slot.to_vec()),
            distrust: None,
            now,
        }
    }

    #[test]
    fn a_hit_is_remembered_for_its_time() {
        let entity = entity(1, 2);
        let value = hit(&entity, NOW, 3000);
        assert_eq!(value.len(), 25);
        let check = |now, expect| assert_eq!(at(now, &value).is_hit(&entity), expect, "{now}");
        check(NOW, true);
        check(NOW + 2999, true);
        check(NOW + 3000, false);
        check(NOW + 100_000, false);
        // The clock was set back, or could not be read.
        check(NOW - 60_000, false);
        check(0, false);
        assert!(!Recalled::default().is_hit(&entity));
    }

    #[test]
    fn no_hit_is_remembered_for_long() {
        let entity = entity(1, 2);
        for millis in [LONGEST, LONGEST + 1, u64::MAX] {
            let value = hit(&entity, NOW, millis);
            assert!(at(NOW + LONGEST - 1, &value).is_hit(&entity));
            assert!(!at(NOW + LONGEST, &value).is_hit(&entity));
        }
        assert!(!at(NOW, &hit(&entity, NOW, 0)).is_hit(&entity));
        assert!(!at(u64::MAX, &hit(&entity, u64::MAX, 5)).is_hit(&entity));
    }

    #[test]
    fn a_hit_is_looked_up_once_a_tick_and_distrust_each_time() {
        let (entity, reads) = (entity(1, 2), Cell::new(0));
        let value = hit(&entity, NOW, 3000);
        let shared = |slot: &str| {
            reads.set(reads.get() + usize::from(slot != DISTRUST_SLOT));
            (slot != DISTRUST_SLOT).then(|| value.clone())
        };
        let mut copies = Copies::default();
        copies.renew(NOW);
        for _ in 0..3 {
            assert!(copies.recall(&entity, shared).is_hit(&entity));
        }
        assert_eq!(reads.get(), 1);
        let distrusted = |slot: &str| (slot == DISTRUST_SLOT).then(|| distrust(NOW));
        assert!(!copies.recall(&entity, distrusted).is_hit(&entity));
        copies.renew(NOW + 3000);
        assert!(!copies.recall(&entity, shared).is_hit(&entity));
        // What is no hit is not kept: it may be one in a moment.
        assert!(copies.hits.is_empty());
    }

    #[test]
    fn there_are_not_many_copies() {
        let mut copies = Copies::default();
        copies.renew(NOW);
        for n in 0..5000u16 {
            let [first, last] = n.to_be_bytes();
            let mut bytes = [0; 16];
            (bytes[0], bytes[1]) = (first, last);
            let entity = EntityId::from_bytes(bytes);
            let shared = |slot: &str| (slot != DISTRUST_SLOT).then(|| hit(&entity, NOW, 3000));
            assert!(copies.recall(&entity, shared).is_hit(&entity));
        }
        assert!(copies.hits.len() <= COPIES);
    }

    #[test]
    fn a_slot_is_of_the_last_entity_that_was_written() {
        let (one, other) = (entity(1, 2), entity(1, 3));
        assert_eq!(slot(&one), slot(&other));
        assert!(!at(NOW, &hit(&other, NOW, 3000)).is_hit(&one));
    }

    #[test]
    fn there_is_a_fixed_number_of_slots() {
        let slots: std::collections::HashSet<String> = (0..=u16::MAX)
            .map(|n| {
                let mut bytes = [0; 16];
                [bytes[0], bytes[1]] = n.to_be_bytes();
                slot(&EntityId::from_bytes(bytes))
            })
            .collect();
        assert_eq!(slots.len(), usize::from(SLOTS));
        assert!(slots.contains("viewcache.hit.0") && !slots.contains(DISTRUST_SLOT));
    }

    #[test]
    fn what_is_distrusted_is_no_hit() {
        let entity = entity(1, 2);
        let check = |now, expect| {
            let recalled = Recalled {
                distrust: Some(distrust(NOW)),
                ..at(now, &hit(&entity, now, 3000))
            };
            assert_eq!(recalled.is_hit(&entity), expect, "{now}");
        };
        check(NOW, false);
        check(NOW + DISTRUST - 1, false);
        check(NOW + DISTRUST, true);
        // Set before the clock was set back: it must not last for as long as that.
        check(NOW - 60_000, true);
    }

    #[test]
    fn another_layout_or_length_is_no_hit() {
        let entity = entity(1, 2);
        let value = hit(&entity, NOW, 3000);
        for len in 0..value.len() {
            assert!(!at(NOW, &value[..len]).is_hit(&entity), "{len}");
        }
        let other = [&[LAYOUT + 1], &value[1..]].concat();
        assert!(!at(NOW, &other).is_hit(&entity));
        assert!(!at(NOW, &[&value[..], &[0]].concat()).is_hit(&entity));
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            slot: Option<Vec<u8>>, distrust: Option<Vec<u8>>, now: u64, id: [u8; 16],
        ) {
            let recalled = Recalled { slot, distrust, now };
            let _ = recalled.is_hit(&EntityId::from_bytes(id));
        }
    }
}
