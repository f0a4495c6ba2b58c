use std::time::SystemTime;

use viewcache_protocol::{EntityKey, Generation, Profile};

use super::index::Family;
use super::*;
use crate::extents::{BLOCK, Extents};

mod checks;
mod formats;
mod links;

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
        selecting: Default::default(),
        governing: None,
        original: None,
    };
    EntityRecord {
        generation: Some(generation),
        admitted: true,
        ..EntityRecord::new(key(), SystemTime::UNIX_EPOCH)
    }
}

/// A store and one generation in it, of which the test is the state.
struct World {
    store: Store,
    place: Place,
    rows: Rows,
    segments: std::collections::BTreeMap<u64, SegmentRecord>,
}

impl World {
    fn new(dir: &Path) -> Self {
        let store = Store::open(dir).unwrap();
        store.put(key().id(), &record(1)).unwrap();
        Self {
            store,
            place: place(1),
            rows: Rows::default(),
            segments: Default::default(),
        }
    }

    fn write(&mut self, start: u64, end: u64) {
        for part in self.place.by_segment(range(start, end)) {
            let bytes = body(part.start(), part.end());
            self.store.write(self.place, part.start(), &bytes).unwrap();
            let row = Row::of(part.start(), &bytes);
            let rows = self.rows.adding(part.start(), row, SEGMENT);
            self.rows.apply(rows.clone());
            self.age(part.start() / SEGMENT, Class::Admitted, 5, rows);
        }
    }

    fn age(&mut self, segment: u64, class: Class, used_at: u64, rows: Change) {
        let mut stored = Extents::default();
        self.rows.ranges().for_each(|run| stored.insert(run));
        let whole = self.place.segment_range(segment * SEGMENT);
        let after = SegmentRecord {
            class,
            used_at,
            allocated: stored.blocks(whole) * BLOCK,
        };
        let before = self.segments.insert(segment, after);
        let change = SegmentChange {
            segment,
            before,
            after: Some(after),
        };
        let update = Update {
            rows,
            segments: vec![change],
            record: None,
        };
        self.store.update(self.place, &update).unwrap();
    }

    fn read(&self, start: u64, end: u64) -> Result<Bytes, StoreError> {
        read(&self.store, self.place, &self.rows, start, end)
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.store.segments.path(self.place.segment(segment))
    }
}

fn read(
    store: &Store,
    place: Place,
    rows: &Rows,
    start: u64,
    end: u64,
) -> Result<Bytes, StoreError> {
    let range = range(start, end);
    let parts: Vec<_> = rows.checked(range).collect();
    store.read(place, range, &parts, Patience::Wait)
}

#[test]
fn what_was_written_is_read_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    // Out of order, across a segment's end, and not aligned to anything.
    world.write(300_000, 400_001);
    world.write(17, 300_000);
    let (seq, segments) = (world.store.next_seq(), world.segments);
    drop(world.store);

    let store = Store::open(dir.path()).unwrap();
    assert!(seq < store.next_seq());
    let loaded = store.load(key().id()).unwrap().unwrap();
    assert_eq!(loaded.record, record(1));
    assert_eq!(loaded.rows, world.rows);
    assert_eq!(loaded.rows.len(), 2);
    assert_eq!(loaded.segments, segments.into_iter().collect::<Vec<_>>());
    for (start, end) in [
        (17, 18),
        (17, 400_001),
        (262_143, 262_145),
        (299_999, 300_001),
    ] {
        let bytes = read(&store, place(1), &loaded.rows, start, end).unwrap();
        assert_eq!(bytes, body(start, end), "{start}..{end}");
    }
    let past = read(&store, place(1), &loaded.rows, 400_000, 400_002);
    assert!(matches!(past, Err(StoreError::Damaged(..))));
}

#[test]
fn a_flipped_bit_is_found_and_names_its_piece() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 250_000);
    let mut bytes = std::fs::read(world.path(0)).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(world.path(0), bytes).unwrap();

    let damaged = world.read(99_000, 99_010);
    assert!(
        matches!(damaged, Err(StoreError::Damaged(Damage::Checksum, piece)) if piece == range(65_536, 131_072))
    );
    // What the bit is not in is good still.
    assert_eq!(world.read(0, 65_536).unwrap(), body(0, 65_536));
    assert_eq!(
        world.read(131_072, 250_000).unwrap(),
        body(131_072, 250_000)
    );
}

