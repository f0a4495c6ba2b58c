//! What stays when there is no room: what is worth keeping, and not what somebody only looked at.

use std::time::Duration;

use e2e::client::Request;
use e2e::content::Content;
use e2e::management;
use e2e::origin::Script;
use e2e::poll::until;
use serde_json::json;

use crate::world::{KIB, MIB, SOON, World};

const N: u64 = 2 * MIB;

async fn limited(max_bytes: &str) -> World {
    let max_bytes = max_bytes.to_owned();
    World::with(|options| options.max_bytes = Some(max_bytes)).await
}

/// Slowly enough that nothing is left out of what is mirrored.
fn serve(world: &World, path: &str, length: u64) -> Content {
    let content = world.serve(path, length);
    let pace = Some((256 * KIB, Duration::from_millis(5)));
    let script = Script::new(content);
    world.origin.script(path, Script { pace, ..script });
    content
}

fn by(viewer: &str, path: &str) -> Request {
    Request::get(path).field("user-agent", viewer)
}

async fn cached_bytes(world: &World, path: &str) -> u64 {
    let entity = world.entity(path).await;
    entity.map_or(0, |entity| entity["cached_bytes"].as_u64().unwrap())
}

/// Heads and tails of a thousand files are more than what is provisional may take.
#[tokio::test]
async fn a_scanner_of_a_thousand_files_evicts_nothing_that_is_admitted() {
    let world = limited("64MiB").await;
    let film = serve(&world, "/film", N);
    world.view(&by("somebody", "/film"), film).await;
    world.stored("/film", &[(0, N)]).await;
    world.reported("/film", "provisional", false.into()).await;
    for n in 0..1000 {
        let path = format!("/scanned{n}");
        let content = world.serve(&path, MIB);
        for range in ["0-16383", "-16384"] {
            world
                .view(&by("scanner", &path).range(range), content)
                .await;
        }
    }
    world
        .reported("/scanned999", "provisional", true.into())
        .await;
    let gone = until("the first scanned ones go", SOON, async || {
        (cached_bytes(&world, "/scanned0").await == 0).then_some(())
    });
    gone.await.unwrap();
    let metrics = management::get(world.stack.manage(0), "/metrics");
    let metrics = metrics.await.unwrap();
    let admissions = metrics
        .lines()
        .filter(|line| line.starts_with("viewcache_admissions_total{") && !line.ends_with(" 0"));
    let admissions: Vec<_> = admissions.collect();
    assert_eq!(
        admissions,
        [r#"viewcache_admissions_total{reason="watched"} 1"#]
    );
    assert!(
        metrics.contains("viewcache_evictions_total{reason=\"room\"} 0\n"),
        "{metrics}"
    );
    world.hit(&by("another", "/film"), film).await;
}

/// As soon as so many different viewers have begun it, however little each has watched.
#[tokio::test]
async fn enough_viewers_make_it_worth_keeping() {
    let world = World::start().await;
    let admit = json!({"watched_percent": "never", "viewers": 3});
    world.policy(json!({"admit": admit})).await;
    let content = world.serve("/v", 10 * MIB);
    let begin = async |viewer| world.view(&by(viewer, "/v").range("0-999"), content).await;
    begin("a").await;
    world.stored("/v", &[(0, 1000)]).await;
    for viewer in ["a", "b", "b"] {
        begin(viewer).await;
    }
    world.reported("/v", "provisional", true.into()).await;
    // All of it is no reason either.
    world.view(&by("a", "/v"), content).await;
    world.reported("/v", "provisional", true.into()).await;
    begin("c").await;
    world.reported("/v", "provisional", false.into()).await;
}

#[tokio::test]
async fn a_profile_may_have_its_own_percentage() {
    let world = World::start().await;
    let profiles = json!({"generic": {"watched_percent": 50}});
    world.policy(json!({"profiles": profiles})).await;
    let content = world.serve("/v", MIB);
    let half = MIB / 2;
    let watch = async |range: &str| world.view(&by("a", "/v").range(range), content).await;
    watch(&format!("0-{}", half - 2)).await;
    world.stored("/v", &[(0, half - 1)]).await;
    world.reported("/v", "provisional", true.into()).await;
    watch(&format!("{}-{}", half - 1, half - 1)).await;
    world.reported("/v", "provisional", false.into()).await;
}

/// In a full cache one viewer, however much he watches, takes the place of others only so fast;
/// what a second one asks for is not held back, and neither are his bytes from the origin.
#[tokio::test]
async fn one_viewer_does_not_turn_over_what_is_stored() {
    let world = limited("32MiB").await;
    let slowly = json!({"turnover_percent": 1, "turnover_min_bytes": 2 * N});
    world.policy(slowly).await;
    let contents: Vec<_> = (0..24)
        .map(|n| {
            let path = format!("/film{n}");
            let content = serve(&world, &path, N);
            (path, content)
        })
        .collect();
    for (path, content) in &contents {
        world.view(&by("a", path), *content).await;
    }
    let (last, content) = contents.last().unwrap();
    assert!(cached_bytes(&world, last).await < N);
    // The oldest has made room for what little came after it.
    world.stored("/film4", &[(0, N)]).await;
    let id = world.entity(last).await.map(|entity| entity["id"].clone());
    if let Some(id) = id {
        let target = format!("/v1/entities/{}/history", id.as_str().unwrap());
        let told = management::json(world.stack.manage(0), &target)
            .await
            .unwrap();
        assert!(told["declined"]["turnover"]["times"].is_u64(), "{told}");
    }
    world.view(&by("b", last), *content).await;
    world.stored(last, &[(0, N)]).await;
}
