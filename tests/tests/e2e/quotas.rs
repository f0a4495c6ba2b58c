//! What channels may take, how long they keep it, and why what goes goes.

use std::time::Duration;

use e2e::client::Request;
use e2e::content::Content;
use e2e::management;
use e2e::origin::Script;
use e2e::poll::until;
use e2e::stack::Profile;
use serde_json::{Value, json};

use crate::world::{MIB, SOON, World};

const PATH: &str = "/videoplayback";
const N: u64 = 2 * MIB;

async fn world(max_bytes: &str) -> (World, Content) {
    let world = World::with(|options| {
        options.profile = Profile::Youtube;
        options.max_bytes = Some(max_bytes.to_owned());
    });
    let world = world.await;
    let content = Content::new("quotas", N);
    // Slowly enough that nothing is left out of what is mirrored.
    let pace = Some((256 << 10, Duration::from_millis(5)));
    let script = Script::new(content);
    world.origin.script(PATH, Script { pace, ..script });
    (world, content)
}

fn key(video: &str) -> String {
    format!("v={video}&itag=22&lmt=17&clen={N}")
}

async fn put(world: &World, target: &str, value: Value) {
    let put = management::send("PUT", world.stack.manage(0), target, &value);
    put.await.unwrap();
}

/// A video of a channel that is watched to its end.
async fn watch(world: &World, content: Content, channel: &str, video: &str) -> Value {
    put(
        world,
        &format!("/v1/videos/{video}"),
        json!({"channel": channel}),
    )
    .await;
    let request = Request::get(&format!("{PATH}?{}", key(video)));
    world.view(&request, content).await;
    let entity = world.stored(&key(video), &[(0, N)]).await;
    world
        .reported(&key(video), "provisional", false.into())
        .await;
    // Ages are told apart by milliseconds.
    tokio::time::sleep(Duration::from_millis(20)).await;
    entity
}

async fn history(world: &World, entity: &Value) -> Value {
    let target = format!("/v1/entities/{}/history", entity["id"].as_str().unwrap());
    let history = management::json(world.stack.manage(0), &target).await;
    history.unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_channel_keeps_to_its_quota_and_others_do_not_suffer() {
    let (world, content) = world("64MiB").await;
    put(
        &world,
        "/v1/channels/UCsmall",
        json!({"quota_bytes": 5 * MIB}),
    )
    .await;
    let other = watch(&world, content, "UCother", "other").await;
    let first = watch(&world, content, "UCsmall", "one").await;
    for video in ["two", "three"] {
        watch(&world, content, "UCsmall", video).await;
    }
    let gone = until("the first one goes", SOON, async || {
        let left = world.entity(&key("one")).await;
        let stored = left.map_or(0, |left| left["cached_bytes"].as_u64().unwrap());
        (stored < N).then_some(())
    });
    gone.await.unwrap();
    for video in ["two", "three", "other"] {
        world.stored(&key(video), &[(0, N)]).await;
    }
    let told = history(&world, &first).await;
    assert!(
        told["evicted"]["quota"]["times"].as_u64() >= Some(1),
        "{told}"
    );
    assert!(told["evicted"]["quota"]["last_at"].is_string(), "{told}");
    assert_eq!(history(&world, &other).await, Value::Null);
    // A smaller quota holds at once.
    put(&world, "/v1/channels/UCsmall", json!({"quota_bytes": 0})).await;
    let gone = until("all of it goes", SOON, async || {
        let three = world.entity(&key("three")).await;
        let two = world.entity(&key("two")).await;
        (two.is_none() && three.is_none()).then_some(())
    });
    gone.await.unwrap();
    world.stored(&key("other"), &[(0, N)]).await;
    let metrics = management::get(world.stack.manage(0), "/metrics")
        .await
        .unwrap();
    let evictions = r#"viewcache_evictions_total{reason="quota"} "#;
    let evictions = metrics
        .lines()
        .find_map(|line| line.strip_prefix(evictions));
    assert_ne!(evictions.unwrap(), "0", "{metrics}");
}

#[tokio::test]
async fn what_has_a_time_to_keep_outlives_what_is_newer() {
    let (world, content) = world("8MiB").await;
    put(
        &world,
        "/v1/channels/UClong",
        json!({"min_keep_seconds": 3600}),
    )
    .await;
    let long = watch(&world, content, "UClong", "long").await;
    let short = watch(&world, content, "UCshort", "short").await;
    for n in 0..3 {
        watch(&world, content, "UCshort", &format!("more{n}")).await;
    }
    world.stored(&key("long"), &[(0, N)]).await;
    let told = history(&world, &short).await;
    let evicted = &told["evicted"];
    assert!(
        evicted["room"].is_object() || evicted["share"].is_object(),
        "{told}"
    );
    assert_eq!(history(&world, &long).await, Value::Null);
}

#[tokio::test]
async fn why_a_response_is_not_stored_can_be_asked_for() {
    let world = World::start().await;
    let content = world.serve("/v", MIB);
    world
        .view(&Request::get("/v").range("0-99999"), content)
        .await;
    let entity = world.stored("/v", &[(0, 100_000)]).await;
    let mut script = Script::new(content);
    script.fields.retain(|(name, _)| name != "cache-control");
    world
        .origin
        .script("/v", script.field("cache-control", "no-store"));
    world
        .view(&Request::get("/v").range("200000-299999"), content)
        .await;
    let told = until("the reason", SOON, async || {
        let told = history(&world, &entity).await;
        (told["declined"]["no-store"]["times"] == 1).then_some(())
    });
    told.await.unwrap();
    world.reported("/v", "watched_percent", 9.into()).await;
}
