//! How bytes get to the disk and damaged ones off it. Data first, then the index, then the state:
//! at each step, what is said to be stored is. All of it blocks; for writer threads.

use std::sync::Arc;
use std::time::SystemTime;

use viewcache_protocol::ByteRange;

use super::Service;
use crate::error::Refusal;
use crate::extents::{BLOCK, Extents};
use crate::live::{Ended, Live};
use crate::store::{Place, Row, StoreError, millis};

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
        // Rows without their record would be swept at the next start.
        let recorded = live.state().recorded == Some(place.seq);
        if !recorded {
            self.record(live).map_err(|error| self.dropped(&error))?;
        }
        // No more than this: how much of it is new is known when it is housed.
        let most = Extents::default().fresh_blocks(part) * BLOCK;
        self.take_room(most)?;
        let housed = live.state().house(place.seq, part);
        let fresh = *housed.as_ref().unwrap_or(&0);
        self.room.settle(most - fresh);
        self.room.release(most - fresh);
        housed?;
        let written = self.store.write(place, part.start(), bytes);
        self.room.settle(fresh);
        let stored = match written {
            Ok(()) => self.index_part(live, place, part, bytes),
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

    /// Whether all of the entity is stored now comes back.
    fn index_part(
        &self,
        live: &Live,
        place: Place,
        part: ByteRange,
        bytes: &[u8],
    ) -> Result<bool, Refusal> {
        let row = Row::of(part.start(), bytes);
        let now = millis(SystemTime::now());
        let _indexing = live.index_lock();
        let update = live.state().adding(place.seq, part, row, now)?;
        self.store
            .update(place, &update)
            .map_err(|error| self.dropped(&error))?;
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
        match self.store.discard(place, part) {
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
            if let Some(others) = self.conflicts.pass() {
                tracing::warn!(entity = %live.id, first = %first.range, pieces, others, "bytes arrive that differ from those stored");
            }
        }
    }

    /// Takes the damaged pieces in `range` out of index, disk and state. False when they are gone
    /// already.
    pub(super) fn drop_pieces(&self, live: &Live, place: Place, range: ByteRange) -> bool {
        let _indexing = live.index_lock();
        let Some((update, gone)) = live.state().dropping(place.seq, range) else {
            return false;
        };
        if let Err(error) = self.store.update(place, &update) {
            tracing::error!(entity = %live.id, %range, %error, "damaged bytes stay indexed");
            return false;
        }
        // As long as the state has them, nobody writes there.
        let discard = |&run: &ByteRange| self.store.discard(place, run).ok().flatten();
        let discarded: Vec<ByteRange> = gone.iter().filter_map(discard).collect();
        let freed = live.state().dropped(place.seq, &gone, &discarded, update);
        self.room.release(freed);
        true
    }

    /// Removes what is stored of a generation that has ended.
    pub(super) fn remove_ended(&self, live: &Live, ended: &Ended) {
        let _indexing = live.index_lock();
        match self.store.remove_generation(ended.place, &ended.segments) {
            Ok(()) => self.room.release(ended.room),
            // The next start sweeps it.
            Err(error) => tracing::error!(entity = %live.id, %error, "dead bytes stay"),
        }
    }
}
