//! Files that were downloaded before viewcache: a viewer's URL finds them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use e2e::checkout::Checkout;
use e2e::client::{HOST, Request};
use e2e::content::Content;
use e2e::management;
use e2e::origin::Script;
use e2e::poll::until;
use e2e::stack::{Options, Profile};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::downloads::call;
use crate::world::{KIB, MIB, SOON, World, rules};

const VIDEO: &str = "/videoplayback";
const N: u64 = 5 * MIB + 4321;

/// Files that were downloaded before, and a stack that may import them; data folder and files are
/// on one disk.
struct Library {
    world: World,
    videos: PathBuf,
    data: PathBuf,
    _folder: TempDir,
    _rules: TempDir,
}

impl Library {
    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (videos, data) = (folder.path().join("videos"), folder.path().join("data"));
        std::fs::create_dir(&videos).unwrap();
        let roots = format!("import_roots = [{:?}]", videos.to_str().unwrap());
        let (file, rules) = rules(&roots);
        let world = World::with(|options| {
            options.sidecar_config = Some(file);
            options.data = Some(data.clone());
            change(options);
        });
        Self {
            world: world.await,
            videos,
            data,
            _folder: folder,
            _rules: rules,
        }
    }

    async fn of_videos() -> Self {
        Self::with(|options| options.profile = Profile::Youtube).await
    }

    /// Puts a file there that was downloaded an hour ago.
    fn put(&self, name: &str, content: Content) -> PathBuf {
        let path = self.videos.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content.bytes(0..content.length())).unwrap();
        settle(&path);
        path
    }

    /// Imports the folder, and waits for the end of that.
    async fn import(&self, fields: Value) -> Value {
        let id = self.start(fields).await;
        self.ended(&id).await
    }

    async fn start(&self, fields: Value) -> String {
        let mut request = json!({"folder": self.videos, "pattern": "{video_id}-{itag}.{ext}"});
        let fields = fields.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(fields);
        let (status, report) = call(&self.world, "POST", "/v1/imports", request).await;
        assert_eq!(status, 202, "{report}");
        report["id"].as_str().unwrap().to_owned()
    }

    async fn ended(&self, id: &str) -> Value {
        let mut last = Value::Null;
        let ended = until("the import ends", 6 * SOON, async || {
            last = self.report(id).await;
            last["finished_at"].is_string().then(|| last.clone())
        });
        match ended.await {
            Ok(report) => report,
            Err(error) => panic!("{error}: {last}"),
        }
    }

    async fn report(&self, id: &str) -> Value {
        let target = format!("/v1/imports/{id}");
        management::json(self.world.stack.manage(0), &target)
            .await
            .unwrap()
    }

    /// The sidecar is killed, and what it leaves agrees with itself.
    async fn ends_clean(mut self) {
        self.world.stack.stop_sidecar(0).await.unwrap();
        let sidecar = Checkout::find().unwrap().product("viewcache-sidecar");
        let check = Command::new(sidecar.unwrap())
            .args(["check", "--data", self.data.to_str().unwrap()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stdout);
        assert_eq!(check.status.code(), Some(0), "{said}");
        assert!(said.contains(", 0 bytes of disk not indexed"), "{said}");
    }
}

fn settle(path: &Path) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let hour = Duration::from_secs(3600);
    file.set_modified(SystemTime::now() - hour).unwrap();
}

/// What a viewer's URL of a video is, signature and all.
fn url(video: &str, itag: u32, lmt: u32, length: u64) -> String {
    format!(
        "{VIDEO}?expire=4000000000&ei=x&v={video}&itag={itag}&lmt={lmt}&clen={length}&mime=video%2Fmp4&sig=abc"
    )
}

fn key(video: &str, itag: u32, lmt: u32, length: u64) -> String {
    format!("youtube:v={video}&itag={itag}&lmt={lmt}&clen={length}")
}

