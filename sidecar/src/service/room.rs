//! How much disk may be used: what is taken is counted before it is written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, TryLockError};
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::MinFree;
use crate::store::{Disk, Store};

/// What the data folder may take beside the segments (README, Limits).
const INDEX_MAX: u64 = 32 << 20;

/// What the index may write before it is looked at again: it merges its files as it likes.
const INDEX_SPARE: u64 = 8 << 20;

/// The same for the free space, which is looked at before every write.
const FREE_SPARE: u64 = 4 << 20;

/// The bytes in use and their limits.
#[derive(Debug)]
pub(super) struct Room {
    max: u64,
    min_free: MinFree,
    /// Bytes of disk in use, with those that are being written.
    used: AtomicU64,
    /// Bytes that are being written: the file system does not count them yet.
    pending: AtomicU64,
    /// Bytes of disk that the index occupies.
    index: AtomicU64,
    /// Held from looking at the free space until what is taken of it counts as pending.
    taking: Mutex<()>,
    /// Held by the one thread that makes room; until when trying again is no use.
    making: Mutex<Option<Instant>>,
    /// How often room was made.
    rounds: Mutex<u64>,
    made: Condvar,
    /// Whether somebody makes room ahead of need.
    pub(super) evicting: AtomicBool,
}

/// The room as it is told of, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Disk")]
pub struct DiskReport {
    /// What segments take.
    pub used: u64,
    /// What they may take.
    pub max: u64,
    /// What the file system has left.
    pub free: u64,
    /// Its size.
    pub total: u64,
    /// What is left free of it in any case.
    pub floor: u64,
    /// What the index takes.
    pub index: u64,
}

/// What came of asking for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// It is taken, and there is more.
    Plenty,
    /// It is taken, and little is left.
    Scarce,
    /// It is not there.
    Short,
}

/// The room at one moment. Pure.
#[derive(Clone, Copy, Debug)]
struct Look {
    used: u64,
    pending: u64,
    /// How much may be used.
    limit: u64,
    /// How much the disk has left.
    free: u64,
    /// How much it must keep.
    floor: u64,
}

impl Look {
    /// How much must go so that `bytes` more fit.
    const fn short(&self, bytes: u64) -> u64 {
        let over = self.used.saturating_add(bytes).saturating_sub(self.limit);
        let under = self
            .floor
            .saturating_add(self.pending)
            .saturating_add(bytes)
            .saturating_sub(self.free);
        if over < under { under } else { over }
    }

    /// How much is kept ready for the next writes: a part of what can be used at all.
    fn headroom(&self) -> u64 {
        const MOST: u64 = 64 << 20;
        let disk = self
            .used
            .saturating_add(self.free)
            .saturating_sub(self.floor);
        (self.limit.min(disk) / 64).min(MOST)
    }
}

impl Room {
    pub(super) fn new(max: u64, min_free: MinFree, used: u64) -> Self {
        Self {
            max,
            min_free,
            used: AtomicU64::new(used),
            pending: AtomicU64::new(0),
            index: AtomicU64::new(0),
            taking: Mutex::new(()),
            making: Mutex::new(None),
            rounds: Mutex::new(0),
            made: Condvar::new(),
            evicting: AtomicBool::new(false),
        }
    }

    /// The largest that a segment should be, so that there are many to choose from.
    pub(super) const fn segment_max(&self) -> u64 {
        self.max / 64
    }

    /// The most bytes that segments may take.
    pub(super) const fn max(&self) -> u64 {
        self.max
    }

    /// What segments may take so that the next writes find room without waiting for it.
    pub(super) fn ample(&self) -> u64 {
        self.max - self.max / 32
    }

    /// Bytes of disk that the segments are counted with.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Looks at the index again, which takes from the limit what it takes too much.
    pub(super) fn look_at_index(&self, store: &Store) {
        match store.index_bytes() {
            Ok(bytes) => self.index.store(bytes, Ordering::Relaxed),
            Err(error) => tracing::error!(%error, "the index cannot be measured"),
        }
    }

