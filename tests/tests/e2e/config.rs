//! The shipped configuration is valid, and a wrong one stops Envoy with a message that says why.

use std::net::SocketAddr;
use std::process::Command;

use e2e::checkout::Checkout;
use e2e::envoy_config::EnvoyConfig;

/// `envoy --mode validate` on the shipped file with this filter configuration.
fn validate(filter: &str) -> (bool, String) {
    let checkout = Checkout::find().unwrap();
    let mut config = EnvoyConfig::shipped(&checkout.path("envoy/envoy.yaml")).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    config
        .wasm(&checkout.product("viewcache.wasm").unwrap())
        .unwrap();
    config.filter(filter).unwrap().sidecars(&[address]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy.yaml");
    std::fs::write(&path, config.text()).unwrap();
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
    let (valid, said) = validate(r#"{"profile": "generic"}"#);
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
        let (valid, said) = validate(filter);
        assert!(!valid, "{filter}: {said}");
        assert!(said.contains(named), "{filter}: {said}");
    }
}