#[tokio::test]
async fn a_viewers_url_finds_what_was_imported_without_the_origin() {
    let library = Library::of_videos().await;
    let films: Vec<(String, Content)> = ["dQw4-w9WgXc", "a-b_C-d_e-f", "0123456789a"]
        .iter()
        .map(|id| ((*id).to_owned(), Content::new(id, N)))
        .collect();
    let mut originals = Vec::new();
    for (id, content) in &films {
        originals.push(library.put(&format!("{id}-22.mp4"), *content));
    }
    let sound = Content::new("sound", 700 * KIB);
    library.put("dQw4-w9WgXc-140.mp4", sound);
    library.put("cover.jpg", Content::new("cover", 1000));
    // One is asked for before it is there.
    let first = Request::get(&url(&films[0].0, 22, 1_700_000, N));
    library
        .world
        .view(&first, films[0].1)
        .await
        .expect(404, &[]);
    let report = library.import(json!({})).await;
    let counts = &report["files"];
    assert_eq!(
        (&counts["matched"], &counts["unmatched"]),
        (&json!(4), &json!(1)),
        "{report}"
    );
    let shared = counts["reflink"].as_u64().unwrap() + counts["hardlink"].as_u64().unwrap();
    assert_eq!(shared, 4, "{report}");
    // Not a byte is asked of the origin, which does not even have them.
    let world = &library.world;
    for (id, content) in &films {
        let imported = world
            .entity(&format!("youtube:v={id}&itag=22&clen={N}"))
            .await;
        assert_eq!(imported.unwrap()["status"], "complete");
        let part = Request::get(&url(id, 22, 1_700_000, N)).range("1000000-4999999");
        let view = world.hit(&part, *content).await;
        view.expect(206, &["hit"]);
        let view = world
            .hit(&Request::get(&url(id, 22, 1_700_000, N)), *content)
            .await;
        view.expect(200, &["hit"]);
        assert_eq!(view.head.get("content-type"), Some("video/mp4"));
        assert_eq!(view.head.get("accept-ranges"), Some("bytes"));
        // From now on it has the viewer's key.
        let entity = world.entity(&key(id, 22, 1_700_000, N)).await.unwrap();
        assert_eq!(entity["provisional"], false);
        assert_eq!(entity["hits"], 2);
        assert_eq!(entity["imported"]["proven"], false);
        let before = format!("youtube:v={id}&itag=22&clen={N}");
        assert!(world.entity(&before).await.is_none());
    }
    let view = world
        .hit(&Request::get(&url("dQw4-w9WgXc", 140, 5, 700 * KIB)), sound)
        .await;
    assert_eq!(view.head.get("content-type"), Some("audio/mp4"));
    assert_eq!(world.origin.seen(VIDEO).len(), 1);
    // Its quality is one of the video's, as any other.
    let video = management::json(world.stack.manage(0), "/v1/videos/dQw4-w9WgXc");
    assert_eq!(
        video.await.unwrap()["entities"].as_array().unwrap().len(),
        2
    );
    // What is imported once is known, whatever it is called by now.
    let again = library.import(json!({})).await;
    assert_eq!(again["files"]["known"], 4, "{again}");
    // It is pinned, unpinned and purged like any other; the file stays.
    let entity = world
        .entity(&key(&films[0].0, 22, 1_700_000, N))
        .await
        .unwrap();
    let target = format!("/v1/entities/{}", entity["id"].as_str().unwrap());
    for (method, path) in [("PUT", "/pin"), ("DELETE", "/pin"), ("DELETE", "")] {
        let (status, answer) = call(world, method, &format!("{target}{path}"), Value::Null).await;
        assert!((200..300).contains(&status), "{method} {path}: {answer}");
    }
    for (path, (_, content)) in originals.iter().zip(&films) {
        assert!(
            std::fs::read(path).unwrap() == content.bytes(0..N),
            "it was written"
        );
    }
    library.ends_clean().await;
}

