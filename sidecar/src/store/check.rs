//! Looks whether what is stored agrees with itself, and mends it when asked to.
//!
//! Bad bytes are dropped, never repaired: the origin has them.

mod report;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use viewcache_protocol::ByteRange;

use super::ages::{self, SegmentId, SegmentRecord};
use super::folder::{format, hold, lock};
use super::index::{Family, Index};
use super::layout::{self, EntityRecord};
use super::migrate::ages_of;
use super::rows::{Change, Rows};
use super::segments::{Patience, Segments};
use super::{Place, StoreError};
use crate::extents::BLOCK;
pub use report::{Problem, Report};

/// Looks at the data folder; with `repair`, mends what can be mended. Each problem is told as it is
/// found. Without `repair` nothing is written at all.
///
/// # Errors
/// When it could not be looked at: there is none, it is in use, or it cannot be read.
pub fn check(dir: &Path, repair: bool, tell: impl FnMut(&Problem)) -> Result<Report, StoreError> {
    let absent = || StoreError::Absent(dir.to_owned());
    let found = format(dir)?.ok_or_else(absent)?;
    let _lock = match repair {
        true => Some(lock(dir)?),
        false => match File::open(dir.join("lock")) {
            Ok(file) => Some(hold(dir, file)?),
            // It was never opened: nobody has it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        },
    };
    if found < 2 {
        // Opening it brings it up to date; looking must not. Format 2 is this one without links.
        return Err(StoreError::Format(dir.to_owned(), found.to_string()));
    }
    let path = dir.join("index");
    let index = match repair {
        true => Index::open(&path)?,
        false => Index::open_read_only(&path)?,
    };
    let mut check = Check {
        index: &index,
        segments: Segments::at(&dir.join("segments")),
        repair,
        tell,
        report: Report::default(),
    };
    check.entities()?;
    check.values()?;
    check.generations()?;
    check.ages()?;
    check.files()?;
    let report = check.report;
    index.sync()?;
    Ok(report)
}

struct Check<'a, T> {
    index: &'a Index,
    segments: Segments,
    repair: bool,
    tell: T,
    report: Report,
}

