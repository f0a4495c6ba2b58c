//! What keys and values in the index look like. Pure.
//!
//! Every value begins with its version byte, so that a later layout is refused by name instead of
//! being misread.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use viewcache_protocol::{EntityId, EntityKey, Generation, GenerationId, Profile, Selecting};

use super::ages::Class;
use super::original::Original;
use super::rows::{CELL, Row};
use crate::extents::Extents;
use crate::freshness::{self, Leniency};
use crate::pairs::Partners;
use crate::watchers::{SEVERAL, Watchers};

pub(super) const VERSION: u8 = 1;

/// What a row's value begins with, in place of the version, when its bytes are in the generation's
/// link.
const LINKED: u8 = 2;

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
    /// Whether what is stored must be validated before it is used, however fresh it is: another
    /// request has changed the resource (RFC 9111 section 4.4).
    #[serde(default)]
    pub invalidated: bool,
    /// Whether the operator keeps it: it is never evicted.
    #[serde(default)]
    pub pinned: bool,
    /// Whether it is worth keeping; until then its bytes are the first to be evicted.
    #[serde(default = "admitted")]
    pub admitted: bool,
    /// Until then: how much of it whom has watched. After that no more than whether there are
    /// several.
    #[serde(default, skip_serializing_if = "Watchers::is_empty")]
    pub watchers: Watchers,
    /// The most different bytes that one viewer has watched, as far as that is known.
    #[serde(default)]
    pub most_watched: u64,
    /// What it was watched together with: sound with a picture.
    #[serde(default, skip_serializing_if = "Partners::is_empty")]
    pub partners: Partners,
}

/// What was stored before there was admission counts as admitted.
const fn admitted() -> bool {
    true
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
            invalidated: false,
            pinned: false,
            admitted: false,
            watchers: Watchers::default(),
            most_watched: 0,
            partners: Partners::default(),
        }
    }

    /// Puts it in another class, perhaps.
    pub fn stand(&mut self, standing: Standing) {
        match standing {
            Standing::Admitted => {
                self.admitted = true;
                // Who has watched what is of no use any more, but whether there are several is.
                self.watchers = self.watchers.faded(SEVERAL);
            }
            Standing::Pinned(pinned) => self.pinned = pinned,
        }
    }

    /// In which order its segments are evicted.
    pub const fn class(&self) -> Class {
        match (self.pinned, self.admitted) {
            (true, _) => Class::Pinned,
            (false, true) => Class::Admitted,
            (false, false) => Class::Provisional,
        }
    }
}

/// What decides in which class an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has proved worth keeping.
    Admitted,
    /// The operator keeps it, or no longer.
    Pinned(bool),
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
    /// What the request that brought it had in the fields that may select a response.
    #[serde(default)]
    pub selecting: Selecting,
    /// The header field that counts instead of Cache-Control and Expires (RFC 9213).
    #[serde(default)]
    pub governing: Option<String>,
    /// The file that bytes of it came from, if it was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Original>,
}

impl GenerationRecord {
    /// What mirror messages name it by. As long as it is not proven to be what the origin has, no
    /// transfer is of this generation.
    pub fn id(&self, profile: Profile) -> GenerationId {
        match self.is_unproven() {
            true => self
                .identity
                .id(Profile::Generic, &format!("import {}", self.seq)),
            false => self.identity.id(profile, &self.transfer),
        }
    }

    /// Whether it has bytes of which only the operator says that the origin has them too.
    pub fn is_unproven(&self) -> bool {
        self.original
            .as_ref()
            .is_some_and(|original| !original.proven)
    }

