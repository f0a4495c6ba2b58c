//! The disk limit, and what goes for it.

use viewcache_protocol::Profile;

use crate::harness::{Sidecar, generation, key};
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

fn at_once() -> serde_json::Value {
    serde_json::json!({"admit": {"watched_percent": 0}})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_segments_used_least_recently_go() {
    let dir = tempfile::tempdir().unwrap();
    let (_origin, sidecar) = limited(dir.path(), "2MiB").await;
    // The share of what is not admitted yet is less than one entity here.
    sidecar.policy(at_once()).await;
    for path in ["/video", "/b"] {
        assert!(sidecar.routed_at(path, "").await.body == body(1, 0, N));
        sidecar.stored_at(path, N).await;
        // Ages are told apart by milliseconds.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
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
    let left = sidecar.entity_at("/b").await["cached_bytes"].as_u64();
    assert!(left.is_none_or(|left| left < N), "{left:?}");
    assert_eq!(sidecar.entity().await["cached_bytes"], N);
    assert!(0 < sidecar.metric("viewcache_evictions_total").await);
    let again = sidecar.routed_at("/b", "").await;
    assert!(again.whole && again.body == body(1, 0, N), "wrong bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_entity_stays_through_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, sidecar) = limited(dir.path(), "2MiB").await;
    // The share of what is not admitted yet is less than one entity here.
    sidecar.policy(at_once()).await;
    assert!(sidecar.routed("").await.whole);
    sidecar.stored(N).await;
    let pin = format!("/v1/entities/{}/pin", key().id());
    assert_eq!(sidecar.entity().await["pinned"], false);
    assert_eq!(sidecar.manage("PUT", &pin).await.status, 204);
    assert_eq!(sidecar.entity().await["pinned"], true);
    sidecar.stop().await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &["--max-bytes", "2MiB"]).await;
    for path in ["/b", "/c", "/d", "/e"] {
        assert!(sidecar.routed_at(path, "").await.body == body(1, 0, N));
        sidecar.stored_at(path, N).await;
    }
    assert_eq!(sidecar.entity().await["cached_bytes"], N);
    assert_eq!(sidecar.manage("DELETE", &pin).await.status, 204);
    assert_eq!(sidecar.entity().await["pinned"], false);
    for path in ["/b", "/c", "/d"] {
        assert!(sidecar.routed_at(path, "").await.body == body(1, 0, N));
        sidecar.stored_at(path, N).await;
    }
    let left = sidecar.entity().await["cached_bytes"].as_u64();
    assert!(left.is_none_or(|left| left < N), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_cannot_be_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let (_origin, sidecar) = limited(dir.path(), "2MiB").await;
    for (id, status) in [(key().id().to_string(), 404), ("xyz".to_owned(), 400)] {
        let got = sidecar
            .manage("PUT", &format!("/v1/entities/{id}/pin"))
            .await;
        assert_eq!(got.status, status);
        assert_eq!(got.field("content-type"), "application/problem+json");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_differ_from_those_stored_are_counted_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let living = generation(1, 1_000_000);
    let id = living.id(Profile::Generic, "");
    let fill = sidecar.granted("").await;
    sidecar.begin(fill, &living, 0, 1_000_000).await;
    sidecar.chunk(fill, id, 0, body(1, 0, 200_000)).await;
    sidecar.chunk(fill, id, 0, body(1, 0, 300_000)).await;
    assert_eq!(sidecar.metric("viewcache_conflicts_total").await, 0);
    // Under the same validator, and other bytes all the same: the five cells lie in it as a whole.
    sidecar.chunk(fill, id, 0, body(2, 0, 300_000)).await;
    assert_eq!(sidecar.metric("viewcache_conflicts_total").await, 5);
    assert!(sidecar.routed("0-299999").await.body == body(1, 0, 300_000));
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
