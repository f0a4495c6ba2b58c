//! Several sidecars behind one Envoy: each entity has its node.

use e2e::client::{HOST, Request};
use e2e::management;
use e2e::poll::until;

use crate::world::{SOON, World};

#[tokio::test]
async fn an_entity_is_decided_stored_and_served_by_one_node() {
    let mut world = World::with(|options| options.sidecars = 2).await;
    let paths: Vec<String> = (0..12).map(|n| format!("/v{n}")).collect();
    let contents: Vec<_> = paths.iter().map(|path| world.serve(path, 50_000)).collect();
    for (path, content) in paths.iter().zip(&contents) {
        world
            .view(&Request::get(path), *content)
            .await
            .expect(200, &["fwd=uri-miss"]);
        world.becomes_hit(&Request::get(path), *content).await;
    }
    let mut nodes = Vec::new();
    for path in &paths {
        let key = format!("generic:http://{HOST}{path}");
        let mut at = Vec::new();
        for node in 0..2 {
            let known = management::entity(world.stack.manage(node), &key)
                .await
                .unwrap();
            at.extend(
                known
                    .filter(|entity| entity["cached_bytes"] != 0)
                    .map(|_| node),
            );
        }
        assert_eq!(at.len(), 1, "{path} is at {at:?}");
        nodes.push(at[0]);
    }
    assert!(nodes.contains(&0) && nodes.contains(&1), "{nodes:?}");

    // The loss of a node costs its own entities only.
    world.stack.sidecar(1).kill().await.unwrap();
    for ((path, content), node) in paths.iter().zip(&contents).zip(&nodes) {
        let view = world.view(&Request::get(path), *content).await;
        view.expect(200, &[]);
        assert!(*node == 1 || view.is_hit(), "{path}: {view:?}");
    }
}

/// With Envoy's own overprovisioning factor three requests of ten would go to the origin when one
/// of two nodes is lost, whichever node they are for.
#[tokio::test]
async fn requests_stay_at_the_node_that_is_left() {
    let mut world = World::with(|options| options.sidecars = 2).await;
    world.stack.sidecar(1).kill().await.unwrap();
    let healthy = async |cluster: &str| {
        let stat = format!("cluster.{cluster}.membership_healthy");
        management::envoy_stat(world.stack.admin(), &stat).await
    };
    for cluster in ["viewcache_decide", "viewcache_ingest", "viewcache_serve"] {
        let alone = until("the other is out", SOON, async || {
            (healthy(cluster).await.ok()? == 1).then_some(())
        });
        alone.await.unwrap();
    }
    let paths: Vec<String> = (0..40).map(|n| format!("/v{n}")).collect();
    let contents: Vec<_> = paths.iter().map(|path| world.serve(path, 2000)).collect();
    for (path, content) in paths.iter().zip(&contents) {
        world.becomes_hit(&Request::get(path), *content).await;
    }
    for (path, content) in paths.iter().zip(&contents) {
        world.hit(&Request::get(path), *content).await;
    }
}
