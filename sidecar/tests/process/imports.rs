//! Files that were downloaded before become entities.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use viewcache_sidecar::store::Problem;

use crate::harness::{Sidecar, check, key_at};
use crate::limits::{inside, small_disk, space};
use crate::origin::{Origin, Script, body};

const N: u64 = 3_000_000;
const MIB: u64 = 1 << 20;

/// What the comparison of a file with the origin's bytes costs at the most.
const SAMPLES: u64 = 3 * 65_536;

/// Files of the operator's, and the data folder beside them.
struct Disk {
    dir: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(temporary: tempfile::TempDir) -> Self {
        let dir = temporary.path().to_owned();
        std::fs::create_dir_all(dir.join("videos/more")).unwrap();
        Self {
            dir,
            _temporary: temporary,
        }
    }

    fn videos(&self) -> PathBuf {
        self.dir.join("videos")
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Puts a file there that was written an hour ago.
    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.videos().join(name);
        std::fs::write(&path, bytes).unwrap();
        settle(&path);
        path
    }

    async fn sidecar(&self, origin: &Origin, flags: &[&str]) -> Sidecar {
        let videos = self.videos();
        let root = ["--import-roots", videos.to_str().unwrap()];
        Sidecar::start(&self.data(), origin.addr, &[&root, flags].concat()).await
    }

    /// With further members; one that is `null` is left out.
    fn request(&self, more: Value) -> Value {
        let mut request = json!({
            "folder": self.videos(),
            "pattern": "{name}.mp4",
            "url": "http://origin.test/{name}",
        });
        let fields = more.as_object().unwrap().clone();
        let members = request.as_object_mut().unwrap();
        members.extend(fields);
        members.retain(|_, value| !value.is_null());
        request
    }
}

fn settle(path: &Path) {
    let hour = Duration::from_secs(3600);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - hour).unwrap();
}

async fn origin() -> Origin {
    let script = Script {
        complete_length: N,
        ..Script::default()
    };
    Origin::start(script).await
}

async fn json_of(sidecar: &Sidecar, path: &str) -> Value {
    let got = sidecar.manage("GET", path).await;
    assert_eq!(got.status, 200, "{path}");
    serde_json::from_slice(&got.body).unwrap()
}

async fn start(sidecar: &Sidecar, request: Value) -> String {
    let got = sidecar
        .manage_with("POST", "/v1/imports", request.to_string())
        .await;
    let said = String::from_utf8_lossy(&got.body).into_owned();
    assert_eq!(got.status, 202, "{said}");
    let location = got.field("location").to_owned();
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        location,
        format!("/v1/imports/{}", report["id"].as_str().unwrap())
    );
    location
}

