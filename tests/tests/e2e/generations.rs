//! Bytes of two versions of an entity never meet in one response.

use e2e::client::Request;
use e2e::content::Content;
use e2e::origin::Script;
use e2e::poll::until;

use crate::world::{MIB, SOON, World};

#[tokio::test]
async fn a_new_version_replaces_the_old_one_whole() {
    let world = World::start().await;
    let old = world.serve("/v", 2 * MIB);
    world.view(&Request::get("/v").range("0-999999"), old).await;
    world.stored("/v", &[(0, 1_000_000)]).await;

    let new = Content::new("new", 2 * MIB);
    let script = Script {
        etag: Some("\"v2\"".to_owned()),
        ..Script::new(new)
    };
    world.origin.script("/v", script);
    // The change is found at the gap. The response may have begun by then: it is cut, never mixed.
    let mut first = world.open(&Request::get("/v")).await;
    let version = first.head.get("etag").unwrap().to_owned();
    match first.rest().await {
        Ok(body) => {
            assert_eq!(version, "\"v2\"");
            new.check(0, &body).unwrap();
        }
        Err(error) => assert_eq!(version, "\"v1\"", "{error:#}"),
    }
    let replaced = until("the new version is stored", SOON, async || {
        let view = world.try_view(&Request::get("/v"), new).await.ok()?;
        view.is_hit().then_some(())
    });
    replaced.await.unwrap();
    assert_eq!(world.ranges("/v").await, [(0, 2 * MIB)]);
}

#[tokio::test]
async fn another_length_is_another_version() {
    let world = World::start().await;
    let old = world.serve("/v", 300_000);
    world.view(&Request::get("/v").range("0-99999"), old).await;
    world.stored("/v", &[(0, 100_000)]).await;
    let new = Content::new("longer", 400_000);
    world.origin.script("/v", Script::new(new));
    // None of this range is stored, so the origin's answer tells of the change before the head.
    let tail = Request::get("/v").range("200000-");
    let view = world.view(&tail, new).await;
    assert_eq!(view.expect(206, &[]).bytes, (200_000, 400_000));
    world.becomes_hit(&tail, new).await;
    let view = world.view(&Request::get("/v"), new).await;
    assert_eq!(view.bytes, (0, 400_000));
}

/// RFC 9110 section 6.6.1: the time at which it came is its Date, by which an old Last-Modified is
/// strong.
#[tokio::test]
async fn a_response_without_date_has_a_strong_last_modified() {
    let world = World::start().await;
    let content = world.serve("/v", MIB);
    let script = Script {
        etag: None,
        last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
        ..Script::new(content)
    };
    world.origin.script("/v", script);
    for (range, stored) in [
        ("0-99999", vec![(0, 100_000)]),
        ("200000-299999", vec![(0, 100_000), (200_000, 300_000)]),
    ] {
        world
            .view(&Request::get("/v").range(range), content)
            .await
            .expect(206, &["stored"]);
        world.stored("/v", &stored).await;
    }
    let view = world.view(&Request::get("/v"), content).await;
    view.expect(200, &["fwd=partial"]);
    let hit = world.hit(&Request::get("/v").range("5-9"), content).await;
    assert!(hit.head.get("date").is_some());
}
