//! What the documents tell to look at is there in a running stack.

use e2e::checkout::Checkout;
use e2e::management;

use crate::world::World;

fn read(document: &str) -> String {
    let path = Checkout::find().unwrap().path(document);
    std::fs::read_to_string(path).unwrap()
}

/// The statistics of Envoy's that a document names, between backticks.
fn statistics(document: &str) -> Vec<String> {
    let text = read(document);
    let pieces = text.split('`').skip(1).step_by(2);
    let ours = |piece: &&str| {
        let families = ["cluster.", "http.", "wasmcustom.viewcache."];
        let family = families.iter().find(|family| piece.starts_with(**family));
        family.is_some_and(|family| piece.len() != family.len())
    };
    pieces.filter(ours).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_statistic_that_is_named_is_there() {
    let world = World::start().await;
    let content = world.serve("/v", 1000);
    world
        .becomes_hit(&e2e::client::Request::get("/v"), content)
        .await;
    let stats = management::get(world.stack.admin(), "/stats")
        .await
        .unwrap();
    let mut checked = 0;
    for document in ["README.md", "docs/OPERATION.md", "docs/SCALE-OUT.md"] {
        for name in statistics(document) {
            let line = format!("{name}: ");
            let found = stats.lines().any(|stat| stat.starts_with(&line));
            assert!(found, "{document}: {name}");
            checked += 1;
        }
    }
    assert!(10 < checked, "only {checked} were found");
}

#[tokio::test]
async fn the_format_of_the_data_folder_is_named() {
    let world = World::start().await;
    let format = std::fs::read_to_string(world.stack.data(0).join("format")).unwrap();
    let format = format.trim();
    let operation = read("docs/OPERATION.md");
    for sentence in [
        format!("`format` in it names its layout (now {format})."),
        format!("is not format {format}, which this version reads"),
    ] {
        assert!(operation.contains(&sentence), "{sentence}");
    }
}
