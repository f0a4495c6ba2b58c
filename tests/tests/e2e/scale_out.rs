//! Several sidecars behind one Envoy: each entity has its node, also while nodes come and go.

use std::collections::BTreeMap;

use e2e::client::{HOST, Request};
use e2e::envoy_config::OriginUrl;
use e2e::maglev::{PLACES, Table};
use e2e::management;
use e2e::origin::{Gate, Script};
use e2e::poll::until;
use e2e::stack::Standing;
use serde_json::{Value, json};

use crate::audience::{Audience, Misses};
use crate::world::{KIB, MIB, SOON, World};

const VIEWERS: usize = 24;
const ENTITIES: usize = 240;

/// Where Envoy's MAGLEV puts entities when these are the nodes.
fn table(nodes: &[usize]) -> Table {
    Table::new(nodes.iter().map(|node| format!("node-{node}")), PLACES)
}

/// What a node has: of each path the entity's id, and the bytes that are stored.
async fn stored_on(world: &World, node: usize) -> BTreeMap<String, (String, u64)> {
    let prefix = format!("generic:http://{HOST}");
    let list = management::json(world.stack.manage(node), "/v1/entities?limit=1000").await;
    let list = list.unwrap();
    let entity = |item: &Value| {
        let path = item["key"].as_str()?.strip_prefix(&prefix)?.to_owned();
        let id = item["id"].as_str()?.to_owned();
        Some((path, (id, item["cached_bytes"].as_u64()?)))
    };
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| entity(item).unwrap())
        .filter(|(_, (_, bytes))| *bytes != 0)
        .collect()
}

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
    let on = [stored_on(&world, 0).await, stored_on(&world, 1).await];
    assert!(on.iter().all(|on| !on.is_empty()), "{on:?}");
    for path in &paths {
        let nodes = on.iter().filter(|on| on.contains_key(path)).count();
        assert_eq!(nodes, 1, "{path}: {on:?}");
    }

    // Each node tells of both.
    for node in 0..2 {
        let port = world.stack.manage(node);
        let all = until("all are counted", SOON, async || {
            let all = management::json(port, "/v1/stats?peers=true")
                .await
                .unwrap();
            (all["entities"] == paths.len()).then_some(all)
        });
        let all = all.await.unwrap();
        let nodes = all["nodes"].as_array().unwrap().iter();
        let itself: Vec<_> = nodes.map(|node| node["itself"].as_bool()).collect();
        assert_eq!(itself, [Some(node == 0), Some(node == 1)], "{all:#}");
    }

    // The loss of a node costs its own entities only.
    world.stack.sidecar(1).kill().await.unwrap();
    for (path, content) in paths.iter().zip(&contents) {
        let view = world.view(&Request::get(path), *content).await;
        view.expect(200, &[]);
        let lost = on[1].contains_key(path);
        assert!(lost || view.is_hit(), "{path}: {view:?}");
    }
}

/// Ids of the entities, by their numbers, when each is whole on the node that MAGLEV chooses and
/// no byte of it is on another of these.
async fn placed(world: &World, audience: &Audience, nodes: &[usize]) -> Vec<String> {
    let mut ids = vec![String::new(); ENTITIES];
    let mut on = BTreeMap::new();
    for &node in nodes {
        on.insert(format!("node-{node}"), stored_on(world, node).await);
    }
    let table = table(nodes);
    for (number, id) in ids.iter_mut().enumerate() {
        let path = audience.path(number);
        let at: Vec<_> = on.iter().filter(|(_, on)| on.contains_key(path)).collect();
        let [(node, on)] = at[..] else {
            panic!("{path} is on {} nodes", at.len());
        };
        let (known, bytes) = &on[path];
        assert_eq!(*bytes, audience.length(number), "{path} is not whole");
        assert_eq!(table.node(known), node, "{path}: Envoy has it elsewhere");
        id.clone_from(known);
    }
    ids
}

/// Whose node is another with these nodes than with those before.
fn moved(ids: &[String], before: &[usize], after: &[usize]) -> Vec<usize> {
    let (before, after) = (table(before), table(after));
    let other = |number: &usize| before.node(&ids[*number]) != after.node(&ids[*number]);
    (0..ids.len()).filter(other).collect()
}

