//! Keys and values of the index: whatever a disk makes of them. What can be read is written as it
//! was, is safe to compute with, and takes memory in proportion to its length.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use viewcache_protocol::{ByteRange, EntityId};
use viewcache_sidecar::catalogue::{Channel, Video};
use viewcache_sidecar::policy::Policy;
use viewcache_sidecar::service::{Download, Import};
use viewcache_sidecar::store::codec::{
    age_key, decode_entity, decode_row, decode_segment, encode_entity, encode_row, encode_segment,
    parse_age_key, parse_segment_key, row_key, row_len, segment_key,
};
use viewcache_sidecar::store::{EntityRecord, Row, Rows};

use super::memory::within;

/// A key's length in the families that have rows and segments.
const KEY: usize = 32;

/// So many bytes a value may take in memory for one that it has. Most is taken by lists of nothing.
const FACTOR: usize = 128;

/// The first byte says what the others are.
pub fn values(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let bound = 64 * 1024 + FACTOR * data.len();
    match kind {
        b'r' => row(data, bound),
        b'w' => written(data),
        b'e' => entity(data, bound),
        b's' => segment(data, bound),
        b'a' => age(data, bound),
        b'p' => note::<Policy>(data, bound),
        b'v' => note::<Video>(data, bound),
        b'c' => note::<Channel>(data, bound),
        b'd' => note::<Download>(data, bound),
        b'i' => note::<Import>(data, bound),
        _ => {}
    }
}

/// A row's key, and its value.
fn row(data: &[u8], bound: usize) {
    let (key, value) = data.split_at(data.len().min(KEY));
    let _ = row_len(value);
    let Ok((offset, row)) = within(bound, || decode_row(key, value)) else {
        return;
    };
    assert_eq!(encode_row(&row), value);
    assert_eq!(row_len(value), Some(row.len.into()));
    let range = row.range(offset);
    assert_eq!((range.start(), range.len()), (offset, row.len.into()));
    let mut rows = Rows::default();
    rows.insert(offset, row.clone());
    // Its checked pieces are all of it, in order.
    let mut at = offset;
    for piece in rows.checked(range) {
        assert!(piece.range.start() == at && piece.linked == row.linked);
        at = piece.range.end();
    }
    assert_eq!(at, range.end());
    let middle = offset + range.len() / 2;
    let part = ByteRange::new(middle, range.end()).expect("it has a byte");
    let (change, gone) = rows.removing(part);
    assert!(gone.iter().all(|gone| range.covers(*gone)));
    rows.apply(change);
    assert!(rows.checked(part).next().is_none());
}

/// An offset, and bytes that are stored there.
fn written(data: &[u8]) {
    let Some((offset, bytes)) = data.split_first_chunk() else {
        return;
    };
    let offset = u64::from_be_bytes(*offset) >> 16;
    if bytes.is_empty() {
        return;
    }
    let row = Row::of(offset, bytes);
    let linked = Row::linked(offset, bytes);
    let key = row_key(EntityId::from_bytes([7; 16]), 5, offset);
    for row in [row, linked] {
        let read = decode_row(&key, &encode_row(&row));
        assert_eq!(read.ok(), Some((offset, row)));
    }
}

/// A record of an entity, without its version.
fn entity(data: &[u8], bound: usize) {
    let value = [&[1], data].concat();
    let Ok(record) = within(bound, || decode_entity(&value)) else {
        return;
    };
    let read = decode_entity(&encode_entity(&record));
    assert_eq!(read.ok().as_ref(), Some(&record));
    computed(&record);
    // Another version is refused, not read.
    for version in [0, 2, b'{'] {
        assert!(decode_entity(&[&[version], data].concat()).is_err());
    }
}

/// What follows from a record is found without failing.
fn computed(record: &EntityRecord) {
    let _ = (
        record.class(),
        record.watched.bytes(),
        record.watchers.most(),
    );
    let _ = record.partners.watched(record.last_accessed);
    let Some(generation) = &record.generation else {
        return;
    };
    let place = generation.place(record.key.id());
    for offset in [0, generation.complete_length() / 2, 1 << 42] {
        assert!(place.segment_range(offset).contains(offset));
    }
    let profile = record.key.profile();
    let _ = (
        generation.id(profile),
        generation.leniency(),
        generation.is_unproven(),
    );
    for seconds in [0, 1 << 31, 1 << 34] {
        let _ = generation.ttl(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    }
    let _ = generation.answers(&generation.selecting);
}

/// A segment's key, and its value.
fn segment(data: &[u8], bound: usize) {
    let (key, value) = data.split_at(data.len().min(KEY));
    let (id, record) = within(bound, || (parse_segment_key(key), decode_segment(value)));
    if let Some(id) = id {
        assert_eq!(segment_key(id), key);
    }
    if let Ok(record) = record {
        assert_eq!(encode_segment(record), value);
    }
}

/// A segment's key among the ages.
fn age(data: &[u8], bound: usize) {
    if let Some(aged) = within(bound, || parse_age_key(data)) {
        assert_eq!(age_key(aged), data);
    }
}

/// What the operator has said.
fn note<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8], bound: usize) {
    let Ok(value) = within(bound, || serde_json::from_slice::<T>(data)) else {
        return;
    };
    let text = serde_json::to_vec(&value).expect("a note has only string keys");
    let read = serde_json::from_slice::<T>(&text);
    assert_eq!(read.ok().as_ref(), Some(&value));
}
