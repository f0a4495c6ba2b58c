//! Who has watched what is not stored any more: whoever comes next is not the first.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use viewcache_protocol::EntityId;

use crate::watchers::{MAX_FADED, Watchers};

/// Of so many entities; each takes some 200 bytes for its first viewer.
const MOST: NonZeroUsize = NonZeroUsize::new(30_000).expect("not zero");

/// The newest ones, in memory alone.
#[derive(Debug)]
pub(super) struct Memories(Mutex<LruCache<EntityId, Watchers>>);

impl Default for Memories {
    fn default() -> Self {
        // Not with_capacity: that would take the room for all of them at once.
        let mut cache = LruCache::unbounded();
        cache.resize(MOST);
        Self(Mutex::new(cache))
    }
}

impl Memories {
    /// Nothing is stored of an entity any more that these have watched.
    pub(super) fn keep(&self, id: EntityId, watchers: &Watchers) {
        if !watchers.is_empty() {
            self.cache().put(id, watchers.faded(MAX_FADED));
        }
    }

    /// The entity comes back: who has watched it. It is forgotten here.
    pub(super) fn recall(&self, id: EntityId) -> Watchers {
        self.cache().pop(&id).unwrap_or_default()
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, LruCache<EntityId, Watchers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use viewcache_protocol::ByteRange;

    use super::*;

    #[test]
    fn the_newest_are_remembered_once() {
        let memories = Memories::default();
        let id = |number: usize| EntityId::from_bytes((number as u128).to_be_bytes());
        let mut watchers = Watchers::default();
        memories.keep(id(1), &watchers);
        assert!(memories.recall(id(1)).is_empty());
        watchers.watched("a", ByteRange::new(0, 10).unwrap());
        for number in 0..=MOST.get() {
            memories.keep(id(number), &watchers);
        }
        assert!(memories.recall(id(0)).is_empty());
        let known = memories.recall(id(1));
        assert_eq!((known.count(), known.most()), (1, 0));
        assert!(memories.recall(id(1)).is_empty());
    }
}
