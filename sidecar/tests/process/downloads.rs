//! Downloads that do not end well.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Sidecar, key_at};
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;

async fn begin(sidecar: &Sidecar, path: &str) {
    let download = json!({"url": format!("http://origin.test{path}")}).to_string();
    let begun = sidecar.manage_with("POST", "/v1/downloads", download).await;
    assert!(begun.status.is_success(), "{}", begun.status);
}

/// Waits for a download's status, and tells all that is said of it.
async fn becomes(sidecar: &Sidecar, path: &str, status: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    let url = format!("/v1/downloads/{}", key_at(path).id());
    loop {
        let got = sidecar.manage("GET", &url).await;
        let download: Value = serde_json::from_slice(&got.body).unwrap();
        if download["status"] == status {
            return download;
        }
        assert!(Instant::now() < deadline, "{path}: {download}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_origin_that_fails_keeps_no_place() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.policy(json!({"downloads": {"parallel": 1}})).await;
    // What is stored of it tells how it goes on.
    assert!(sidecar.routed("0-99999").await.whole);
    sidecar.stored(100_000).await;
    origin.change(|script| script.refusals = 1_000_000);
    begin(&sidecar, "/video").await;
    becomes(&sidecar, "/video", "waiting").await;
    origin.change(|script| script.refusals = 0);
    begin(&sidecar, "/other").await;
    becomes(&sidecar, "/other", "complete").await;
    becomes(&sidecar, "/video", "complete").await;
    assert!(sidecar.routed("").await.body == body(1, 0, N));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drives_itself_out_is_given_up() {
    const LONG: u64 = 8 << 20;
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        complete_length: LONG,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &["--max-bytes", "16MiB"]).await;
    assert!(sidecar.routed_at("/pinned", "").await.whole);
    sidecar.stored_at("/pinned", LONG).await;
    let pin = format!("/v1/entities/{}/pin", key_at("/pinned").id());
    assert!(sidecar.manage("PUT", &pin).await.status.is_success());
    let before = origin.sent();
    begin(&sidecar, "/video").await;
    let failed = becomes(&sidecar, "/video", "failed").await;
    let detail = failed["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("evicted again"), "{failed}");
    let sent = origin.sent() - before;
    assert!(sent < 3 * LONG, "{sent} bytes came");
}
