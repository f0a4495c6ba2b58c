//! How stored bytes leave the state: damaged ones, evicted segments, generations that end. Pure.

use std::collections::BTreeSet;

use viewcache_protocol::ByteRange;

use super::State;
use crate::extents::{BLOCK, Extents};
use crate::recent::Recent;
use crate::store::{Change, GenerationRecord, Place, Row, Rows, SegmentChange, Update};
use crate::unwritten::Unwritten;
use crate::watchers::{MAX_FADED, Watchers};

/// A generation that has ended, to be removed when its last writer is done.
#[derive(Debug)]
pub struct Ended {
    /// Where it is.
    pub place: Place,
    /// The segments that may have a file.
    pub segments: Vec<u64>,
    /// The room that it was counted with.
    pub room: u64,
    /// Its parts that are still being written.
    pub(super) writers: u32,
}

/// A segment on its way out, and what is needed to keep it after all.
#[derive(Debug)]
pub struct Leaving {
    /// Where it is.
    pub place: Place,
    /// What the index is to be told.
    pub update: Update,
    /// When bytes of the generation's link go: whether nothing leads to the link any more.
    pub forsakes_link: Option<bool>,
    rows: Vec<(u64, Row)>,
}

impl State {
    /// What the index is to be told when the checked pieces in `range` are damaged, and the runs
    /// that go. `None` when nothing is stored there any more.
    pub fn dropping(&mut self, seq: u64, range: ByteRange) -> Option<(Update, Vec<ByteRange>)> {
        let place = self.place(seq)?;
        let (rows, gone) = self.rows.removing(range);
        gone.first()?;
        let segments: BTreeSet<u64> = gone
            .iter()
            .map(|run| run.start() / place.segment_size)
            .collect();
        let change = |segment: u64| {
            let whole = place.segment_range(segment * place.segment_size);
            let going = gone.iter().filter_map(|run| run.intersect(whole));
            let going: u64 = going.map(ByteRange::len).sum();
            let stored: u64 = self.stored.within(whole).map(ByteRange::len).sum();
            self.aged(place, segment, going < stored, 0)
        };
        let update = Update {
            rows,
            segments: segments.into_iter().filter_map(change).collect(),
            record: None,
        };
        Some((update, gone))
    }

    /// The index has been told: these runs are stored no more, and these `blocks` of them are off
    /// the disk. The room that they had comes back.
    pub fn dropped(
        &mut self,
        seq: u64,
        gone: &[ByteRange],
        blocks: &[ByteRange],
        update: Update,
    ) -> u64 {
        let Some(place) = self.place(seq) else {
            return 0;
        };
        self.apply(seq, None, update);
        for run in gone {
            self.stored.remove(*run);
            self.touched.insert(run.start() / place.segment_size);
        }
        blocks.iter().map(|&run| self.unhouse(seq, run)).sum()
    }

    /// Takes a segment out of what is stored so that it can be evicted. `None` when it stays: the
    /// entity is pinned, or somebody reads or writes the segment or has used it since `used_at`.
    pub fn leave(&mut self, seq: u64, segment: u64, used_at: u64) -> Option<Leaving> {
        let known = self.segments.get(&segment)?;
        if self.record.pinned || used_at < known.used_at {
            return None;
        }
        self.take_out(seq, segment)
    }

    /// The same for a segment of which nothing is stored any more, or nothing could be written.
    pub fn leave_husk(&mut self, seq: u64, segment: u64) -> Option<Leaving> {
        let whole = {
            let place = self.place(seq)?;
            place.segment_range(segment * place.segment_size)
        };
        let stored = self.stored.within(whole).next().is_some();
        if stored {
            None
        } else {
            self.take_out(seq, segment)
        }
    }

