//! Bytes that are in a link to somebody else's file, and files that share their blocks.

use std::os::unix::fs::MetadataExt;

use super::*;

const N: u64 = 2 * SEGMENT + 5000;

/// A file of the operator's, in a folder of its own.
fn original(dir: &Path) -> PathBuf {
    let path = dir.join("film.mp4");
    std::fs::write(&path, body(0, N)).unwrap();
    path
}

fn names(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().nlink()
}

impl World {
    /// A generation with a link to this file, nothing of which is stored yet.
    fn linking(dir: &Path, path: &Path) -> Self {
        let mut world = Self::new(&dir.join("data"));
        let file = File::open(path).unwrap();
        let mut known = record(1);
        let generation = known.generation.as_mut().unwrap();
        generation.identity.complete_length = N;
        generation.original = Some(Original {
            path: path.to_str().unwrap().to_owned(),
            stamp: Stamp::of(&file).unwrap(),
            how: How::Hardlink,
            proven: false,
        });
        world.store.put(key().id(), &known).unwrap();
        world.store.link(world.place, &file).unwrap();
        world.rows = Rows::default();
        world
    }

    /// Rows that lead to the link.
    fn link(&mut self, start: u64, end: u64) {
        for part in self.place.by_segment(range(start, end)) {
            let row = Row::linked(part.start(), &body(part.start(), part.end()));
            let rows = self.rows.adding(part.start(), row, SEGMENT);
            self.rows.apply(rows.clone());
            self.age(part.start() / SEGMENT, Class::Admitted, 5, rows);
        }
    }

    fn link_path(&self) -> PathBuf {
        self.store.segments.path(self.place.link())
    }
}

fn clean(dir: &Path) -> Report {
    let mut problems = Vec::new();
    let report = check(&dir.join("data"), false, |problem| {
        problems.push(problem.clone())
    });
    assert_eq!(problems, []);
    report.unwrap()
}

#[test]
fn linked_bytes_are_read_beside_written_ones_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = original(dir.path());
    let mut world = World::linking(dir.path(), &path);
    world.link(0, 100_000);
    world.write(100_000, 200_000);
    world.link(200_000, N);
    assert_eq!(names(&path), 2);
    // Two in the first segment do not join although they touch.
    assert_eq!(world.rows.len(), 5);
    let rows = world.rows.clone();
    let (used, link) = (world.store.used(), world.link_path());
    assert_eq!(used, 0);
    drop(world);
    let report = clean(dir.path());
    assert_eq!((report.bytes, report.unindexed), (N, 0));
    let store = Store::open(&dir.path().join("data")).unwrap();
    assert!(link.exists());
    // Linked bytes count as if they were written.
    assert_eq!(store.used(), N.next_multiple_of(BLOCK));
    let loaded = store.load(key().id()).unwrap().unwrap();
    assert_eq!(loaded.rows, rows);
    for (start, end) in [(0, N), (99_999, 100_001), (199_990, SEGMENT + 7)] {
        let bytes = read(&store, place(1), &loaded.rows, start, end).unwrap();
        assert!(bytes == body(start, end), "{start}..{end}");
    }
}

#[test]
fn a_file_that_its_owner_changes_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = original(dir.path());
    let mut world = World::linking(dir.path(), &path);
    world.link(0, N);
    let mut bytes = body(0, N);
    bytes[100_000] ^= 1;
    // In place: the link is the same file.
    std::fs::write(&path, bytes).unwrap();
    let damaged = world.read(0, SEGMENT);
    let piece = range(65_536, 131_072);
    assert!(matches!(damaged, Err(StoreError::Damaged(_, found)) if found == piece));
    assert!(world.read(131_072, N).unwrap() == body(131_072, N));
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1000)
        .unwrap();
    assert!(matches!(
        world.read(SEGMENT, N),
        Err(StoreError::Damaged(..))
    ));
    std::fs::remove_file(world.link_path()).unwrap();
    drop(world);
    let store = Store::open(&dir.path().join("data")).unwrap();
    let loaded = store.load(key().id()).unwrap().unwrap();
    let gone = read(&store, place(1), &loaded.rows, 0, 10);
    assert!(matches!(gone, Err(StoreError::Damaged(..))));
}

#[test]
fn a_link_goes_with_the_last_that_leads_to_it_and_the_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = original(dir.path());
    let mut world = World::linking(dir.path(), &path);
    world.link(0, N);
    let oldest = world.store.oldest(None, 10).unwrap();
    assert_eq!(oldest.len(), 3);
    assert!(world.store.is_shared(key().id(), 1).unwrap());
    assert_eq!(world.store.evict(oldest[0]).unwrap().room, SEGMENT);
    assert_eq!(world.store.evict(oldest[1]).unwrap().room, SEGMENT);
    assert!(world.link_path().exists());
    assert!(
        std::fs::read(&path).unwrap() == body(0, N),
        "it was written"
    );
    let link = world.link_path();
    world.store.evict(oldest[2]).unwrap();
    assert!(!link.exists());
    assert_eq!(names(&path), 1);
    assert!(
        std::fs::read(&path).unwrap() == body(0, N),
        "it was written"
    );
    drop(world);
    assert_eq!(clean(dir.path()).entities, 0);
}

