//! What keys and values in the index look like. Pure.
//!
//! Every value begins with its version byte, so that a later layout is refused by name instead of
//! being misread.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use viewcache_protocol::{ByteRange, EntityId, EntityKey, Generation, GenerationId, Profile};

use crate::extents::Extents;

/// Checksums are kept for each cell of this many bytes of the entity, so that a small read checks
/// little (DESIGN "Store").
pub(super) const CELL: u64 = 64 * 1024;

const VERSION: u8 = 1;

/// Why a key or value cannot be decoded.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// Written by another version.
    #[error("value of {0}: version {1:?} is not {VERSION}")]
    Version(&'static str, Option<u8>),
    /// Too short, too long, or not what it should be.
    #[error("value of {0}: malformed")]
    Malformed(&'static str),
}

/// What is kept of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityRecord {
    /// Its key.
    pub key: EntityKey,
    /// Its living generation, once a response has come.
    pub generation: Option<GenerationRecord>,
    /// When its first byte was asked for, in milliseconds since the epoch.
    pub started_at: u64,
    /// When it was last asked for, likewise.
    pub last_accessed: u64,
    /// Requests answered from the store alone.
    pub hits: u64,
    /// Bytes sent to viewers from the store.
    pub bytes_from_cache: u64,
    /// Bytes that came from the origin.
    pub bytes_from_origin: u64,
    /// The bytes that some viewer was sent, whoever had them.
    #[serde(default)]
    pub watched: Extents,
    /// Whether the origin refused the last URL that it was asked with, as it does with signed URLs
    /// that have expired.
    #[serde(default)]
    pub url_expired: bool,
}

impl EntityRecord {
    /// A new entity of which nothing is stored.
    pub fn new(key: EntityKey, now: SystemTime) -> Self {
        let now = millis(now);
        Self {
            key,
            generation: None,
            started_at: now,
            last_accessed: now,
            hits: 0,
            bytes_from_cache: 0,
            bytes_from_origin: 0,
            watched: Extents::default(),
            url_expired: false,
        }
    }
}

/// Milliseconds since the epoch.
pub fn millis(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What is kept of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// Its number in this store.
    pub seq: u64,
    /// Bytes in one of its segment files.
    pub segment_size: u64,
    /// Its validator and complete length.
    pub identity: Generation,
    /// Without a validator: the fill whose transfer it is.
    pub transfer: String,
    /// The stored header fields.
    pub headers: Vec<(String, String)>,
    /// When the response that wrote or last confirmed them came, in milliseconds since the epoch.
    pub received_at: u64,
}

impl GenerationRecord {
    /// What mirror messages name it by.
    pub fn id(&self, profile: Profile) -> GenerationId {
        self.identity.id(profile, &self.transfer)
    }

    /// When the head of the response came.
    pub fn received(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.received_at)
    }

    /// Its complete length in bytes.
    pub fn complete_length(&self) -> u64 {
        self.identity.complete_length
    }

    /// Its place in the store.
    pub fn place(&self, entity: EntityId) -> super::Place {
        super::Place {
            entity,
            seq: self.seq,
            segment_size: self.segment_size,
        }
    }
}

/// One stored run of bytes, as one write left it; it never crosses a segment's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its length in bytes.
    pub len: u32,
    /// CRC32C of its part in each cell, in order.
    pub sums: Box<[u32]>,
}

impl Row {
    /// The row of `bytes` at `offset`.
    pub fn of(offset: u64, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("a run lies in one segment of at most 1 GiB");
        let sums = Self::cells(offset, len).map(|cell| {
            let (from, to) = (cell.start() - offset, cell.end() - offset);
            crc32c::crc32c(&bytes[from as usize..to as usize])
        });
        Self {
            len,
            sums: sums.collect(),
        }
    }

    /// The parts of a run that have a checksum each.
    fn cells(offset: u64, len: u32) -> impl Iterator<Item = ByteRange> {
        let end = offset + u64::from(len);
        let first = offset / CELL;
        let last = end.saturating_sub(1) / CELL;
        (first..=last).filter_map(move |cell| {
            ByteRange::new(offset.max(cell * CELL), end.min((cell + 1) * CELL))
        })
    }

    /// The row's bytes.
    pub fn range(&self, offset: u64) -> ByteRange {
        ByteRange::from_len(offset, self.len.into()).expect("a row is never empty")
    }

    fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(5 + 4 * self.sums.len());
        value.push(VERSION);
        value.extend_from_slice(&self.len.to_be_bytes());
        self.sums
            .iter()
            .for_each(|sum| value.extend_from_slice(&sum.to_be_bytes()));
        value
    }

    fn decode(offset: u64, value: &[u8]) -> Result<Self, LayoutError> {
        let malformed = || LayoutError::Malformed("extent");
        let body = unversioned("extent", value)?;
        let (len, sums) = body.split_first_chunk().ok_or_else(malformed)?;
        let len = u32::from_be_bytes(*len);
        let (sums, rest) = sums.as_chunks();
        let expected = Self::cells(offset, len).count();
        if len == 0 || !rest.is_empty() || sums.len() != expected {
            return Err(malformed());
        }
        Ok(Self {
            len,
            sums: sums.iter().map(|sum| u32::from_be_bytes(*sum)).collect(),
        })
    }
}

