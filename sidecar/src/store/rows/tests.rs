use proptest::prelude::*;

use super::*;

const SEGMENT: u64 = 2 * CELL;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end).unwrap()
}

fn byte(at: u64) -> u8 {
    ((at * 31) >> 3) as u8
}

fn body(range: ByteRange) -> Vec<u8> {
    (range.start()..range.end()).map(byte).collect()
}

fn row(part: ByteRange, linked: bool) -> Row {
    Row {
        linked,
        ..Row::of(part.start(), &body(part))
    }
}

fn add(rows: &mut Rows, part: ByteRange) {
    add_as(rows, part, false);
}

fn add_as(rows: &mut Rows, part: ByteRange, linked: bool) {
    rows.apply(rows.adding(part.start(), row(part, linked), SEGMENT));
}

#[test]
fn a_segment_that_is_stored_whole_is_one_row() {
    let mut rows = Rows::default();
    for (start, end) in [
        (70_000, 70_001),
        (0, 65_536),
        (70_001, SEGMENT),
        (65_536, 70_000),
    ] {
        add(&mut rows, range(start, end));
    }
    let whole = range(0, SEGMENT);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows.iter().next(), Some((0, &Row::of(0, &body(whole)))));
    // The next segment's row is its own.
    add(&mut rows, range(SEGMENT, SEGMENT + 1));
    assert_eq!(rows.len(), 2);
}

#[test]
fn writing_byte_by_byte_grows_no_index() {
    let mut rows = Rows::default();
    (CELL - 500..CELL + 500).for_each(|at| add(&mut rows, range(at, at + 1)));
    let written = range(CELL - 500, CELL + 500);
    assert_eq!(
        rows.iter().next(),
        Some((CELL - 500, &Row::of(CELL - 500, &body(written))))
    );
    assert_eq!(rows.len(), 1);
}

#[test]
fn a_damaged_piece_goes_alone() {
    let mut rows = Rows::default();
    add(&mut rows, range(100, SEGMENT));
    let (change, gone) = rows.removing(range(CELL - 1, CELL));
    assert_eq!(gone, [range(100, CELL)]);
    rows.apply(change);
    assert_eq!(rows.ranges().collect::<Vec<_>>(), [range(CELL, SEGMENT)]);
    let (change, gone) = rows.removing(range(0, CELL));
    assert_eq!((change, gone), (Change::default(), Vec::new()));
}

#[test]
fn fragments_are_bounded() {
    let mut rows = Rows::default();
    for at in 0..MAX_ROWS as u64 {
        rows.insert(2 * at, Row::of(2 * at, &[0]));
    }
    let past = 2 * MAX_ROWS as u64 + 10;
    assert!(rows.refuses(range(past, past + 1), SEGMENT));
    assert!(rows.refuses(range(past, past + CELL - 1), SEGMENT));
    // A cell is worth a row, and what joins another row needs none.
    assert!(!rows.refuses(range(past, past + CELL), SEGMENT));
    assert!(!rows.refuses(range(1, 2), SEGMENT));
}

#[test]
fn a_small_read_checks_one_cell() {
    let mut rows = Rows::default();
    rows.insert(0, Row::of(0, &body(range(0, 4 * CELL))));
    let parts: Vec<_> = rows
        .checked(range(CELL, CELL + 1))
        .map(|part| part.range)
        .collect();
    assert_eq!(parts, [range(CELL, 2 * CELL)]);
}

#[derive(Clone, Debug)]
enum Step {
    /// In the segment's own file, or in the link.
    Add(ByteRange, bool),
    Remove(ByteRange),
}

/// Ranges whose ends lie around the ends of cells and segments more often than elsewhere.
fn ranges() -> impl Strategy<Value = ByteRange> {
    let at = || {
        prop_oneof![
            (0..8u64, 0..7u64).prop_map(|(cell, more)| (cell * CELL + more).saturating_sub(3)),
            0..7 * CELL,
        ]
    };
    (at(), at()).prop_filter_map("empty", |(a, b)| ByteRange::new(a.min(b), a.max(b)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn behaves_like_bytes(steps in prop::collection::vec(
        prop_oneof![3 => (ranges(), any::<bool>()).prop_map(|(part, linked)| Step::Add(part, linked)), 1 => ranges().prop_map(Step::Remove)], 0..24))
    {
        let mut rows = Rows::default();
        // Which are there, and where.
        let mut bytes = vec![None; 8 * CELL as usize];
        for step in steps {
            match step {
                Step::Add(part, linked) => {
                    // As a writer does: only what is not there, segment by segment.
                    let mut at = part.start();
                    while at < part.end() {
                        let stop = part.end().min((at / SEGMENT + 1) * SEGMENT);
                        let here = bytes[at as usize].is_some();
                        let same = bytes[at as usize..stop as usize].iter();
                        let len = same.take_while(|b| b.is_some() == here).count();
                        let run = range(at, at + len as u64);
                        if !here {
                            add_as(&mut rows, run, linked);
                            bytes[run.start() as usize..run.end() as usize].fill(Some(linked));
                        }
                        at = run.end();
                    }
                }
                Step::Remove(part) => {
                    let (change, gone) = rows.removing(part);
                    rows.apply(change);
                    for run in gone {
                        // Only what was there goes, and no more than the pieces that were meant.
                        prop_assert!(bytes[run.start() as usize..run.end() as usize].iter().all(Option::is_some));
                        prop_assert!(part.start() < run.start() + CELL && run.end() < part.end() + CELL);
                        bytes[run.start() as usize..run.end() as usize].fill(None);
                    }
                    prop_assert!(bytes[part.start() as usize..part.end() as usize].iter().all(Option::is_none));
                }
            }
        }
        let mut stored = vec![None; bytes.len()];
        let mut last = None;
        for (offset, known) in rows.iter() {
            let run = known.range(offset);
            // Every sum is that of the bytes, and no two rows could be one.
            prop_assert_eq!(known, &row(run, known.linked));
            prop_assert_eq!(offset / SEGMENT, (run.end() - 1) / SEGMENT);
            prop_assert!(last != Some((offset, known.linked)) || offset % SEGMENT == 0);
            last = Some((run.end(), known.linked));
            stored[run.start() as usize..run.end() as usize].fill(Some(known.linked));
        }
        prop_assert!(stored == bytes);
    }

    #[test]
    fn checked_parts_cover_what_is_read(offset in 0..300_000u64, len in 1..300_000usize, from in 0..300_000u64, more in 1..300_000u64) {
        let mut rows = Rows::default();
        rows.insert(offset, Row::of(offset, &vec![1; len]));
        let from = from.min(len as u64 - 1);
        let wanted = ByteRange::from_len(offset + from, more.min(len as u64 - from)).unwrap();
        let parts: Vec<_> = rows.checked(wanted).collect();
        prop_assert!(parts.first().unwrap().range.start() <= wanted.start());
        prop_assert!(wanted.end() <= parts.last().unwrap().range.end());
        prop_assert!(parts.windows(2).all(|w| w[0].range.end() == w[1].range.start()));
    }
}