impl<T: FnMut(&Problem)> Check<'_, T> {
    fn problem(&mut self, problem: &Problem) {
        self.report.problems += 1;
        (self.tell)(problem);
    }

    fn unreadable(&mut self, family: Family, key: &[u8]) -> Result<(), StoreError> {
        let hex = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.problem(&Problem::Unreadable(family.name(), hex));
        if self.repair {
            let mut batch = self.index.batch();
            batch.remove(family, key);
            batch.write()?;
        }
        Ok(())
    }

    fn entities(&mut self) -> Result<(), StoreError> {
        for entry in self.index.scan(Family::Entities, &[]) {
            let (key, value) = entry?;
            if key.len() == 16 && layout::decode_entity(&value).is_ok() {
                self.report.entities += 1;
            } else {
                self.unreadable(Family::Entities, &key)?;
            }
        }
        Ok(())
    }

    /// Keys and values that mean nothing; the rest is looked at generation by generation.
    fn values(&mut self) -> Result<(), StoreError> {
        for entry in self.index.scan(Family::Rows, &[]) {
            let (key, value) = entry?;
            if key.len() != 32 || layout::decode_row(&key, &value).is_err() {
                self.unreadable(Family::Rows, &key)?;
            }
        }
        for entry in self.index.scan(Family::Segments, &[]) {
            let (key, value) = entry?;
            let known = ages::parse_segment_key(&key);
            if known.is_none() || ages::decode_segment(&value).is_err() {
                self.unreadable(Family::Segments, &key)?;
            }
        }
        Ok(())
    }

    fn generations(&mut self) -> Result<(), StoreError> {
        let mut generations = self.index.generations(Family::Rows)?;
        generations.extend(self.index.generations(Family::Segments)?);
        generations.sort_unstable_by_key(|(entity, seq)| (*entity.as_bytes(), *seq));
        generations.dedup();
        for (entity, seq) in generations {
            let record = self.index.peek(entity)?;
            let living = record.as_ref().and_then(|record| {
                let generation = record.generation.as_ref().filter(|g| g.seq == seq)?;
                Some((
                    record,
                    generation.place(entity),
                    generation.complete_length(),
                ))
            });
            match living {
                Some((record, place, length)) => self.generation(record, place, length)?,
                None => {
                    self.problem(&Problem::Dead(entity, seq));
                    if self.repair {
                        self.index.remove_generation(entity, seq)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn generation(
        &mut self,
        record: &EntityRecord,
        place: Place,
        complete_length: u64,
    ) -> Result<(), StoreError> {
        let (entity, seq) = (place.entity, place.seq);
        let mut rows = Rows::default();
        let mut change = Change::default();
        let mut end = 0;
        for entry in self
            .index
            .scan(Family::Rows, &layout::generation_key(entity, seq))
        {
            let (key, value) = entry?;
            let Ok((offset, row)) = layout::decode_row(&key, &value) else {
                continue;
            };
            let range = row.range(offset);
            self.report.rows += 1;
            let placed = place.segment_range(offset).covers(range);
            if end <= offset && placed && range.end() <= complete_length {
                end = range.end();
                rows.insert(offset, row);
            } else {
                self.problem(&Problem::Misplaced(entity, range));
                change.delete.push(offset);
            }
        }
        for damaged in self.damaged(place, &rows)? {
            self.problem(&Problem::Damaged(entity, damaged));
            let (damage, _) = rows.removing(damaged);
            rows.apply(damage.clone());
            change.delete.extend(damage.delete);
            // What an earlier one left may be cut again.
            change
                .put
                .retain(|(offset, _)| !change.delete.contains(offset));
            change.put.extend(damage.put);
        }
        self.report.bytes += rows.ranges().map(ByteRange::len).sum::<u64>();
        self.segments_of(record, place, &rows, &change)
    }

    /// The runs of bytes that do not match their checksums.
    fn damaged(&mut self, place: Place, rows: &Rows) -> Result<Vec<ByteRange>, StoreError> {
        let mut damaged: Vec<ByteRange> = Vec::new();
        for (offset, row) in rows.iter() {
            let pieces: Vec<_> = row.checked(offset).collect();
            self.report.pieces += pieces.len() as u64;
            if self
                .segments
                .read(place, row.range(offset), &pieces, Patience::Wait)
                .is_ok()
            {
                continue;
            }
            for piece in pieces {
                match self
                    .segments
                    .read(place, piece.range, &[piece], Patience::Wait)
                {
                    Ok(_) => continue,
                    Err(StoreError::Damaged(..)) => {}
                    Err(error) => return Err(error),
                }
                match damaged.last_mut() {
                    Some(last) if last.end() == piece.range.start() && offset <= last.start() => {
                        *last =
                            ByteRange::new(last.start(), piece.range.end()).expect("it has grown");
                    }
                    _ => damaged.push(piece.range),
                }
            }
        }
        Ok(damaged)
    }

    /// Compares what the index says of segments with their rows.
    fn segments_of(
        &mut self,
        record: &EntityRecord,
        place: Place,
        rows: &Rows,
        change: &Change,
    ) -> Result<(), StoreError> {
        let key = layout::generation_key(place.entity, place.seq);
        let segments = self.index.segments(&key, Patience::Wait)?.into_iter();
        let known: BTreeMap<u64, SegmentRecord> =
            segments.map(|(id, record)| (id.segment, record)).collect();
        let wanted: BTreeMap<u64, SegmentRecord> =
            ages_of(place, record, rows).into_iter().collect();
        self.report.segments += wanted.len() as u64;
        let mut batch = self.index.batch();
        batch.change_rows(place.entity, place.seq, change);
        let mut changed = *change != Change::default();
        for segment in merged(&known, &wanted) {
            let id = place.segment(segment);
            let (old, new) = (known.get(&segment), wanted.get(&segment));
            // Its age is its own, and its file may hold more than its rows.
            let new = new.map(|new| SegmentRecord {
                class: new.class,
                used_at: old.map_or(new.used_at, |old| old.used_at),
                allocated: old.map_or(new.allocated, |old| old.allocated.max(new.allocated)),
            });
            let listed = old.is_none_or(|old| self.index.has_age(id, *old).unwrap_or(false));
            // A segment whose last row is damaged goes with it.
            let emptied = new.is_none()
                && change
                    .delete
                    .iter()
                    .any(|offset| offset / place.segment_size == segment);
            if old.copied() != new && !emptied {
                self.problem(&Problem::Segment(place.entity, segment));
            } else if !listed {
                self.problem(&Problem::Age(place.entity, segment));
            }
            if old.copied() != new || !listed {
                batch.change_segment(id, old.copied(), None);
                batch.change_segment(id, None, new);
                changed = true;
            }
        }
        if self.repair && changed {
            batch.write()?;
        }
        Ok(())
    }

    /// Ages that lead nowhere.
    fn ages(&mut self) -> Result<(), StoreError> {
        for entry in self.index.scan(Family::Ages, &[]) {
            let (key, _) = entry?;
            let Some(aged) = ages::parse_age_key(&key) else {
                self.unreadable(Family::Ages, &key)?;
                continue;
            };
            // What cannot be read has been told of.
            let known = self.index.segment(aged.id).ok().flatten();
            let leads =
                |known: SegmentRecord| known.class == aged.class && known.used_at == aged.used_at;
            if !known.is_some_and(leads) {
                self.problem(&Problem::Age(aged.id.entity, aged.id.segment));
                if self.repair {
                    let mut batch = self.index.batch();
                    batch.remove(Family::Ages, &key);
                    batch.write()?;
                }
            }
        }
        Ok(())
    }

    /// Files that no row leads to, and bytes in the others that none does.
    fn files(&mut self) -> Result<(), StoreError> {
        for first in 0..=u8::MAX {
            for file in self.segments.files(first)? {
                if file.id.is_link() {
                    self.link(file.id)?;
                    continue;
                }
                let stored = self.stored_blocks(file.id)? * BLOCK;
                if 0 < stored {
                    self.report.unindexed += file.allocated.saturating_sub(stored);
                    continue;
                }
                self.orphan(file.id)?;
            }
        }
        Ok(())
    }

    /// A link that no row leads to.
    fn link(&mut self, id: SegmentId) -> Result<(), StoreError> {
        let record = self.index.peek(id.entity)?;
        let generation = record.and_then(|record| record.generation);
        let lives = generation.is_some_and(|generation| generation.seq == id.seq);
        if lives
            && self
                .index
                .rows(id.entity, id.seq, Patience::Wait)?
                .any_linked()
        {
            return Ok(());
        }
        self.orphan(id)
    }

    fn orphan(&mut self, id: SegmentId) -> Result<(), StoreError> {
        self.problem(&Problem::Orphan(self.segments.path(id)));
        if self.repair {
            self.segments.remove(id)?;
        }
        Ok(())
    }

    /// How many blocks the rows of a segment take in its file.
    fn stored_blocks(&self, id: SegmentId) -> Result<u64, StoreError> {
        let record = self.index.peek(id.entity)?;
        let generation = record.and_then(|record| record.generation);
        let Some(generation) = generation.filter(|g| g.seq == id.seq) else {
            return Ok(0);
        };
        let place = generation.place(id.entity);
        let whole = place.segment_range(id.segment.saturating_mul(place.segment_size));
        let rows = self.index.rows_in(id.entity, id.seq, whole)?;
        let mut stored = crate::extents::Extents::default();
        let own = rows.iter().filter(|(_, row)| !row.linked);
        own.for_each(|(offset, row)| stored.insert(row.range(offset)));
        Ok(stored.blocks(whole))
    }
}

/// The keys of both, each once, ascending.
fn merged<V>(one: &BTreeMap<u64, V>, other: &BTreeMap<u64, V>) -> Vec<u64> {
    let mut keys: Vec<u64> = one.keys().chain(other.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
