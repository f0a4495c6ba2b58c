//! What is watched is cached while it plays, and played from the cache the next time.

use e2e::client::Request;
use e2e::origin::Script;

use crate::world::{MIB, World};

#[tokio::test]
async fn a_viewed_entity_is_a_hit_for_every_kind_of_range() {
    let world = World::start().await;
    let length = 3 * MIB + 17;
    let content = world.serve("/v.mp4", length);
    let whole = Request::get("/v.mp4");
    let first = world.view(&whole, content).await;
    first.expect(200, &["fwd=uri-miss", "stored"]);
    let entity = world.stored("/v.mp4", &[(0, length)]).await;
    assert_eq!(entity["status"], "complete");
    assert_eq!(entity["complete_length"], length);
    assert_eq!(entity["cached_bytes"], length);

    let again = world.hit(&whole, content).await;
    again.expect(200, &["hit"]);
    for name in [
        "etag",
        "content-type",
        "content-length",
        "server",
        "accept-ranges",
        "cache-control",
    ] {
        assert_eq!(first.head.get(name), again.head.get(name), "{name}");
    }
    let check = async |range: &str, expected: (u64, u64)| {
        let view = world
            .hit(&Request::get("/v.mp4").range(range), content)
            .await;
        assert_eq!(view.expect(206, &["hit"]).bytes, expected, "{range}");
        let told = format!("bytes {}-{}/{length}", expected.0, expected.1 - 1);
        assert_eq!(view.head.get("content-range"), Some(told.as_str()));
    };
    check("0-", (0, length)).await;
    check("0-0", (0, 1)).await;
    check("100000-2000000", (100_000, 2_000_001)).await;
    check("1048576-1048577", (MIB, MIB + 2)).await;
    check("2000000-", (2_000_000, length)).await;
    check("2000000-99999999", (2_000_000, length)).await;
    check("-1", (length - 1, length)).await;
    check("-99999999", (0, length)).await;

    let beyond = world
        .view(&Request::get("/v.mp4").range("99999999-"), content)
        .await;
    beyond.expect(416, &[]);
    assert_eq!(
        beyond.head.get("content-range"),
        Some(format!("bytes */{length}").as_str())
    );
    assert_eq!(
        world.origin.sent("/v.mp4"),
        length,
        "the origin was read once"
    );
}

#[tokio::test]
async fn the_range_that_was_viewed_is_the_range_that_is_stored() {
    let world = World::start().await;
    let check = async |path: &str, range: &str, stored: (u64, u64)| {
        let content = world.serve(path, MIB);
        let request = Request::get(path).range(range);
        let first = world.view(&request, content).await;
        assert_eq!(
            first.expect(206, &["fwd=uri-miss", "stored"]).bytes,
            stored,
            "{range}"
        );
        world.stored(path, &[stored]).await;
        assert_eq!(world.hit(&request, content).await.bytes, stored, "{range}");
        assert_eq!(world.origin.sent(path), stored.1 - stored.0);
    };
    check("/closed", "1000-99999", (1000, 100_000)).await;
    check("/one-byte", "77777-77777", (77_777, 77_778)).await;
    check("/open", "900000-", (900_000, MIB)).await;
    check("/suffix", "-1000", (MIB - 1000, MIB)).await;
    check("/beyond", "1000000-9999999", (1_000_000, MIB)).await;
}

#[tokio::test]
async fn a_last_modified_is_enough_of_a_validator() {
    let world = World::start().await;
    let content = world.serve("/v", MIB);
    world.origin.script(
        "/v",
        Script {
            etag: None,
            last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            ..Script::new(content)
        },
    );
    world
        .view(&Request::get("/v"), content)
        .await
        .expect(200, &["fwd=uri-miss", "stored"]);
    world.stored("/v", &[(0, MIB)]).await;
    let hit = world.hit(&Request::get("/v").range("5-9"), content).await;
    assert_eq!(
        hit.head.get("last-modified"),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
}

#[tokio::test]
async fn queries_are_entities_of_their_own() {
    let world = World::start().await;
    let content = world.serve("/v", 100_000);
    for target in ["/v?a=1", "/v?a=2"] {
        world
            .view(&Request::get(target), content)
            .await
            .expect(200, &["fwd=uri-miss"]);
        world.stored(target, &[(0, 100_000)]).await;
        world.hit(&Request::get(target), content).await;
    }
    assert_eq!(world.origin.seen("/v").len(), 2);
}

/// RFC 9110 section 15.2: what comes before the response is none, and is not stored.
#[tokio::test]
async fn early_hints_are_no_response() {
    let world = World::start().await;
    let content = world.serve("/v", MIB);
    let hinting = Script {
        early_hints: true,
        ..Script::new(content)
    };
    world.origin.script("/v", hinting);
    let part = Request::get("/v").range("0-99999");
    let view = world.view(&part, content).await;
    view.expect(206, &["fwd=uri-miss", "stored"]);
    world.stored("/v", &[(0, 100_000)]).await;
    let view = world.view(&Request::get("/v"), content).await;
    view.expect(200, &["fwd=partial"]);
    world.stored("/v", &[(0, MIB)]).await;
    let view = world.hit(&Request::get("/v"), content).await;
    assert_eq!(view.head.get("link"), None);
}
