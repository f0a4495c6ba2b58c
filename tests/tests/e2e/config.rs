//! The shipped configuration is valid, and a wrong one stops Envoy with a message that says why.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use e2e::checkout::Checkout;
use e2e::envoy_config::EnvoyConfig;

/// The shipped file with this filter.
pub(crate) fn shipped(wasm: &Path) -> EnvoyConfig {
    let path = Checkout::find().unwrap().path("envoy/envoy.yaml");
    let mut config = EnvoyConfig::shipped(&path).unwrap();
    config.wasm(wasm).unwrap();
    config
}

/// The shipped file with this filter configuration.
fn configured(filter: &str) -> (bool, String) {
    let wasm = Checkout::find().unwrap().product("viewcache.wasm").unwrap();
    let mut config = shipped(&wasm);
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    config.filter(filter).unwrap().sidecars(&[address]).unwrap();
    validate(&config)
}

/// What `envoy --mode validate` finds and says.
pub(crate) fn validate(config: &EnvoyConfig) -> (bool, String) {
    let checkout = Checkout::find().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = config.write(folder.path()).unwrap();
    let output = Command::new(checkout.envoy().unwrap())
        .args([
            "--mode",
            "validate",
            "--disable-hot-restart",
            "-l",
            "warning",
            "-c",
        ])
        .arg(&path)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn the_shipped_file_is_valid() {
    let (valid, said) = configured(r#"{"profile": "generic"}"#);
    assert!(valid, "{said}");
    assert!(!said.contains("error"), "{said}");
}

#[test]
fn a_wrong_field_stops_envoy_and_is_named() {
    for (filter, named) in [
        (r#"{"profil": "generic"}"#, "profil"),
        (r#"{"profile": "other"}"#, "profile: \"other\""),
        (r#"{"decide_timeout": "0ms"}"#, "decide_timeout: \"0ms\""),
        (r#"{"chunk_max": "1KiB"}"#, "chunk_max: 1024"),
        (
            r#"{"profiles": [{"name": "films", "path": "films"}]}"#,
            "profiles[0].path: \"films\"",
        ),
    ] {
        let (valid, said) = configured(filter);
        assert!(!valid, "{filter}: {said}");
        assert!(said.contains(named), "{filter}: {said}");
    }
}
