//! What of an entity is on the disk, and how bytes get there. Pure.
//!
//! Room on the disk is counted in blocks: an entity has the blocks that its housed bytes touch,
//! and the stray ones. Each change of that comes back to the caller, who keeps the sum.

use std::ops::RangeInclusive;
use std::sync::Arc;

use viewcache_protocol::ByteRange;

use super::{Ended, Live, State};
use crate::error::Refusal;
use crate::extents::BLOCK;
use crate::store::{
    Change, Checked, Loaded, Place, Row, SegmentChange, SegmentRecord, Standing, Update,
};

/// How often a segment's age is written to the index, in milliseconds, unless somebody needs it.
pub const AGE_STEP: u64 = 1000;

/// One segment of the living generation.
#[derive(Debug, Default)]
pub struct Segment {
    /// When it was last read or written, in milliseconds since the epoch.
    pub(super) used_at: u64,
    /// What the index says of it; `None` before its first row.
    pub(super) indexed: Option<SegmentRecord>,
    /// Bytes of disk that it is counted with beyond its housed ones: what a crash left in its file.
    pub(super) stray: u64,
    /// Reads of it that are going on.
    pub(super) readers: u32,
    /// Parts of it that are reserved.
    pub(super) writers: u32,
    /// Whether it is being removed: until that is done nothing is written there.
    pub(super) leaving: bool,
}

/// Stored bytes that are being read: their segments stay for as long as this lives.
#[derive(Debug)]
pub struct Reading {
    live: Arc<Live>,
    /// Where they are.
    pub place: Place,
    /// Their checked pieces.
    pub parts: Vec<Checked>,
    segments: RangeInclusive<u64>,
}

impl Live {
    /// Begins to read stored bytes of generation `seq`; `None` when that is not the living one.
    pub fn reading(self: &Arc<Self>, seq: u64, range: ByteRange, now: u64) -> Option<Reading> {
        let mut state = self.state();
        let place = state.place(seq)?;
        let segments = range.start() / place.segment_size..=(range.end() - 1) / place.segment_size;
        for segment in segments.clone() {
            state.touch(segment, now);
            state.segments.entry(segment).or_default().readers += 1;
        }
        Some(Reading {
            live: Arc::clone(self),
            place,
            parts: state.rows.checked(range).collect(),
            segments,
        })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = self.live.state();
        if state.place(self.place.seq).is_some() {
            for segment in self.segments.clone() {
                if let Some(segment) = state.segments.get_mut(&segment) {
                    segment.readers = segment.readers.saturating_sub(1);
                }
                state.forget_empty(segment);
            }
        }
    }
}

impl State {
    /// Takes over what was stored.
    pub(super) fn restore(&mut self, loaded: Loaded) {
        self.record = loaded.record;
        self.rows = loaded.rows;
        self.rows
            .ranges()
            .for_each(|range| self.stored.insert(range));
        self.housed = self.stored.clone();
        let Some(generation) = &self.record.generation else {
            return;
        };
        self.recorded = Some(generation.seq);
        let place = generation.place(self.record.key.id());
        for (segment, record) in loaded.segments {
            let whole = place.segment_range(segment * place.segment_size);
            let housed = self.housed.blocks(whole) * BLOCK;
            let segment = self.segments.entry(segment).or_default();
            segment.used_at = record.used_at;
            segment.indexed = Some(record);
            segment.stray = record.allocated.saturating_sub(housed);
        }
    }

    /// Where the living generation is, if that is `seq`.
    pub fn place(&self, seq: u64) -> Option<Place> {
        let generation = self.record.generation.as_ref().filter(|g| g.seq == seq)?;
        Some(generation.place(self.record.key.id()))
    }

    /// The checked pieces that lie in `range` as a whole.
    pub fn stored_pieces(&self, seq: u64, range: ByteRange) -> Vec<Checked> {
        if self.place(seq).is_none() || !self.stored.touches(range) {
            return Vec::new();
        }
        let pieces = self.rows.checked(range);
        pieces.filter(|piece| range.covers(piece.range)).collect()
    }

    /// A segment was used.
    fn touch(&mut self, segment: u64, now: u64) {
        let now = now.saturating_add(self.grace);
        if let Some(known) = self.segments.get_mut(&segment) {
            known.used_at = known.used_at.max(now);
            if known.indexed.is_some() {
                self.touched.insert(segment);
            }
        }
    }

