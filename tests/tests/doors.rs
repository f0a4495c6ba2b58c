//! Doors that configurations could leave open, and the document that lists them all.

use std::fs;
use std::path::{Path, PathBuf};

use serde_saphyr as yaml;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// The egress listener is a proxy to the origin for whoever reaches it, and the data port a store: in
/// every configuration that is shipped both are on loopback. Where another asks for the secret
/// instead (docs/SEPARATE-HOSTS.md, docker-compose.yml), other tests see that it does.
#[test]
fn what_is_for_envoy_and_the_sidecar_alone_is_on_loopback() {
    let mut seen = 0;
    for path in files(&root().join("envoy"), ".yaml") {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            let Some((_, rest)) = line.split_once("socket_address: {address: ") else {
                assert!(
                    !line.contains("socket_address") || line.contains("@type"),
                    "{place}: written in another form"
                );
                continue;
            };
            let ours = ["10001}", "10002}", "7071}", "7070}", "9901}"];
            if ours
                .iter()
                .any(|port| rest.contains(&format!("port_value: {port}")))
            {
                assert!(rest.starts_with("127.0.0.1,"), "{place}: {line}");
                seen += 1;
            }
        }
        // The way to the origin after a fail-over, and the cache's own way in, are inside Envoy, or
        // on loopback where the control plane knows no other way.
        for block in text.split("name: ").skip(1) {
            let name = block.split_whitespace().next().unwrap_or_default();
            let listens = block.split("\n\n").next().unwrap_or_default();
            let is_listener = listens.contains("filter_chains:");
            if is_listener && ["strip", "viewcache_strip", "viewcache"].contains(&name) {
                let inside = "internal_listener: {}";
                let loopback = "address: {socket_address: {address: 127.0.0.1,";
                assert!(
                    listens.contains(inside) || listens.contains(loopback),
                    "{}: {name}",
                    path.display()
                );
                seen += 1;
            }
        }
    }
    assert!(15 < seen, "{seen}");
}

/// In the compose stacks they are on a network of their own, ask for the secret, and are no ports of
/// the host.
#[test]
fn containers_ask_for_the_secret_and_publish_neither() {
    for name in ["docker-compose.yml", "docker-compose.nodes.yml"] {
        let text = fs::read_to_string(root().join(name)).unwrap();
        let parsed: serde_json::Value = yaml::from_str(&text).unwrap();
        let services = parsed["services"].as_object().unwrap();
        for (service, settings) in services {
            for port in settings["ports"].as_array().into_iter().flatten() {
                let port = port.as_str().unwrap();
                let inner = port.rsplit(':').next().unwrap();
                assert!(
                    !["7071", "10001"].contains(&inner),
                    "{name}: {service}: {port}"
                );
            }
            let command = settings["command"].to_string();
            let open =
                command.contains("--egress=0.0.0.0") || command.contains("--data-listen=0.0.0.0");
            assert!(
                !open || command.contains("--secret-file="),
                "{name}: {service}: {command}"
            );
        }
    }
}

/// Every test that the document names is there.
#[test]
fn each_door_has_its_test() {
    let text = fs::read_to_string(root().join("docs/ABUSE.md")).unwrap();
    let sources: String = ["tests", "sidecar", "filter", "protocol"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), ".rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut named = 0;
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let last = row
            .trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .unwrap_or_default();
        for test in last.split('`').skip(1).step_by(2) {
            assert!(
                sources.contains(&format!("fn {test}(")),
                "{test} is no test: {row}"
            );
            named += 1;
        }
    }
    assert!(30 < named, "{named}");
}
