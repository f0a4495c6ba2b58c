//! What the index is told in one step. Pure.

use super::{Change, EntityRecord, SegmentRecord};

/// One change of what the index says of a generation, made as a whole or not at all.
#[derive(Debug, Default)]
pub struct Update {
    /// What becomes of its rows.
    pub rows: Change,
    /// What becomes of its segments.
    pub segments: Vec<SegmentChange>,
    /// Its entity's record, when that changes too.
    pub record: Option<EntityRecord>,
}

impl Update {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        let changes = |change: &SegmentChange| change.before != change.after;
        let rows = !self.rows.put.is_empty() || !self.rows.delete.is_empty();
        !rows && self.record.is_none() && !self.segments.iter().any(changes)
    }
}

/// What the index says of a segment, before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentChange {
    /// Its number.
    pub segment: u64,
    /// What the index says now; `None` when it says nothing.
    pub before: Option<SegmentRecord>,
    /// What it is to say; `None` when the segment goes.
    pub after: Option<SegmentRecord>,
}
