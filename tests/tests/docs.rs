//! What the documents name must exist.

use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENTS: [&str; 8] = [
    "ARCHITECTURE.md",
    "README.md",
    "bench/README.md",
    "docs/EXISTING-ENVOY.md",
    "docs/FUZZING.md",
    "docs/OPERATION.md",
    "docs/SCALE-OUT.md",
    "docs/SEPARATE-HOSTS.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// What stands between backticks in the documents, and in which.
fn pieces() -> Vec<(&'static str, String)> {
    let of = |document: &'static str| {
        let text = read(document);
        // Every other piece.
        let pieces: Vec<String> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        pieces.into_iter().map(move |piece| (document, piece))
    };
    DOCUMENTS.into_iter().flat_map(of).collect()
}

/// The text of all sources in a folder.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    let text = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => fs::read_to_string(path).expect("a source"),
    };
    entries
        .map(|entry| text(entry.expect("an entry").path()))
        .collect()
}

#[test]
fn every_path_in_the_documents_exists() {
    let mut checked = 0;
    for (document, piece) in pieces() {
        let ours = [
            "protocol/",
            "filter/",
            "sidecar/",
            "ctl/",
            "envoy/",
            "tests/",
            "scripts/",
            "demo/",
            "deploy/",
            "docs/",
            "fuzz/",
        ];
        if ours.iter().any(|folder| piece.starts_with(folder)) && !piece.contains(' ') {
            assert!(
                root().join(&piece).exists(),
                "{document} names {piece}, which is not there"
            );
            checked += 1;
        }
    }
    assert!(
        20 < checked,
        "only {checked} paths were found: the test looks in the wrong place"
    );
}

#[test]
fn every_metric_in_the_documents_is_counted() {
    let (sidecar, filter) = (
        sources(&root().join("sidecar/src")),
        sources(&root().join("filter/src")),
    );
    let envoy = [
        "envoy/envoy.yaml",
        "envoy/nodes.yaml",
        "envoy/existing/clusters.yaml",
    ];
    let envoy = envoy.map(read).concat();
    let mut checked = 0;
    for (document, piece) in pieces() {
        let name = piece.split(['{', ' ']).next().unwrap_or_default();
        let known = if let Some(name) = name.strip_prefix("wasmcustom.viewcache.") {
            name.is_empty() || filter.contains(&format!("\"viewcache.{name}\""))
        } else if name.starts_with("viewcache_") && name != "viewcache_sidecar=debug" {
            let units = ["_total", "_bucket", "_sum", "_count"];
            let unit = units.iter().find_map(|unit| name.strip_suffix(unit));
            let bare = unit.unwrap_or(name).trim_start_matches("viewcache_");
            // Envoy shows the filter's under the same prefix.
            envoy.contains(&format!("name: {name}\n"))
                || sidecar.contains(&format!("\"{bare}\""))
                || filter.contains(&format!("viewcache.{}\"", bare.trim_end_matches("_reason")))
        } else {
            continue;
        };
        assert!(known, "{document} names {name}, which nobody counts");
        checked += 1;
    }
    assert!(40 < checked, "only {checked} metrics were found");
}
