//! The disk limit, and what goes for it.

use crate::harness::{Sidecar, key};
use crate::origin::{Origin, Script, body};

const N: u64 = 700_000;

async fn limited(dir: &std::path::Path, max: &str) -> (Origin, Sidecar) {
    let origin = Origin::start(Script {
        complete_length: N,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir, origin.addr, &["--max-bytes", max]).await;
    (origin, sidecar)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_entity_used_least_recently_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (_origin, sidecar) = limited(dir.path(), "2MiB").await;
    for path in ["/video", "/b"] {
        assert!(sidecar.routed_at(path, "").await.body == body(1, 0, N));
        sidecar.stored_at(path, N).await;
    }
    // Now /b is the older one.
    assert!(
        sidecar
            .routed("")
            .await
            .field("cache-status")
            .contains("hit")
    );
    sidecar.stored(N).await;
    assert!(sidecar.routed_at("/c", "").await.body == body(1, 0, N));
    sidecar.stored_at("/c", N).await;
    assert_eq!(sidecar.entity_at("/b").await["status"], 404);
    assert_eq!(sidecar.entity().await["cached_bytes"], N);
    let metrics = sidecar.manage("GET", "/metrics").await;
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("viewcache_evictions_total 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn room_comes_back_when_an_entity_is_purged() {
    let dir = tempfile::tempdir().unwrap();
    let (_origin, sidecar) = limited(dir.path(), "1MiB").await;
    for _ in 0..3 {
        assert!(sidecar.routed("").await.body == body(1, 0, N));
        sidecar.stored(N).await;
        let path = format!("/v1/entities/{}", key().id());
        assert_eq!(sidecar.manage("DELETE", &path).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_larger_than_the_limit_is_served_and_stored_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, sidecar) = limited(dir.path(), "1MiB").await;
    origin.change(|script| script.complete_length = 3 << 20);
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, 3 << 20), "wrong bytes");
    let stored = sidecar.entity().await["cached_bytes"].as_u64().unwrap();
    assert!(0 < stored && stored <= 1 << 20, "{stored} bytes are stored");
}
