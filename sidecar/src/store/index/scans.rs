//! What is read of the index in the order of its keys.

use rocksdb::{Direction, IteratorMode, PrefixRange, ReadOptions};
use viewcache_protocol::{ByteRange, EntityId};

use super::{Family, Index, reading};
use crate::store::ages::{self, Aged, Class, SegmentId, SegmentRecord};
use crate::store::layout::{self, EntityRecord};
use crate::store::rows::Rows;
use crate::store::{Patience, StoreError};

/// A key and its value.
type Entry = (Box<[u8]>, Box<[u8]>);

/// How many rows of a generation are read at once: more take a thread too long that must not wait.
const ROWS_AT_ONCE: usize = 256;

impl Index {
    pub(in crate::store) fn page(
        &self,
        after: Option<EntityId>,
        limit: usize,
    ) -> Result<Vec<(EntityId, EntityRecord)>, StoreError> {
        let start = after.map_or([0; 16], |id| *id.as_bytes());
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut page = Vec::new();
        for entry in self.db.iterator_cf(self.family(Family::Entities), mode) {
            let (key, value) = entry?;
            let malformed = |_| layout::LayoutError::Malformed("entity key");
            let id = EntityId::from_bytes(key[..].try_into().map_err(malformed)?);
            if Some(id) == after {
                continue;
            }
            if page.len() == limit {
                break;
            }
            match layout::decode_entity(&value) {
                Ok(record) => page.push((id, record)),
                Err(error) => tracing::error!(entity = %id, %error, "a record is passed over"),
            }
        }
        Ok(page)
    }

    /// Every key of a family that begins with `prefix`, in order, with its value.
    pub(in crate::store) fn scan(
        &self,
        family: Family,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<Entry, rocksdb::Error>> {
        self.scan_after(family, prefix, None, Patience::Wait)
    }

    /// The same, but only those after the one that goes on with `after`.
    pub(super) fn scan_after(
        &self,
        family: Family,
        prefix: &[u8],
        after: Option<&[u8]>,
        patience: Patience,
    ) -> impl Iterator<Item = Result<Entry, rocksdb::Error>> {
        // With a bound, the iterator does not wade through what was deleted behind the prefix.
        let mut options = reading(patience);
        options.set_iterate_range(PrefixRange(prefix));
        let start = after.map(|after| [prefix, after].concat());
        let mode = match &start {
            Some(start) => IteratorMode::From(start, Direction::Forward),
            None => IteratorMode::Start,
        };
        let entries = self.db.iterator_cf_opt(self.family(family), options, mode);
        let first = move |entry: &Result<Entry, rocksdb::Error>| {
            let key = entry.as_ref().ok().map(|(key, _)| &key[..]);
            start.is_some() && key == start.as_deref()
        };
        entries.skip_while(first)
    }

    pub(in crate::store) fn rows(
        &self,
        entity: EntityId,
        seq: u64,
        patience: Patience,
    ) -> Result<Rows, StoreError> {
        let mut rows = Rows::default();
        let prefix = layout::generation_key(entity, seq);
        let entries = self.scan_after(Family::Rows, &prefix, None, patience);
        for (count, entry) in entries.enumerate() {
            let (key, value) = entry?;
            if patience == Patience::AtOnce && ROWS_AT_ONCE <= count {
                return Err(StoreError::wait());
            }
            match layout::decode_row(&key, &value) {
                Ok((offset, row)) => rows.insert(offset, row),
                Err(error) => tracing::error!(%entity, %error, "an extent is passed over"),
            }
        }
        Ok(rows)
    }

    /// How many bytes the rows of a generation hold.
    pub(in crate::store) fn stored(&self, entity: EntityId, seq: u64) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for entry in self.scan(Family::Rows, &layout::generation_key(entity, seq)) {
            let (_, value) = entry?;
            bytes += layout::row_len(&value).unwrap_or(0);
        }
        Ok(bytes)
    }

    /// The rows that begin in a segment.
    pub(in crate::store) fn rows_in(
        &self,
        entity: EntityId,
        seq: u64,
        segment: ByteRange,
    ) -> Result<Rows, StoreError> {
        let key = |offset| layout::row_key(entity, seq, offset);
        let mut options = ReadOptions::default();
        options.set_iterate_range(key(segment.start())..key(segment.end()));
        let family = self.family(Family::Rows);
        let mut rows = Rows::default();
        for entry in self
            .db
            .iterator_cf_opt(family, options, IteratorMode::Start)
        {
            let (key, value) = entry?;
            if let Ok((offset, row)) = layout::decode_row(&key, &value) {
                rows.insert(offset, row);
            }
        }
        Ok(rows)
    }

    /// The segments whose keys begin with `prefix`: all, those of one entity, or of a generation.
    pub(in crate::store) fn segments(
        &self,
        prefix: &[u8],
        patience: Patience,
    ) -> Result<Vec<(SegmentId, SegmentRecord)>, StoreError> {
        let mut segments = Vec::new();
        for entry in self.scan_after(Family::Segments, prefix, None, patience) {
            let (key, value) = entry?;
            let malformed = layout::LayoutError::Malformed("segment key");
            let id = ages::parse_segment_key(&key).ok_or(malformed)?;
            match ages::decode_segment(&value) {
                Ok(record) => segments.push((id, record)),
                Err(error) => tracing::error!(?id, %error, "a segment is passed over"),
            }
        }
        Ok(segments)
    }

    /// The segments that are next to be evicted, after `after`, at most `limit`; never pinned ones.
    pub(in crate::store) fn oldest(
        &self,
        after: Option<Aged>,
        limit: usize,
    ) -> Result<Vec<Aged>, StoreError> {
        let start = after.map(ages::age_key);
        let mode = match &start {
            Some(key) => IteratorMode::From(key, Direction::Forward),
            None => IteratorMode::Start,
        };
        let mut oldest = Vec::new();
        for entry in self.db.iterator_cf(self.family(Family::Ages), mode) {
            let (key, _) = entry?;
            let Some(aged) = ages::parse_age_key(&key) else {
                tracing::error!(?key, "an age is passed over");
                continue;
            };
            if aged.class == Class::Pinned || oldest.len() == limit {
                break;
            }
            if Some(aged) != after {
                oldest.push(aged);
            }
        }
        Ok(oldest)
    }

    /// Every generation that the keys of a family name, each once.
    pub(in crate::store) fn generations(
        &self,
        family: Family,
    ) -> Result<Vec<(EntityId, u64)>, StoreError> {
        let mut generations = Vec::new();
        let mut keys = self.db.raw_iterator_cf(self.family(family));
        keys.seek_to_first();
        while let Some((entity, seq)) = keys.key().and_then(layout::generation_of) {
            generations.push((entity, seq));
            // Past the generation's last key.
            keys.seek(layout::row_key(entity, seq, u64::MAX));
            if keys.key().and_then(layout::generation_of) == Some((entity, seq)) {
                keys.next();
            }
        }
        keys.status()?;
        Ok(generations)
    }
}
