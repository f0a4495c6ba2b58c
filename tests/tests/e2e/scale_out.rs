//! Several sidecars behind one Envoy: each entity has its node.

use e2e::client::{HOST, Request};
use e2e::management;

use crate::world::World;

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
