//! What the index says of a segment, and the order in which segments are evicted. Pure.
//!
//! Two families, changed together: `segments` finds a segment's class and age by its name, `ages`
//! lists the names by class and age, so that the next to go is found without any entity in memory.

use std::ops::{Add, Sub};

use viewcache_protocol::EntityId;

use super::layout::{self, LayoutError, VERSION, unversioned};

/// Which segments go first. In the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Of an entity that has not proved worth keeping.
    Provisional,
    /// Of one that has.
    Admitted,
    /// Of one that the operator keeps: never evicted.
    Pinned,
}

impl Class {
    const ALL: [Self; 3] = [Self::Provisional, Self::Admitted, Self::Pinned];

    const fn byte(self) -> u8 {
        match self {
            Self::Provisional => 0,
            Self::Admitted => 1,
            Self::Pinned => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.byte() == byte)
    }
}

/// What is kept of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRecord {
    /// Its entity's class.
    pub class: Class,
    /// When it was last read or written, in milliseconds since the epoch, to about a second.
    pub used_at: u64,
    /// The room on the disk that its file is counted with, in bytes.
    pub allocated: u64,
}

/// Bytes of disk that the segments of each class are counted with, or a change of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rooms {
    provisional: i64,
    admitted: i64,
    pinned: i64,
}

impl Rooms {
    /// That of one segment.
    pub(super) fn of(segment: SegmentRecord) -> Self {
        let allocated = i64::try_from(segment.allocated).unwrap_or(i64::MAX);
        let mut rooms = Self::default();
        match segment.class {
            Class::Provisional => rooms.provisional = allocated,
            Class::Admitted => rooms.admitted = allocated,
            Class::Pinned => rooms.pinned = allocated,
        }
        rooms
    }

    /// That of a class.
    pub fn get(self, class: Class) -> u64 {
        let bytes = match class {
            Class::Provisional => self.provisional,
            Class::Admitted => self.admitted,
            Class::Pinned => self.pinned,
        };
        u64::try_from(bytes).unwrap_or(0)
    }
}

impl Add for Rooms {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            provisional: self.provisional + more.provisional,
            admitted: self.admitted + more.admitted,
            pinned: self.pinned + more.pinned,
        }
    }
}

impl Sub for Rooms {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self {
            provisional: self.provisional - less.provisional,
            admitted: self.admitted - less.admitted,
            pinned: self.pinned - less.pinned,
        }
    }
}

/// A segment by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// The entity.
    pub entity: EntityId,
    /// Its generation.
    pub seq: u64,
    /// The segment's number in the generation.
    pub segment: u64,
}

impl SegmentId {
    /// The number that stands for the generation's link. No offset is that large.
    const LINK: u64 = u64::MAX;

    /// The link of this generation to an imported file.
    pub(super) const fn link(entity: EntityId, seq: u64) -> Self {
        Self {
            entity,
            seq,
            segment: Self::LINK,
        }
    }

    /// Whether it is no segment but a link.
    pub(super) const fn is_link(self) -> bool {
        self.segment == Self::LINK
    }
}

/// A segment at its place in the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aged {
    /// The class that it is listed in.
    pub class: Class,
    /// When it was last used, as far as the index knows.
    pub used_at: u64,
    /// Which one it is.
    pub id: SegmentId,
}

/// The key of a segment in `segments`: those of a generation stand together.
pub fn segment_key(id: SegmentId) -> [u8; 32] {
    layout::row_key(id.entity, id.seq, id.segment)
}

/// What that key names.
pub fn parse_segment_key(key: &[u8]) -> Option<SegmentId> {
    let (entity, seq) = layout::generation_of(key)?;
    let segment = u64::from_be_bytes(key.get(24..)?.try_into().ok()?);
    Some(SegmentId {
        entity,
        seq,
        segment,
    })
}

/// The value of a segment.
pub fn encode_segment(record: SegmentRecord) -> [u8; 18] {
    let mut value = [VERSION; 18];
    value[1] = record.class.byte();
    value[2..10].copy_from_slice(&record.used_at.to_be_bytes());
    value[10..].copy_from_slice(&record.allocated.to_be_bytes());
    value
}

/// The segment of a value.
///
/// # Errors
/// When it is of another version, or none.
pub fn decode_segment(value: &[u8]) -> Result<SegmentRecord, LayoutError> {
    let malformed = LayoutError::Malformed("segment");
    let body: Option<[u8; 17]> = unversioned("segment", value)?.try_into().ok();
    let parse = |body: [u8; 17]| {
        Some(SegmentRecord {
            class: Class::from_byte(body[0])?,
            used_at: u64::from_be_bytes(body[1..9].try_into().ok()?),
            allocated: u64::from_be_bytes(body[9..].try_into().ok()?),
        })
    };
    body.and_then(parse).ok_or(malformed)
}

/// The key of a segment in `ages`: the first is the next to go.
pub fn age_key(aged: Aged) -> [u8; 41] {
    let mut key = [aged.class.byte(); 41];
    key[1..9].copy_from_slice(&aged.used_at.to_be_bytes());
    key[9..].copy_from_slice(&segment_key(aged.id));
    key
}

/// What that key names.
pub fn parse_age_key(key: &[u8]) -> Option<Aged> {
    let (&class, rest) = key.split_first()?;
    let (used_at, rest) = rest.split_first_chunk()?;
    Some(Aged {
        class: Class::from_byte(class)?,
        used_at: u64::from_be_bytes(*used_at),
        id: parse_segment_key(rest)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aged(class: Class, used_at: u64, segment: u64) -> Aged {
        let entity = EntityId::from_bytes([7; 16]);
        let seq = 1 << 32;
        Aged {
            class,
            used_at,
            id: SegmentId {
                entity,
                seq,
                segment,
            },
        }
    }

    #[test]
    fn keys_sort_in_the_order_of_eviction() {
        let order = [
            aged(Class::Provisional, 900, 1),
            aged(Class::Admitted, 1, 2),
            aged(Class::Admitted, 256, 0),
            aged(Class::Admitted, 257, 0),
            aged(Class::Pinned, 0, 0),
        ];
        assert!(order.map(age_key).is_sorted());
    }

    proptest! {
        #[test]
        fn keys_and_values_survive(class in 0..3usize, used_at: u64, segment: u64, allocated: u64) {
            let aged = aged(Class::ALL[class], used_at, segment);
            prop_assert_eq!(parse_age_key(&age_key(aged)), Some(aged));
            let record = SegmentRecord { class: aged.class, used_at, allocated };
            prop_assert_eq!(decode_segment(&encode_segment(record)).unwrap(), record);
        }

        #[test]
        fn no_bytes_make_decoding_panic(key: Vec<u8>, value: Vec<u8>) {
            let _ = (parse_age_key(&key), parse_segment_key(&key), decode_segment(&value));
        }
    }
}
