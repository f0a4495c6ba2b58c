//! What is worth keeping, by what is really watched of it.

use std::time::Duration;

use e2e::client::Request;
use e2e::origin::Script;
use serde_json::json;

use crate::world::{MIB, World};

/// One viewer's misses and hits count together, another's apart.
#[tokio::test]
async fn who_watches_enough_makes_it_worth_keeping() {
    let world = World::start().await;
    let content = world.serve("/v", 10 * MIB);
    let watch = async |agent: &str, range: &str| {
        let request = Request::get("/v").range(range).field("user-agent", agent);
        world.view(&request, content).await;
    };
    let tenth = 10 * MIB / 10;
    for agent in ["a", "b", "c"] {
        for range in ["0-524287", "0-524287", "10000000-10485759"] {
            watch(agent, range).await;
        }
    }
    world.reported("/v", "watched_percent", 9.into()).await;
    world.reported("/v", "provisional", true.into()).await;
    // What is provisional is served like any other.
    world
        .hit(&Request::get("/v").range("0-99999"), content)
        .await;
    let missing = tenth - 524_288 - 485_760;
    watch("a", &format!("524288-{}", 524_288 + missing - 1)).await;
    world.reported("/v", "provisional", false.into()).await;
}

/// Behind one address there may be many, and one may have many.
#[tokio::test]
async fn who_a_viewer_is_may_be_the_operators_to_say() {
    let world = World::with(|options| {
        options.filter_fields = Some(r#""viewer": ["cookie:session"]"#.to_owned());
    });
    let world = world.await;
    let content = world.serve("/v", 10 * MIB);
    let watch = async |session: &str, agent: &str, range: &str| {
        let request = Request::get("/v").range(range);
        let request = request.field("cookie", format!("a=b; session={session}"));
        world
            .view(&request.field("user-agent", agent), content)
            .await;
    };
    watch("one", "a", "0-699999").await;
    watch("two", "a", "700000-1399999").await;
    world.reported("/v", "watched_percent", 6.into()).await;
    world.reported("/v", "provisional", true.into()).await;
    watch("one", "b", "1400000-2099999").await;
    world.reported("/v", "provisional", false.into()).await;
}

#[tokio::test]
async fn a_scanner_makes_nothing_worth_keeping() {
    let world = World::start().await;
    for n in 0..50 {
        let path = format!("/scanned{n}");
        let content = world.serve(&path, 4 * MIB);
        for range in ["0-99999", "-100000"] {
            world.view(&Request::get(&path).range(range), content).await;
        }
    }
    for n in [0, 49] {
        let path = format!("/scanned{n}");
        world.reported(&path, "watched_percent", 4.into()).await;
        world.reported(&path, "provisional", true.into()).await;
    }
}

/// Fifty viewers play while the rules change to and fro: no byte and no response is another.
#[tokio::test]
async fn a_policy_may_change_while_everybody_watches() {
    const VIEWERS: u64 = 50;
    let world = World::start().await;
    let script = |content| Script {
        pace: Some((256 << 10, Duration::from_millis(50))),
        ..Script::new(content)
    };
    let contents: Vec<_> = (0..10)
        .map(|n| {
            let path = format!("/v{n}");
            let content = world.serve(&path, 6 * MIB);
            world.origin.script(&path, script(content));
            (path, content)
        })
        .collect();
    let mut viewers = tokio::task::JoinSet::new();
    for viewer in 0..VIEWERS {
        let (path, content) = contents[(viewer % 10) as usize].clone();
        let ingress = world.stack.ingress();
        let start = viewer * 7_919 % MIB;
        let request = Request::get(&path)
            .range(&format!("{start}-"))
            .field("user-agent", viewer.to_string());
        viewers.spawn(async move {
            let mut response = request.send(ingress).await.unwrap();
            assert_eq!(response.status, 206);
            let body = response.rest().await.unwrap();
            assert_eq!(body.len() as u64, 6 * MIB - start);
            content.check(start, &body).unwrap();
        });
    }
    for n in 0..20 {
        let percent = [0, 50, 100][n % 3];
        let share = [10, 1, 100][n % 3];
        let patch = json!({
            "admit": {"watched_percent": percent, "viewers": n % 2},
            "provisional_percent": share,
        });
        world.policy(patch).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while let Some(viewer) = viewers.join_next().await {
        viewer.unwrap();
    }
    world.policy(json!({"admit": {"watched_percent": 0}})).await;
    for (path, content) in &contents {
        world.becomes_hit(&Request::get(path), *content).await;
    }
}