#[test]
fn a_missing_or_short_file_is_damage_not_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 300_000);
    std::fs::remove_file(world.path(1)).unwrap();
    assert!(world.read(0, SEGMENT).is_ok());
    let gone = world.read(SEGMENT + 5, SEGMENT + 6);
    assert!(
        matches!(gone, Err(StoreError::Damaged(Damage::Missing, all)) if all == range(SEGMENT, 2 * SEGMENT))
    );
    let file = File::options().write(true).open(world.path(0)).unwrap();
    file.set_len(SEGMENT - 1).unwrap();
    assert!(matches!(
        world.read(SEGMENT - 1, SEGMENT),
        Err(StoreError::Damaged(..))
    ));
    assert!(world.read(0, 65_536).is_ok());
}

#[test]
fn a_removed_generation_leaves_no_row_and_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 300_000);
    // Written, and not indexed any more.
    world.store.write(world.place, 3 * SEGMENT, &[1]).unwrap();
    world.store.remove_generation(world.place, &[0, 3]).unwrap();
    let loaded = world.store.load(key().id()).unwrap().unwrap();
    assert!(loaded.rows.is_empty() && loaded.segments.is_empty());
    assert_eq!(world.store.oldest(None, 10).unwrap(), []);
    drop(world.store);
    assert_eq!(Store::open(dir.path()).unwrap().used(), 0);
}

#[test]
fn opening_removes_what_has_no_row_and_counts_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 100);
    // Bytes of a chunk that was not indexed: in a file with rows they stay, and are counted.
    world.store.write(world.place, 5000, &[1; 100]).unwrap();
    world.store.write(world.place, SEGMENT, &[1; 100]).unwrap();
    world.store.write(place(7), 0, &[1; 100]).unwrap();
    let orphan = world.path(1);
    drop(world.store);
    let store = Store::open(dir.path()).unwrap();
    assert!(!orphan.exists());
    assert_eq!(store.used(), 2 * BLOCK);
    let loaded = store.load(key().id()).unwrap().unwrap();
    assert_eq!(loaded.segments[0].1.allocated, 2 * BLOCK);
    assert_eq!(
        read(&store, place(1), &loaded.rows, 0, 100).unwrap(),
        body(0, 100)
    );
}

#[test]
fn opening_removes_dead_generations() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 300_000);
    let path = world.path(0);
    world.store.put(key().id(), &record(2)).unwrap();
    drop(world.store);
    let store = Store::open(dir.path()).unwrap();
    assert!(
        store
            .index()
            .unwrap()
            .rows(key().id(), 1, Patience::Wait)
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.index().unwrap().scan(Family::Ages, &[]).count(), 0);
    assert!(!path.exists());
    assert_eq!(store.used(), 0);
}

#[test]
fn the_oldest_go_first_and_pinned_ones_never() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 4 * SEGMENT);
    world.age(0, Class::Admitted, 30, Change::default());
    world.age(1, Class::Provisional, 90, Change::default());
    world.age(2, Class::Pinned, 1, Change::default());
    world.age(3, Class::Admitted, 20, Change::default());
    let order = |store: &Store| {
        let oldest = store.oldest(None, 10).unwrap();
        let segments: Vec<u64> = oldest.iter().map(|aged| aged.id.segment).collect();
        segments
    };
    assert_eq!(order(&world.store), [1, 3, 0]);
    let first = world.store.oldest(None, 1).unwrap();
    let rest = world.store.oldest(first.last().copied(), 10).unwrap();
    assert_eq!(rest.len(), 2);
    let gone = world.store.evict(first[0]).unwrap();
    assert!(gone.room == SEGMENT && gone.watchers.is_empty());
    assert_eq!(order(&world.store), [3, 0]);
    assert!(!world.path(1).exists());
    let loaded = world.store.load(key().id()).unwrap().unwrap();
    assert_eq!(loaded.rows.len(), 3);
    assert!(
        loaded
            .rows
            .touching(range(SEGMENT, 2 * SEGMENT))
            .next()
            .is_none()
    );
}

#[test]
fn the_last_segment_takes_its_entity_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 300_000);
    for aged in world.store.oldest(None, 10).unwrap() {
        assert!(world.store.load(key().id()).unwrap().is_some());
        world.store.evict(aged).unwrap();
    }
    assert!(world.store.load(key().id()).unwrap().is_none());
    assert_eq!(
        world.store.index().unwrap().scan(Family::Rows, &[]).count(),
        0
    );
    assert_eq!(
        world
            .store
            .index()
            .unwrap()
            .scan(Family::Segments, &[])
            .count(),
        0
    );
}

