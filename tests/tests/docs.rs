//! What the documents name must exist.

use std::path::Path;

#[test]
fn every_path_in_the_documents_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut checked = 0;
    for document in ["ARCHITECTURE.md", "README.md", "docs/EXISTING-ENVOY.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect(document);
        // Every other piece stands between backticks.
        for piece in text.split('`').skip(1).step_by(2) {
            let ours = [
                "protocol/",
                "filter/",
                "sidecar/",
                "envoy/",
                "tests/",
                "scripts/",
                "demo/",
            ];
            if ours.iter().any(|folder| piece.starts_with(folder)) && !piece.contains(' ') {
                assert!(
                    root.join(piece).exists(),
                    "{document} names {piece}, which is not there"
                );
                checked += 1;
            }
        }
    }
    assert!(
        20 < checked,
        "only {checked} paths were found: the test looks in the wrong place"
    );
}