    /// The entity's segments are kept so much longer than others, in milliseconds. True when that
    /// is something new.
    pub fn grant_grace(&mut self, grace: u64) -> bool {
        let before = std::mem::replace(&mut self.grace, grace);
        for (&segment, known) in &mut self.segments {
            known.used_at = known.used_at.saturating_sub(before).saturating_add(grace);
            self.touched.insert(segment);
        }
        before != grace
    }

    /// The parts of `range` that are neither stored nor being written, marked as being written;
    /// each lies in one segment. `None` when generation `seq` is not the living one.
    pub fn reserve(&mut self, seq: u64, range: ByteRange) -> Option<(Place, Vec<ByteRange>)> {
        let place = self.place(seq)?;
        let complete_length = self.record.generation.as_ref()?.complete_length();
        let within = ByteRange::new(0, complete_length)?.intersect(range)?;
        let leaves = |part: &ByteRange| {
            let segment = self.segments.get(&(part.start() / place.segment_size));
            segment.is_some_and(|segment| segment.leaving)
        };
        let parts: Vec<ByteRange> = self
            .stored
            .gaps(within)
            .into_iter()
            .flat_map(|gap| self.writing.gaps(gap))
            .flat_map(|gap| place.by_segment(gap))
            .filter(|part| !leaves(part))
            .collect();
        for &part in &parts {
            self.writing.insert(part);
            let segment = part.start() / place.segment_size;
            self.segments.entry(segment).or_default().writers += 1;
        }
        Some((place, parts))
    }

    /// Houses a reserved part: its blocks are its own from now on. The room that it needs comes
    /// back: the blocks that no other part has.
    ///
    /// # Errors
    /// When it is not to be stored after all.
    pub fn house(&mut self, seq: u64, part: ByteRange) -> Result<u64, Refusal> {
        let place = self.place(seq).ok_or(Refusal::Dead)?;
        if self.rows.refuses(part, place.segment_size) {
            return Err(Refusal::Fragments);
        }
        let fresh = self.housed.fresh_blocks(part) * BLOCK;
        self.housed.insert(part);
        Ok(fresh)
    }

    /// Bytes that are on the disk no more, and in whole blocks: the room that they had comes back.
    pub fn unhouse(&mut self, seq: u64, blocks: ByteRange) -> u64 {
        if self.place(seq).is_none() {
            return 0;
        }
        let before = self.housed.blocks(blocks);
        self.housed.remove(blocks);
        (before - self.housed.blocks(blocks)) * BLOCK
    }

    /// What the index is to be told of a part that has been written as `row`.
    ///
    /// # Errors
    /// When it is not to be stored after all.
    pub fn adding(
        &mut self,
        seq: u64,
        part: ByteRange,
        row: Row,
        now: u64,
    ) -> Result<Update, Refusal> {
        let place = self.place(seq).ok_or(Refusal::Dead)?;
        if self.rows.refuses(part, place.segment_size) {
            return Err(Refusal::Fragments);
        }
        let rows = self.rows.adding(part.start(), row, place.segment_size);
        let segment = part.start() / place.segment_size;
        let known = self.segments.entry(segment).or_default();
        known.used_at = known.used_at.max(now.saturating_add(self.grace));
        let change = self.aged(place, segment, true, now.saturating_sub(AGE_STEP));
        Ok(Update {
            rows,
            segments: change.into_iter().collect(),
            record: None,
        })
    }

    /// The index has been told: the part, if there is one, is stored.
    pub fn apply(&mut self, seq: u64, part: Option<ByteRange>, update: Update) {
        if self.place(seq).is_none() {
            return;
        }
        if let Some(part) = part {
            self.stored.insert(part);
        }
        self.rows.apply(update.rows);
        for change in update.segments {
            if let Some(segment) = self.segments.get_mut(&change.segment) {
                segment.indexed = change.after;
            }
        }
    }

