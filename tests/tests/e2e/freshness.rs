//! What is stale is validated once, not fetched again (RFC 9111 section 4.3), or used where the
//! origin allows it (RFC 5861).

use std::time::Duration;

use e2e::client::Request;
use e2e::content::Content;
use e2e::origin::{Script, Seen};
use e2e::poll::until;

use crate::world::{SOON, World, parameter};

const LENGTH: u64 = 300_000;

fn script(content: Content, control: &str) -> Script {
    let mut script = Script::new(content);
    script.fields.retain(|(name, _)| name != "cache-control");
    script.field("cache-control", control)
}

/// A world in which all of `/v` is stored under these directives.
async fn stored(control: &str) -> (World, Content) {
    let world = World::start().await;
    let content = Content::new("/v", LENGTH);
    world.origin.script("/v", script(content, control));
    world.view(&Request::get("/v"), content).await;
    world.stored("/v", &[(0, LENGTH)]).await;
    (world, content)
}

/// Waits until what is stored is not fresh any more.
async fn becomes_stale(world: &World) {
    let stale = until("it is stale", SOON, async || {
        let entity = world.entity("/v").await?;
        (entity["status"] == "stale").then_some(())
    });
    stale.await.unwrap();
}

#[tokio::test]
async fn a_stale_entity_is_validated_and_not_fetched_again() {
    let (world, content) = stored("max-age=1").await;
    becomes_stale(&world).await;
    // Fresh for longer from now on, as the 304 tells.
    world.origin.script("/v", script(content, "max-age=3600"));
    let sent = world.origin.sent("/v");
    let get = || Request::get("/v").range("1000-");
    let view = world.view(&get(), content).await;
    view.expect(206, &["fwd=stale", "fwd-status=304"]);
    assert_eq!(world.origin.sent("/v"), sent, "bytes were fetched again");
    let seen = world.origin.seen("/v");
    let last = seen.last().unwrap();
    assert_eq!(last.head.get("if-none-match"), Some("\"v1\""));
    let view = world.hit(&get(), content).await;
    assert_eq!(view.head.get("cache-control"), Some("max-age=3600"));
}

#[tokio::test]
async fn many_viewers_of_a_stale_entity_ask_once() {
    let (world, content) = stored("max-age=1").await;
    becomes_stale(&world).await;
    let mut slow = script(content, "max-age=3600");
    slow.latency = Duration::from_millis(300);
    world.origin.script("/v", slow);
    let before = world.origin.seen("/v").len();
    let view = async |from: &str| {
        let request = Request::get("/v").range(from);
        world
            .view(&request, content)
            .await
            .expect(206, &["fwd=stale"]);
    };
    tokio::join!(
        view("0-"),
        view("0-99"),
        view("1000-"),
        view("5000-5999"),
        view("-5000"),
    );
    assert_eq!(world.origin.seen("/v").len(), before + 1);
}

#[tokio::test]
async fn what_must_always_be_validated_is_each_time() {
    let (world, content) = stored("no-cache").await;
    let sent = world.origin.sent("/v");
    for asked in 2..5 {
        let view = world.view(&Request::get("/v"), content).await;
        view.expect(200, &["fwd=stale", "fwd-status=304"]);
        assert_eq!(world.origin.seen("/v").len(), asked);
    }
    assert_eq!(world.origin.sent("/v"), sent);
}

#[tokio::test]
async fn a_new_version_is_found_by_validating() {
    let (world, content) = stored("max-age=1").await;
    becomes_stale(&world).await;
    let new = Content::new("new", LENGTH);
    let mut newer = script(new, "max-age=3600");
    newer.etag = Some("\"v2\"".to_owned());
    world.origin.script("/v", newer);
    assert_ne!(content, new);
    let view = world.view(&Request::get("/v"), new).await;
    view.expect(200, &["fwd=stale", "fwd-status=200"]);
    world.becomes_hit(&Request::get("/v"), new).await;
}

