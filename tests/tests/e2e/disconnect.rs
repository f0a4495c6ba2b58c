//! A viewer that leaves leaves behind what it has received.

use e2e::client::Request;
use e2e::origin::{Gate, Script};

use crate::world::{MIB, World};

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