#[tokio::test]
async fn nodes_come_and_go_and_no_viewer_notices() {
    let mut world = World::with(|options| {
        options.sidecars = 3;
        options.nodes_file = true;
    })
    .await;
    let audience = Audience::seat(&world, VIEWERS, ENTITIES, 24 * KIB);
    audience.settles().await;
    let ids = placed(&world, &audience, &[0, 1, 2]).await;
    let misses = audience.rounds(1).await;
    assert!(misses.views <= 0.02, "with all nodes: {misses:?}");

    // One is killed: what it had is fetched again, once, and nothing else is.
    let before = audience.views();
    world.stack.sidecar(1).kill().await.unwrap();
    let lost = moved(&ids, &[0, 1, 2], &[0, 2]);
    let misses = audience.rounds_since(before, 2).await;
    check_misses("after the kill", &misses, &lost);
    audience.settles().await;
    assert!(
        audience.cuts() <= VIEWERS,
        "{} bodies were cut",
        audience.cuts()
    );
    let cuts = audience.cuts();

    // It comes back elsewhere with its data, and has its entities again: the origin is not asked.
    let requests = |world: &World, of: &[usize]| -> usize {
        let seen = |entity: &usize| world.origin.seen(audience.path(*entity)).len();
        of.iter().map(seen).sum()
    };
    let before = requests(&world, &lost);
    world.stack.move_sidecar(1).unwrap();
    world.stack.start_sidecar(1).await.unwrap();
    world.stack.healthy(3).await.unwrap();
    let misses = audience.rounds(2).await;
    assert!(misses.views <= 0.03, "after its return: {misses:?}");
    let again = requests(&world, &lost) - before;
    assert!(again <= lost.len() / 20, "asked for again: {again}");

    // A fourth takes about a quarter of them.
    let before = audience.views();
    let added = world.stack.add_sidecar().await.unwrap();
    assert_eq!(added, 3);
    world.stack.healthy(4).await.unwrap();
    let gained = moved(&ids, &[0, 1, 2], &[0, 1, 2, 3]);
    let table = table(&[0, 1, 2, 3]);
    let elsewhere = gained
        .iter()
        .filter(|&&number| table.node(&ids[number]) != "node-3");
    assert!(elsewhere.count() <= ENTITIES / 50);
    let misses = audience.rounds_since(before, 2).await;
    check_misses("after the addition", &misses, &gained);
    audience.settles().await;

    // One is drained and stopped, and nobody is cut.
    let before = audience.views();
    world.stack.set_standing(0, Standing::Draining).unwrap();
    let left = moved(&ids, &[0, 1, 2, 3], &[1, 2, 3]);
    let misses = audience.rounds_since(before, 2).await;
    check_misses("after the draining", &misses, &left);
    world.stack.idle(0).await.unwrap();
    assert!(world.stack.stop_sidecar(0).await.unwrap().success());
    world.stack.set_standing(0, Standing::Gone).unwrap();
    audience.settles().await;
    assert_eq!(audience.cuts(), cuts, "bodies were cut without a kill");

    assert!(world.count("remembered").await > 0, "no hit was remembered");
    audience.leave().await;
    world.filter_lives().await;
}

/// That what has been moved, and little else, was not a hit, and that this is a share such as it
/// should be.
fn check_misses(when: &str, misses: &Misses, moved: &[usize]) {
    let missed = &misses.entities;
    let stayed = moved.iter().filter(|entity| !missed.contains_key(entity));
    assert_eq!(stayed.count(), 0, "{when}: hits of what was not there");
    let share = missed.len() as f64 / ENTITIES as f64;
    let expected = moved.len() as f64 / ENTITIES as f64;
    assert!(
        (0.15..0.45).contains(&expected) && share <= expected + 0.1,
        "{when}: {share} of the entities were missed, {expected} moved: {moved:?}, {misses:?}"
    );
}

