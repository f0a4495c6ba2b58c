//! How bytes get to the disk and damaged ones off it. Data first, then the index, then the state:
//! at each step, what is said to be stored is. All of it blocks; for writer threads.

use std::fs::File;
use std::sync::{Arc, PoisonError};

use viewcache_protocol::ByteRange;

use super::Service;
use super::room::Claim;
use crate::error::Refusal;
use crate::extents::{BLOCK, Extents};
use crate::live::{Ended, Live};
use crate::seam;
use crate::store::{Place, Row, StoreError, millis};

/// A part's bytes, and how they come to be stored.
pub(super) struct Supply<'a> {
    /// All of them.
    pub(super) bytes: &'a [u8],
    /// Where they are to be.
    pub(super) medium: Medium<'a>,
    /// Whether what was used least recently may go for them.
    pub(super) evicts: bool,
}

/// Where a part's bytes are to be.
pub(super) enum Medium<'a> {
    /// In their segment's file, written.
    Written,
    /// There too, by sharing the blocks of this file.
    Shared(&'a File),
    /// In the generation's link, where they are already.
    Linked,
}

impl Service {
    /// Stores a reserved part, or says why it is not.
    pub(super) fn store_part(
        self: &Arc<Self>,
        live: &Live,
        place: Place,
        part: ByteRange,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let class = live.state().record.class();
        self.may_displace(live, class, part.len())?;
        let supply = Supply {
            bytes,
            medium: Medium::Written,
            evicts: true,
        };
        self.supply_part(live, place, part, supply)
    }

    /// The same, however its bytes come to the disk.
    pub(super) fn supply_part(
        self: &Arc<Self>,
        live: &Live,
        place: Place,
        part: ByteRange,
        supply: Supply<'_>,
    ) -> Result<(), Refusal> {
        // Rows without their record would be swept at the next start.
        let recorded = live.state().recorded == Some(place.seq);
        if !recorded {
            self.record(live).map_err(|error| self.dropped(&error))?;
        }
        seam::between();
        // No more than this: how much of it is new is known when it is housed.
        let most = Extents::default().fresh_blocks(part) * BLOCK;
        self.take_for(most, &supply)?;
        let housed = live.state().house(place.seq, part);
        let fresh = *housed.as_ref().unwrap_or(&0);
        self.room.settle(most - fresh);
        self.room.release(most - fresh);
        housed?;
        seam::between();
        let written = match supply.medium {
            Medium::Written => self.store.write(place, part.start(), supply.bytes),
            Medium::Shared(snapshot) => self.store.share(place, part, snapshot),
            Medium::Linked => Ok(()),
        };
        seam::between();
        self.room.settle(fresh);
        let stored = match written {
            Ok(()) => self.index_part(live, place, part, &supply),
            Err(error) => Err(self.dropped(&error)),
        };
        match &stored {
            Ok(completed) => {
                self.metrics.stored_bytes.inc_by(part.len());
                self.events.stored(live.id, part);
                if *completed {
                    self.completed(live);
                }
                self.grown(live);
                self.bound();
            }
            Err(_) => self.give_back(live, place, part),
        }
        stored.map(drop)
    }

    fn take_for(self: &Arc<Self>, bytes: u64, supply: &Supply<'_>) -> Result<(), Refusal> {
        let claim = Claim {
            bytes,
            written: matches!(supply.medium, Medium::Written),
        };
        if supply.evicts {
            return self.take_room_for(claim);
        }
        let spare = bytes <= self.spare() && self.room.take_spare(&self.store, claim);
        spare.then_some(()).ok_or(Refusal::Full)
    }

    /// Whether all of the entity is stored now comes back.
    fn index_part(
        &self,
        live: &Live,
        place: Place,
        part: ByteRange,
        supply: &Supply<'_>,
    ) -> Result<bool, Refusal> {
        let row = match supply.medium {
            Medium::Written | Medium::Shared(_) => Row::of(part.start(), supply.bytes),
            Medium::Linked => Row::linked(part.start(), supply.bytes),
        };
        let now = millis(seam::wall());
        let _indexing = live.index_lock();
        let update = live.state().adding(place.seq, part, row, now)?;
        seam::between();
        self.store
            .update(place, &update)
            .map_err(|error| self.dropped(&error))?;
        seam::between();
        let mut state = live.state();
        state.apply(place.seq, Some(part), update);
        Ok(!state.lacks_bytes())
    }