#[tokio::test]
async fn what_was_imported_is_compared_before_the_origins_bytes_stand_beside_it() {
    let library = Library::of_videos().await;
    let (right, wrong) = (Content::new("right", N), Content::new("wrong", N));
    let good = library.put("good-22.mp4", right);
    let bad = library.put("bad-22.mp4", wrong);
    let report = library.import(json!({"mode": "hardlink"})).await;
    assert_eq!(report["files"]["hardlink"], 2, "{report}");
    let world = &library.world;
    world.origin.script(VIDEO, Script::new(right));
    // Until something is missing, nothing is asked.
    world
        .hit(&Request::get(&url("good", 22, 7, N)), right)
        .await;
    world.hit(&Request::get(&url("bad", 22, 7, N)), wrong).await;
    // Both files are written into, by whom they belong to.
    for (path, content) in [(&good, right), (&bad, wrong)] {
        let mut bytes = content.bytes(0..N);
        bytes[3_000_000] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    // The damage is healed inside the response, once the origin has shown that it has the same.
    let view = world
        .view(&Request::get(&url("good", 22, 7, N)), right)
        .await;
    view.expect(200, &[]);
    let sent = world.origin.sent(VIDEO);
    assert!((65_536..=4 * 65_536).contains(&sent), "{sent}");
    world.stored(&key("good", 22, 7, N), &[(0, N)]).await;
    let entity = world.entity(&key("good", 22, 7, N)).await.unwrap();
    assert_eq!(entity["imported"]["proven"], true);
    // The other is found out: no viewer gets bytes of both.
    let request = Request::get(&url("bad", 22, 7, N)).range("2900000-3099999");
    let mut response = world.try_open(&request).await.unwrap();
    if let Ok(body) = response.rest().await {
        right.check(2_900_000, &body).unwrap();
    }
    let replaced = until("it is the origin's", SOON, async || {
        let request = Request::get(&url("bad", 22, 7, N));
        let mut response = world.try_open(&request).await.unwrap();
        let body = response.rest().await.ok()?;
        right.check(0, &body).ok()
    });
    replaced.await.unwrap();
    let stored = world.stored(&key("bad", 22, 7, N), &[(0, N)]).await;
    assert_eq!(stored["imported"], Value::Null);
    let history = format!("/v1/entities/{}/history", stored["id"].as_str().unwrap());
    let history = management::json(world.stack.manage(0), &history)
        .await
        .unwrap();
    assert_eq!(
        history["declined"]["import-differs"]["times"], 1,
        "{history}"
    );
    library.ends_clean().await;
}

#[tokio::test]
async fn any_url_can_be_that_of_a_file() {
    let fields = r#""profiles": [{"name": "films", "path": "/films/{id}/{file*}", "key": ["{id}"], "immutable": true}]"#;
    let library = Library::with(|options| options.filter_fields = Some(fields.to_owned())).await;
    let film = Content::new("film", N);
    library.put("7/the film.mkv", film);
    library.put("clips/a b.mp4", Content::new("clip", MIB));
    let world = &library.world;
    // A profile whose keys alone name the bytes needs no word of the origin.
    let films = json!({
        "pattern": "{id}/{file}.mkv",
        "url": format!("http://{HOST}/films/{{id}}/{{file}}.mkv"),
    });
    let report = library.import(films).await;
    assert_eq!(
        (&report["files"]["matched"], &report["skipped"]),
        (&json!(1), &json!({})),
        "{report}"
    );
    let view = world
        .hit(&Request::get("/films/7/the%20film.mkv?token=x"), film)
        .await;
    assert_eq!(view.head.get("content-type"), Some("video/x-matroska"));
    assert_eq!(world.origin.seen_at_all().len(), 0);
    // Any other URL is asked for first: what the origin has counts.
    let clip = world.serve("/clips/a%20b.mp4", MIB);
    let clips = json!({"pattern": "clips/{file}", "url": format!("http://{HOST}/clips/{{file}}")});
    let report = library.import(clips.clone()).await;
    assert_eq!(report["skipped"], json!({"differs": 1}), "{report}");
    library.put("clips/a b.mp4", clip);
    let report = library.import(clips).await;
    assert_eq!(report["skipped"], json!({}), "{report}");
    assert!(world.origin.sent("/clips/a%20b.mp4") <= 4 * 65_536);
    let view = world.hit(&Request::get("/clips/a%20b.mp4"), clip).await;
    // It is the origin's in every way.
    assert_eq!(view.head.get("etag"), Some("\"v1\""));
    assert_eq!(view.head.get("cache-control"), Some("max-age=3600"));
    library.ends_clean().await;
}

#[tokio::test]
async fn a_killed_import_goes_on_and_viewers_do_not_notice() {
    let mut library = Library::of_videos().await;
    let contents: Vec<Content> = (0..8).map(|n| Content::new(&format!("k{n}"), N)).collect();
    for (n, content) in contents.iter().enumerate() {
        library.put(&format!("k{n}-22.mp4"), *content);
    }
    library
        .world
        .policy(json!({"imports": {"bytes_per_second": 16_000_000}}))
        .await;
    let id = library.start(json!({"mode": "copy"})).await;
    for _ in 0..2 {
        let before = library.report(&id).await["files"]["bytes"]
            .as_u64()
            .unwrap();
        let goes_on = until("it goes on", SOON, async || {
            let now = library.report(&id).await["files"]["bytes"]
                .as_u64()
                .unwrap();
            (before + N <= now).then_some(())
        });
        goes_on.await.unwrap();
        library.world.stack.sidecar(0).kill().await.unwrap();
        library.world.stack.start_sidecar(0).await.unwrap();
    }
    let report = library.ended(&id).await;
    assert_eq!(report["status"], "complete");
    let counts = &report["files"];
    let (known, copied) = (
        counts["known"].as_u64().unwrap(),
        counts["copy"].as_u64().unwrap(),
    );
    assert!(1 <= known && known + copied == 8, "{report}");
    for (n, content) in contents.iter().enumerate() {
        let request = Request::get(&url(&format!("k{n}"), 22, 9, N));
        library.world.hit(&request, *content).await;
    }
    library.ends_clean().await;
}

#[tokio::test]
async fn what_cannot_be_imported_is_told_of() {
    let library = Library::with(|options| {
        options.profile = Profile::Youtube;
        options.max_bytes = Some("16MiB".to_owned());
    })
    .await;
    let world = &library.world;
    let content = Content::new("some", N);
    for n in 0..4 {
        library.put(&format!("r{n}-22.mp4"), content);
    }
    let secret = library.data.with_file_name("secret-22.mp4");
    std::fs::write(&secret, b"secret").unwrap();
    settle(&secret);
    std::os::unix::fs::symlink(&secret, library.videos.join("s-22.mp4")).unwrap();
    library.put("no-quality.mp4", content);
    let report = library.import(json!({})).await;
    // Two of 5 MiB fit into what 16 MiB have for what is worth keeping.
    assert_eq!(
        report["skipped"],
        json!({"link": 1, "no-room": 2}),
        "{report}"
    );
    assert_eq!(report["files"]["unmatched"], 1);
    let target = format!(
        "/v1/imports/{}/files?reason=no-room",
        report["id"].as_str().unwrap()
    );
    let files = management::json(world.stack.manage(0), &target)
        .await
        .unwrap();
    let detail = files["items"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("bytes are needed"), "{detail}");
    for (fields, status) in [
        (json!({"folder": "/etc"}), 403),
        (json!({"folder": library.videos.join("../data")}), 403),
        (json!({"pattern": "{itag}.mp4"}), 400),
    ] {
        let mut request = json!({"folder": library.videos, "pattern": "{video_id}-{itag}.mp4"});
        let fields = fields.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(fields);
        let (got, problem) = call(world, "POST", "/v1/imports", request).await;
        assert_eq!(got, status, "{problem}");
    }
    library.ends_clean().await;
}
