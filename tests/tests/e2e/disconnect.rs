//! A viewer that leaves leaves behind what it has received.

use e2e::client::Request;
use e2e::origin::{Gate, Script};
use e2e::poll::until;
use tokio::task::JoinSet;

use crate::world::{MIB, SOON, World};

#[tokio::test]
async fn every_byte_that_passed_is_stored() {
    let world = World::start().await;
    let content = world.serve("/v", 4 * MIB);
    // In the middle of a chunk.
    let passed = MIB + 12_345;
    let gate = Gate::at_byte(passed);
    world.origin.script(
        "/v",
        Script {
            gate: Some(gate.clone()),
            ..Script::new(content)
        },
    );
    let mut viewer = world.open(&Request::get("/v")).await;
    content
        .check(0, &viewer.take(passed as usize).await.unwrap())
        .unwrap();
    drop(viewer);
    world.stored("/v", &[(0, passed)]).await;
    gate.open();

    world.origin.script("/v", Script::new(content));
    world
        .view(&Request::get("/v"), content)
        .await
        .expect(200, &["fwd=partial"]);
    world.stored("/v", &[(0, 4 * MIB)]).await;
    // What was sent into the closed connection is not counted against the cache.
    let again: u64 = world.origin.seen("/v")[1..]
        .iter()
        .map(|seen| seen.sent)
        .sum();
    assert_eq!(again, 4 * MIB - passed);
}

#[tokio::test]
async fn less_than_a_chunk_counts_too() {
    let world = World::start().await;
    let content = world.serve("/v", MIB);
    let gate = Gate::at_byte(500_100);
    world.origin.script(
        "/v",
        Script {
            gate: Some(gate.clone()),
            ..Script::new(content)
        },
    );
    let mut viewer = world.open(&Request::get("/v").range("500000-")).await;
    content
        .check(500_000, &viewer.take(100).await.unwrap())
        .unwrap();
    drop(viewer);
    world.stored("/v", &[(500_000, 500_100)]).await;
    gate.open();
}

/// Players that seek, and readers that open and close: on what is not stored, half stored, and
/// stored.
#[tokio::test]
async fn very_many_viewers_that_leave_leave_nothing_behind() {
    const VIEWERS: u64 = 300;
    let world = World::start().await;
    let paths = ["/a", "/b", "/c"];
    let contents = paths.map(|path| world.serve(path, 16 * MIB));
    for _ in 0..3 {
        let mut viewers = JoinSet::new();
        for n in 0..VIEWERS {
            let which = (n % 3) as usize;
            let (path, content) = (paths[which], contents[which]);
            let start = n * 7_919 * 1_013 % (15 * MIB);
            let request = Request::get(path).range(&format!("{start}-"));
            let ingress = world.stack.ingress();
            viewers.spawn(async move {
                let mut response = request.send(ingress).await.unwrap();
                assert_eq!(response.status, 206);
                let some = response.take((n * 997 % 200_000) as usize).await.unwrap();
                content.check(start, &some).unwrap();
            });
        }
        while let Some(left) = viewers.join_next().await {
            left.unwrap();
        }
    }
    for (path, content) in paths.into_iter().zip(contents) {
        let mut last = None;
        let quiet = until("nobody is left", SOON, async || {
            last = world.entity(path).await;
            let entity = last.as_ref()?;
            (entity["viewers"] == 0 && entity["fills"] == 0).then_some(())
        });
        quiet
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}; last {last:?}"));
        world.becomes_hit(&Request::get(path), content).await;
    }
    world.filter_lives().await;
}
