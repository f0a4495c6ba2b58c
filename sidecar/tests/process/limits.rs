//! The disk limits, on small file systems of our own. They are mounted in a mount namespace, where
//! each test runs itself once more; where there is none, it is skipped with a reason.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Sidecar, check, key_at};
use crate::origin::{Origin, Script, body};

const INSIDE: &str = "VIEWCACHE_TEST_INSIDE";
const MIB: u64 = 1 << 20;

/// Whether this is the run inside the namespace; outside, it is made and waited for.
pub(crate) fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let dir = tempfile::tempdir().unwrap();
    let ways = [&["--mount"][..], &["--user", "--map-root-user", "--mount"]];
    let works = |flags: &&&[&str]| {
        let mut mount = Command::new("unshare");
        mount.args(**flags).args(["mount", "-t", "tmpfs", "none"]);
        mount
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let Some(flags) = ways.iter().find(works) else {
        eprintln!("{test}: skipped, no tmpfs can be mounted here");
        return false;
    };
    let mut again = Command::new("unshare");
    again.args(*flags).arg(std::env::current_exe().unwrap());
    again
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1");
    let output = again.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    // The numbers that it printed.
    eprint!("{}", text(&output.stderr));
    false
}

/// A folder on a file system of so many MiB; it goes with the namespace.
pub(crate) fn small_disk(mib: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "none"])
        .arg(dir.path())
        .status();
    assert!(mount.unwrap().success());
    dir
}

/// Bytes of disk that the files below a folder occupy.
fn allocated(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        // Removed meanwhile.
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

/// The size of a folder's disk, and what is free of it.
pub(crate) fn space(dir: &Path) -> (u64, u64) {
    let stat = rustix::fs::statvfs(dir).unwrap();
    (stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize)
}

/// The extremes of what was seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    segments: u64,
    everything: u64,
    least_free: u64,
    samples: u64,
}

/// Looks at the disk over and over until `done`.
fn watch(dir: &Path, done: &AtomicBool) -> Seen {
    let mut seen = Seen {
        segments: 0,
        everything: 0,
        least_free: u64::MAX,
        samples: 0,
    };
    while !done.load(Ordering::Relaxed) {
        // The file system's word is of one moment, a walk through the files is not.
        let (total, free) = space(dir);
        let index = allocated(&dir.join("index"));
        seen.segments = seen.segments.max(total - free - index.min(total - free));
        seen.everything = seen.everything.max(total - free);
        seen.least_free = seen.least_free.min(free);
        seen.samples += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    seen
}

/// So many viewers of entities of their own, all at once; every byte that they get is right.
async fn fill(sidecar: &Arc<Sidecar>, viewers: u64, length: u64) {
    let view = |number: u64| {
        let sidecar = Arc::clone(sidecar);
        tokio::spawn(async move {
            let got = sidecar.routed_at(&format!("/{number}"), "").await;
            assert!(got.whole && got.body == body(1, 0, length), "wrong bytes");
        })
    };
    let views: Vec<_> = (0..viewers).map(view).collect();
    for view in views {
        view.await.unwrap();
    }
}

async fn watched_fill(dir: &Path, viewers: u64, length: u64, flags: &[&str]) -> Seen {
    let origin = Origin::start(Script {
        complete_length: length,
        ..Script::default()
    })
    .await;
    let sidecar = Arc::new(Sidecar::start(dir, origin.addr, flags).await);
    let done = Arc::new(AtomicBool::new(false));
    let (path, ended) = (dir.to_owned(), Arc::clone(&done));
    let watching = std::thread::spawn(move || watch(&path, &ended));
    // Twice: what was evicted comes again, and into an index that has aged.
    fill(&sidecar, viewers, length).await;
    fill(&sidecar, viewers, length).await;
    done.store(true, Ordering::Relaxed);
    let seen = watching.join().unwrap();
    eprintln!("{viewers} viewers, {length} bytes each, {flags:?}: {seen:?}");
    let evictions = sidecar.metric("viewcache_evictions_total").await;
    assert!(0 < evictions, "nothing was evicted");
    let stored = sidecar.metric("viewcache_stored_bytes_total").await;
    let offered = 2 * viewers * length;
    eprintln!("{stored} bytes of {offered} were stored, {evictions} segments evicted");
    assert!(offered / 2 < stored, "too much was refused");
    // What all of that left agrees with itself, and no byte of disk is lost.
    let sidecar = Arc::into_inner(sidecar).expect("every viewer has ended");
    sidecar.stop().await;
    let (report, problems) = check(dir).await;
    assert_eq!((problems, report.unindexed), (Vec::new(), 0), "{report:?}");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_holds_while_sixteen_fills_run() {
    if !inside("limits::the_limit_holds_while_sixteen_fills_run") {
        return;
    }
    let disk = small_disk(2048);
    let seen = watched_fill(disk.path(), 16, 16 * MIB, &["--max-bytes", "64MiB"]).await;
    assert!(seen.segments <= 64 * MIB + 16 * (256 << 10), "{seen:?}");
    assert!(seen.everything <= (64 + 32) * MIB, "{seen:?}");
    assert!(100 < seen.samples, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_floor_holds_on_a_disk_smaller_than_the_limit() {
    if !inside("limits::the_floor_holds_on_a_disk_smaller_than_the_limit") {
        return;
    }
    let disk = small_disk(48);
    let flags = ["--max-bytes", "1GiB", "--min-free", "8MiB"];
    let seen = watched_fill(disk.path(), 16, 8 * MIB, &flags).await;
    assert!(8 * MIB <= seen.least_free, "{seen:?}");
    assert!(
        16 * MIB < seen.segments,
        "the disk was hardly used: {seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_no_viewer_and_caching_resumes() {
    if !inside("limits::a_full_disk_stops_no_viewer_and_caching_resumes") {
        return;
    }
    let disk = small_disk(64);
    let n = 4 * MIB;
    let origin = Origin::start(Script {
        complete_length: n,
        ..Script::default()
    })
    .await;
    let data = disk.path().join("data");
    let sidecar = Arc::new(Sidecar::start(&data, origin.addr, &["--min-free", "0"]).await);
    fill(&sidecar, 1, n).await;
    // Somebody else takes all there is, and it is not ours to evict.
    let pin = format!("/v1/entities/{}/pin", key_at("/0").id());
    sidecar.stored_at("/0", n).await;
    assert_eq!(sidecar.manage("PUT", &pin).await.status, 204);
    let ballast = disk.path().join("ballast");
    let filled = std::fs::write(&ballast, vec![1; 64 << 20]);
    assert!(filled.is_err() && space(disk.path()).1 == 0);
    // The index too comes to the end of what it had taken in advance.
    fill(&sidecar, 4, n).await;
    let views = (0..16).map(|viewer| {
        let sidecar = Arc::clone(&sidecar);
        tokio::spawn(async move {
            for number in 0..300 {
                let path = format!("/small/{viewer}/{number}");
                let got = sidecar.routed_at(&path, "0-999").await;
                assert!(got.whole && got.body == body(1, 0, 1000), "wrong bytes");
            }
        })
    });
    for view in views.collect::<Vec<_>>() {
        view.await.unwrap();
    }
    assert_eq!(sidecar.entity_at("/0").await["cached_bytes"], n);
    std::fs::remove_file(ballast).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        fill(&sidecar, 4, n).await;
        if sidecar.entity_at("/3").await["cached_bytes"] == n {
            break;
        }
        assert!(Instant::now() < deadline, "nothing is stored any more");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
