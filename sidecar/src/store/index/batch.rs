//! What is changed in one step.

use std::sync::atomic::Ordering;

use rocksdb::{IteratorMode, ReadOptions, WriteBatch};
use viewcache_protocol::{ByteRange, EntityId, EntityKey};

use super::{Family, Index};
use crate::store::ages::{self, Aged, Rooms, SegmentId, SegmentRecord};
use crate::store::layout::{self, EntityRecord};
use crate::store::rows::Change;
use crate::store::{StoreError, Update};

/// So many rows are taken out one by one, more of them as a range. Of the ranges that were taken
/// out since the last flush every new iterator makes a list of its own: an index from which many
/// entities went would be slower with each of them.
const FEW: usize = 1024;

/// Several changes that are made at once.
pub(in crate::store) struct Batch<'a> {
    pub(super) index: &'a Index,
    pub(super) batch: WriteBatch,
    /// By how much it changes the room of segments.
    rooms: Rooms,
    /// And the number of entities, each of which it changes once.
    entities: i64,
}

impl<'a> Batch<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Self {
            index,
            batch: WriteBatch::default(),
            rooms: Rooms::default(),
            entities: 0,
        }
    }

    pub(in crate::store) fn put_entity(
        &mut self,
        entity: EntityId,
        record: &EntityRecord,
    ) -> Result<(), StoreError> {
        self.entities += i64::from(!self.index.holds(entity)?);
        let value = layout::encode_entity(record);
        let family = self.index.family(Family::Entities);
        self.batch.put_cf(family, entity.as_bytes(), value);
        self.link(entity, &record.key);
        Ok(())
    }

    /// Takes an entity out; `key` is known when its record can be read.
    pub(in crate::store) fn remove_entity(
        &mut self,
        entity: EntityId,
        key: Option<&EntityKey>,
    ) -> Result<(), StoreError> {
        self.entities -= i64::from(self.index.holds(entity)?);
        let family = self.index.family(Family::Entities);
        self.batch.delete_cf(family, entity.as_bytes());
        if let Some(key) = key {
            self.unlink(entity, key);
        }
        Ok(())
    }

    pub(in crate::store) fn change_rows(&mut self, entity: EntityId, seq: u64, change: &Change) {
        let family = self.index.family(Family::Rows);
        for offset in &change.delete {
            let key = layout::row_key(entity, seq, *offset);
            self.batch.delete_cf(family, key);
        }
        for (offset, row) in &change.put {
            let key = layout::row_key(entity, seq, *offset);
            self.batch.put_cf(family, key, layout::encode_row(row));
        }
    }

    /// Takes the rows of a segment out.
    pub(in crate::store) fn remove_rows_in(
        &mut self,
        entity: EntityId,
        seq: u64,
        segment: ByteRange,
    ) -> Result<(), StoreError> {
        self.remove_rows_between(entity, seq, segment.start(), segment.end())
    }

    /// Takes all rows of a generation out.
    pub(in crate::store) fn remove_rows(
        &mut self,
        entity: EntityId,
        seq: u64,
    ) -> Result<(), StoreError> {
        self.remove_rows_between(entity, seq, 0, u64::MAX)
    }

    fn remove_rows_between(
        &mut self,
        entity: EntityId,
        seq: u64,
        start: u64,
        end: u64,
    ) -> Result<(), StoreError> {
        let family = self.index.family(Family::Rows);
        let key = |offset| layout::row_key(entity, seq, offset);
        let mut options = ReadOptions::default();
        options.set_iterate_range(key(start)..key(end));
        let rows = self
            .index
            .db
            .iterator_cf_opt(family, options, IteratorMode::Start);
        let mut few = Vec::new();
        for entry in rows {
            if few.len() == FEW {
                self.batch.delete_range_cf(family, key(start), key(end));
                return Ok(());
            }
            let (key, _) = entry?;
            few.push(key);
        }
        for key in few {
            self.batch.delete_cf(family, key);
        }
        Ok(())
    }

    /// What the index says of a segment, `before` and `after`.
    pub(in crate::store) fn change_segment(
        &mut self,
        id: SegmentId,
        before: Option<SegmentRecord>,
        after: Option<SegmentRecord>,
    ) {
        let room = |record: Option<SegmentRecord>| record.map_or(Rooms::default(), Rooms::of);
        self.rooms = self.rooms + room(after) - room(before);
        let segments = self.index.family(Family::Segments);
        let ages = self.index.family(Family::Ages);
        let age = |record: SegmentRecord| {
            ages::age_key(Aged {
                class: record.class,
                used_at: record.used_at,
                id,
            })
        };
        let (old, new) = (before.map(age), after.map(age));
        if old != new {
            if let Some(old) = old {
                self.batch.delete_cf(ages, old);
            }
            if let Some(new) = new {
                self.batch.put_cf(ages, new, []);
            }
        }
        let key = ages::segment_key(id);
        match after {
            Some(record) => self
                .batch
                .put_cf(segments, key, ages::encode_segment(record)),
            None => self.batch.delete_cf(segments, key),
        }
    }

    pub(in crate::store) fn update(
        &mut self,
        entity: EntityId,
        seq: u64,
        update: &Update,
    ) -> Result<(), StoreError> {
        if let Some(record) = &update.record {
            self.put_entity(entity, record)?;
        }
        self.change_rows(entity, seq, &update.rows);
        for change in &update.segments {
            let id = SegmentId {
                entity,
                seq,
                segment: change.segment,
            };
            self.change_segment(id, change.before, change.after);
        }
        Ok(())
    }

    /// Takes a key out, whatever it is.
    pub(in crate::store) fn remove(&mut self, family: Family, key: &[u8]) {
        self.batch.delete_cf(self.index.family(family), key);
    }

    pub(in crate::store) fn write(self) -> Result<(), StoreError> {
        let failed = |_: &rocksdb::Error| self.index.failed.store(true, Ordering::Relaxed);
        self.index.db.write(self.batch).inspect_err(failed)?;
        self.index.unsynced.store(true, Ordering::Relaxed);
        self.index.count_rooms(self.rooms);
        self.index.count_entities(self.entities);
        Ok(())
    }
}
