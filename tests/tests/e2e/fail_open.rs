//! Whatever becomes of the sidecar, the viewer gets the bytes.

use std::time::Duration;

use e2e::client::Request;
use e2e::management::envoy_stat;
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{MIB, World};

/// The decision's timeout, and a margin for a busy machine.
const BOUNDED: Duration = Duration::from_millis(100 + 900);

#[tokio::test]
async fn a_sidecar_that_was_never_started_costs_nothing() {
    let mut world = World::with(|options| options.start_sidecars = false).await;
    let content = world.serve("/v", MIB);
    let request = Request::get("/v");
    for _ in 0..5 {
        let view = world.view(&request, content).await;
        view.expect(200, &["fwd=bypass"]);
        assert!(view.waited < BOUNDED, "{:?}", view.waited);
    }
    world.stack.start_sidecar(0).await.unwrap();
    world.becomes_hit(&request, content).await;
}

#[tokio::test]
async fn a_killed_sidecar_is_not_noticed() {
    let mut world = World::start().await;
    let content = world.serve("/v", MIB);
    let request = Request::get("/v");
    world.view(&request, content).await;
    world.stored("/v", &[(0, MIB)]).await;
    world.hit(&request, content).await;

    world.stack.sidecar(0).kill().await.unwrap();
    for _ in 0..20 {
        let view = world.view(&request, content).await;
        view.expect(200, &[]);
        assert!(!view.is_hit() && view.waited < BOUNDED, "{view:?}");
    }
    world.stack.start_sidecar(0).await.unwrap();
    world.becomes_hit(&request, content).await;
    world.filter_lives().await;
}

#[tokio::test]
async fn a_stopped_sidecar_costs_a_few_decisions_and_then_nothing() {
    let mut world = World::start().await;
    let content = world.serve("/v", 10_000);
    let request = Request::get("/v");
    world
        .view(&request, content)
        .await
        .expect(200, &["fwd=uri-miss"]);

    world.stack.sidecar(0).pause().unwrap();
    // Longer than an ejection lasts: the health check must hold it out after that.
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        let view = world.view(&request, content).await;
        view.expect(200, &[]);
        assert!(view.waited < BOUNDED, "{view:?}");
    }
    let timeouts = envoy_stat(
        world.stack.admin(),
        "cluster.viewcache_decide.upstream_rq_timeout",
    );
    let timeouts = timeouts.await.unwrap();
    assert!(
        (1..=4).contains(&timeouts),
        "{timeouts} requests waited for a decision"
    );

    world.stack.sidecar(0).signal(Signal::CONT).unwrap();
    world.becomes_hit(&request, content).await;
}

#[tokio::test]
async fn a_request_without_its_head_survives_the_kill() {
    let mut world = World::start().await;
    let content = world.serve("/v", 1000);
    let request = Request::get("/v");
    world.view(&request, content).await;
    world.stored("/v", &[(0, 1000)]).await;
    for _ in 0..3 {
        let pid = Pid::from_raw(world.stack.sidecar(0).pid()).unwrap();
        let burst = async || {
            for _ in 0..15 {
                // Nothing can help a body that has begun, so only its head must come.
                let mut response = world.open(&request).await;
                assert_eq!(response.status, 200);
                if let Ok(body) = response.rest().await {
                    content.check(0, &body).unwrap();
                }
            }
        };
        let kill = async {
            burst().await;
            kill_process(pid, Signal::KILL).unwrap();
        };
        tokio::join!(burst(), burst(), burst(), kill, burst());
        world.stack.sidecar(0).wait().await.unwrap();
        world.stack.start_sidecar(0).await.unwrap();
        world.becomes_hit(&request, content).await;
    }
}
