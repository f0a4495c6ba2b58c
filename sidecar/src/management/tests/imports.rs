use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::World;

/// A folder with two films, a link and something else, and a world that may import them.
fn library() -> (World, TempDir) {
    let videos = tempfile::tempdir().unwrap();
    for name in ["a.mp4", "b.mp4", "cover.jpg"] {
        std::fs::write(videos.path().join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("a.mp4", videos.path().join("c.mp4")).unwrap();
    let root = videos.path().to_str().unwrap().to_owned();
    (World::with(&["--import-roots", &root]), videos)
}

fn request(folder: &Path) -> Value {
    json!({
        "folder": folder,
        "pattern": "{name}.mp4",
        "url": "http://media.test/{name}",
        "dry_run": true,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_asked_for_shown_listed_and_deleted() {
    let (world, videos) = library();
    for number in ["1", "2", "3"] {
        let got = world
            .send("POST", "/v1/imports", &request(videos.path()), &[])
            .await;
        assert_eq!(got.status, 202, "{:?}", got.body);
        assert_eq!(got.field("location"), format!("/v1/imports/{number}"));
        assert_eq!(got.json()["id"], number);
    }
    // Nobody runs them here.
    let report = world.get("/v1/imports/2").await.json();
    assert_eq!(
        (&report["status"], &report["finished_at"]),
        (&json!("queued"), &Value::Null)
    );
    assert_eq!(report["request"]["mode"], "auto");
    let page = world.get("/v1/imports?limit=2").await.json();
    assert_eq!(
        (super::members(&page, "id"), &page["next"]),
        (vec![json!("1"), json!("2")], &json!("2"))
    );
    let page = world.get("/v1/imports?limit=2&cursor=2").await.json();
    assert_eq!(
        (super::members(&page, "id"), &page["next"]),
        (vec![json!("3")], &Value::Null)
    );
    let page = world.get("/v1/imports?status=complete").await.json();
    assert_eq!(page["items"], json!([]));
    assert_eq!(world.call("DELETE", "/v1/imports/2").await.status, 204);
    world.get("/v1/imports/2").await.problem(404);
    world.call("DELETE", "/v1/imports/2").await.problem(404);
    let page = world.get("/v1/imports").await.json();
    assert_eq!(super::members(&page, "id"), [json!("1"), json!("3")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_each_file_is_told() {
    let (world, videos) = library();
    let running = tokio::spawn(std::sync::Arc::clone(&world.service).run_imports());
    world
        .send("POST", "/v1/imports", &request(videos.path()), &[])
        .await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let report = loop {
        let report = world.get("/v1/imports/1").await.json();
        if report["finished_at"].is_string() {
            break report;
        }
        assert!(Instant::now() < deadline, "{report}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    running.abort();
    assert_eq!(report["status"], "complete");
    assert_eq!(report["skipped"], json!({"link": 1, "unfinished": 2}));
    let page = world.get("/v1/imports/1/files?limit=3").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
    let rest = format!(
        "/v1/imports/1/files?cursor={}",
        page["next"].as_str().unwrap()
    );
    let rest = world.get(&rest).await.json();
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), &rest["next"]),
        (1, &Value::Null)
    );
    for (query, paths) in [
        ("outcome=unmatched", &["cover.jpg"][..]),
        ("reason=link", &["c.mp4"]),
        ("outcome=skipped&reason=unfinished", &["a.mp4", "b.mp4"]),
        ("outcome=imported", &[]),
    ] {
        let page = world.get(&format!("/v1/imports/1/files?{query}")).await;
        let page = page.json();
        assert_eq!(super::members(&page, "path"), paths, "{query}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_makes_no_sense_is_refused_with_field_and_value() {
    let (world, videos) = library();
    let folder = videos.path();
    let outside = folder.join("..");
    for (fields, status, field, value) in [
        (json!({"folder": "/etc"}), 403, "folder", json!("/etc")),
        (json!({"folder": outside}), 403, "folder", json!(outside)),
        (json!({"folder": "films"}), 403, "folder", json!("films")),
        (
            json!({"folder": folder.join("c.mp4")}),
            400,
            "folder",
            json!(folder.join("c.mp4")),
        ),
        (json!({"folder": 7}), 400, "folder", json!(7)),
        (json!({"pattern": ""}), 400, "pattern", json!("")),
        (json!({"pattern": "{name"}), 400, "pattern", json!("{name")),
        (
            json!({"pattern": "../{name}"}),
            400,
            "pattern",
            json!("../{name}"),
        ),
        (
            json!({"url": "http://a/{id}"}),
            400,
            "url",
            json!("http://a/{id}"),
        ),
        (json!({"mode": "move"}), 400, "mode", json!("move")),
        (
            json!({"content_type": "film"}),
            400,
            "content_type",
            json!("film"),
        ),
        (json!({"evict": "yes"}), 400, "evict", json!("yes")),
        (json!({"files": 1}), 400, "files", json!(1)),
    ] {
        let mut body = request(folder);
        let fields = fields.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(fields);
        let got = world.send("POST", "/v1/imports", &body, &[]).await;
        let problem = got.problem(status);
        assert_eq!(problem["field"], field, "{problem}");
        assert_eq!(problem["value"], value, "{problem}");
    }
    for (path, field, value) in [
        ("/v1/imports/x", "id", "x"),
        ("/v1/imports/-1", "id", "-1"),
        ("/v1/imports?cursor=x", "cursor", "x"),
        ("/v1/imports?status=gone", "status", "gone"),
        ("/v1/imports/1/files?reason=whim", "reason", "whim"),
        ("/v1/imports/1/files?outcome=link", "outcome", "link"),
    ] {
        let problem = world.get(path).await.problem(400);
        assert_eq!(
            (&problem["field"], &problem["value"]),
            (&json!(field), &json!(value))
        );
    }
    // Where the operator has named no folder there is none.
    let alone = World::new();
    let got = alone
        .send("POST", "/v1/imports", &request(folder), &[])
        .await;
    let problem = got.problem(403);
    assert_eq!(problem["field"], "folder");
}
