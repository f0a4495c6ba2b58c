//! What was stored is there after a restart, however the sidecar ended.

use e2e::client::Request;

use crate::world::{MIB, World};

#[tokio::test]
async fn a_restart_keeps_what_was_stored() {
    let mut world = World::start().await;
    let content = world.serve("/whole", 2 * MIB);
    let part = world.serve("/part", 2 * MIB);
    world.view(&Request::get("/whole"), content).await;
    world
        .view(&Request::get("/part").range("1000-999999"), part)
        .await;
    world.stored("/whole", &[(0, 2 * MIB)]).await;
    world.stored("/part", &[(1000, 1_000_000)]).await;

    for asked in [true, false] {
        if asked {
            let status = world.stack.stop_sidecar(0).await.unwrap();
            assert!(status.success(), "{status}");
        } else {
            world.stack.sidecar(0).kill().await.unwrap();
        }
        world.stack.start_sidecar(0).await.unwrap();
        assert_eq!(world.ranges("/whole").await, [(0, 2 * MIB)]);
        assert_eq!(world.ranges("/part").await, [(1000, 1_000_000)]);
        world.becomes_hit(&Request::get("/whole"), content).await;
        world
            .hit(&Request::get("/whole").range("-5"), content)
            .await;
        world
            .hit(&Request::get("/part").range("1000-999999"), part)
            .await;
    }
    world
        .view(&Request::get("/part"), part)
        .await
        .expect(200, &["fwd=partial"]);
    world.stored("/part", &[(0, 2 * MIB)]).await;
    assert_eq!(world.origin.sent("/part"), 2 * MIB);
}

#[tokio::test]
async fn what_had_come_before_a_kill_is_not_asked_for_again() {
    let mut world = World::start().await;
    let content = world.serve("/v", 4 * MIB);
    let gate = e2e::origin::Gate::at_byte(2 * MIB);
    let script = e2e::origin::Script::new(content);
    world.origin.script(
        "/v",
        e2e::origin::Script {
            gate: Some(gate.clone()),
            ..script
        },
    );
    let mut viewer = world.open(&Request::get("/v")).await;
    content
        .check(0, &viewer.take(2 * MIB as usize).await.unwrap())
        .unwrap();
    // At least the full chunks of it are on the disk.
    let stored = e2e::poll::until("most is stored", crate::world::SOON, async || {
        let ranges = world.ranges("/v").await;
        ranges
            .first()
            .filter(|(start, end)| *start == 0 && MIB < *end)
            .map(|range| range.1)
    });
    let stored = stored.await.unwrap();
    world.stack.sidecar(0).kill().await.unwrap();
    // The viewer of a miss does not notice.
    gate.open();
    content
        .check(2 * MIB, &viewer.rest().await.unwrap())
        .unwrap();
    world.stack.start_sidecar(0).await.unwrap();
    let kept = world.ranges("/v").await;
    assert!(
        kept.first()
            .is_some_and(|(start, end)| *start == 0 && stored <= *end),
        "{kept:?}"
    );
}