/// The rows of one generation by their offset; disjoint.
#[derive(Clone, Debug, Default)]
pub struct Rows(BTreeMap<u64, Row>);

/// A part of a row that one checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The bytes.
    pub range: ByteRange,
    /// Their CRC32C.
    pub sum: u32,
    /// The row they are of.
    pub row: ByteRange,
}

impl Rows {
    /// Adds a row at its offset.
    pub fn insert(&mut self, offset: u64, row: Row) {
        self.0.insert(offset, row);
    }

    /// Takes out the row that begins at `offset`.
    pub fn remove(&mut self, offset: u64) -> Option<Row> {
        self.0.remove(&offset)
    }

    /// The rows' offsets and lengths, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.0.iter().map(|(&offset, row)| row.range(offset))
    }

    /// The rows with a byte in `range`, copied out so that they can be read without a lock.
    pub fn within(&self, range: ByteRange) -> Self {
        let before = self.0.range(..range.start()).next_back();
        let inside = self.0.range(range.start()..range.end());
        let rows = before
            .into_iter()
            .filter(|(offset, row)| **offset + u64::from(row.len) > range.start())
            .chain(inside)
            .map(|(&offset, row)| (offset, row.clone()));
        Self(rows.collect())
    }

    /// The checked parts that hold a byte of `range`, ascending.
    pub fn checked(&self, range: ByteRange) -> impl Iterator<Item = Checked> + '_ {
        self.0.iter().flat_map(move |(&offset, row)| {
            Row::cells(offset, row.len)
                .zip(row.sums.iter())
                .filter(move |(cell, _)| cell.intersect(range).is_some())
                .map(move |(cell, &sum)| Checked {
                    range: cell,
                    sum,
                    row: row.range(offset),
                })
        })
    }
}

pub(super) fn row_key(entity: EntityId, seq: u64, offset: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(entity.as_bytes());
    key[16..24].copy_from_slice(&seq.to_be_bytes());
    key[24..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// The entity and generation that a row's key is of.
pub(super) fn generation_of(key: &[u8]) -> Option<(EntityId, u64)> {
    let (entity, rest) = key.split_first_chunk()?;
    let (seq, _) = rest.split_first_chunk()?;
    Some((EntityId::from_bytes(*entity), u64::from_be_bytes(*seq)))
}

pub(super) fn encode_row(row: &Row) -> Vec<u8> {
    row.encode()
}

pub(super) fn decode_row(key: &[u8], value: &[u8]) -> Result<(u64, Row), LayoutError> {
    let offset = key.last_chunk().ok_or(LayoutError::Malformed("extent"))?;
    let offset = u64::from_be_bytes(*offset);
    Ok((offset, Row::decode(offset, value)?))
}

pub(super) fn encode_entity(record: &EntityRecord) -> Vec<u8> {
    let mut value = vec![VERSION];
    serde_json::to_writer(&mut value, record).expect("a record has only string keys");
    value
}

pub(super) fn decode_entity(value: &[u8]) -> Result<EntityRecord, LayoutError> {
    serde_json::from_slice(unversioned("entity", value)?)
        .map_err(|_| LayoutError::Malformed("entity"))
}

fn unversioned<'a>(what: &'static str, value: &'a [u8]) -> Result<&'a [u8], LayoutError> {
    match value.split_first() {
        Some((&VERSION, body)) => Ok(body),
        other => Err(LayoutError::Version(
            what,
            other.map(|(&version, _)| version),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_survives_its_value(offset in 0..u64::from(u32::MAX), len in 1..200_000usize) {
            let row = Row::of(offset, &vec![7; len]);
            let (at, read) = decode_row(&row_key(EntityId::from_bytes([1; 16]), 5, offset), &row.encode()).unwrap();
            prop_assert_eq!((at, read), (offset, row));
        }

        #[test]
        fn no_value_makes_decoding_panic(key: Vec<u8>, value: Vec<u8>) {
            let _ = decode_row(&key, &value);
            let _ = decode_entity(&value);
        }

        #[test]
        fn checked_parts_cover_what_is_read(offset in 0..300_000u64, len in 1..300_000usize, from in 0..300_000u64, more in 1..300_000u64) {
            let mut rows = Rows::default();
            rows.insert(offset, Row::of(offset, &vec![1; len]));
            let wanted = ByteRange::from_len(offset + from.min(len as u64 - 1), more.min(len as u64 - from.min(len as u64 - 1))).unwrap();
            let parts: Vec<_> = rows.checked(wanted).collect();
            prop_assert!(parts.first().unwrap().range.start() <= wanted.start());
            prop_assert!(wanted.end() <= parts.last().unwrap().range.end());
            prop_assert!(parts.windows(2).all(|w| w[0].range.end() == w[1].range.start()));
        }
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let error = decode_entity(&[9, b'{', b'}']).unwrap_err();
        assert_eq!(
            error.to_string(),
            "value of entity: version Some(9) is not 1"
        );
    }
}
