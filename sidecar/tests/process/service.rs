//! The sidecar as a service: what the service manager is told, and how it stops.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use crate::harness::Sidecar;
use crate::origin::{Origin, Script, body};

/// No message takes so long.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn the_settings_of_the_unit_are_right() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/systemd/viewcache.toml"
    );
    let checked = Command::new(env!("CARGO_BIN_EXE_viewcache-sidecar"))
        .arg("--check-config")
        .env("VIEWCACHE_CONFIG", file)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn the_service_manager_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let mut sidecar = Command::new(env!("CARGO_BIN_EXE_viewcache-sidecar"))
        .args(["--data-listen", "127.0.0.1:0", "--log", "warn"])
        .args(["--manage-listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path().join("data"))
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "60000")
        .spawn()
        .unwrap();
    let told = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).expect("nothing is told");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut first = [told(), told()];
    first.sort();
    assert_eq!(
        first.map(|text| text.trim().to_owned()),
        ["READY=1", "WATCHDOG=1"]
    );
    // At most a third of the limit apart, and for as long as it runs.
    for _ in 0..5 {
        assert_eq!(told().trim(), "WATCHDOG=1");
    }
    kill_process(Pid::from_child(&sidecar), Signal::TERM).unwrap();
    let begun = Instant::now();
    while told().trim() != "STOPPING=1" {
        assert!(begun.elapsed() < SOON, "it does not say that it stops");
    }
    assert!(sidecar.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_in_flight_have_the_grace_to_end_in() {
    // More than the sidecar's side of a connection holds.
    const N: u64 = 32_000_000;
    for (grace, whole) in [("30s", true), ("100ms", false)] {
        let dir = tempfile::tempdir().unwrap();
        let script = Script {
            complete_length: N,
            ..Script::default()
        };
        let origin = Origin::start(script).await;
        let sidecar = Sidecar::start(dir.path(), origin.addr, &["--grace", grace]).await;
        sidecar.routed("").await;
        sidecar.stored(N).await;
        let mut viewer = sidecar.routed_narrowly("").await;
        let mut got = viewer.read(100_000).await;
        let data = sidecar.data();
        let stopped = tokio::spawn(sidecar.stop());
        if whole {
            let begun = Instant::now();
            while TcpStream::connect(data).await.is_ok() {
                assert!(begun.elapsed() < SOON, "it takes new connections");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(!stopped.is_finished(), "it did not wait");
            got.extend(viewer.read(usize::MAX).await);
            assert!(got == body(1, 0, N), "wrong bytes");
        }
        tokio::time::timeout(SOON, stopped).await.unwrap().unwrap();
    }
}
