//! Viewers of the same uncached bytes share one transfer from the origin.

use std::time::{Duration, Instant};

use e2e::client::Request;
use e2e::origin::Script;

use crate::world::{KIB, MIB, World};

#[tokio::test]
async fn viewers_that_come_while_it_plays_follow() {
    let world = World::start().await;
    let length = 4 * MIB;
    let content = world.serve("/v", length);
    // Slow, but never so slow that a follower counts as starved.
    world.origin.script(
        "/v",
        Script {
            pace: Some((64 * KIB, Duration::from_millis(20))),
            ..Script::new(content)
        },
    );

    let request = Request::get("/v");
    let mut viewers = vec![world.open(&request).await];
    content
        .check(0, &viewers[0].take(MIB as usize).await.unwrap())
        .unwrap();
    for _ in 0..3 {
        let mut follower = world.open(&request).await;
        assert!(
            follower.cache_status().contains("fwd=partial"),
            "{}",
            follower.cache_status()
        );
        // What has passed is there at once, long before the end.
        content
            .check(0, &follower.take(MIB as usize).await.unwrap())
            .unwrap();
        viewers.push(follower);
    }
    assert!(world.origin.sent("/v") < length, "nobody waits for the end");
    for viewer in &mut viewers {
        let rest = viewer.rest().await.unwrap();
        assert_eq!(rest.len() as u64, 3 * MIB);
        content.check(MIB, &rest).unwrap();
    }
    let sent = world.origin.sent("/v");
    assert!(
        sent <= length + length / 50,
        "the origin sent {sent} for {length}"
    );
    world.stored("/v", &[(0, length)]).await;
}

#[tokio::test]
async fn viewers_that_come_at_once_share() {
    let world = World::start().await;
    let length = 2 * MIB;
    let content = world.serve("/v", length);
    let request = Request::get("/v");
    let view = async || {
        let view = world.view(&request, content).await;
        assert_eq!(view.expect(200, &[]).bytes, (0, length));
        view.cache_status
    };
    let began = Instant::now();
    let (a, b, c, d, e, f) = tokio::join!(view(), view(), view(), view(), view(), view());
    let sent = world.origin.sent("/v");
    // Who gets no byte for so long rightly asks for some: on a machine that is busy elsewhere.
    let starved = Duration::from_millis(200) <= began.elapsed();
    // So does who had no decision in time.
    let told = [a, b, c, d, e, f];
    let alone = told.iter().filter(|told| told.contains("decide-")).count() as u64;
    let most = length * (1 + alone) + if starved { 6 * MIB } else { length / 50 };
    assert!(
        sent <= most,
        "the origin sent {sent} for {length}: {told:?}"
    );
    world.stored("/v", &[(0, length)]).await;
    world.hit(&request, content).await;
}