    fn take_out(&mut self, seq: u64, segment: u64) -> Option<Leaving> {
        let place = self.place(seq)?;
        let known = self.segments.get_mut(&segment)?;
        if known.leaving || 0 < known.readers + known.writers {
            return None;
        }
        known.leaving = true;
        let before = known.indexed;
        let whole = place.segment_range(segment * place.segment_size);
        let rows: Vec<_> = self
            .rows
            .touching(whole)
            .map(|(offset, row)| (offset, row.clone()))
            .collect();
        let change = Change {
            delete: rows.iter().map(|(offset, _)| *offset).collect(),
            put: Vec::new(),
        };
        self.rows.apply(change.clone());
        self.stored.remove(whole);
        let linked = rows.iter().any(|(_, row)| row.linked);
        let forsakes_link = linked.then(|| !self.rows.any_linked());
        let gone = SegmentChange {
            segment,
            before,
            after: None,
        };
        let update = Update {
            rows: change,
            segments: vec![gone],
            record: None,
        };
        Some(Leaving {
            place,
            update,
            forsakes_link,
            rows,
        })
    }

    /// The index could not be told: the segment is stored as before.
    pub fn stay(&mut self, seq: u64, segment: u64, leaving: Leaving) {
        if self.place(seq).is_none() {
            return;
        }
        for (offset, row) in leaving.rows {
            self.stored.insert(row.range(offset));
            self.rows.insert(offset, row);
        }
        if let Some(known) = self.segments.get_mut(&segment) {
            known.leaving = false;
        }
    }

    /// A segment is gone from index and disk: the room that it had comes back.
    pub fn left(&mut self, seq: u64, segment: u64) -> u64 {
        let Some(place) = self.place(seq) else {
            return 0;
        };
        let Some(known) = self.segments.get_mut(&segment) else {
            return 0;
        };
        known.leaving = false;
        known.indexed = None;
        let stray = std::mem::take(&mut known.stray);
        let whole = place.segment_range(segment * place.segment_size);
        let housed = self.housed.blocks(whole) * BLOCK;
        self.housed.remove(whole);
        self.touched.remove(&segment);
        self.forget_empty(segment);
        housed + stray
    }

    /// Makes `generation` the living one; what is to be removed of the one that it replaces comes
    /// back.
    pub fn open(&mut self, generation: GenerationRecord) -> Option<Ended> {
        let seq = generation.seq;
        let same = |old: &GenerationRecord| {
            old.identity.complete_length == generation.identity.complete_length
        };
        if !self.record.generation.as_ref().is_none_or(same) {
            // Positions in another body mean nothing.
            self.record.watched = Extents::default();
            self.record.watchers = Watchers::default();
            self.record.most_watched = 0;
        }
        let old = self.record.generation.replace(generation);
        self.clear(seq, old)
    }

    /// Forgets the living generation, but not who has watched it; what is to be removed of it comes
    /// back.
    pub fn close(&mut self) -> Option<Ended> {
        let old = self.record.generation.take();
        self.record.watched = Extents::default();
        self.record.watchers = self.record.watchers.faded(MAX_FADED);
        self.record.most_watched = 0;
        self.clear(0, old)
    }

    fn clear(&mut self, seq: u64, old: Option<GenerationRecord>) -> Option<Ended> {
        self.rows = Rows::default();
        self.stored = Extents::default();
        self.writing = Extents::default();
        self.unwritten = Unwritten::default();
        self.recent = Recent::default();
        self.touched = BTreeSet::new();
        self.leads.keep_generation(seq);
        self.dirty = true;
        self.recorded = None;
        let housed = std::mem::take(&mut self.housed);
        let segments = std::mem::take(&mut self.segments);
        let everything = ByteRange::new(0, u64::MAX / BLOCK * BLOCK);
        let blocks = everything.map_or(0, |everything| housed.blocks(everything));
        let stray: u64 = segments.values().map(|segment| segment.stray).sum();
        let ended = Ended {
            place: old?.place(self.record.key.id()),
            writers: segments.values().map(|segment| segment.writers).sum(),
            segments: segments.into_keys().collect(),
            room: blocks * BLOCK + stray,
        };
        if ended.writers == 0 {
            return Some(ended);
        }
        self.ended.push(ended);
        None
    }
}