#[tokio::test]
async fn a_transfer_that_its_node_leaves_goes_on() {
    let mut world = World::with(|options| {
        options.sidecars = 2;
        options.nodes_file = true;
    })
    .await;
    // Both nodes have some of these, half of each on its way when one node goes.
    let mut viewers = Vec::new();
    let gate = Gate::at_byte(MIB);
    for number in 0..8 {
        let path = format!("/v{number}");
        let content = world.serve(&path, 2 * MIB);
        let script = Script {
            gate: Some(gate.clone()),
            ..Script::new(content)
        };
        world.origin.script(&path, script);
        let mut response = world.open(&Request::get(&path)).await;
        let half = response.take(MIB as usize).await.unwrap();
        content.check(0, &half).unwrap();
        viewers.push((path, content, response));
    }
    let both = until("both have some", SOON, async || {
        let on = [stored_on(&world, 0).await, stored_on(&world, 1).await];
        on.iter().all(|on| !on.is_empty()).then_some(on)
    });
    let [_, lost] = both.await.unwrap();
    world.stack.set_standing(1, Standing::Gone).unwrap();
    world.stack.healthy(1).await.unwrap();
    gate.open();
    for (path, content, response) in &mut viewers {
        content
            .check(MIB, &response.rest().await.unwrap())
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    // What the node that stays got of a transfer that began elsewhere is nothing or right.
    for (path, content, _) in &viewers {
        world.view(&Request::get(path), *content).await;
        world.becomes_hit(&Request::get(path), *content).await;
    }
    // Back again, it has what it had, and the rest comes from the origin.
    world.stack.set_standing(1, Standing::Member).unwrap();
    world.stack.healthy(2).await.unwrap();
    for (path, content, _) in &viewers {
        let view = world.view(&Request::get(path), *content).await;
        view.expect(200, &[]);
        let status = &view.cache_status;
        assert!(view.is_hit() || lost.contains_key(path), "{path}: {status}");
    }
}

#[tokio::test]
async fn each_node_has_a_limit_of_its_own() {
    const LIMIT: u64 = 6 * MIB;
    let world = World::with(|options| {
        options.sidecars = 3;
        options.max_bytes = Some("6MiB".to_owned());
    })
    .await;
    for node in 0..3 {
        let all = json!({"admit": {"watched_percent": 0}});
        let changed = management::send("PATCH", world.stack.manage(node), "/v1/policy", &all);
        changed.await.unwrap();
    }
    for number in 0..60 {
        let path = format!("/v{number}");
        let content = world.serve(&path, MIB / 2);
        world.view(&Request::get(&path), content).await;
    }
    let mut total = 0;
    for node in 0..3 {
        let full = until("its room is used", SOON, async || {
            let used: u64 = stored_on(&world, node)
                .await
                .values()
                .map(|(_, bytes)| bytes)
                .sum();
            assert!(used <= LIMIT, "node {node} has {used} bytes");
            (LIMIT / 2 <= used).then_some(used)
        });
        total += full.await.unwrap();
    }
    assert!(LIMIT < total, "three nodes hold no more than one may");
}

#[tokio::test]
async fn a_second_tier_spares_the_origin() {
    let shield = World::start().await;
    // Two sites, each with a cache of its own, whose origin is the shield.
    let origin = OriginUrl::http(shield.stack.ingress());
    let sites = [
        World::with(|options| options.origin = origin.clone()).await,
        World::with(|options| options.origin = origin.clone()).await,
    ];
    let content = shield.serve("/v", MIB);
    let request = Request::get("/v");
    for (site, in_front) in sites.iter().zip(["fwd=uri-miss; stored", "hit"]) {
        // Each tier says what it did, the one next to the viewer last (RFC 9211 section 2).
        let mut response = request.send(site.stack.ingress()).await.unwrap();
        content.check(0, &response.rest().await.unwrap()).unwrap();
        let fields = response.head.fields.iter();
        let said: Vec<&str> = fields
            .filter(|(name, _)| name == "cache-status")
            .map(|(_, value)| value.as_str())
            .collect();
        let [shield_said, site_said] = said[..] else {
            panic!("{said:?}");
        };
        assert!(shield_said.contains(in_front), "{said:?}");
        assert!(site_said.contains("fwd=uri-miss; stored"), "{said:?}");
        shield.stored("/v", &[(0, MIB)]).await;
        // Before that is so, each tier says something.
        site.stored("/v", &[(0, MIB)]).await;
        site.becomes_hit(&request, content).await;
    }
    assert_eq!(shield.origin.sent("/v"), MIB);
    // The rest of what a site has a part of comes from the shield as well.
    let content = shield.serve("/w", MIB);
    let (whole, seek) = (Request::get("/w"), Request::get("/w").range("1000-1999"));
    whole
        .send(sites[0].stack.ingress())
        .await
        .unwrap()
        .rest()
        .await
        .unwrap();
    shield.stored("/w", &[(0, MIB)]).await;
    for request in [&seek, &whole] {
        let mut response = request.send(sites[1].stack.ingress()).await.unwrap();
        let start = if response.status == 206 { 1000 } else { 0 };
        content
            .check(start, &response.rest().await.unwrap())
            .unwrap();
    }
    assert_eq!(shield.origin.sent("/w"), MIB);
}

/// With Envoy's own overprovisioning factor three requests of ten would go to the origin when one
/// of two nodes is lost, whichever node they are for.
#[tokio::test]
async fn requests_stay_at_the_node_that_is_left() {
    let mut world = World::with(|options| options.sidecars = 2).await;
    world.stack.sidecar(1).kill().await.unwrap();
    world.stack.healthy(1).await.unwrap();
    let paths: Vec<String> = (0..40).map(|n| format!("/v{n}")).collect();
    let contents: Vec<_> = paths.iter().map(|path| world.serve(path, 2000)).collect();
    for (path, content) in paths.iter().zip(&contents) {
        world.becomes_hit(&Request::get(path), *content).await;
    }
    for (path, content) in paths.iter().zip(&contents) {
        world.hit(&Request::get(path), *content).await;
    }
}
