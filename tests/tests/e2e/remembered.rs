//! Hits of a hot entity that cost no decision, and what becomes of them when things change.

use std::time::{Duration, Instant};

use e2e::client::Request;
use e2e::content::Content;
use e2e::management;
use e2e::origin::Script;
use e2e::poll::until;
use rustix::process::Signal;

use crate::world::{KIB, SOON, World, parameter};

const LENGTH: u64 = 64 * KIB;

/// How long no remembered hit is used after one has failed over, and a margin.
const DISTRUST: Duration = Duration::from_secs(10 + 10);

/// Has a whole entity stored and asked for once as a hit, so that it is remembered from now on for
/// ten seconds.
pub(crate) async fn remember(world: &World, path: &str) -> (Request, Content) {
    let content = world.serve(path, LENGTH);
    let request = Request::get(path);
    let first = world.view(&request, content).await;
    first.expect(200, &["fwd=uri-miss", "stored"]);
    world.stored(path, &[(0, LENGTH)]).await;
    world.hit(&request, content).await;
    (request, content)
}

/// How many decisions the sidecar has made.
pub(crate) async fn decisions(world: &World) -> u64 {
    let metrics = management::get(world.stack.manage(0), "/metrics").await;
    let metrics = metrics.unwrap();
    let count = |line: &str| {
        let line = line.strip_prefix("viewcache_decisions_total{")?;
        line.rsplit(' ').next()?.parse::<u64>().ok()
    };
    metrics.lines().filter_map(count).sum()
}

#[tokio::test]
async fn a_hot_entity_costs_one_decision() {
    let world = World::start().await;
    let (request, content) = remember(&world, "/v").await;
    assert_eq!(decisions(&world).await, 2);
    // Each on a connection of its own, and so by either worker.
    for _ in 0..20 {
        let hit = world.hit(&request, content).await;
        hit.expect(200, &["hit"]);
        let seek = request.clone().range("1000-1999");
        let hit = world.hit(&seek, content).await;
        assert_eq!(hit.expect(206, &["hit"]).bytes, (1000, 2000));
    }
    assert_eq!(decisions(&world).await, 2);
    world.counted("remembered", 40).await;
    assert_eq!(world.count("hit").await, 1, "remembered ones do not count");
    assert_eq!(world.count("remembered").await, 40);
}

#[tokio::test]
async fn what_is_not_all_there_is_asked_for() {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    let part = Request::get("/v").range("0-999");
    world.view(&part, content).await;
    world.stored("/v", &[(0, 1000)]).await;
    for _ in 0..3 {
        world.hit(&part, content).await;
    }
    assert_eq!(decisions(&world).await, 4);

    let content = world.serve("/varies", LENGTH);
    let script = Script::new(content).field("vary", "accept-encoding");
    world.origin.script("/varies", script);
    let whole = Request::get("/varies");
    world.view(&whole, content).await;
    world.stored("/varies", &[(0, LENGTH)]).await;
    for _ in 0..3 {
        world.hit(&whole, content).await;
    }
    assert_eq!(decisions(&world).await, 4 + 4);
    assert_eq!(world.count("remembered").await, 0);
}

#[tokio::test]
async fn a_request_with_more_to_say_is_asked_for() {
    let world = World::start().await;
    let (request, content) = remember(&world, "/v").await;
    let before = decisions(&world).await;
    let fields = [
        ("cache-control", "max-age=60"),
        ("pragma", "x"),
        ("if-none-match", "\"other\""),
        ("if-range", "\"v1\""),
    ];
    for (name, value) in fields {
        let request = request.clone().field(name, value);
        world.hit(&request, content).await.expect(200, &["hit"]);
    }
    assert_eq!(decisions(&world).await, before + 4);
    // These go to the origin, whatever is remembered.
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("authorization", "x"),
    ] {
        let request = request.clone().field(name, value).range("5-9");
        let view = world.view(&request, content).await;
        assert!(!view.is_hit(), "{name}: {value}: {view:?}");
    }
    world.hit(&request, content).await;
    world.counted("remembered", 1).await;
    assert_eq!(world.count("remembered").await, 1);
    assert_eq!(decisions(&world).await, before + 4);
}

