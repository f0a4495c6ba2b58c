//! What the management port tells and does while viewers watch.

use std::time::{Duration, Instant};

use e2e::client::{HOST, Request, Response};
use e2e::content::Content;
use e2e::management;
use e2e::origin::Script;
use serde_json::{Value, json};

use crate::remembered::{decisions, remember};
use crate::world::{KIB, MIB, World};

/// One who listens to events.
struct Listener(Response);

impl Listener {
    async fn new(world: &World, query: &str) -> Self {
        let port = world.stack.manage(0);
        let request = management::request("GET", port, &format!("/v1/events{query}"));
        let response = request.send(port).await.unwrap();
        assert_eq!(response.status, 200);
        Self(response)
    }

    /// What the next event says.
    async fn next(&mut self) -> Value {
        let mut line = Vec::new();
        loop {
            let byte = self.0.take(1).await.unwrap();
            if byte != b"\n" {
                line.extend(byte);
                continue;
            }
            if let Some(data) = line.strip_prefix(b"data: ") {
                return serde_json::from_slice(data).unwrap();
            }
            line.clear();
        }
    }
}

async fn send(world: &World, method: &str, target: &str, body: Value) -> Value {
    let sent = management::send(method, world.stack.manage(0), target, &body).await;
    serde_json::from_str(&sent.unwrap()).unwrap()
}

#[tokio::test]
async fn after_a_purge_of_any_kind_the_next_request_is_a_miss_although_remembered() {
    let world = World::start().await;
    for (path, selector) in [
        (
            "/a/v",
            json!({"prefix": format!("generic:http://{HOST}/a/")}),
        ),
        ("/b/v", json!({"all": true})),
    ] {
        let (request, content) = remember(&world, path).await;
        world.hit(&request, content).await;
        let before = decisions(&world).await;
        let purged = send(&world, "POST", "/v1/purges", selector).await;
        // By all, what came before it goes as well.
        assert!(1 <= purged["entities"].as_u64().unwrap(), "{purged}");
        let sent = world.origin.sent(path);
        let view = world.view(&request, content).await;
        view.expect(200, &["fwd=uri-miss", "stored"]);
        assert_eq!(decisions(&world).await, before, "it was remembered");
        assert_eq!(world.origin.sent(path), sent + content.length());
        world.stored(path, &[(0, content.length())]).await;
    }
    // By video and channel: an entity that is a video of its own.
    let (request, content) = remember(&world, "/c/v").await;
    let entity = world.entity("/c/v").await.unwrap();
    let video = format!("/v1/videos/{}", entity["video_id"].as_str().unwrap());
    send(&world, "PUT", &video, json!({"channel": "UC"})).await;
    let purged = send(&world, "POST", "/v1/purges", json!({"channel": "UC"})).await;
    assert_eq!(purged["entities"], 1);
    let view = world.view(&request, content).await;
    view.expect(200, &["fwd=uri-miss"]);
}

#[tokio::test]
async fn a_coverage_map_grows_within_a_second_of_the_bytes() {
    const N: u64 = 8 * MIB;
    const SOON: Duration = Duration::from_secs(1);
    let world = World::start().await;
    let content = Content::new("/film", N);
    let script = Script {
        pace: Some((64 * KIB, Duration::from_millis(20))),
        ..Script::new(content)
    };
    world.origin.script("/film", script);
    let mut events = Listener::new(&world, "?types=stored").await;
    let mut viewer = world.open(&Request::get("/film")).await;
    let mut seen = 0;
    let mut coverage = String::new();
    for _ in 0..4 {
        content
            .check(seen, &viewer.take(MIB as usize).await.unwrap())
            .unwrap();
        seen += MIB;
        let at = Instant::now();
        let told = async {
            loop {
                let event = events.next().await;
                if seen <= event["cached_bytes"].as_u64().unwrap() {
                    return event["id"].as_str().unwrap().to_owned();
                }
            }
        };
        let told = tokio::time::timeout(SOON, told).await;
        let id = told.expect("what was sent is told within a second");
        let target = format!("/v1/entities/{id}/coverage?buckets=64");
        let report = management::json(world.stack.manage(0), &target)
            .await
            .unwrap();
        assert!(at.elapsed() < SOON, "{:?}", at.elapsed());
        coverage = report["stored"].as_str().unwrap().to_owned();
        let whole = usize::try_from(seen * 64 / N).unwrap();
        assert!(
            coverage.starts_with(&"f".repeat(whole)),
            "{seen}: {coverage}"
        );
        // The origin serves this viewer, and is not through.
        let reading = report["reading"][0].as_u64().unwrap();
        assert!(seen <= reading, "{report}");
        assert_eq!(report["filling"], json!([[reading, N]]));
    }
    assert!(coverage.ends_with('0'), "{coverage}");
    let rest = viewer.rest().await.unwrap();
    content.check(seen, &rest).unwrap();
    world.stored("/film", &[(0, N)]).await;
}

#[tokio::test]
async fn what_is_saved_and_from_where_bytes_came_is_told() {
    let world = World::start().await;
    let content = world.serve("/v", MIB);
    let request = Request::get("/v");
    world.view(&request, content).await;
    world.stored("/v", &[(0, MIB)]).await;
    for _ in 0..3 {
        world.hit(&request, content).await;
    }
    let counted = e2e::poll::until("all is counted", crate::world::SOON, async || {
        let stats = management::json(world.stack.manage(0), "/v1/stats")
            .await
            .ok()?;
        (stats["windows"]["minute"]["hits"] == 3).then_some(stats)
    });
    let stats = counted.await.unwrap();
    let minute = &stats["windows"]["minute"];
    assert_eq!(
        (&minute["requests"], &minute["misses"]),
        (&json!(4), &json!(1))
    );
    assert_eq!(
        (&minute["hit_ratio"], &minute["byte_hit_ratio"]),
        (&json!(0.75), &json!(0.75))
    );
    assert_eq!(minute["bytes_from_origin"], MIB);
    assert_eq!(minute["origin_bytes_saved"], 3 * MIB);
    assert_eq!(stats["profiles"]["generic"]["total"]["hits"], 3);
}
