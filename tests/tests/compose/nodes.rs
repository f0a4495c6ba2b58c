//! Three cache nodes: docker-compose.nodes.yml.

use crate::project::Project;

const NODES: usize = 3;

#[tokio::test]
async fn each_entity_lives_on_one_of_three_nodes() {
    let files = ["docker-compose.yml", "docker-compose.nodes.yml"];
    let project = Project::up("nodes", &files).await.unwrap();
    // The origin ignores the query, but each is an entity of its own.
    let targets: Vec<_> = (0..18).map(|n| format!("/sw.js?{n}")).collect();
    let length = project.file("/sw.js").unwrap().len();
    for target in &targets {
        let view = project.view(target, None).await.unwrap();
        view.expect("viewcache; fwd=uri-miss; stored");
        project.becomes_hit(target).await.unwrap();
    }
    let before = homes(&project, &targets, length).await;
    for node in 0..NODES {
        assert!(before.contains(&node), "node {node} has none: {before:?}");
    }

    // A lost node costs its own entities, until it is back: under its name, wherever it runs.
    project.compose(&["stop", "sidecar-1"]).await.unwrap();
    for (target, node) in targets.iter().zip(&before) {
        let view = project.view(target, None).await.unwrap();
        assert!(*node == 1 || view.is_hit(), "{target}: {view:?}");
    }
    let recreate = ["up", "-d", "--no-build", "--force-recreate", "--no-deps"];
    let again = [&recreate[..], &["sidecar-1"]].concat();
    project.compose(&again).await.unwrap();
    project.healthy().await.unwrap();
    for target in &targets {
        project.becomes_hit(target).await.unwrap();
    }
    for (target, node) in targets.iter().zip(before) {
        let entity = project.entity(node, target).await.unwrap();
        assert_eq!(entity.unwrap()["cached_bytes"], length, "{target}");
    }
    project.down().await.unwrap();
}

/// The node that has all of each, and no other has any.
async fn homes(project: &Project, targets: &[String], length: usize) -> Vec<usize> {
    let mut homes = Vec::new();
    for target in targets {
        let mut at = Vec::new();
        for node in 0..NODES {
            let entity = project.entity(node, target).await.unwrap();
            if entity.is_some_and(|entity| entity["cached_bytes"] == length) {
                at.push(node);
            }
        }
        assert_eq!(at.len(), 1, "{target} is at {at:?}");
        homes.push(at[0]);
    }
    homes
}