/// Waits for an import's end.
async fn ended(sidecar: &Sidecar, location: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let report = json_of(sidecar, location).await;
        if report["finished_at"].is_string() {
            return report;
        }
        assert!(Instant::now() < deadline, "{report}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn import(sidecar: &Sidecar, request: Value) -> Value {
    let location = start(sidecar, request).await;
    let report = ended(sidecar, &location).await;
    assert_eq!(report["status"], "complete", "{report}");
    report
}

/// Path, outcome, and how it was imported or why not, of each file.
async fn files(sidecar: &Sidecar, report: &Value) -> Vec<(String, String, String)> {
    let path = format!("/v1/imports/{}/files", report["id"].as_str().unwrap());
    let files = json_of(sidecar, &path).await;
    let text = |file: &Value, field: &str| file[field].as_str().unwrap_or_default().to_owned();
    let items = files["items"].as_array().unwrap();
    let file = |file: &Value| {
        let why = text(file, "how") + &text(file, "reason");
        (text(file, "path"), text(file, "outcome"), why)
    };
    items.iter().map(file).collect()
}

fn owned(files: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let files = files.iter();
    files
        .map(|&(path, outcome, why)| (path.to_owned(), outcome.to_owned(), why.to_owned()))
        .collect()
}

async fn is_clean(disk: &Disk) {
    let (report, problems) = check(&disk.data()).await;
    assert_eq!((problems, report.unindexed), (Vec::new(), 0), "{report:?}");
}

/// Views it whole, and insists that the origin was not asked.
async fn hit(sidecar: &Sidecar, origin: &Origin, path: &str) {
    let before = origin.requests().len();
    let got = sidecar.routed_at(path, "").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert!(
        got.field("cache-status").contains("hit"),
        "{:?}",
        got.headers
    );
    assert_eq!(got.field("etag"), "\"v1\"");
    assert_eq!(origin.requests().len(), before, "the origin was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_an_entity_without_being_copied() {
    let disk = Disk::new();
    let path = disk.put("a.mp4", &body(1, 0, N));
    let origin = origin().await;
    let sidecar = disk.sidecar(&origin, &[]).await;
    let report = import(&sidecar, disk.request(json!({}))).await;
    let files = files(&sidecar, &report).await;
    assert_eq!(files.len(), 1);
    let how = files[0].2.clone();
    assert!(["reflink", "hardlink"].contains(&how.as_str()), "{files:?}");
    if how == "hardlink" {
        assert_eq!(std::fs::metadata(&path).unwrap().nlink(), 2);
    }
    assert_eq!(report["files"]["matched"], 1);
    assert_eq!(report["files"][&how], 1);
    assert_eq!(report["files"]["bytes"], N);
    // The origin has said whose bytes these are.
    assert!(
        0 < origin.sent() && origin.sent() <= SAMPLES,
        "{}",
        origin.sent()
    );
    hit(&sidecar, &origin, "/a").await;
    let entity = sidecar.entity_at("/a").await;
    assert_eq!(entity["status"], "complete");
    assert_eq!(entity["provisional"], false);
    assert_eq!(entity["imported"]["how"], how);
    assert_eq!(entity["imported"]["proven"], true);
    let admitted = "viewcache_admissions_total{reason=\"import\"}";
    assert_eq!(sidecar.metric(admitted).await, 1);
    let counted = format!("viewcache_imported_files_total{{how=\"{how}\"}}");
    assert_eq!(sidecar.metric(&counted).await, 1);
    // Once more: nothing is missing.
    let again = import(&sidecar, disk.request(json!({}))).await;
    assert_eq!(again["files"]["known"], 1);
    sidecar.stop().await;
    is_clean(&disk).await;

    let sidecar = disk.sidecar(&origin, &[]).await;
    hit(&sidecar, &origin, "/a").await;
    // What was imported before a restart is told by its number.
    assert_eq!(
        json_of(&sidecar, "/v1/imports").await["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let entity = format!("/v1/entities/{}", key_at("/a").id());
    assert_eq!(sidecar.manage("DELETE", &entity).await.status, 200);
    assert_eq!(std::fs::metadata(&path).unwrap().nlink(), 1);
    assert!(
        std::fs::read(&path).unwrap() == body(1, 0, N),
        "it was written"
    );
    sidecar.stop().await;
    is_clean(&disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_can_be_asked_for() {
    let disk = Disk::new();
    for name in ["a.mp4", "b.mp4"] {
        disk.put(name, &body(1, 0, N));
    }
    let origin = origin().await;
    let sidecar = disk.sidecar(&origin, &[]).await;
    let ways = [("hardlink", "a", 2), ("copy", "b", 1)];
    for (mode, name, names) in ways {
        let request = json!({
            "mode": mode,
            "pattern": format!("{name}.{{ext}}"),
            "url": format!("http://origin.test/{name}"),
        });
        let report = import(&sidecar, disk.request(request)).await;
        assert_eq!(report["files"][mode], 1, "{report}");
        assert_eq!(report["files"]["unmatched"], 1, "{report}");
        let path = disk.videos().join(format!("{name}.mp4"));
        assert_eq!(std::fs::metadata(path).unwrap().nlink(), names, "{mode}");
        hit(&sidecar, &origin, &format!("/{name}")).await;
    }
    sidecar.stop().await;
    is_clean(&disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_is_told_of() {
    let disk = Disk::new();
    let outside = disk.dir.join("secret");
    std::fs::write(&outside, body(1, 0, N)).unwrap();
    settle(&outside);
    disk.put("good.mp4", &body(1, 0, N));
    disk.put("more/deep.mp4", &body(1, 0, N));
    disk.put("empty.mp4", b"");
    disk.put("notes.txt", b"notes");
    disk.put("other.mp4", &body(2, 0, N));
    disk.put("short.mp4", &body(1, 0, N - 1));
    disk.put("half.mp4.part", &body(1, 0, N));
    std::fs::write(disk.videos().join("young.mp4"), body(1, 0, N)).unwrap();
    symlink(&outside, disk.videos().join("link.mp4")).unwrap();
    symlink(disk.dir.join("videos/more"), disk.videos().join("round")).unwrap();
    let origin = origin().await;
    let sidecar = disk.sidecar(&origin, &[]).await;
    let expect = |good: (&'static str, &'static str), differing: (&'static str, &'static str)| {
        owned(&[
            ("half.mp4.part", "unmatched", ""),
            ("link.mp4", "skipped", "link"),
            ("more/deep.mp4", "unmatched", ""),
            ("notes.txt", "unmatched", ""),
            ("round", "unmatched", ""),
            ("empty.mp4", "skipped", "empty"),
            ("good.mp4", good.0, good.1),
            ("other.mp4", differing.0, differing.1),
            ("short.mp4", differing.0, differing.1),
            ("young.mp4", "skipped", "unfinished"),
        ])
    };
    // What the origin has is not asked for in a dry run.
    let found = ("found", "");
    let dry = import(&sidecar, disk.request(json!({"dry_run": true}))).await;
    assert_eq!(files(&sidecar, &dry).await, expect(found, found));
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(
        sidecar.manage("GET", "/v1/entities").await.body,
        br#"{"items":[],"next":null}"#
    );
    let report = import(&sidecar, disk.request(json!({"mode": "copy"}))).await;
    assert_eq!(
        files(&sidecar, &report).await,
        expect(("imported", "copy"), ("skipped", "differs"))
    );
    assert_eq!(
        report["skipped"],
        json!({"differs": 2, "empty": 1, "link": 1, "unfinished": 1})
    );
    let id = report["id"].as_str().unwrap();
    let some = json_of(
        &sidecar,
        &format!("/v1/imports/{id}/files?reason=differs&limit=1"),
    )
    .await;
    assert_eq!(some["items"][0]["path"], "other.mp4");
    assert!(
        some["items"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("are not the origin's")
    );
    let cursor = some["next"].as_str().unwrap();
    let rest = format!("/v1/imports/{id}/files?reason=differs&limit=1&cursor={cursor}");
    let rest = json_of(&sidecar, &rest).await;
    assert_eq!(rest["items"][0]["path"], "short.mp4");
    hit(&sidecar, &origin, "/good").await;
    // Of those that differ nothing is kept: their bytes are the origin's.
    let got = sidecar.routed_at("/other", "").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    // Nor is any file let in by a pattern that fits in two ways.
    let request =
        disk.request(json!({"pattern": "{a}o{name}.mp4", "url": "http://origin.test/{name}"}));
    let report = import(&sidecar, request).await;
    let told = files(&sidecar, &report).await;
    assert!(
        told.contains(&(
            "good.mp4".to_owned(),
            "skipped".to_owned(),
            "ambiguous".to_owned()
        )),
        "{told:?}"
    );
    sidecar.stop().await;
    is_clean(&disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_folders_that_the_operator_allows_are_read() {
    let disk = Disk::new();
    disk.put("a.mp4", &body(1, 0, N));
    std::fs::create_dir(disk.dir.join("private")).unwrap();
    symlink(disk.dir.join("private"), disk.videos().join("way-out")).unwrap();
    let origin = origin().await;
    let refused = async |sidecar: &Sidecar, request: Value| {
        let got = sidecar
            .manage_with("POST", "/v1/imports", request.to_string())
            .await;
        assert_eq!(got.field("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_slice(&got.body).unwrap();
        (
            got.status.as_u16(),
            problem["detail"].as_str().unwrap().to_owned(),
        )
    };
    let sidecar = disk.sidecar(&origin, &[]).await;
    let videos = disk.videos();
    for (folder, status, expect) in [
        (disk.dir.join("private"), 403, "is in none of import_roots"),
        (videos.join("../private"), 403, "is in none of import_roots"),
        (PathBuf::from("/"), 403, "is in none of import_roots"),
        (PathBuf::from("videos"), 403, "is in none of import_roots"),
        (videos.join("way-out"), 400, "is a symbolic link"),
        (videos.join("absent"), 400, "No such file"),
        (videos.join("a.mp4"), 400, "is not a folder"),
    ] {
        let (got, detail) = refused(&sidecar, disk.request(json!({"folder": folder}))).await;
        assert!(got == status && detail.contains(expect), "{got} {detail}");
    }
    for (fields, expect) in [
        (
            json!({"pattern": "{name"}),
            "pattern: \"{name\" has a brace",
        ),
        (
            json!({"pattern": "../{name}"}),
            "pattern: \"../{name}\" is not part of a path",
        ),
        (
            json!({"url": "http://a/{id}"}),
            "url: {id} is not in the pattern",
        ),
        (json!({"url": null}), "url: absent"),
        (json!({"content_type": "film"}), "content_type: \"film\""),
        (json!({"profile": "youtube"}), "unknown field `profile`"),
    ] {
        let (got, detail) = refused(&sidecar, disk.request(fields)).await;
        assert!(got == 400 && detail.contains(expect), "{got} {detail}");
    }
    for (method, path) in [
        ("GET", "/v1/imports/7"),
        ("DELETE", "/v1/imports/7"),
        ("GET", "/v1/imports/7/files"),
    ] {
        assert_eq!(
            sidecar.manage(method, path).await.status,
            404,
            "{method} {path}"
        );
    }
    sidecar.stop().await;
    is_clean(&disk).await;
    // Without a root nothing can be.
    let sidecar = Sidecar::start(&disk.data(), origin.addr, &[]).await;
    let (got, detail) = refused(&sidecar, disk.request(json!({}))).await;
    assert!(
        got == 403
            && detail.contains(
                "folder: nothing can be imported, for none is configured in import_roots"
            ),
        "{detail}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_takes_the_room_that_is_left() {
    let disk = Disk::new();
    for number in 0..6 {
        disk.put(&format!("{number}.mp4"), &body(1, 0, N));
    }
    let origin = origin().await;
    let sidecar = disk.sidecar(&origin, &["--max-bytes", "16MiB"]).await;
    sidecar
        .policy(json!({"admit": {"watched_percent": 0}}))
        .await;
    assert!(sidecar.routed_at("/viewed", "").await.whole);
    sidecar.stored_at("/viewed", N).await;
    // Of 16 MiB there are 13.9 for what is worth keeping, and a viewer has 2.9 of that.
    let report = import(&sidecar, disk.request(json!({}))).await;
    let told = files(&sidecar, &report).await;
    let count = |outcome: &str| told.iter().filter(|(_, o, _)| o == outcome).count();
    assert_eq!((count("imported"), count("skipped")), (3, 3), "{told:?}");
    assert_eq!(report["skipped"], json!({"no-room": 3}));
    assert_eq!(sidecar.entity_at("/viewed").await["cached_bytes"], N);
    assert_eq!(sidecar.metric("viewcache_evictions_total").await, 0);
    // Where others may go for it, they do, but none that came with it.
    let report = import(&sidecar, disk.request(json!({"evict": true}))).await;
    assert_eq!(report["files"]["known"], 3);
    let told = files(&sidecar, &report).await;
    let imported = told.iter().filter(|(_, outcome, _)| outcome == "imported");
    let names: Vec<String> = imported
        .map(|(path, ..)| path.replace(".mp4", ""))
        .collect();
    assert_eq!(names.len(), 3, "{told:?}");
    for name in names {
        assert_eq!(
            sidecar.entity_at(&format!("/{name}")).await["cached_bytes"],
            N
        );
    }
    let viewed = sidecar.entity_at("/viewed").await["cached_bytes"].as_u64();
    assert!(viewed.is_none_or(|viewed| viewed < N), "{viewed:?}");
    sidecar.stop().await;
    is_clean(&disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_read_from_the_origin_and_the_file_is_never_written() {
    let disk = Disk::new();
    let path = disk.put("a.mp4", &body(1, 0, N));
    let origin = origin().await;
    let sidecar = disk.sidecar(&origin, &[]).await;
    import(&sidecar, disk.request(json!({"mode": "hardlink"}))).await;
    let sent = origin.sent();
    // Somebody writes into the original: the link is the same file.
    let mut bytes = body(1, 0, N);
    bytes[500_000] ^= 1;
    bytes[2_000_000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let got = sidecar.routed_at("/a", "").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert_eq!(origin.sent() - sent, 2 * 65_536);
    assert!(std::fs::read(&path).unwrap() == bytes, "it was written");
    sidecar.stored_at("/a", N).await;
    hit(&sidecar, &origin, "/a").await;
    sidecar.stop().await;
    is_clean(&disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_viewer_has_begun_is_completed_by_the_file() {
    let disk = Disk::new();
    disk.put("a.mp4", &body(1, 0, N));
    disk.put("b.mp4", &body(1, 0, N));
    let origin = origin().await;
    let sidecar = disk.sidecar(&origin, &[]).await;
    assert!(sidecar.routed_at("/a", "1000000-1099999").await.whole);
    sidecar.stored_at("/a", 100_000).await;
    // Stored under a validator that the origin does not have any more.
    origin.change(|script| script.version = 2);
    assert!(sidecar.routed_at("/b", "0-99999").await.whole);
    sidecar.stored_at("/b", 100_000).await;
    origin.change(|script| script.version = 1);
    let report = import(&sidecar, disk.request(json!({}))).await;
    assert_eq!(report["skipped"], json!({}), "{report}");
    for path in ["/a", "/b"] {
        hit(&sidecar, &origin, path).await;
    }
    sidecar.stop().await;
    is_clean(&disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_goes_on_where_it_was() {
    let disk = Disk::new();
    for number in 0..8 {
        disk.put(&format!("{number}.mp4"), &body(1, 0, N));
    }
    let origin = origin().await;
    let videos = disk.videos();
    let flags = ["--import-roots", videos.to_str().unwrap()];
    let (sidecar, mut process) = Sidecar::spawn(&disk.data(), origin.addr, &flags).await;
    sidecar
        .policy(json!({"imports": {"bytes_per_second": 12_000_000}}))
        .await;
    let location = start(&sidecar, disk.request(json!({"mode": "copy"}))).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let report = json_of(&sidecar, &location).await;
        assert_ne!(report["status"], "failed", "{report}");
        if 3 <= report["files"]["copy"].as_u64().unwrap() {
            break;
        }
        assert!(Instant::now() < deadline, "{report}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let (report, mut problems) = check(&disk.data()).await;
    // A file whose first row had not been written yet.
    problems.retain(|problem| !matches!(problem, Problem::Orphan(_)));
    assert_eq!(problems, [], "{report:?}");

    let sent = origin.sent();
    let (sidecar, mut process) = Sidecar::spawn(&disk.data(), origin.addr, &flags).await;
    let report = ended(&sidecar, &location).await;
    assert_eq!(report["status"], "complete");
    let known = report["files"]["known"].as_u64().unwrap();
    let copied = report["files"]["copy"].as_u64().unwrap();
    assert!(3 <= known && known + copied == 8, "{report}");
    assert!(origin.sent() - sent <= 8 * SAMPLES);
    for number in 0..8 {
        hit(&sidecar, &origin, &format!("/{number}")).await;
    }
    process.kill().unwrap();
    process.wait().unwrap();
    is_clean(&disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_import_ends() {
    let disk = Disk::new();
    disk.put("a.mp4", &body(1, 0, N));
    disk.put("b.mp4", &body(1, 0, N));
    let origin = origin().await;
    let sidecar = disk.sidecar(&origin, &["--max-bytes", "64MiB"]).await;
    sidecar
        .policy(json!({"imports": {"bytes_per_second": 1_000_000}}))
        .await;
    let first = start(&sidecar, disk.request(json!({"mode": "copy"}))).await;
    let second = start(
        &sidecar,
        disk.request(json!({"pattern": "b.{ext}", "url": "http://origin.test/b"})),
    )
    .await;
    assert_eq!(json_of(&sidecar, &second).await["status"], "queued");
    sidecar
        .policy(json!({"imports": {"bytes_per_second": 0}}))
        .await;
    assert_eq!(sidecar.manage("DELETE", &first).await.status, 204);
    assert_eq!(sidecar.manage("GET", &first).await.status, 404);
    ended(&sidecar, &second).await;
    assert_eq!(sidecar.manage("DELETE", &second).await.status, 204);
    assert_eq!(json_of(&sidecar, "/v1/imports").await["items"], json!([]));
    sidecar.stop().await;
    is_clean(&disk).await;
}

/// A folder on an XFS of its own that shares blocks; `None` where there is none to be had.
fn sharing_disk(test: &str, folder: &Path) -> Option<tempfile::TempDir> {
    let image = folder.join("disk.img");
    let file = File::create(&image).unwrap();
    file.set_len(320 * MIB).unwrap();
    let run = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let made = run(Command::new("mkfs.xfs")
        .args(["-q", "-m", "reflink=1"])
        .arg(&image));
    if !made {
        eprintln!("{test}: skipped, mkfs.xfs makes no file system with reflinks here");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    if !run(mount.args(["-o", "loop"]).arg(&image).arg(dir.path())) {
        eprintln!("{test}: skipped, no XFS can be mounted here");
        return None;
    }
    Some(dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reflink_takes_no_room_on_the_disk_and_stays_what_it_was() {
    let test = "imports::a_reflink_takes_no_room_on_the_disk_and_stays_what_it_was";
    if !inside(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = sharing_disk(test, folder.path()) else {
        return;
    };
    let disk = Disk::on(disk);
    let length = 40 * MIB + 12_345;
    let path = disk.put("a.mp4", &body(1, 0, length));
    let origin = Origin::start(Script {
        complete_length: length,
        ..Script::default()
    })
    .await;
    // What is written counts when it is on the disk.
    let flush = || rustix::fs::syncfs(File::open(&disk.dir).unwrap()).unwrap();
    flush();
    // Without room for a copy: the disk has a floor that it is at.
    let (_, free) = space(&disk.dir);
    let floor = (free - 16 * MIB).to_string();
    let sidecar = disk.sidecar(&origin, &["--min-free", &floor]).await;
    let (_, before) = space(&disk.dir);
    let report = import(&sidecar, disk.request(json!({}))).await;
    assert_eq!(report["files"]["reflink"], 1, "{report}");
    flush();
    let (_, after) = space(&disk.dir);
    let taken = before.saturating_sub(after);
    eprintln!("{length} bytes imported, {taken} bytes of disk taken");
    assert!(taken < 4 * MIB, "{taken} bytes of disk are taken");
    // Whatever becomes of the file, the entity is what it was.
    std::fs::write(&path, vec![0; 1000]).unwrap();
    let asked = origin.requests().len();
    let got = sidecar.routed_at("/a", "").await;
    assert!(got.whole && got.body == body(1, 0, length), "wrong bytes");
    assert_eq!(origin.requests().len(), asked, "the origin was asked");
    sidecar.stop().await;
    is_clean(&disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gives_the_disk_nothing_back_does_not_go_for_its_floor() {
    if !inside("imports::what_gives_the_disk_nothing_back_does_not_go_for_its_floor") {
        return;
    }
    let disk = Disk::on(small_disk(96));
    for number in 0..4 {
        disk.put(&format!("{number}.mp4"), &body(1, 0, 4 * MIB));
    }
    let origin = Origin::start(Script {
        complete_length: 4 * MIB,
        ..Script::default()
    })
    .await;
    let sidecar = disk.sidecar(&origin, &["--min-free", "32MiB"]).await;
    sidecar
        .policy(json!({"admit": {"watched_percent": 0}}))
        .await;
    let report = import(&sidecar, disk.request(json!({"mode": "hardlink"}))).await;
    assert_eq!(report["files"]["hardlink"], 4, "{report}");
    // More than fits: what viewers bring goes for what others bring.
    for number in 0..24 {
        let got = sidecar.routed_at(&format!("/viewed/{number}"), "").await;
        assert!(got.whole && got.body == body(1, 0, 4 * MIB), "wrong bytes");
    }
    assert!(0 < sidecar.metric("viewcache_evictions_total").await);
    let (_, free) = space(&disk.dir);
    assert!(28 * MIB <= free, "{free}");
    for number in 0..4 {
        let entity = sidecar.entity_at(&format!("/{number}")).await;
        assert_eq!(entity["cached_bytes"], 4 * MIB, "{entity}");
    }
    sidecar.stop().await;
    is_clean(&disk).await;
}
