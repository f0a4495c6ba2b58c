//! What a crash leaves is removed when the folder is opened, and what the files occupy is counted.

use std::collections::BTreeMap;

use super::ages::Rooms;
use super::index::{Family, Index};
use super::segments::Segments;
use super::{Patience, StoreError};

/// What was found on opening.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Bytes of disk that the segments are counted with.
    pub(super) used: u64,
    /// Files without a row that were removed.
    pub(super) files: usize,
    /// Generations without a record that were removed.
    pub(super) generations: usize,
}

pub(super) fn sweep(index: &Index, segments: &Segments) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    let mut rooms = Rooms::default();
    for family in [Family::Rows, Family::Segments] {
        for (entity, seq) in index.generations(family)? {
            let generation = index
                .entity(entity, Patience::Wait)?
                .and_then(|record| record.generation);
            if generation.is_none_or(|generation| generation.seq != seq) {
                index.remove_generation(entity, seq)?;
                swept.generations += 1;
            }
        }
    }
    for first in 0..=u8::MAX {
        let mut files: BTreeMap<_, _> = segments
            .files(first)?
            .into_iter()
            .map(|file| {
                let id = file.id;
                ((id.entity, id.seq, id.segment), file)
            })
            .collect();
        let mut batch = index.batch();
        for (id, record) in index.segments(&[first], Patience::Wait)? {
            let file = files.remove(&(id.entity, id.seq, id.segment));
            // Unindexed bytes take room as well, until their segment goes.
            let allocated = file.map_or(0, |file| file.allocated).max(record.allocated);
            let counted = super::SegmentRecord {
                allocated,
                ..record
            };
            rooms = rooms + Rooms::of(counted);
            if allocated != record.allocated {
                batch.change_segment(id, Some(record), Some(counted));
            }
            swept.used += allocated;
        }
        batch.write()?;
        for file in files.into_values() {
            if file.id.is_link()
                && index
                    .rows(file.id.entity, file.id.seq, Patience::Wait)?
                    .any_linked()
            {
                continue;
            }
            segments.remove(file.id)?;
            swept.files += 1;
        }
    }
    // What was written in between has counted itself.
    index.count_rooms(rooms - index.rooms());
    index.recount_entities()?;
    Ok(swept)
}
