//! `viewcache-sidecar check`, as somebody at a shell sees it.

use std::path::Path;
use std::process::Command;

use crate::harness::{Sidecar, key};
use crate::origin::{Origin, Script};

const N: u64 = 1_000_000;

/// Its exit code and everything that it printed.
fn run(args: &[&str], data: Option<&Path>) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viewcache-sidecar"));
    command.args(args);
    if let Some(data) = data {
        command.env("VIEWCACHE_DATA_DIR", data);
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn its_exit_code_tells_what_it_found() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    assert!(sidecar.routed("").await.whole);
    sidecar.stored(N).await;
    let data = dir.path().to_str().unwrap();
    let check = |more: &[&str]| run(&[&["check", "--data", data], more].concat(), None);
    let (code, text) = check(&[]);
    assert!(code == 2 && text.contains("in use by another"), "{text}");
    sidecar.stop().await;

    let (code, text) = check(&[]);
    assert!(code == 0 && text.ends_with("0 problems\n"), "{text}");
    assert!(
        text.contains("1 entities, 1 segments, 1 rows, 1000000 bytes"),
        "{text}"
    );
    // Where the sidecar's own settings stand in the environment.
    let (code, text) = run(&["check"], Some(dir.path()));
    assert!(code == 0, "{text}");

    let id = key().id().to_string();
    let folder = dir.path().join("segments").join(&id[..2]);
    let file = std::fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[500_000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    for _ in 0..2 {
        let (code, text) = check(&[]);
        assert!(
            code == 1 && text.contains(&format!("{id}: bytes 458752..524288 are damaged")),
            "{text}"
        );
    }
    let (code, text) = check(&["--repair"]);
    assert!(
        code == 1 && text.ends_with("1 problems, mended\n"),
        "{text}"
    );
    assert_eq!(check(&[]).0, 0);

    // What is left is served, and the rest comes from the origin.
    let sent = origin.sent();
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    assert!(sidecar.routed("").await.body == crate::origin::body(1, 0, N));
    assert_eq!(origin.sent() - sent, 65_536);
}

#[test]
fn bad_usage_and_no_folder_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    assert_eq!(run(&["check"], None).0, 64);
    assert_eq!(run(&["check", "--data", data, "--what"], None).0, 64);
    let (code, text) = run(&["check", "--data", data], None);
    assert!(code == 2 && text.contains("not a data folder"), "{text}");
    assert_eq!(run(&["check", "--help"], None).0, 0);
}
