//! Sound and pictures that are watched together.

use std::time::Duration;

use e2e::management;
use e2e::origin::Script;
use e2e::poll::until;
use serde_json::{Value, json};

use crate::quality::{
    ENOUGH, FEW, N, PATH, complete, completes, get, key, only_watched, restart, seen, world,
};
use crate::world::{KIB, SOON, World};

async fn pairs(world: &World, video: &str) -> Value {
    let target = format!("/v1/videos/{video}");
    let video = management::json(world.stack.manage(0), &target).await;
    video.unwrap()["pairs"].take()
}

#[tokio::test]
async fn a_pair_is_shown_and_completed_together() {
    let (mut world, content, _folder) = world("").await;
    completes(&world, json!("watched")).await;
    let by = |viewer: &str, video: &str, itag: &str, range: &str| {
        get(video, itag).range(range).field("user-agent", viewer)
    };
    for (viewer, video, itag, range) in [
        // Of the sound alone nobody has watched enough.
        ("one", "pair", "137", ENOUGH),
        ("one", "pair", "140", FEW),
        // Two viewers are no pair, nor are two pictures, nor a picture with sound and more sound.
        ("one", "apart", "137", ENOUGH),
        ("two", "apart", "140", FEW),
        ("one", "switch", "137", ENOUGH),
        ("one", "switch", "136", FEW),
        ("one", "whole", "22", ENOUGH),
        ("one", "whole", "140", FEW),
        // It does not matter which half comes first.
        ("two", "turned", "140", FEW),
        ("two", "turned", "137", ENOUGH),
    ] {
        let request = by(viewer, video, itag, range);
        world.view(&request, content).await;
    }
    for video in ["pair", "turned"] {
        complete(&world, video, "137").await;
        complete(&world, video, "140").await;
    }
    for (video, itag) in [("apart", "140"), ("switch", "136"), ("whole", "140")] {
        only_watched(&world, video, itag, 100_000).await;
        let key = key(video, itag);
        world.reported(&key, "provisional", true.into()).await;
        assert_eq!(pairs(&world, video).await, json!([]));
    }
    let metrics = management::get(world.stack.manage(0), "/metrics").await;
    let admitted = r#"viewcache_admissions_total{reason="pair"} 2"#;
    assert!(metrics.unwrap().contains(admitted));
    let known = pairs(&world, "pair").await;
    let id = async |itag| world.entity(&key("pair", itag)).await.unwrap()["id"].clone();
    assert_eq!(known.as_array().unwrap().len(), 1);
    let half = |itag: &str, entity: Value| json!({"itag": itag, "entity": entity});
    assert_eq!(known[0]["video"], half("137", id("137").await));
    assert_eq!(known[0]["audio"], half("140", id("140").await));
    let last_seen = known[0]["last_seen"].as_str().unwrap().to_owned();
    // It is known for good, and when it was last seen.
    restart(&mut world, content).await;
    assert_eq!(pairs(&world, "pair").await, known);
    for itag in ["137", "140"] {
        world.view(&by("three", "pair", itag, FEW), content).await;
    }
    let known = pairs(&world, "pair").await;
    assert!(
        known[0]["last_seen"].as_str().unwrap() > &last_seen[..],
        "{known}"
    );
}

/// What a viewer gets of one half is not a reason for the other half to wait.
#[tokio::test]
async fn the_halves_of_a_pair_do_not_wait_for_each_other() {
    let (world, content, _folder) = world("").await;
    world.policy(json!({"keep": "complete"})).await;
    let slow = Script {
        pace: Some((16 * KIB, Duration::from_millis(100))),
        ..Script::new(content)
    };
    world.origin.script(PATH, slow);
    let mut viewers = Vec::new();
    for itag in ["137", "140"] {
        let first_half = format!("0-{}", N / 2 - 1);
        let mut viewer = world.open(&get("abc", itag).range(&first_half)).await;
        viewer.take(1000).await.unwrap();
        viewers.push(tokio::spawn(async move { viewer.rest().await.unwrap() }));
    }
    world.origin.script(PATH, Script::new(content));
    let rests = until("the rest of both", SOON, async || {
        for itag in ["137", "140"] {
            let ranges = world.ranges(&key("abc", itag)).await;
            ranges.contains(&(N / 2, N)).then_some(())?;
        }
        Some(())
    });
    rests.await.unwrap();
    for itag in ["137", "140"] {
        let sent = seen(&world, itag)[0].sent;
        assert!(sent < N / 2, "{itag}: its viewer has got all of it before");
    }
    for viewer in viewers {
        content.check(1000, &viewer.await.unwrap()).unwrap();
    }
}