    fn look(&self, store: &Store) -> Look {
        // Before the file system is asked: what is written in between counts twice, never not.
        let pending = self.pending.load(Ordering::SeqCst);
        // A disk that does not tell is not held against it: writing will tell.
        let disk = store.disk().unwrap_or(Disk {
            total: 0,
            free: u64::MAX,
        });
        let index = self.index.load(Ordering::Relaxed) + INDEX_SPARE;
        Look {
            used: self.used(),
            pending,
            limit: self.max.saturating_sub(index.saturating_sub(INDEX_MAX)),
            free: disk.free,
            floor: self.min_free.bytes(disk.total).saturating_add(FREE_SPARE),
        }
    }

    /// What is told of it. Blocks.
    pub(super) fn report(&self, store: &Store) -> DiskReport {
        let look = self.look(store);
        DiskReport {
            used: look.used,
            max: self.max,
            free: look.free,
            total: store.disk().map_or(0, |disk| disk.total),
            floor: look.floor,
            index: self.index.load(Ordering::Relaxed),
        }
    }

    /// Whether the disk has little left, whatever may be used.
    pub(super) fn tight(&self, store: &Store) -> bool {
        let look = self.look(store);
        0 < look.short(4 * look.headroom())
    }

    /// Takes `bytes` when they fit.
    pub(super) fn take(&self, store: &Store, bytes: u64) -> Take {
        let _taking = lock(&self.taking);
        let look = self.look(store);
        if 0 < look.short(bytes) {
            return Take::Short;
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.pending.fetch_add(bytes, Ordering::SeqCst);
        if 0 < look.short(bytes + look.headroom()) {
            Take::Scarce
        } else {
            Take::Plenty
        }
    }

    /// How much must go so that `bytes` more fit, and so much that the next writes find room too.
    pub(super) fn short(&self, store: &Store, bytes: u64) -> (u64, u64) {
        let look = self.look(store);
        let ample = look.short(bytes + 2 * look.headroom());
        (look.short(bytes), ample)
    }

    /// What room was taken for is written, or will not be.
    pub(super) fn settle(&self, bytes: u64) {
        self.pending.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Room is given back.
    pub(super) fn release(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        // The closure never declines.
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// The right to make room; `None` while another has it.
    pub(super) fn make(&self) -> Option<MutexGuard<'_, Option<Instant>>> {
        match self.making.try_lock() {
            Ok(making) => Some(making),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(super) fn round(&self) -> u64 {
        *lock(&self.rounds)
    }

    /// Room has been made, or could not be: whoever waits looks again.
    pub(super) fn tell(&self) {
        *lock(&self.rounds) += 1;
        self.made.notify_all();
    }

    /// Waits for the end of the round after `seen`, until `deadline` at the most.
    pub(super) fn wait(&self, seen: u64, deadline: Instant) {
        let patience = deadline.saturating_duration_since(Instant::now());
        let rounds = lock(&self.rounds);
        // Either way the room is looked at again.
        drop(
            self.made
                .wait_timeout_while(rounds, patience, |now| *now == seen),
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_fits_passes_no_limit(used in 0..1000u64, pending in 0..1000u64, limit in 0..1000u64, free in 0..1000u64, floor in 0..1000u64, bytes in 1..1000u64) {
            let pending = pending.min(used);
            let look = Look { used, pending, limit, free, floor };
            let fits = used + bytes <= limit && floor + pending + bytes <= free;
            prop_assert_eq!(look.short(bytes) == 0, fits);
            // What goes leaves the disk too.
            let gone = look.short(bytes);
            let after = Look { used: used.saturating_sub(gone), free: free + gone, ..look };
            prop_assert!(used < gone || after.short(bytes) == 0);
            // An empty disk is never short of what is kept ready.
            let empty = Look { used: 0, pending: 0, ..look };
            prop_assert!(free < floor || empty.short(2 * empty.headroom()) == 0);
        }
    }
}