#[test]
fn blocks_that_are_given_back_leave_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 20_000);
    let given = world
        .store
        .discard(world.place, range(5000, 15_000))
        .unwrap();
    assert_eq!(given, Some(range(8192, 12_288)));
    let bytes = std::fs::read(world.path(0)).unwrap();
    assert_eq!(
        (&bytes[..8192], &bytes[12_288..]),
        (&body(0, 8192)[..], &body(12_288, 20_000)[..])
    );
    assert!(bytes[8192..12_288].iter().all(|&b| b == 0));
    let small = range(5000, 8191);
    assert_eq!(world.store.discard(world.place, small).unwrap(), None);
}

#[test]
fn an_index_that_failed_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 300_000);
    assert!(!world.store.revive().unwrap());
    world.store.index().unwrap().fail();
    assert!(world.store.revive().unwrap());
    assert!(!world.store.revive().unwrap());
    let loaded = world.store.load(key().id()).unwrap().unwrap();
    assert_eq!(loaded.rows, world.rows);
    // While somebody uses it, it stays open.
    let used = world.store.index().unwrap();
    used.fail();
    assert!(!world.store.revive().unwrap());
    drop(used);
    assert!(world.store.revive().unwrap());
    // When it cannot be opened at first, what it has counted is not lost.
    let index = || world.store.index().unwrap();
    let counts = || (index().rooms(), index().entities());
    let before = counts();
    assert_ne!(before, Default::default());
    index().fail();
    let (folder, aside) = (dir.path().join("index"), dir.path().join("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, b"").unwrap();
    world.store.revive().unwrap_err();
    assert!(matches!(world.store.index(), Err(StoreError::Closed)));
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    assert!(world.store.revive().unwrap());
    assert_eq!(counts(), before);
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
fn what_is_in_the_page_cache_is_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 100_000);
    let read = |patience| {
        let wanted = range(10, 90_000);
        let parts: Vec<_> = world.rows.checked(wanted).collect();
        world.store.read(place(1), wanted, &parts, patience)
    };
    // A kernel or a file system that cannot tell what is in memory waits always.
    let at_once = || match read(Patience::AtOnce) {
        Ok(bytes) => assert_eq!(bytes, body(10, 90_000)),
        Err(error) => assert!(error.is_wait(), "{error}"),
    };
    at_once();
    assert_eq!(read(Patience::Wait).unwrap(), body(10, 90_000));
    at_once();
    world.store.unlink(place(1).segment(0)).unwrap();
    assert!(read(Patience::AtOnce).unwrap_err().is_wait());
    assert!(matches!(read(Patience::Wait), Err(StoreError::Damaged(..))));
}

#[test]
fn what_is_in_memory_of_the_index_is_loaded_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    let id = key().id();
    let loaded = |store: &Store| store.load_with(id, Patience::AtOnce);
    let stranger = EntityKey::new(Profile::Generic, "http://a/c").unwrap().id();
    let absent = world.store.load_with(stranger, Patience::AtOnce);
    assert!(absent.unwrap().is_none());
    world.write(0, 100_000);
    let found = loaded(&world.store).unwrap().unwrap();
    let bytes: u64 = found.rows.ranges().map(ByteRange::len).sum();
    assert_eq!(bytes, 100_000);
    drop(world);
    // In a file now, of which opening may have read it.
    let store = Store::open(dir.path()).unwrap();
    if let Err(error) = loaded(&store) {
        assert!(error.is_wait(), "{error}");
    }
    store.load(id).unwrap().unwrap();
    assert!(loaded(&store).unwrap().is_some());
}

#[test]
fn what_takes_long_to_load_is_not_loaded_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    let id = key().id();
    world.store.put(id, &record(1)).unwrap();
    for piece in 0..=256 {
        world.write(piece * 200, piece * 200 + 100);
    }
    let at_once = world.store.load_with(id, Patience::AtOnce);
    assert!(at_once.unwrap_err().is_wait());
    assert!(world.store.load(id).unwrap().is_some());
}

#[test]
fn what_was_never_stored_is_known_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let stranger = EntityKey::new(Profile::Generic, "http://a/c").unwrap().id();
    let store = Store::open(dir.path()).unwrap();
    assert!(store.lacks(key().id()));
    store.put(key().id(), &record(1)).unwrap();
    assert!(!store.lacks(key().id()) && store.lacks(stranger));
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert!(!store.lacks(key().id()) && store.lacks(stranger));
}
