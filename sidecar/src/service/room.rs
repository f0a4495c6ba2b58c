//! How much disk may be used: what is taken is counted before it is written.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, TryLockError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::MinFree;
use crate::seam;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Room that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// For so many bytes.
    pub(super) bytes: u64,
    /// Whether the disk has to give them: not those that share another file's blocks.
    pub(super) written: bool,
}

impl Claim {
    /// For bytes that are written.
    pub(super) const fn written(bytes: u64) -> Self {
        Self {
            bytes,
            written: true,
        }
    }

    const fn and(self, more: u64) -> Self {
        Self {
            bytes: self.bytes.saturating_add(more),
            ..self
        }
    }
}

/// How much must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    /// So that what is asked for fits.
    pub(super) needed: u64,
    /// So that the next writes find room too, of what counts against the limit.
    pub(super) over: u64,
    /// The same, of what the disk gets back.
    pub(super) under: u64,
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
pub(super) struct Look {
    pub(super) used: u64,
    pending: u64,
    /// How much may be used.
    pub(super) limit: u64,
    /// How much the disk has left.
    pub(super) free: u64,
    /// How much it must keep.
    pub(super) floor: u64,
}

impl Look {
    /// How much must go so that it fits.
    fn short(&self, claim: Claim) -> u64 {
        self.over(claim).max(self.under(claim))
    }

    /// How much of what is counted must go so that it fits.
    const fn over(&self, claim: Claim) -> u64 {
        self.used
            .saturating_add(claim.bytes)
            .saturating_sub(self.limit)
    }

    /// How much the disk must get back so that it fits.
    const fn under(&self, claim: Claim) -> u64 {
        if !claim.written {
            return 0;
        }
        self.floor
            .saturating_add(self.pending)
            .saturating_add(claim.bytes)
            .saturating_sub(self.free)
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

    /// Bytes of disk that the index takes.
    pub(super) fn index(&self) -> u64 {
        self.index.load(Ordering::Relaxed)
    }

    /// Bytes of disk that the segments are counted with.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Looks at the index again, which takes from the limit what it takes too much. Blocks.
    pub(super) fn look_at_index(&self, store: &Store) -> io::Result<()> {
        self.index.store(store.index_bytes()?, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn look(&self, store: &Store) -> Look {
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
        0 < look.short(Claim::written(4 * look.headroom()))
    }

    /// Takes room when it is there.
    pub(super) fn take(&self, store: &Store, claim: Claim) -> Take {
        let _taking = lock(&self.taking);
        let look = self.look(store);
        if 0 < look.short(claim) {
            return Take::Short;
        }
        self.count(claim.bytes);
        if 0 < look.short(claim.and(look.headroom())) {
            Take::Scarce
        } else {
            Take::Plenty
        }
    }

    /// Takes room when there is so much that nothing has to go for it, now or soon.
    pub(super) fn take_spare(&self, store: &Store, claim: Claim) -> bool {
        let _taking = lock(&self.taking);
        let look = self.look(store);
        let spare = look.short(claim.and(look.headroom())) == 0;
        if spare {
            self.count(claim.bytes);
        }
        spare
    }

    fn count(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.pending.fetch_add(bytes, Ordering::SeqCst);
    }

    /// How much must go so that a claim fits, and the next ones too.
    pub(super) fn shortage(&self, store: &Store, claim: Claim) -> Shortage {
        let look = self.look(store);
        let ample = claim.and(2 * look.headroom());
        Shortage {
            needed: look.short(claim),
            over: look.over(ample),
            under: look.under(ample),
        }
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
        if seam::waits() {
            return;
        }
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
            let claim = Claim::written(bytes);
            let fits = used + bytes <= limit && floor + pending + bytes <= free;
            prop_assert_eq!(look.short(claim) == 0, fits);
            // What shares another file's blocks needs none of the disk.
            let shared = Claim { written: false, ..claim };
            prop_assert_eq!(look.short(shared) == 0, used + bytes <= limit);
            // What goes leaves the disk too.
            let gone = look.short(claim);
            let after = Look { used: used.saturating_sub(gone), free: free + gone, ..look };
            prop_assert!(used < gone || after.short(claim) == 0);
            // An empty disk is never short of what is kept ready.
            let empty = Look { used: 0, pending: 0, ..look };
            prop_assert!(free < floor || empty.short(Claim::written(2 * empty.headroom())) == 0);
        }
    }
}