    /// When the head of the response came.
    pub fn received(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.received_at)
    }

    /// Seconds of freshness left at `now`; negative when stale.
    pub fn ttl(&self, now: SystemTime) -> i64 {
        freshness::ttl(
            &self.headers,
            self.governing.as_deref(),
            self.received(),
            now,
        )
    }

    /// For how long it may be used although it is stale.
    pub fn leniency(&self) -> Leniency {
        freshness::leniency(&self.headers, self.governing.as_deref())
    }

    /// Its complete length in bytes.
    pub fn complete_length(&self) -> u64 {
        self.identity.complete_length
    }

    /// Whether it may answer a request that has this in the selecting fields.
    pub fn answers(&self, selecting: &Selecting) -> bool {
        self.selecting.selects(selecting, &self.headers)
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

/// The key of a row.
pub fn row_key(entity: EntityId, seq: u64, offset: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(entity.as_bytes());
    key[16..24].copy_from_slice(&seq.to_be_bytes());
    key[24..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// What the keys of a generation's rows and segments begin with.
pub(super) fn generation_key(entity: EntityId, seq: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(entity.as_bytes());
    key[16..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// The entity and generation that a row's or a segment's key is of.
pub(super) fn generation_of(key: &[u8]) -> Option<(EntityId, u64)> {
    let (entity, rest) = key.split_first_chunk()?;
    let (seq, _) = rest.split_first_chunk()?;
    Some((EntityId::from_bytes(*entity), u64::from_be_bytes(*seq)))
}

/// The value of a row.
pub fn encode_row(row: &Row) -> Vec<u8> {
    let mut value = Vec::with_capacity(5 + 4 * row.sums.len());
    value.push(if row.linked { LINKED } else { VERSION });
    value.extend_from_slice(&row.len.to_be_bytes());
    let sums = row.sums.iter();
    sums.for_each(|sum| value.extend_from_slice(&sum.to_be_bytes()));
    value
}

/// The row of a key and a value, and its offset.
///
/// # Errors
/// When they are not what the two functions above make.
pub fn decode_row(key: &[u8], value: &[u8]) -> Result<(u64, Row), LayoutError> {
    let malformed = || LayoutError::Malformed("extent");
    let offset = u64::from_be_bytes(*key.last_chunk().ok_or_else(malformed)?);
    let (linked, body) = row_body(value)?;
    let (len, sums) = body.split_first_chunk().ok_or_else(malformed)?;
    let len = u32::from_be_bytes(*len);
    let (sums, rest) = sums.as_chunks();
    let fits = offset.checked_add(len.into()).is_some();
    if len == 0 || !fits || !rest.is_empty() || sums.len() != Row::cells(offset, len).count() {
        return Err(malformed());
    }
    let sums = sums.iter().map(|sum| u32::from_be_bytes(*sum)).collect();
    Ok((offset, Row { len, sums, linked }))
}

/// How many bytes a row holds.
pub fn row_len(value: &[u8]) -> Option<u64> {
    let (_, body) = row_body(value).ok()?;
    Some(u32::from_be_bytes(*body.first_chunk()?).into())
}

/// A row's value without its first byte, which says whether its bytes are in the link.
fn row_body(value: &[u8]) -> Result<(bool, &[u8]), LayoutError> {
    match value.split_first() {
        Some((&LINKED, body)) => Ok((true, body)),
        _ => Ok((false, unversioned("extent", value)?)),
    }
}

/// The value of an entity.
///
/// # Panics
/// Never: a record has only string keys.
pub fn encode_entity(record: &EntityRecord) -> Vec<u8> {
    let mut value = vec![VERSION];
    serde_json::to_writer(&mut value, record).expect("a record has only string keys");
    value
}

/// The entity of a value.
///
/// # Errors
/// When it is of another version, or none.
pub fn decode_entity(value: &[u8]) -> Result<EntityRecord, LayoutError> {
    let malformed = || LayoutError::Malformed("entity");
    let record: EntityRecord =
        serde_json::from_slice(unversioned("entity", value)?).map_err(|_| malformed())?;
    let size = |generation: &GenerationRecord| {
        let size = generation.segment_size;
        CELL <= size && size.is_power_of_two()
    };
    // What is computed with it must not fail later.
    if record.generation.as_ref().is_none_or(size) {
        Ok(record)
    } else {
        Err(malformed())
    }
}

pub(super) fn unversioned<'a>(
    what: &'static str,
    value: &'a [u8],
) -> Result<&'a [u8], LayoutError> {
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
        fn a_row_survives_its_value(offset in 0..u64::from(u32::MAX), len in 1..200_000usize, linked: bool) {
            let row = Row { linked, ..Row::of(offset, &vec![7; len]) };
            let (at, read) = decode_row(&row_key(EntityId::from_bytes([1; 16]), 5, offset), &encode_row(&row)).unwrap();
            prop_assert_eq!((at, read), (offset, row));
        }

        #[test]
        fn no_value_makes_decoding_panic(key: Vec<u8>, value: Vec<u8>) {
            let _ = decode_row(&key, &value);
            let _ = decode_entity(&value);
        }
    }

    #[test]
    fn a_segment_size_that_cannot_be_is_malformed() {
        let record = |size: u64| {
            let generation = format!(
                r#"{{"seq":1,"segment_size":{size},"identity":{{"validator":null,"complete_length":5}},"transfer":"","headers":[],"received_at":0}}"#
            );
            let text = format!(
                r#"{{"key":"generic:http://a/b","generation":{generation},"started_at":0,"last_accessed":0,"hits":0,"bytes_from_cache":0,"bytes_from_origin":0}}"#
            );
            decode_entity(&[&[VERSION], text.as_bytes()].concat())
        };
        assert!(record(CELL).is_ok_and(|record| record.admitted));
        assert!(record(0).is_err() && record(CELL + 1).is_err() && record(CELL / 2).is_err());
    }

    #[test]
    fn a_row_may_end_where_offsets_do() {
        let row = Row::of(u64::MAX - 7, &[1; 7]);
        let key = row_key(EntityId::from_bytes([1; 16]), 5, u64::MAX - 7);
        let read = decode_row(&key, &encode_row(&row));
        assert_eq!(read.unwrap(), (u64::MAX - 7, row));
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
