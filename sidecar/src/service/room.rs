//! How much disk may be used, and what goes when it is not enough.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};

use viewcache_protocol::{ByteRange, EntityId};

use super::Service;
use crate::store::StoreError;

/// What a file system gives out at a time.
const BLOCK: u64 = 4096;

/// The bytes in use and their limit.
#[derive(Debug)]
pub(super) struct Room {
    max: u64,
    /// Bytes of disk in use, with those that are being written.
    used: AtomicU64,
    /// Bytes that are being written.
    pending: AtomicU64,
    /// Held by the one thread that makes room.
    making: Mutex<()>,
}

impl Room {
    pub(super) const fn new(max: u64, used: u64) -> Self {
        let (used, pending) = (AtomicU64::new(used), AtomicU64::new(0));
        let making = Mutex::new(());
        Self {
            max,
            used,
            pending,
            making,
        }
    }

    fn fits(&self, bytes: u64) -> bool {
        self.used.load(Ordering::Relaxed) + bytes <= self.max
    }

    /// Takes `bytes` unless that passes the limit.
    fn take(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= self.max;
        if fits {
            self.pending.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// The run that room was taken for is written, or could not be.
    pub(super) fn settle(&self, range: ByteRange, written: bool) {
        self.pending.fetch_sub(blocks(range), Ordering::Relaxed);
        if !written {
            self.release(range);
        }
    }

    /// A stored run has been removed.
    pub(super) fn release(&self, range: ByteRange) {
        let less = |used: u64| Some(used.saturating_sub(blocks(range)));
        // The closure never declines.
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// The disk that a run of bytes takes: rounded out to blocks.
const fn blocks(range: ByteRange) -> u64 {
    range.end().next_multiple_of(BLOCK) - range.start() / BLOCK * BLOCK
}

impl Service {
    /// Takes room for a run before it is written, evicting what was used least recently when
    /// there is none. False when nothing may go, or when another thread is making room already:
    /// the chunk is then left out, and nobody waits. Blocks.
    pub(super) fn reserve_room(&self, range: ByteRange) -> bool {
        let bytes = blocks(range);
        if self.room.take(bytes) {
            return true;
        }
        let making = match self.room.making.try_lock() {
            Ok(making) => making,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if !self.room.fits(bytes)
            && let Err(error) = self.make_room(bytes)
        {
            tracing::error!(%error, "no room could be made");
        }
        drop(making);
        self.room.take(bytes)
    }

    /// Removes the entities used least recently until the limit leaves a twentieth free, so that
    /// the next writes find room at once.
    fn make_room(&self, bytes: u64) -> Result<(), StoreError> {
        // What is counted errs on the full side where runs share a block; the file system knows.
        let used = self.store.allocated()? + self.room.pending.load(Ordering::Relaxed);
        self.room.used.store(used, Ordering::Relaxed);
        let target = (self.room.max - self.room.max / 20).saturating_sub(bytes);
        for id in self.by_age()? {
            if self.room.used.load(Ordering::Relaxed) <= target {
                break;
            }
            match self.remove(id, |state| !state.busy()) {
                Ok(Some(removed)) => {
                    tracing::info!(entity = %id, bytes = removed, "evicted");
                    self.metrics.evictions.inc();
                }
                Ok(None) => {}
                Err(error) => tracing::error!(entity = %id, %error, "could not be evicted"),
            }
        }
        Ok(())
    }

    /// The entities that nobody is using, least recently used first.
    fn by_age(&self) -> Result<Vec<EntityId>, StoreError> {
        const PAGE: usize = 1000;
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.page(after, PAGE)?;
            after = page.last().map(|(id, _)| *id);
            for (id, record) in page {
                let (last_accessed, idle) = match self.table.find(id) {
                    Some(live) => {
                        let state = live.state();
                        (state.record.last_accessed, !state.busy())
                    }
                    None => (record.last_accessed, true),
                };
                if idle {
                    found.push((last_accessed, id));
                }
            }
            if after.is_none() {
                break;
            }
        }
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }
}
