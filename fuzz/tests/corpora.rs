//! What the fuzzer has kept, tried without it. One after another in one thread: some targets bound
//! the memory of the process.

use std::fs;
use std::path::Path;

use viewcache_fuzz::TARGETS;

#[test]
fn every_kept_input_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files = 0;
    let mut bytes = 0;
    for (name, target) in TARGETS {
        let inputs = fs::read_dir(corpus.join(name)).expect("a corpus");
        let mut tried = 0;
        for input in inputs {
            let input = fs::read(input.expect("an entry").path()).expect("an input");
            target(&input);
            tried += 1;
            bytes += input.len();
        }
        assert!(0 < tried, "{name} has no inputs");
        files += tried;
    }
    // They are looked at by people, and there with every checkout.
    assert!(
        files < 300 && bytes < 500_000,
        "{files} files of {bytes} bytes"
    );
}

#[test]
fn every_target_is_run() {
    let manifest = include_str!("../Cargo.toml");
    for (name, _) in TARGETS {
        let bin = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&bin), "{name}");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz_targets/{name}.rs"));
        let source = fs::read_to_string(source).expect("a target");
        assert!(
            source.contains(&format!("viewcache_fuzz::{name}(data)")),
            "{name}"
        );
    }
    assert_eq!(manifest.matches("required-features").count(), TARGETS.len());
}
