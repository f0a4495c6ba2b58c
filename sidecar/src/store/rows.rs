//! Which runs of a generation are stored, and their checksums. Pure.
//!
//! Rows that touch inside one segment are joined, so that a segment that is stored whole is one
//! row however its bytes came. Nothing is read for it: CRC32C of two runs gives that of both.

use std::collections::BTreeMap;

use viewcache_protocol::ByteRange;

/// Checksums are kept for each cell of this many bytes of the entity, so that a small read checks
/// little (DESIGN "Store").
pub(crate) const CELL: u64 = 64 * 1024;

/// How many rows a generation may have before runs shorter than a cell are stored no more: a
/// client that asks for every other byte must not grow the index without bound.
pub const MAX_ROWS: usize = 16_384;

/// One stored run of bytes; it never crosses a segment's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its length in bytes.
    pub len: u32,
    /// CRC32C of its part in each cell, in order.
    pub sums: Box<[u32]>,
    /// Whether its bytes are in the generation's link to an imported file, and not in the file of
    /// their segment.
    pub linked: bool,
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
            linked: false,
        }
    }

    /// The same of bytes that are in the generation's link.
    pub fn linked(offset: u64, bytes: &[u8]) -> Self {
        Self {
            linked: true,
            ..Self::of(offset, bytes)
        }
    }

    /// The parts of a run that have a checksum each.
    pub(super) fn cells(offset: u64, len: u32) -> impl DoubleEndedIterator<Item = ByteRange> {
        let end = offset.saturating_add(u64::from(len));
        let first = offset / CELL;
        let last = end.saturating_sub(1) / CELL;
        (first..=last).filter_map(move |cell| {
            ByteRange::new(
                offset.max(cell * CELL),
                end.min((cell + 1).saturating_mul(CELL)),
            )
        })
    }

    /// The row's bytes.
    pub fn range(&self, offset: u64) -> ByteRange {
        ByteRange::from_len(offset, self.len.into()).expect("a row is never empty")
    }

    /// The row's checked pieces, ascending.
    pub(super) fn checked(&self, offset: u64) -> impl Iterator<Item = Checked> + '_ {
        Self::cells(offset, self.len)
            .zip(self.sums.iter())
            .map(|(range, &sum)| Checked {
                range,
                sum,
                linked: self.linked,
            })
    }

    /// This row, which begins at `offset`, and the one that begins where it ends.
    fn join(&self, offset: u64, next: &Self) -> Self {
        let seam = offset + u64::from(self.len);
        let mut sums = self.sums.to_vec();
        let mut more = &next.sums[..];
        // Both have a part of the cell that the seam lies in.
        if !seam.is_multiple_of(CELL)
            && let (Some(last), Some((&first, rest))) = (sums.last_mut(), more.split_first())
        {
            let len = u64::from(next.len).min(CELL - seam % CELL);
            *last = crc32c::crc32c_combine(*last, first, len as usize);
            more = rest;
        }
        sums.extend_from_slice(more);
        Self {
            len: self.len + next.len,
            sums: sums.into(),
            linked: self.linked,
        }
    }

    /// The row of these of its pieces, which follow each other, and its offset.
    fn of_pieces(pieces: &[Checked]) -> Option<(u64, Self)> {
        let (first, last) = (pieces.first()?, pieces.last()?);
        let start = first.range.start();
        let row = Self {
            len: u32::try_from(last.range.end() - start).ok()?,
            sums: pieces.iter().map(|piece| piece.sum).collect(),
            linked: first.linked,
        };
        Some((start, row))
    }
}

/// A part of a row that one checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The bytes.
    pub range: ByteRange,
    /// Their CRC32C.
    pub sum: u32,
    /// Whether they are in the generation's link.
    pub linked: bool,
}

/// What becomes of rows, in memory and in the index alike: first the deletions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The offsets of rows that go.
    pub delete: Vec<u64>,
    /// Rows that are new, or other than before, by their offset.
    pub put: Vec<(u64, Row)>,
}

/// The rows of one generation by their offset; disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(BTreeMap<u64, Row>);