    pub(super) fn dropped(&self, error: &StoreError) -> Refusal {
        self.trouble("a chunk is dropped", error);
        Refusal::Disk
    }

    /// Bytes that were written and will not be stored give their blocks back.
    fn give_back(&self, live: &Live, place: Place, part: ByteRange) {
        let discarded = self.store.discard(place, part);
        seam::between();
        match discarded {
            Ok(Some(blocks)) => {
                let freed = live.state().unhouse(place.seq, blocks);
                self.room.release(freed);
            }
            Ok(None) => {}
            // Their room stays taken until the segment goes.
            Err(error) => tracing::debug!(entity = %live.id, %part, %error, "not given back"),
        }
    }

    /// Compares what arrives with what is stored already: under one validator both should be the
    /// same. The first bytes win.
    pub(super) fn compare(&self, live: &Live, seq: u64, offset: u64, bytes: &[u8]) {
        let Some(range) = ByteRange::from_len(offset, bytes.len() as u64) else {
            return;
        };
        let pieces = live.state().stored_pieces(seq, range);
        let differs = |range: ByteRange, sum: u32| {
            let (from, to) = (range.start() - offset, range.end() - offset);
            crc32c::crc32c(&bytes[from as usize..to as usize]) != sum
        };
        let mut differing = pieces
            .iter()
            .filter(|piece| differs(piece.range, piece.sum));
        if let Some(first) = differing.next() {
            let pieces = 1 + differing.count() as u64;
            self.metrics.conflicts.inc_by(pieces);
            self.alarms.conflict(live.id, first.range, pieces);
        }
    }

    /// Takes the damaged pieces in `range` out of index, disk and state. False when they are gone
    /// already.
    ///
    /// # Errors
    /// When the index fails: they stay.
    pub(super) fn drop_pieces(
        &self,
        live: &Live,
        place: Place,
        range: ByteRange,
    ) -> Result<bool, StoreError> {
        let _indexing = live.index_lock();
        let linked = live.state().rows.checked(range).any(|piece| piece.linked);
        let Some((update, gone)) = live.state().dropping(place.seq, range) else {
            return Ok(false);
        };
        self.store.update(place, &update)?;
        seam::between();
        // As long as the state has them, nobody writes there.
        let discard = |&run: &ByteRange| self.store.discard(place, run).ok().flatten();
        let discarded: Vec<ByteRange> = gone.iter().filter_map(discard).collect();
        seam::between();
        let freed = live.state().dropped(place.seq, &gone, &discarded, update);
        self.room.release(freed);
        if linked {
            let all = !live.state().rows.any_linked();
            for run in gone {
                if let Err(error) = self.store.forsake_link(place, run, all) {
                    tracing::error!(entity = %live.id, %run, %error, "a link stays");
                }
            }
        }
        Ok(true)
    }

    /// Removes what is stored of a generation that has ended.
    pub(super) fn remove_ended(&self, live: &Arc<Live>, ended: Ended) {
        seam::between();
        let _indexing = live.index_lock();
        match self.store.remove_generation(ended.place, &ended.segments) {
            Ok(()) => self.room.release(ended.room),
            Err(error) => {
                self.trouble("dead bytes stay for a while", &error);
                self.leave(live, ended);
            }
        }
    }

    /// What could not be removed, because the index failed, is tried again.
    pub(super) fn leave(&self, live: &Arc<Live>, ended: Ended) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.push((Arc::clone(live), ended));
    }

    /// Removes what was left, and the record of an entity of which nothing else is. Blocks.
    pub(super) fn remove_left(&self) {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        for (live, ended) in left {
            let removed = {
                let _indexing = live.index_lock();
                let empty = live.state().record.generation.is_none();
                if empty {
                    self.store.remove_entity(live.id)
                } else {
                    Ok(())
                }
            };
            match removed {
                Ok(_) => self.remove_ended(&live, ended),
                Err(_) => self.leave(&live, ended),
            }
        }
    }
}
