//! Fetching what no viewer has asked for.

use std::time::Duration;

use e2e::client::{Request, Response};
use e2e::content::Content;
use e2e::origin::Script;
use e2e::poll::until;
use serde_json::json;

use crate::world::{KIB, MIB, SOON, World};

const N: u64 = 16 * MIB;
/// What a viewer asks for: more than makes it worth keeping.
const WATCHED: u64 = 4 * MIB;

/// An entity whose origin sends about 1.5 MiB a second on each connection.
fn slow(world: &World, path: &str) -> Content {
    let content = world.serve(path, N);
    let script = Script {
        pace: Some((32 * KIB, Duration::from_millis(20))),
        ..Script::new(content)
    };
    world.origin.script(path, script);
    content
}

/// A viewer that has begun to watch.
async fn watch(world: &World, path: &str) -> Response {
    let request = Request::get(path).range(&format!("0-{}", WATCHED - 1));
    let mut viewer = world.open(&request).await;
    viewer.take(1000).await.unwrap();
    viewer
}

/// Waits until somebody has asked the origin for what no viewer has.
async fn begun(world: &World, path: &str) {
    let begun = until("completion", SOON, async || {
        (1 < world.origin.seen(path).len()).then_some(())
    });
    begun.await.unwrap();
}

/// How much of the rest the origin has sent by now.
fn fetched(world: &World, path: &str) -> u64 {
    world.origin.seen(path)[1..]
        .iter()
        .map(|seen| seen.sent)
        .sum()
}

#[tokio::test]
async fn what_is_worth_keeping_is_completed_if_the_policy_says_so() {
    let world = World::start().await;
    let content = slow(&world, "/v");
    let completion = json!({"without_viewers": true});
    world
        .policy(json!({"keep": "complete", "completion": completion}))
        .await;
    let request = Request::get("/v").range(&format!("0-{}", WATCHED - 1));
    let view = world.view(&request, content).await;
    view.expect(206, &["fwd=uri-miss", "stored"]);
    // Who comes meanwhile follows what is fetched.
    let rest = Request::get("/v").range(&format!("{WATCHED}-"));
    world
        .view(&rest, content)
        .await
        .expect(206, &["fwd=partial"]);
    world.stored("/v", &[(0, N)]).await;
    world.reported("/v", "status", "complete".into()).await;
    assert_eq!(world.origin.sent("/v"), N);
    world.hit(&Request::get("/v"), content).await;
}

#[tokio::test]
async fn what_is_not_worth_keeping_is_not_completed() {
    let world = World::start().await;
    let content = world.serve("/v", N);
    world.policy(json!({"keep": "complete"})).await;
    let request = Request::get("/v").range("0-999999");
    world.view(&request, content).await;
    world.stored("/v", &[(0, 1_000_000)]).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(world.origin.seen("/v").len(), 1);
}

/// Otherwise every look at a film would cost all of it.
#[tokio::test]
async fn it_ends_when_the_last_viewer_has_left() {
    let world = World::start().await;
    slow(&world, "/v");
    world.policy(json!({"keep": "complete"})).await;
    let viewer = watch(&world, "/v").await;
    begun(&world, "/v").await;
    drop(viewer);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sent = fetched(&world, "/v");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fetched(&world, "/v"), sent, "it goes on");
    world.reported("/v", "status", "partial".into()).await;
    // It goes on when somebody watches again.
    let _viewer = watch(&world, "/v").await;
    let goes_on = until("more", SOON, async || {
        (sent < fetched(&world, "/v")).then_some(())
    });
    goes_on.await.unwrap();
}

#[tokio::test]
async fn viewers_of_others_at_the_same_origin_come_first() {
    let world = World::start().await;
    slow(&world, "/v");
    slow(&world, "/other");
    let completion = json!({"without_viewers": true});
    world
        .policy(json!({"keep": "complete", "completion": completion}))
        .await;
    let viewer = watch(&world, "/v").await;
    begun(&world, "/v").await;
    drop(viewer);
    let mut other = world.open(&Request::get("/other")).await;
    other.take(1000).await.unwrap();
    // What is on its way arrives.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let sent = fetched(&world, "/v");
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(fetched(&world, "/v"), sent, "it does not wait");
    drop(other);
    world.stored("/v", &[(0, N)]).await;
    // What had been asked for when it paused is not asked for again, but for what was in flight.
    assert!(
        world.origin.sent("/v") < N + MIB,
        "{}",
        world.origin.sent("/v")
    );
}

#[tokio::test]
async fn it_keeps_to_its_rate_and_number() {
    let world = World::start().await;
    let completion = json!({
        "without_viewers": true, "bytes_per_second": MIB, "parallel": 1, "yields": false
    });
    world
        .policy(json!({"keep": "complete", "completion": completion}))
        .await;
    for path in ["/a", "/b"] {
        let content = world.serve(path, N);
        let request = Request::get(path).range(&format!("0-{}", WATCHED - 1));
        world.view(&request, content).await;
    }
    begun(&world, "/a").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // It reads ahead of its rate by a bounded amount; buffers on the way have more.
    let stored: u64 = world
        .ranges("/a")
        .await
        .iter()
        .map(|run| run.1 - run.0)
        .sum();
    assert!(stored < WATCHED + 6 * MIB, "{stored}");
    assert_eq!(world.origin.seen("/b").len(), 1, "both at once");
    // The limits can be changed while it runs.
    let faster = json!({"completion": {"bytes_per_second": 0, "parallel": 2}});
    world.policy(faster).await;
    for path in ["/a", "/b"] {
        world.stored(path, &[(0, N)]).await;
    }
}
