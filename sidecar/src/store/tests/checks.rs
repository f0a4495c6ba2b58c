//! What `check` finds, and what it leaves behind when it mends.

use super::*;

fn problems(dir: &Path, repair: bool) -> (Vec<Problem>, Report) {
    let mut problems = Vec::new();
    let report = check(dir, repair, |problem| problems.push(problem.clone())).unwrap();
    assert_eq!(report.problems, problems.len() as u64);
    (problems, report)
}

/// Two segments and a bit of a third.
fn stored(dir: &Path) -> World {
    let mut world = World::new(dir);
    world.write(0, 2 * SEGMENT + 100);
    world
}

/// Exactly these are found, twice by looking and once by mending; after that there are none, and
/// what is left can be read.
fn check_finds(dir: &Path, expected: &[Problem]) {
    assert_eq!(problems(dir, false).0, expected);
    assert_eq!(
        problems(dir, false).0,
        expected,
        "looking has changed something"
    );
    assert_eq!(problems(dir, true).0, expected);
    assert_eq!(problems(dir, false).0, []);
    let store = Store::open(dir).unwrap();
    if let Some(loaded) = store.load(key().id()).unwrap() {
        for run in loaded.rows.ranges() {
            let bytes = read(&store, place(1), &loaded.rows, run.start(), run.end()).unwrap();
            assert_eq!(bytes, body(run.start(), run.end()));
        }
    }
    drop(store);
    assert_eq!(problems(dir, false).0, []);
}

/// Every file below a folder with its bytes.
fn everything(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a_healthy_folder_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let world = stored(dir.path());
    // Written and not indexed: no problem, and no row's.
    world
        .store
        .write(world.place, 2 * SEGMENT + 8192, &[1])
        .unwrap();
    drop(world);
    let before = everything(dir.path());
    let (found, report) = problems(dir.path(), false);
    assert_eq!(found, []);
    assert!(everything(dir.path()) == before, "looking has written");
    let expected = Report {
        entities: 1,
        segments: 3,
        rows: 3,
        pieces: 9,
        bytes: 2 * SEGMENT + 100,
        unindexed: BLOCK,
        problems: 0,
    };
    assert_eq!(report, expected);
}

#[test]
fn a_flipped_bit_costs_its_piece() {
    let dir = tempfile::tempdir().unwrap();
    let world = stored(dir.path());
    let path = world.path(0);
    drop(world);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70_000] ^= 1;
    bytes[200_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = |start, end| Problem::Damaged(key().id(), range(start, end));
    check_finds(
        dir.path(),
        &[damaged(65_536, 131_072), damaged(196_608, SEGMENT)],
    );
    let (_, report) = problems(dir.path(), false);
    assert_eq!(report.bytes, 2 * SEGMENT + 100 - 2 * 65_536);
}

#[test]
fn a_missing_file_costs_its_segment() {
    let dir = tempfile::tempdir().unwrap();
    let world = stored(dir.path());
    std::fs::remove_file(world.path(1)).unwrap();
    drop(world);
    check_finds(
        dir.path(),
        &[Problem::Damaged(key().id(), range(SEGMENT, 2 * SEGMENT))],
    );
    assert_eq!(problems(dir.path(), false).1.segments, 2);
}

#[test]
fn a_file_without_a_row_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let world = stored(dir.path());
    world.store.write(world.place, 3 * SEGMENT, &[1]).unwrap();
    let orphan = world.path(3);
    drop(world);
    check_finds(dir.path(), &[Problem::Orphan(orphan.clone())]);
    assert!(!orphan.exists());
}

#[test]
fn ages_are_listed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let world = stored(dir.path());
    let aged = |segment, used_at| Aged {
        class: Class::Admitted,
        used_at,
        id: world.place.segment(segment),
    };
    let index = world.store.index().unwrap();
    let mut batch = index.batch();
    // One is lost, one leads nowhere, and one segment is not known at all.
    batch.remove(Family::Ages, &ages::age_key(aged(0, 5)));
    batch.change_segment(world.place.segment(1), Some(world.segments[&1]), None);
    batch.write().unwrap();
    let mut batch = index.batch();
    batch.change_segment(world.place.segment(9), None, Some(world.segments[&1]));
    batch.remove(Family::Segments, &ages::segment_key(world.place.segment(9)));
    batch.write().unwrap();
    drop((index, world));
    let id = key().id();
    check_finds(
        dir.path(),
        &[
            Problem::Age(id, 0),
            Problem::Segment(id, 1),
            Problem::Age(id, 9),
        ],
    );
    let store = Store::open(dir.path()).unwrap();
    let oldest = store.oldest(None, 10).unwrap();
    assert_eq!(oldest.len(), 3);
    // The known ones keep their ages.
    assert_eq!(oldest.iter().filter(|aged| aged.used_at == 5).count(), 2);
}

#[test]
fn what_cannot_be_read_goes() {
    let dir = tempfile::tempdir().unwrap();
    let world = stored(dir.path());
    let index = world.store.index().unwrap();
    let row = layout::row_key(key().id(), 1, SEGMENT);
    index.put_raw(Family::Rows, &row, b"nonsense");
    let paths = [world.path(1)];
    drop((index, world));
    let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
    let id = key().id();
    let (found, _) = problems(dir.path(), false);
    let expected = [
        Problem::Unreadable("extents", hex),
        Problem::Segment(id, 1),
        Problem::Orphan(paths[0].clone()),
    ];
    assert_eq!(found, expected);
    check_finds(dir.path(), &expected);
}

#[test]
fn an_entity_that_cannot_be_read_goes_with_all_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let world = stored(dir.path());
    let index = world.store.index().unwrap();
    index.put_raw(Family::Entities, key().id().as_bytes(), &[9]);
    drop((index, world));
    let (found, _) = problems(dir.path(), true);
    assert_eq!(found.len(), 2 + 3, "{found:?}");
    assert_eq!(found[1], Problem::Dead(key().id(), 1));
    assert_eq!(problems(dir.path(), false).0, []);
    assert_eq!(problems(dir.path(), false).1, Report::default());
}

#[test]
fn misplaced_rows_go() {
    let dir = tempfile::tempdir().unwrap();
    let world = stored(dir.path());
    let index = world.store.index().unwrap();
    for (start, len) in [(2 * SEGMENT + 50, 100), (4 * SEGMENT - 10, 20)] {
        let row = layout::row_key(key().id(), 1, start);
        let value = layout::encode_row(&Row::of(start, &vec![0; len]));
        index.put_raw(Family::Rows, &row, &value);
    }
    drop((index, world));
    let id = key().id();
    let overlaps = Problem::Misplaced(id, range(2 * SEGMENT + 50, 2 * SEGMENT + 150));
    let crosses = Problem::Misplaced(id, range(4 * SEGMENT - 10, 4 * SEGMENT + 10));
    check_finds(dir.path(), &[overlaps, crosses]);
}

#[test]
fn what_cannot_be_looked_at_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let look = |repair| check(dir.path(), repair, |_| {}).unwrap_err().to_string();
    assert!(look(false).contains("not a data folder"), "{}", look(false));
    assert!(everything(dir.path()).is_empty());
    let store = Store::open(dir.path()).unwrap();
    assert!(look(false).contains("in use by another"), "{}", look(false));
    assert!(look(true).contains("in use by another"), "{}", look(true));
    drop(store);
    std::fs::write(dir.path().join("format"), "1\n").unwrap();
    assert!(
        look(false).contains("format 1 is not format 3"),
        "{}",
        look(false)
    );
}