    /// A reserved part is done with, stored or not. What is to be removed comes back, when its
    /// generation has ended meanwhile and this was the last writer.
    pub fn finish(&mut self, place: Place, part: ByteRange) -> Option<Ended> {
        if self.place(place.seq).is_some() {
            self.writing.remove(part);
            self.unwritten.release(part.start());
            let segment = part.start() / place.segment_size;
            if let Some(known) = self.segments.get_mut(&segment) {
                known.writers = known.writers.saturating_sub(1);
                // What it is counted with may be other than the index was told.
                if known.indexed.is_some() {
                    self.touched.insert(segment);
                }
            }
            self.forget_empty(segment);
            return None;
        }
        let at = self.ended.iter().position(|ended| ended.place == place)?;
        self.ended[at].writers -= 1;
        (self.ended[at].writers == 0).then(|| self.ended.swap_remove(at))
    }

    /// Forgets a segment of which there is nothing.
    pub(super) fn forget_empty(&mut self, segment: u64) {
        let empty = |known: &Segment| {
            let used = known.readers + known.writers;
            used == 0 && known.indexed.is_none() && known.stray == 0 && !known.leaving
        };
        if self.segments.get(&segment).is_some_and(empty) {
            let generation = self.record.generation.as_ref();
            let place = generation.map(|g| g.place(self.record.key.id()));
            let housed = place.is_some_and(|place| {
                let whole = place.segment_range(segment * place.segment_size);
                self.housed.within(whole).next().is_some()
            });
            if !housed {
                self.segments.remove(&segment);
            }
        }
    }

    /// What the index is to be told of a segment that has rows or is about to (`stored`). Its age
    /// is told anew when the one in the index is not after `stale`.
    pub(super) fn aged(
        &self,
        place: Place,
        segment: u64,
        stored: bool,
        stale: u64,
    ) -> Option<SegmentChange> {
        let known = self.segments.get(&segment)?;
        let whole = place.segment_range(segment * place.segment_size);
        let class = self.record.class();
        let stale = stale.saturating_add(self.grace);
        let after = stored.then(|| {
            let stays = |old: &SegmentRecord| old.class == class && stale < old.used_at;
            let old = known.indexed.filter(stays);
            SegmentRecord {
                class,
                used_at: old.map_or(known.used_at, |old| old.used_at),
                allocated: self.housed.blocks(whole) * BLOCK + known.stray,
            }
        });
        (known.indexed != after).then_some(SegmentChange {
            segment,
            before: known.indexed,
            after,
        })
    }

    /// What the index is to be told of the segments that were used since it was last told, those
    /// left out that it was told of after `stale`.
    pub fn aging(&mut self, stale: u64) -> Option<(Place, Update)> {
        let place = self.record.generation.as_ref()?.place(self.record.key.id());
        let mut segments = Vec::new();
        for segment in std::mem::take(&mut self.touched) {
            let Some(known) = self.segments.get(&segment) else {
                continue;
            };
            let Some(old) = known.indexed.filter(|_| !known.leaving) else {
                continue;
            };
            if stale.saturating_add(self.grace) < old.used_at && old.used_at < known.used_at {
                self.touched.insert(segment);
            }
            segments.extend(self.aged(place, segment, true, stale));
        }
        (!segments.is_empty()).then(|| {
            let update = Update {
                segments,
                ..Update::default()
            };
            (place, update)
        })
    }

    /// The index could not be told.
    pub fn not_aged(&mut self, update: &Update) {
        let segments = update.segments.iter().map(|change| change.segment);
        self.touched.extend(segments);
    }

    /// What the index is to be told before the entity stands otherwise: the record, and the class
    /// of every segment. `None` when nothing is stored.
    ///
    /// The record itself changes when the index has been told: what is written of a segment in
    /// between must not be of a class that the stored record is not of.
    pub fn classing(&self, standing: Standing) -> Option<(Place, Update)> {
        let place = self.record.generation.as_ref()?.place(self.record.key.id());
        let mut record = self.record.clone();
        record.stand(standing);
        let class = record.class();
        let segments = self.segments.iter().filter_map(|(&segment, known)| {
            let before = known.indexed.filter(|_| !known.leaving)?;
            let after = Some(SegmentRecord { class, ..before });
            Some(SegmentChange {
                segment,
                before: Some(before),
                after,
            })
        });
        let update = Update {
            rows: Change::default(),
            segments: segments.collect(),
            record: Some(record),
        };
        Some((place, update))
    }
}

#[cfg(test)]
mod tests;