#[tokio::test]
async fn after_a_purge_the_bytes_are_the_new_ones() {
    let world = World::start().await;
    let (request, _) = remember(&world, "/v").await;
    let before = decisions(&world).await;
    let entity = world.entity("/v").await.unwrap();
    let target = format!("/v1/entities/{}", entity["id"].as_str().unwrap());
    let purge = management::call("DELETE", world.stack.manage(0), &target, 200).await;
    purge.unwrap();

    let new = Content::new("/new", LENGTH + 1000);
    let script = Script {
        etag: Some("\"v2\"".to_owned()),
        ..Script::new(new)
    };
    world.origin.script("/v", script);
    let view = world.view(&request, new).await;
    view.expect(200, &["fwd=uri-miss", "stored"]);
    assert_eq!(decisions(&world).await, before, "it was remembered");
    world.stored("/v", &[(0, LENGTH + 1000)]).await;
    world.hit(&request, new).await;
    assert_eq!(decisions(&world).await, before);
}

#[tokio::test]
async fn a_range_past_the_end_is_answered_the_same() {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    world.view(&Request::get("/v"), content).await;
    world.stored("/v", &[(0, LENGTH)]).await;
    let beyond = Request::get("/v").range("99999999-");
    let asked = world.view(&beyond, content).await;
    let before = decisions(&world).await;
    let remembered = world.view(&beyond, content).await;
    assert_eq!(decisions(&world).await, before);
    for view in [&asked, &remembered] {
        assert_eq!(view.status, 416, "{view:?}");
        let told = format!("bytes */{LENGTH}");
        assert_eq!(view.head.get("content-range"), Some(told.as_str()));
    }
    let kind = |status: &str| status.split("; ttl").next().map(str::to_owned);
    assert_eq!(kind(&asked.cache_status), kind(&remembered.cache_status));
}

#[tokio::test]
async fn without_memory_every_request_is_asked_for() {
    let world = World::with(|options| {
        options.filter_fields = Some(r#""remember": false"#.to_owned());
    })
    .await;
    let (request, content) = remember(&world, "/v").await;
    for _ in 0..5 {
        world.hit(&request, content).await;
    }
    assert_eq!(decisions(&world).await, 2 + 5);
    world.counted("hit", 6).await;
    assert_eq!(world.count("remembered").await, 0);
}

#[tokio::test]
async fn a_killed_sidecar_is_trusted_again_after_a_while() {
    let mut world = World::start().await;
    let (request, content) = remember(&world, "/v").await;
    let (other, other_content) = remember(&world, "/other").await;
    world.hit(&request, content).await;
    world.hit(&other, other_content).await;

    world.stack.sidecar(0).kill().await.unwrap();
    let view = world.view(&request, content).await;
    view.expect(200, &["fwd=bypass", "detail=failover"]);
    // Both are remembered still, and neither worker uses that.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        for (request, content) in [(&request, content), (&other, other_content)] {
            let view = world.view(request, content).await;
            view.expect(200, &["fwd=bypass"]);
            let failover = parameter(&view.cache_status, "detail=failover");
            assert!(!failover, "a remembered hit was used: {view:?}");
        }
    }
    assert_eq!(world.count("remembered").await, 3);

    world.stack.start_sidecar(0).await.unwrap();
    let again = until("it is remembered again", SOON + DISTRUST, async || {
        world.view(&request, content).await.expect(200, &[]);
        (4 <= world.count("remembered").await).then_some(())
    });
    again.await.unwrap();
}

#[tokio::test]
async fn a_hung_sidecar_costs_a_second_once() {
    let mut world = World::start().await;
    let (request, content) = remember(&world, "/v").await;
    world.hit(&request, content).await;
    world.stack.sidecar(0).pause().unwrap();
    let view = world.view(&request, content).await;
    view.expect(200, &["detail=failover"]);
    // What the hit route leaves it, and a margin for a busy machine.
    assert!(view.waited < Duration::from_millis(1000 + 900), "{view:?}");
    for _ in 0..10 {
        let view = world.view(&request, content).await;
        view.expect(200, &["fwd=bypass"]);
        // What a decision may take.
        assert!(view.waited < Duration::from_millis(100 + 700), "{view:?}");
    }
    world.stack.sidecar(0).signal(Signal::CONT).unwrap();
    world.becomes_hit(&request, content).await;
}
