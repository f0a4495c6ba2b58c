//! Mirroring is bounded: above the bound streams are passed on unmirrored, and counted.

use e2e::client::Request;
use e2e::origin::{Gate, Script};
use e2e::poll::until;
use rustix::process::Signal;

use crate::world::{MIB, SOON, World};

#[tokio::test]
async fn above_the_budget_nothing_is_mirrored_and_nothing_breaks() {
    let world = World::with(|options| {
        options.concurrency = Some(1);
        options.filter_fields = Some(r#""mirror_budget": "256KiB""#.to_owned());
    });
    let world = world.await;
    let gate = Gate::at_byte(1000);
    let mut viewers = Vec::new();
    for n in 0..24 {
        let path = format!("/v{n}");
        let content = world.serve(&path, MIB);
        world.origin.script(
            &path,
            Script {
                gate: Some(gate.clone()),
                ..Script::new(content)
            },
        );
        viewers.push((content, world.open(&Request::get(&path)).await));
    }
    gate.open();
    for (content, viewer) in &mut viewers {
        let body = viewer.rest().await.unwrap();
        assert_eq!(body.len() as u64, MIB);
        content.check(0, &body).unwrap();
    }
    world.counted("mirror_shed", 1).await;
    world.counted("mirror_started", 1).await;
    // The memory is given back: the next view is mirrored again.
    let content = world.serve("/after", MIB);
    world
        .view(&Request::get("/after"), content)
        .await
        .expect(200, &["stored"]);
    world.stored("/after", &[(0, MIB)]).await;
}

#[tokio::test]
async fn no_more_streams_are_mirrored_than_allowed() {
    let world = World::with(|options| {
        options.concurrency = Some(1);
        options.filter_fields = Some(r#""max_mirrors": 2"#.to_owned());
    });
    let world = world.await;
    let gate = Gate::at_byte(1000);
    let mut viewers = Vec::new();
    for n in 0..5 {
        let path = format!("/v{n}");
        let content = world.serve(&path, 200_000);
        world.origin.script(
            &path,
            Script {
                gate: Some(gate.clone()),
                ..Script::new(content)
            },
        );
        viewers.push((content, world.open(&Request::get(&path)).await));
    }
    let stored = |viewer: &e2e::client::Response| viewer.cache_status().contains("stored");
    let mirrored = viewers.iter().filter(|(_, viewer)| stored(viewer)).count();
    assert_eq!(mirrored, 2);
    gate.open();
    for (content, viewer) in &mut viewers {
        content.check(0, &viewer.rest().await.unwrap()).unwrap();
    }
    world.counted("mirror_shed", 3).await;
}

/// A sidecar that does not keep up costs what passed meanwhile and not the rest of the file.
#[tokio::test]
async fn mirroring_goes_on_when_the_sidecar_has_caught_up() {
    const LENGTH: u64 = 64 * MIB;
    const STALLED: u64 = 48 * MIB;
    let mut world = World::start().await;
    let content = world.serve("/long", LENGTH);
    let gate = Gate::at_byte(STALLED);
    world.origin.script(
        "/long",
        Script {
            gate: Some(gate.clone()),
            ..Script::new(content)
        },
    );
    let mut viewer = world.open(&Request::get("/long")).await;
    let mut body = viewer.take(MIB as usize).await.unwrap();
    world.stack.sidecar(0).pause().unwrap();
    body.extend(viewer.take((STALLED - MIB) as usize).await.unwrap());
    world.stack.sidecar(0).signal(Signal::CONT).unwrap();
    let covered = async || {
        let ranges = world.ranges("/long").await;
        let stored: u64 = ranges.iter().map(|(start, end)| end - start).sum();
        (7 * MIB <= stored).then_some(stored)
    };
    let stored = until("what was on its way is stored", SOON, covered)
        .await
        .unwrap();
    assert!(stored < STALLED, "{stored}");
    gate.open();
    body.extend(viewer.rest().await.unwrap());
    content.check(0, &body).unwrap();
    let reached = async || {
        let ranges = world.ranges("/long").await;
        ranges.last().filter(|(_, end)| *end == LENGTH).copied()
    };
    let last = until("the end is stored", SOON, reached).await.unwrap();
    assert!(last.0 <= STALLED + MIB, "{last:?}");
    world.counted("mirror_paused", 1).await;
    world.becomes_hit(&Request::get("/long"), content).await;
}