#[tokio::test]
async fn a_stale_answer_is_given_while_it_is_validated() {
    let (world, content) = stored("max-age=1, stale-while-revalidate=60").await;
    becomes_stale(&world).await;
    let mut slow = script(content, "max-age=3600");
    slow.latency = Duration::from_millis(500);
    world.origin.script("/v", slow);
    let before = world.origin.seen("/v").len();
    for _ in 0..5 {
        let view = world.view(&Request::get("/v"), content).await;
        view.expect(200, &["hit"]);
        let stale = ["ttl=0", "ttl=-1", "ttl=-2", "ttl=-3"];
        let stale = stale.iter().any(|ttl| parameter(&view.cache_status, ttl));
        assert!(stale, "{view:?}");
    }
    let fresh = until("it is fresh again", SOON, async || {
        let view = world.view(&Request::get("/v"), content).await;
        (!view.cache_status.contains("ttl=-") && !parameter(&view.cache_status, "ttl=0"))
            .then_some(())
    });
    fresh.await.unwrap();
    assert_eq!(world.origin.seen("/v").len(), before + 1, "asked once");
}

#[tokio::test]
async fn a_stale_answer_is_given_while_the_origin_fails() {
    let (world, content) = stored("max-age=1, stale-if-error=60").await;
    becomes_stale(&world).await;
    let failing = Script {
        fails_with: Some(503),
        ..script(content, "no-store")
    };
    world.origin.script("/v", failing.clone());
    let view = world.view(&Request::get("/v"), content).await;
    view.expect(200, &["fwd=stale", "fwd-status=503"]);
    // An origin that has just failed is left alone for a moment.
    let view = world.view(&Request::get("/v"), content).await;
    view.expect(200, &["hit"]);
    // Where it is not allowed, the origin's answer is the viewer's.
    let (world, content) = stored("max-age=1, stale-if-error=60, must-revalidate").await;
    becomes_stale(&world).await;
    world.origin.script("/v", failing);
    let view = world.view(&Request::get("/v"), content).await;
    view.expect(503, &["fwd=bypass", "detail=failover"]);
}

/// RFC 9111 section 4.3.4: a 304 freshens what has its validator.
#[tokio::test]
async fn a_304_of_another_version_freshens_nothing() {
    let (world, content) = stored("max-age=1").await;
    becomes_stale(&world).await;
    let mistaken = Script {
        mistakes: Some("\"v9\"".to_owned()),
        ..script(content, "max-age=3600")
    };
    world.origin.script("/v", mistaken);
    let view = world.view(&Request::get("/v"), content).await;
    assert_eq!(view.status, 200);
    assert!(!view.cache_status.contains("304"), "{view:?}");
    let seen = world.origin.seen("/v");
    let validated = |seen: &&Seen| seen.head.get("if-none-match").is_some();
    assert_eq!(seen.iter().filter(validated).count(), 1);
    assert_eq!(seen.last().unwrap().sent, LENGTH, "the origin's own answer");
}

/// RFC 9111 section 3.3: a gap is no part of what may be served stale.
#[tokio::test]
async fn what_is_missing_of_a_stale_entity_is_the_origins() {
    let world = World::start().await;
    let content = Content::new("/v", LENGTH);
    let lenient = "max-age=1, stale-while-revalidate=60, stale-if-error=60";
    world.origin.script("/v", script(content, lenient));
    let get = |range| Request::get("/v").range(range);
    world.view(&get("0-99999"), content).await;
    world.stored("/v", &[(0, 100_000)]).await;
    becomes_stale(&world).await;
    let sent = world.origin.sent("/v");
    let view = world.view(&get("50000-149999"), content).await;
    assert_eq!((view.status, view.bytes), (206, (50_000, 150_000)));
    assert!(!view.is_hit(), "{view:?}");
    assert!(sent + 50_000 <= world.origin.sent("/v"));
    becomes_stale(&world).await;
    let failing = Script {
        fails_with: Some(503),
        ..script(content, "no-store")
    };
    world.origin.script("/v", failing);
    let view = world.view(&get("0-99999"), content).await;
    assert_eq!(view.status, 206, "{view:?}");
    let view = world.view(&get("200000-"), content).await;
    assert_eq!(view.status, 503, "{view:?}");
}
