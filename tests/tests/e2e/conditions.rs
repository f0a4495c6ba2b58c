//! Conditional requests and HEAD, answered from the store where a cache may
//! (RFC 9110 section 13, RFC 9111 section 4.3.2).

use e2e::client::Request;
use e2e::content::Content;
use e2e::origin::Script;

use crate::world::{World, parameter};

const LENGTH: u64 = 100_000;
const MODIFIED: &str = "Sun, 06 Nov 1994 08:00:00 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:30:00 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 07:00:00 GMT";

/// A world in which all of `/v` is stored.
async fn stored() -> (World, Content) {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    // That Date was long ago.
    let mut fresh = Script::new(content).field("date", LATER);
    fresh.last_modified = Some(MODIFIED.to_owned());
    fresh.fields.retain(|(name, _)| name != "cache-control");
    world
        .origin
        .script("/v", fresh.field("cache-control", "max-age=2000000000"));
    world.view(&Request::get("/v"), content).await;
    world.stored("/v", &[(0, LENGTH)]).await;
    (world, content)
}

#[tokio::test]
async fn conditions_are_judged_from_what_is_stored() {
    let (world, content) = stored().await;
    let get = |fields: &[(&str, &str)]| {
        let fields = fields.iter();
        fields.fold(Request::get("/v"), |request, (name, value)| {
            request.field(name, value)
        })
    };
    let asked = || world.origin.seen_at_all().len();
    let before = asked();
    for (fields, status) in [
        // P1, P7: If-None-Match counts, and by weak comparison.
        (vec![("if-none-match", "\"v1\"")], 304),
        (vec![("if-none-match", "\"x\", W/\"v1\"")], 304),
        (vec![("if-none-match", "*")], 304),
        (vec![("if-none-match", "\"x\"")], 200),
        (
            vec![("if-none-match", "\"x\""), ("if-modified-since", LATER)],
            200,
        ),
        (
            vec![("if-none-match", "\"v1\""), ("if-modified-since", EARLIER)],
            304,
        ),
        (
            vec![
                ("if-none-match", "\"v1\""),
                ("if-range", "\"v2\""),
                ("range", "bytes=5-9"),
            ],
            304,
        ),
        (vec![("if-modified-since", MODIFIED)], 304),
        (vec![("if-modified-since", EARLIER)], 200),
        // R16: a range means nothing to a 304.
        (
            vec![("if-none-match", "\"v1\""), ("range", "bytes=999999-")],
            304,
        ),
        // P2, P3, P4: If-Range by strong comparison or the exact date; else the whole.
        (vec![("if-range", "\"v1\""), ("range", "bytes=5-9")], 206),
        (vec![("if-range", MODIFIED), ("range", "bytes=5-9")], 206),
        (vec![("if-range", "W/\"v1\""), ("range", "bytes=5-9")], 200),
        (vec![("if-range", "\"v2\""), ("range", "bytes=5-9")], 200),
        (vec![("if-range", LATER), ("range", "bytes=5-9")], 200),
        // P5.
        (vec![("if-range", "\"v2\"")], 200),
        (
            vec![("if-range", "\"v2\""), ("range", "bytes=999999-")],
            200,
        ),
        // P6: what VLC sends on a seek; it holds for certain.
        (vec![("if-match", "\"v1\""), ("range", "bytes=5-9")], 206),
        (
            vec![("if-unmodified-since", MODIFIED), ("range", "bytes=5-9")],
            206,
        ),
    ] {
        let view = world.view(&get(&fields), content).await;
        assert_eq!(view.status, status, "{fields:?}: {view:?}");
        assert!(view.is_hit(), "{fields:?}: {view:?}");
        if status == 206 {
            // RFC 9110 section 15.3.7.
            for name in ["content-range", "etag", "cache-control", "date"] {
                assert!(view.head.get(name).is_some(), "{name}: {view:?}");
            }
        }
        if status == 304 {
            // RFC 9110 section 15.4.5.
            for name in ["etag", "cache-control", "date", "age"] {
                assert!(view.head.get(name).is_some(), "{name}: {view:?}");
            }
            assert_eq!(view.head.get("content-range"), None, "{view:?}");
        }
    }
    assert_eq!(asked(), before, "a hit was forwarded");
}

/// P7: without Last-Modified it is judged by Date.
#[tokio::test]
async fn without_last_modified_the_date_tells_what_is_new() {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    let mut script = Script::new(content).field("date", MODIFIED);
    script.fields.retain(|(name, _)| name != "cache-control");
    let script = script.field("cache-control", "max-age=2000000000");
    world.origin.script("/v", script);
    world.view(&Request::get("/v"), content).await;
    world.stored("/v", &[(0, LENGTH)]).await;
    for (date, status) in [(MODIFIED, 304), (LATER, 304), (EARLIER, 200)] {
        let request = Request::get("/v").field("if-modified-since", date);
        let view = world.hit(&request, content).await;
        assert_eq!(view.status, status, "{date}: {view:?}");
    }
}

#[tokio::test]
async fn what_only_the_origin_may_judge_goes_there() {
    let (world, content) = stored().await;
    for (name, value, status) in [
        ("if-match", "\"v2\"", 412),
        ("if-unmodified-since", EARLIER, 412),
    ] {
        let before = world.origin.seen_at_all().len();
        let request = Request::get("/v").field(name, value).range("5-9");
        let view = world.view(&request, content).await;
        view.expect(status, &["fwd=bypass", "detail=condition"]);
        assert_eq!(world.origin.seen_at_all().len(), before + 1);
    }
    world.hit(&Request::get("/v"), content).await;
}

#[tokio::test]
async fn a_condition_on_what_is_unknown_is_the_origins() {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    let known = Request::get("/v").field("if-none-match", "\"v1\"");
    let view = world.view(&known, content).await;
    view.expect(304, &["fwd=uri-miss"]);
    assert!(!parameter(&view.cache_status, "stored"), "{view:?}");
    // It says nothing of whether the entity may be stored.
    let other = Request::get("/v").field("if-none-match", "\"v0\"");
    let view = world.view(&other, content).await;
    view.expect(200, &["fwd=uri-miss", "stored"]);
    world.becomes_hit(&Request::get("/v"), content).await;
    world.view(&known, content).await.expect(304, &["hit"]);
}

#[tokio::test]
async fn a_head_is_answered_from_what_is_known() {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    let head = || Request::new("HEAD", "/v");
    let asked = || world.origin.seen_at_all().len();
    let check = async |request: &Request| {
        let response = world.open(request).await;
        assert_eq!(response.status, 200, "{response:?}");
        let length = response.head.get("content-length");
        assert_eq!(length, Some(&LENGTH.to_string()[..]), "{response:?}");
        assert_eq!(response.head.get("content-range"), None, "{response:?}");
        response.cache_status().to_owned()
    };
    assert!(parameter(&check(&head()).await, "fwd=uri-miss"));
    assert_eq!(asked(), 1);
    // A part is enough.
    world
        .view(&Request::get("/v").range("0-999"), content)
        .await;
    world.stored("/v", &[(0, 1000)]).await;
    let before = asked();
    assert!(parameter(&check(&head()).await, "hit"));
    // R1: Range means nothing to a HEAD.
    assert!(parameter(&check(&head().range("5-9")).await, "hit"));
    let unchanged = head().field("if-none-match", "\"v1\"");
    assert_eq!(world.open(&unchanged).await.status, 304);
    assert_eq!(asked(), before);
}