impl Rows {
    /// Adds a row at its offset.
    pub fn insert(&mut self, offset: u64, row: Row) {
        self.0.insert(offset, row);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a row begins at `offset`.
    pub fn contains(&self, offset: u64) -> bool {
        self.0.contains_key(&offset)
    }

    /// The rows by their offset, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Row)> {
        self.0.iter().map(|(&offset, row)| (offset, row))
    }

    /// The rows' bytes, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.0.iter().map(|(&offset, row)| row.range(offset))
    }

    /// The rows with a byte in `range`, ascending.
    pub fn touching(&self, range: ByteRange) -> impl Iterator<Item = (u64, &Row)> {
        let before = self.0.range(..range.start()).next_back();
        let inside = self.0.range(range.start()..range.end());
        before
            .into_iter()
            .filter(move |(offset, row)| range.start() < row.range(**offset).end())
            .chain(inside)
            .map(|(&offset, row)| (offset, row))
    }

    /// The checked pieces that hold a byte of `range`, ascending.
    pub fn checked(&self, range: ByteRange) -> impl Iterator<Item = Checked> + '_ {
        self.touching(range)
            .flat_map(|(offset, row)| row.checked(offset))
            .filter(move |piece| piece.range.intersect(range).is_some())
    }

    /// The row that ends where `range` begins, and the one that begins where it ends, in the same
    /// segment and the same file.
    fn neighbors(
        &self,
        range: ByteRange,
        linked: bool,
        segment_size: u64,
    ) -> (Option<(u64, &Row)>, Option<&Row>) {
        let before = self.0.range(..range.start()).next_back();
        let before = before
            .map(|(&offset, row)| (offset, row))
            .filter(|(offset, row)| row.range(*offset).end() == range.start())
            .filter(|(_, row)| row.linked == linked)
            .filter(|_| !range.start().is_multiple_of(segment_size));
        let after = self.0.get(&range.end());
        let after = after.filter(|row| row.linked == linked);
        let after = after.filter(|_| !range.end().is_multiple_of(segment_size));
        (before, after)
    }

    /// Whether bytes of any of them are in the generation's link.
    pub fn any_linked(&self) -> bool {
        self.0.values().any(|row| row.linked)
    }

    /// What storing `row` at `offset` changes; its bytes are in no row yet.
    pub fn adding(&self, offset: u64, row: Row, segment_size: u64) -> Change {
        let end = row.range(offset).end();
        let (before, after) = self.neighbors(row.range(offset), row.linked, segment_size);
        let mut change = Change::default();
        let mut joined = (offset, row);
        if let Some((start, before)) = before {
            joined = (start, before.join(start, &joined.1));
        }
        if let Some(after) = after {
            joined.1 = joined.1.join(joined.0, after);
            change.delete.push(end);
        }
        change.put.push(joined);
        change
    }

    /// Whether storing `range` would add a row that the bound forbids.
    pub fn refuses(&self, range: ByteRange, segment_size: u64) -> bool {
        MAX_ROWS <= self.len()
            && range.len() < CELL
            && matches!(self.neighbors(range, false, segment_size), (None, None))
    }

    /// What taking out every checked piece with a byte in `range` changes, and the runs that go.
    pub fn removing(&self, range: ByteRange) -> (Change, Vec<ByteRange>) {
        let mut change = Change::default();
        let mut gone = Vec::new();
        for (offset, row) in self.touching(range) {
            let pieces: Vec<Checked> = row.checked(offset).collect();
            let goes = |piece: &&Checked| piece.range.intersect(range).is_some();
            let before = pieces.iter().take_while(|piece| !goes(piece)).count();
            let count = pieces[before..].iter().take_while(goes).count();
            let (left, rest) = pieces.split_at(before);
            let (out, right) = rest.split_at(count);
            if left.is_empty() {
                change.delete.push(offset);
            }
            change.put.extend(Row::of_pieces(left));
            change.put.extend(Row::of_pieces(right));
            gone.extend(Row::of_pieces(out).map(|(start, row)| row.range(start)));
        }
        (change, gone)
    }

    /// Makes a change, which was computed from these rows as they are.
    pub fn apply(&mut self, change: Change) {
        for offset in change.delete {
            self.0.remove(&offset);
        }
        self.0.extend(change.put);
    }
}

#[cfg(test)]
mod tests;
