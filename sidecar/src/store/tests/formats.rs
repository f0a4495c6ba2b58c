//! Folders of other formats.

use rocksdb::{ColumnFamilyDescriptor, DB, Options};

use super::*;
use crate::policy::Policy;

/// A folder as format 1 left it: no segments, no ages, and a row for every write.
fn format_1(dir: &Path) {
    std::fs::create_dir_all(dir.join("index")).unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let families = ["entities", "extents", "meta"];
    let families = families.map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
    let db = DB::open_cf_descriptors(&options, dir.join("index"), families).unwrap();
    let text = serde_json::to_string(&record(1)).unwrap();
    // These came with format 2.
    let text = text.replace(r#","pinned":false,"admitted":true"#, "");
    assert!(!text.contains("pinned") && !text.contains("admitted"));
    let text = text.replace(r#""last_accessed":0"#, r#""last_accessed":1234"#);
    let value = [&[1], text.as_bytes()].concat();
    let family = |name| db.cf_handle(name).unwrap();
    db.put_cf(family("entities"), key().id().as_bytes(), value)
        .unwrap();
    let segments = Segments::open(&dir.join("segments")).unwrap();
    for (start, end) in [
        (0, 100_000),
        (100_000, SEGMENT),
        (SEGMENT, 300_000),
        (310_000, 310_001),
    ] {
        let bytes = body(start, end);
        segments.write(place(1), start, &bytes).unwrap();
        let row = layout::encode_row(&Row::of(start, &bytes));
        db.put_cf(
            family("extents"),
            layout::row_key(key().id(), 1, start),
            row,
        )
        .unwrap();
    }
    std::fs::write(dir.join("format"), "1\n").unwrap();
}

fn migrated(dir: &Path) {
    let store = Store::open(dir).unwrap();
    let loaded = store.load(key().id()).unwrap().unwrap();
    assert!(loaded.record.admitted && !loaded.record.pinned);
    assert_eq!(loaded.record.last_accessed, 1234);
    let runs = [
        range(0, SEGMENT),
        range(SEGMENT, 300_000),
        range(310_000, 310_001),
    ];
    assert_eq!(loaded.rows.ranges().collect::<Vec<_>>(), runs);
    for run in runs {
        let bytes = read(&store, place(1), &loaded.rows, run.start(), run.end()).unwrap();
        assert_eq!(bytes, body(run.start(), run.end()));
    }
    let oldest = store.oldest(None, 10).unwrap();
    let oldest: Vec<_> = oldest
        .iter()
        .map(|aged| (aged.class, aged.used_at, aged.id.segment))
        .collect();
    assert_eq!(
        oldest,
        [(Class::Admitted, 1234, 0), (Class::Admitted, 1234, 1)]
    );
    let second = (300_000 - SEGMENT).div_ceil(BLOCK) + 1;
    assert_eq!(store.used(), SEGMENT + second * BLOCK);
    assert_eq!(std::fs::read_to_string(dir.join("format")).unwrap(), "3\n");
}

#[test]
fn format_1_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    format_1(dir.path());
    migrated(dir.path());
    migrated(dir.path());
}

#[test]
fn a_migration_that_was_cut_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    format_1(dir.path());
    // The first time came as far as the index, but not to the format's number.
    let index = Index::open(&dir.path().join("index")).unwrap();
    migrate::migrate(&index).unwrap();
    let stale = SegmentRecord {
        class: Class::Pinned,
        used_at: 1,
        allocated: 1,
    };
    let mut batch = index.batch();
    batch.change_segment(place(1).segment(9), None, Some(stale));
    batch.write().unwrap();
    drop(index);
    migrated(dir.path());
}

/// Nothing but the number is new: no row of format 2 leads to a link.
#[test]
fn format_2_is_format_3_without_links() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.write(0, 300_000);
    let policy = Policy {
        lend_room: true,
        ..Policy::default()
    };
    world.store.put_policy(&policy).unwrap();
    let rows = world.rows.clone();
    drop(world);
    std::fs::write(dir.path().join("format"), "2\n").unwrap();
    let report = check(dir.path(), false, |_| {}).unwrap();
    assert_eq!((report.problems, report.bytes), (0, 300_000));
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.load(key().id()).unwrap().unwrap().rows, rows);
    let bytes = read(&store, place(1), &rows, 0, 300_000).unwrap();
    assert!(bytes == body(0, 300_000));
    assert_eq!(store.policy().unwrap(), Some(policy));
    let format = std::fs::read_to_string(dir.path().join("format")).unwrap();
    assert_eq!(format, "3\n");
}

#[test]
fn another_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    for format in ["4", "0", "", "two"] {
        std::fs::write(dir.path().join("format"), format).unwrap();
        let error = Store::open(dir.path()).unwrap_err().to_string();
        let expected = format!("format {format} is not format 3");
        assert!(error.contains(&expected), "{error}");
    }
}
