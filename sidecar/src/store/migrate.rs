//! From format 1, which knew no segments in its index and left a row for every write.

use super::ages::SegmentRecord;
use super::index::{Family, Index};
use super::layout::{EntityRecord, GenerationRecord};
use super::rows::{Change, Rows};
use super::segments::by_segment;
use super::{Patience, Place, StoreError};
use crate::extents::{BLOCK, Extents};

/// Makes a format 1 index one of format 2, which is what format 3 is without links. It may be cut at any point and begun again: until the
/// format's number is replaced, nothing but this reads what it writes.
pub(super) fn migrate(index: &Index) -> Result<(), StoreError> {
    forget_ages(index)?;
    let mut after = None;
    loop {
        let page = index.page(after, 100)?;
        after = page.last().map(|(id, _)| *id);
        for (entity, record) in page {
            let Some(generation) = &record.generation else {
                continue;
            };
            let rows = index.rows(entity, generation.seq, Patience::Wait)?;
            let joined = join(&rows, generation);
            let old = rows.iter().map(|(offset, _)| offset);
            let change = Change {
                delete: old.filter(|offset| !joined.contains(*offset)).collect(),
                put: joined.iter().map(|(at, row)| (at, row.clone())).collect(),
            };
            let mut batch = index.batch();
            batch.change_rows(entity, generation.seq, &change);
            let place = generation.place(entity);
            for (segment, record) in ages_of(place, &record, &joined) {
                batch.change_segment(place.segment(segment), None, Some(record));
            }
            batch.write()?;
        }
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Takes every segment and age out of the index.
pub(super) fn forget_ages(index: &Index) -> Result<(), StoreError> {
    for family in [Family::Segments, Family::Ages] {
        let mut batch = index.batch();
        for entry in index.scan(family, &[]) {
            batch.remove(family, &entry?.0);
        }
        batch.write()?;
    }
    Ok(())
}

/// What the index is to say of the segments of these rows: used when their entity was.
pub(super) fn ages_of(
    place: Place,
    record: &EntityRecord,
    rows: &Rows,
) -> Vec<(u64, SegmentRecord)> {
    let mut stored = Extents::default();
    rows.ranges().for_each(|range| stored.insert(range));
    let mut segments: Vec<u64> = rows
        .ranges()
        .map(|range| range.start() / place.segment_size)
        .collect();
    segments.dedup();
    let of = |segment: u64| {
        let whole = place.segment_range(segment * place.segment_size);
        let record = SegmentRecord {
            class: record.class(),
            used_at: record.last_accessed,
            allocated: stored.blocks(whole) * BLOCK,
        };
        (segment, record)
    };
    segments.into_iter().map(of).collect()
}

fn join(rows: &Rows, generation: &GenerationRecord) -> Rows {
    let mut joined = Rows::default();
    for (offset, row) in rows.iter() {
        // One that crosses a segment's end was never written; its bytes come from the origin again.
        if by_segment(row.range(offset), generation.segment_size).count() == 1 {
            joined.apply(joined.adding(offset, row.clone(), generation.segment_size));
        }
    }
    joined
}
