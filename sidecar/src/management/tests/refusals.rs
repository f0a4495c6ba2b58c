use serde_json::{Value, json};

use super::World;
use crate::events::MAX_SUBSCRIBERS;

const ID: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_a_problem() {
    let world = World::new();
    for path in [
        "/v2".to_owned(),
        "/v1/entities/".to_owned(),
        "/v1/entities/x/y".to_owned(),
        format!("/v1/entities/{ID}"),
        format!("/v1/entities/{ID}/coverage"),
        format!("/v1/entities/{ID}/history"),
        format!("/v1/downloads/{ID}"),
        "/v1/videos/nobody".to_owned(),
        "/v1/channels/nobody".to_owned(),
    ] {
        let problem = world.get(&path).await.problem(404);
        assert!(problem["field"].is_string(), "{path}: {problem}");
        assert!(problem["value"].is_string(), "{path}: {problem}");
    }
    for (method, path) in [
        ("DELETE", format!("/v1/entities/{ID}")),
        ("PUT", format!("/v1/entities/{ID}/pin")),
        ("DELETE", format!("/v1/entities/{ID}/pin")),
        ("DELETE", format!("/v1/downloads/{ID}")),
        ("POST", format!("/v1/downloads/{ID}/pause")),
        ("POST", format!("/v1/downloads/{ID}/resume")),
        ("DELETE", "/v1/videos/nobody".to_owned()),
        ("DELETE", "/v1/channels/nobody".to_owned()),
    ] {
        world.call(method, &path).await.problem(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_says_which_methods_it_has() {
    let world = World::new();
    for (method, path, allow) in [
        ("PUT", "/v1/entities", "GET, HEAD"),
        ("POST", "/v1/entities/x", "DELETE, GET, HEAD"),
        ("GET", "/v1/entities/x/pin", "DELETE, PUT"),
        ("DELETE", "/v1/policy", "GET, HEAD, PATCH, PUT"),
        ("GET", "/v1/purges", "POST"),
        ("OPTIONS", "/healthz", "GET, HEAD"),
        ("GET", "/v1/channels/import", "POST"),
    ] {
        let got = world.call(method, path).await;
        assert_eq!(got.field("allow"), allow, "{method} {path}");
        let problem = got.problem(405);
        assert_eq!(
            (&problem["field"], &problem["value"]),
            (&json!("method"), &json!(method))
        );
    }
    for path in ["/healthz", "/v1/policy", "/v1/stats"] {
        assert_eq!(world.call("HEAD", path).await.status, 200, "{path}");
        assert_eq!(world.get(path).await.field("cache-control"), "no-store");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_named() {
    let world = World::new();
    for (path, field, value) in [
        ("/v1/entities?limit=0", "limit", "0"),
        ("/v1/entities?limit=1001", "limit", "1001"),
        ("/v1/entities?limit=5&limit=6", "limit", "6"),
        ("/v1/entities?sort=size", "sort", "size"),
        ("/v1/entities?cursor=x", "cursor", "x"),
        ("/v1/entities?sort=hits&cursor=5", "cursor", "5"),
        ("/v1/entities?status=whole", "status", "whole"),
        ("/v1/entities?pinned=yes", "pinned", "yes"),
        ("/v1/entities?coverage=257", "coverage", "257"),
        ("/v1/entities?colour=red", "colour", "red"),
        ("/v1/entities/xyz", "id", "xyz"),
        ("/v1/entities/xyz/coverage", "id", "xyz"),
        ("/v1/videos?sort=itag", "sort", "itag"),
        ("/v1/videos/a%2Fb", "id", "a/b"),
        ("/v1/channels/%20", "id", " "),
        ("/v1/channels?limit=x", "limit", "x"),
        ("/v1/downloads?status=gone", "status", "gone"),
        ("/v1/downloads?cursor=1", "cursor", "1"),
        ("/v1/policy?x=1", "x", "1"),
        ("/v1/stats?x=1", "x", "1"),
        ("/v1/events?types=stored,sold", "types", "sold"),
    ] {
        let problem = world.get(path).await.problem(400);
        assert_eq!(problem["field"], field, "{path}: {problem}");
        assert_eq!(problem["value"], value, "{path}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("{field}: ")), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_meant_is_refused_with_field_and_value() {
    let world = World::new();
    let long = "x".repeat(600);
    for (method, path, body, field, value) in [
        (
            "PUT",
            "/v1/policy",
            json!({"admit": {"watched_percent": 101}}),
            "admit.watched_percent",
            json!(101),
        ),
        (
            "PATCH",
            "/v1/policy",
            json!({"admit": {"viewers": "many"}}),
            "admit.viewers",
            json!("many"),
        ),
        (
            "PATCH",
            "/v1/policy",
            json!({"keep": "all"}),
            "keep",
            json!("all"),
        ),
        (
            "PUT",
            "/v1/policy",
            json!({"admitt": {}}),
            "admitt",
            json!({}),
        ),
        (
            "PUT",
            "/v1/policy",
            json!({"admit": {"percent": 5}}),
            "admit.percent",
            json!(5),
        ),
        (
            "PUT",
            "/v1/videos/v",
            json!({"duration": -1.5}),
            "duration",
            json!(-1.5),
        ),
        (
            "PATCH",
            "/v1/videos/v",
            json!({"channel": "a/b"}),
            "channel",
            json!("a/b"),
        ),
        (
            "PUT",
            "/v1/videos/v",
            json!({"title": long}),
            "title",
            json!(long),
        ),
        ("PUT", "/v1/videos/v", json!({"id": "v"}), "id", json!("v")),
        (
            "PUT",
            "/v1/channels/c",
            json!({"watched_percent": 200}),
            "watched_percent",
            json!(200),
        ),
        (
            "PATCH",
            "/v1/channels/c",
            json!({"mode": "always"}),
            "mode",
            json!("always"),
        ),
        (
            "POST",
            "/v1/purges",
            json!({"entity": "x"}),
            "entity",
            json!("x"),
        ),
        (
            "POST",
            "/v1/purges",
            json!({"video": ""}),
            "video",
            json!(""),
        ),
        (
            "POST",
            "/v1/purges",
            json!({"everything": true}),
            "everything",
            json!(true),
        ),
        (
            "POST",
            "/v1/evictions",
            json!({"bytes": -1}),
            "bytes",
            json!(-1),
        ),
        (
            "POST",
            "/v1/downloads",
            json!({"url": "film"}),
            "url",
            json!("film"),
        ),
        (
            "POST",
            "/v1/downloads",
            json!({"entity": "x"}),
            "entity",
            json!("x"),
        ),
    ] {
        let got = world.send(method, path, &body, &[]).await;
        let problem = got.problem(400);
        assert_eq!(problem["field"], field, "{body}: {problem}");
        assert_eq!(problem["value"], value, "{body}: {problem}");
    }
    for (method, path, body) in [
        ("PUT", "/v1/policy", json!(5)),
        ("PATCH", "/v1/policy", json!([])),
        ("PATCH", "/v1/channels/c", json!("x")),
        ("POST", "/v1/purges", json!({})),
        ("POST", "/v1/purges", json!({"all": false})),
        ("POST", "/v1/purges", json!({"all": true, "video": "x"})),
        ("POST", "/v1/evictions", json!({})),
        ("POST", "/v1/downloads", json!({})),
    ] {
        let problem = world.send(method, path, &body, &[]).await.problem(400);
        assert!(
            problem["detail"].as_str().unwrap().contains(": "),
            "{body}: {problem}"
        );
    }
    let zeros = "0".repeat(32);
    let unknown = json!({"entity": zeros});
    let problem = world
        .send("POST", "/v1/downloads", &unknown, &[])
        .await
        .problem(404);
    assert_eq!(problem["field"], "entity");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_be_json_and_short() {
    let world = World::new();
    let put = |kind: Option<&str>, body: String| {
        let request = warp::test::request().method("PUT").path("/v1/policy");
        let request = match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        };
        request.body(body)
    };
    for kind in [
        None,
        Some("text/plain"),
        Some("application/merge-patch+json"),
    ] {
        let got = world.ask(put(kind, "{}".to_owned())).await;
        assert_eq!(got.field("accept"), "application/json");
        let problem = got.problem(415);
        assert_eq!(problem["field"], "content-type");
        assert_eq!(problem["value"], kind.unwrap_or(""));
    }
    let json = Some("application/json");
    let long = format!("{{\"mode\": \"{}\"}}", "x".repeat(65 << 10));
    let problem = world.ask(put(json, long)).await.problem(413);
    assert_eq!(problem["field"], "content-length");
    world.ask(put(json, "{".to_owned())).await.problem(400);
    let chunked = warp::test::request()
        .method("PUT")
        .path("/v1/policy")
        .header("content-type", "application/json")
        .header("transfer-encoding", "chunked");
    let problem = world.ask(chunked).await.problem(411);
    assert_eq!(problem["field"], "content-length");
    let patch = warp::test::request()
        .method("PATCH")
        .path("/v1/policy")
        .header(
            "content-type",
            "application/merge-patch+json; charset=utf-8",
        )
        .body("{}");
    assert_eq!(world.ask(patch).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_listen_than_may() {
    let world = World::new();
    let events = &world.service.events;
    let _all: Vec<_> = (0..MAX_SUBSCRIBERS)
        .map(|_| events.subscribe(None))
        .collect();
    let got = world.get("/v1/events").await;
    assert_eq!(got.field("retry-after"), "5");
    let problem = got.problem(503);
    assert_eq!(problem.get("field"), None::<&Value>);
}