#[test]
fn what_is_forgotten_names_its_link_and_counts_linked_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = original(dir.path());
    let mut world = World::linking(dir.path(), &path);
    world.link(0, N);
    let forgotten = world.store.forget(key().id()).unwrap().unwrap();
    assert_eq!(forgotten.bytes, Some(N));
    for file in forgotten.files {
        world.store.unlink(file).unwrap();
    }
    assert!(!world.link_path().exists());
    assert_eq!(names(&path), 1);
    assert!(
        std::fs::read(&path).unwrap() == body(0, N),
        "it was written"
    );
}

#[test]
fn a_link_that_is_the_last_name_gives_its_blocks_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = original(dir.path());
    let mut world = World::linking(dir.path(), &path);
    world.link(0, N);
    std::fs::remove_file(&path).unwrap();
    assert!(!world.store.is_shared(key().id(), 1).unwrap());
    let allocated = || std::fs::metadata(world.link_path()).unwrap().blocks() * 512;
    let before = allocated();
    let oldest = world.store.oldest(None, 1).unwrap();
    world.store.evict(oldest[0]).unwrap();
    assert_eq!(before - allocated(), SEGMENT);
    let loaded = world.store.load(key().id()).unwrap().unwrap();
    let rest = read(&world.store, place(1), &loaded.rows, SEGMENT, N).unwrap();
    assert!(rest == body(SEGMENT, N));
}

#[test]
fn links_that_nothing_leads_to_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let path = original(dir.path());
    let mut world = World::linking(dir.path(), &path);
    world.link(0, N);
    let file = File::open(&path).unwrap();
    // Of a generation that never was, and, by hand, of one that is but has no rows in it.
    world.store.link(place(9), &file).unwrap();
    assert_eq!(names(&path), 3);
    drop(world);
    let mut problems = Vec::new();
    let data = dir.path().join("data");
    check(&data, false, |problem| problems.push(problem.clone())).unwrap();
    assert!(matches!(problems[..], [Problem::Orphan(_)]), "{problems:?}");
    let store = Store::open(&data).unwrap();
    assert_eq!(names(&path), 2);
    store.remove_generation(place(1), &[]).unwrap();
    assert_eq!(names(&path), 1);
    assert!(
        std::fs::read(&path).unwrap() == body(0, N),
        "it was written"
    );
}

#[test]
fn a_link_is_made_once_and_follows_the_open_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = original(dir.path());
    let world = World::linking(dir.path(), &path);
    let file = File::open(&path).unwrap();
    world.store.link(world.place, &file).unwrap();
    assert_eq!(names(&path), 2);
    // Another file has its name by now.
    std::fs::rename(&path, dir.path().join("moved")).unwrap();
    std::fs::write(&path, b"other").unwrap();
    world.store.link(world.place, &file).unwrap();
    assert_eq!(std::fs::metadata(world.link_path()).unwrap().len(), N);
    let other = File::open(&path).unwrap();
    world.store.link(world.place, &other).unwrap();
    assert_eq!(std::fs::metadata(world.link_path()).unwrap().len(), 5);
}

#[test]
fn an_entity_gets_another_key_with_all_that_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = original(dir.path());
    let mut world = World::linking(dir.path(), &path);
    world.link(0, 100_000);
    world.write(100_000, N);
    let new = EntityKey::new(Profile::Generic, "http://a/named").unwrap();
    let loaded = world.store.load(key().id()).unwrap().unwrap();
    world.store.rename(&loaded, &new).unwrap();
    let check_renamed = |store: &Store| {
        assert!(store.load(key().id()).unwrap().is_none());
        let renamed = store.load(new.id()).unwrap().unwrap();
        assert_eq!(renamed.record.key, new);
        assert_eq!(renamed.rows, loaded.rows);
        assert_eq!(renamed.segments, loaded.segments);
        let place = renamed.record.generation.unwrap().place(new.id());
        let bytes = read(store, place, &renamed.rows, 0, N).unwrap();
        assert!(bytes == body(0, N));
    };
    check_renamed(&world.store);
    drop(world);
    let report = clean(dir.path());
    assert_eq!((report.entities, report.bytes), (1, N));
    assert_eq!(names(&path), 2);
    check_renamed(&Store::open(&dir.path().join("data")).unwrap());
}

/// As a crash leaves it: the files have both names, and the index one of them.
#[test]
fn a_rename_that_was_cut_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = original(dir.path());
    let mut world = World::linking(dir.path(), &path);
    world.link(0, 100_000);
    world.write(100_000, N);
    let new = EntityKey::new(Profile::Generic, "http://a/named").unwrap();
    let other = |id: SegmentId| SegmentId {
        entity: new.id(),
        ..id
    };
    let own = (0..3).map(|segment| world.place.segment(segment));
    for id in own.chain([world.place.link()]) {
        let segments = &world.store.segments;
        std::fs::hard_link(segments.path(id), segments.path(other(id))).unwrap();
    }
    assert_eq!(names(&path), 3);
    let rows = world.rows.clone();
    drop(world);
    let store = Store::open(&dir.path().join("data")).unwrap();
    assert_eq!(names(&path), 2);
    assert!(read(&store, place(1), &rows, 0, N).unwrap() == body(0, N));
    drop(store);
    assert_eq!(clean(dir.path()).unindexed, 0);
}
