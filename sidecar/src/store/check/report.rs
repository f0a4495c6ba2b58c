//! What a check finds.

use std::fmt;
use std::path::PathBuf;

use viewcache_protocol::{ByteRange, EntityId};

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A key or value of this family that cannot be read.
    Unreadable(&'static str, String),
    /// Rows or segments of a generation that no record names.
    Dead(EntityId, u64),
    /// A row that crosses a segment's or the entity's end, or overlaps the one before.
    Misplaced(EntityId, ByteRange),
    /// Bytes that do not match their checksum, or are gone.
    Damaged(EntityId, ByteRange),
    /// A segment of which the index does not say what its rows do.
    Segment(EntityId, u64),
    /// A segment that eviction does not find where it should.
    Age(EntityId, u64),
    /// A file of which nothing is stored.
    Orphan(PathBuf),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(family, key) => write!(f, "index: {family} {key} cannot be read"),
            Self::Dead(entity, seq) => write!(f, "{entity}: generation {seq:x} has no record"),
            Self::Misplaced(entity, range) => write!(f, "{entity}: row {range} is misplaced"),
            Self::Damaged(entity, range) => write!(f, "{entity}: bytes {range} are damaged"),
            Self::Segment(entity, segment) => {
                write!(f, "{entity}: segment {segment:x} is not what its rows are")
            }
            Self::Age(entity, segment) => {
                write!(
                    f,
                    "{entity}: segment {segment:x} is not in its place by age"
                )
            }
            Self::Orphan(path) => write!(f, "{}: nothing is stored in it", path.display()),
        }
    }
}

/// What was looked at, and how much of it was bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entities.
    pub entities: u64,
    /// Segments with rows.
    pub segments: u64,
    /// Rows.
    pub rows: u64,
    /// Pieces whose checksum was computed.
    pub pieces: u64,
    /// Bytes that are stored.
    pub bytes: u64,
    /// Bytes of disk in segment files that no row is known to lie in: what a crash leaves.
    pub unindexed: u64,
    /// What does not agree.
    pub problems: u64,
}
