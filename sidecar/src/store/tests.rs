use std::time::SystemTime;

use viewcache_protocol::{EntityKey, Generation, Profile};

use super::layout::CELL;
use super::*;

const SEGMENT: u64 = 256 << 10;

fn key() -> EntityKey {
    EntityKey::new(Profile::Generic, "http://a/b").unwrap()
}

fn place(seq: u64) -> Place {
    Place {
        entity: key().id(),
        seq,
        segment_size: SEGMENT,
    }
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end).unwrap()
}

fn body(start: u64, end: u64) -> Vec<u8> {
    (start..end).map(|at| ((at * 31) >> 3) as u8).collect()
}

fn record(seq: u64) -> EntityRecord {
    let generation = GenerationRecord {
        seq,
        segment_size: SEGMENT,
        identity: Generation {
            validator: None,
            complete_length: 1 << 20,
        },
        transfer: String::new(),
        headers: Vec::new(),
        received_at: 7,
    };
    EntityRecord {
        generation: Some(generation),
        ..EntityRecord::new(key(), SystemTime::UNIX_EPOCH)
    }
}

fn write(store: &Store, rows: &mut Rows, start: u64, end: u64) {
    write_at(store, place(1), rows, start, end);
}

fn write_at(store: &Store, place: Place, rows: &mut Rows, start: u64, end: u64) {
    for (offset, row) in store.write(place, start, &body(start, end)).unwrap() {
        rows.insert(offset, row);
    }
}

#[test]
fn what_was_written_is_read_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let seq = store.next_seq();
    store.put(key().id(), &record(seq)).unwrap();
    let mut rows = Rows::default();
    // Out of order, across a segment's end, and not aligned to anything.
    write_at(&store, place(seq), &mut rows, 300_000, 400_001);
    write_at(&store, place(seq), &mut rows, 17, 300_000);
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    assert!(seq < store.next_seq());
    let loaded = store.load(key().id()).unwrap().unwrap();
    assert_eq!(loaded.record, record(seq));
    for (start, end) in [
        (17, 18),
        (17, 400_001),
        (262_143, 262_145),
        (299_999, 300_001),
    ] {
        let bytes = store
            .read(place(seq), range(start, end), &loaded.rows, Patience::Wait)
            .unwrap();
        assert_eq!(bytes, body(start, end), "{start}..{end}");
    }
    let past = store.read(
        place(seq),
        range(400_000, 400_002),
        &loaded.rows,
        Patience::Wait,
    );
    assert!(matches!(past, Err(StoreError::Damaged(_))));
}

#[test]
fn a_flipped_bit_is_found_and_names_its_row() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut rows = Rows::default();
    write(&store, &mut rows, 0, 200_000);
    write(&store, &mut rows, 200_000, 250_000);
    let id = key().id().to_string();
    let path = dir
        .path()
        .join("segments")
        .join(&id[..2])
        .join(format!("{id}-1-0"));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let damaged = store.read(place(1), range(99_000, 99_010), &rows, Patience::Wait);
    assert!(matches!(damaged, Err(StoreError::Damaged(row)) if row == range(0, 200_000)));
    // A part that the bit is not in is good still.
    assert_eq!(
        store
            .read(place(1), range(0, 10), &rows, Patience::Wait)
            .unwrap(),
        body(0, 10)
    );
    let other = range(210_000, 250_000);
    assert_eq!(
        store.read(place(1), other, &rows, Patience::Wait).unwrap(),
        body(210_000, 250_000)
    );
}

#[test]
fn a_missing_or_short_file_is_damage_not_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut rows = Rows::default();
    write(&store, &mut rows, 0, 300_000);
    store.segments.remove(place(1), 1).unwrap();
    let read = |start, end| store.read(place(1), range(start, end), &rows, Patience::Wait);
    assert!(read(0, SEGMENT).is_ok());
    assert!(matches!(
        read(SEGMENT, SEGMENT + 1),
        Err(StoreError::Damaged(_))
    ));
}

#[test]
fn a_removed_generation_leaves_no_row_and_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.put(key().id(), &record(1)).unwrap();
    let mut rows = Rows::default();
    write(&store, &mut rows, 0, 300_000);
    assert!(300_000 <= store.allocated().unwrap());
    store.remove_generation(place(1), &rows).unwrap();
    assert_eq!(store.allocated().unwrap(), 0);
    assert_eq!(
        store
            .load(key().id())
            .unwrap()
            .unwrap()
            .rows
            .ranges()
            .count(),
        0
    );
}

#[test]
fn opening_removes_files_of_dead_generations() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.put(key().id(), &record(2)).unwrap();
    store.write(place(1), 0, &body(0, 100)).unwrap();
    store.write(place(2), 0, &body(0, 100)).unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.index.rows(key().id(), 1).unwrap().ranges().count(), 0);
    let rows = store.load(key().id()).unwrap().unwrap().rows;
    assert_eq!(
        store
            .read(place(2), range(0, 100), &rows, Patience::Wait)
            .unwrap(),
        body(0, 100)
    );
    assert_eq!(store.allocated().unwrap(), 4096);
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("in use by another viewcache-sidecar"),
        "{error}"
    );
}

#[test]
fn another_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    std::fs::write(dir.path().join("format"), "2\n").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(
        error.to_string().contains("format 2 is not format 1"),
        "{error}"
    );
}

#[test]
fn what_is_open_and_in_memory_is_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut rows = Rows::default();
    write(&store, &mut rows, 0, 100_000);
    let read = |patience| store.read(place(1), range(10, 90_000), &rows, patience);
    assert!(read(Patience::AtOnce).unwrap_err().is_wait());
    assert_eq!(read(Patience::Wait).unwrap(), body(10, 90_000));
    match read(Patience::AtOnce) {
        Ok(bytes) => assert_eq!(bytes, body(10, 90_000)),
        Err(error) => assert!(error.is_wait(), "{error}"),
    }
    store.segments.remove(place(1), 0).unwrap();
    assert!(read(Patience::AtOnce).unwrap_err().is_wait());
    assert!(matches!(read(Patience::Wait), Err(StoreError::Damaged(_))));
}

#[test]
fn a_small_read_checks_one_cell() {
    let mut rows = Rows::default();
    rows.insert(0, Row::of(0, &body(0, 4 * CELL)));
    let parts: Vec<_> = rows
        .checked(range(CELL, CELL + 1))
        .map(|part| part.range)
        .collect();
    assert_eq!(parts, [range(CELL, 2 * CELL)]);
}
