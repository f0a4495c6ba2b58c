//! Bodies whose length only their clean end tells.

use std::time::Duration;

use viewcache_protocol::{
    Decision, EntityKey, FillId, Generation, GenerationId, MAX_COMPLETE_LENGTH, Outcome, Profile,
};

use crate::harness::{MEMORABLE_HIT, Sidecar, generation};
use crate::origin::{Origin, Script, body};

const N: u64 = 700_000;

/// What is known of it before its end.
fn unknown() -> (Generation, GenerationId) {
    let generation = generation(1, MAX_COMPLETE_LENGTH);
    let id = generation.id(Profile::Generic, "");
    (generation, id)
}

async fn sidecar(dir: &std::path::Path) -> (Origin, Sidecar) {
    let origin = Origin::start(Script {
        complete_length: N,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir, origin.addr, &[]).await;
    (origin, sidecar)
}

async fn chunk(sidecar: &Sidecar, fill: FillId, start: u64, end: u64) -> u16 {
    let bytes = body(1, start, end);
    sidecar
        .chunk(fill, unknown().1, start, bytes)
        .await
        .status
        .into()
}

/// Waits until the whole is stored; a hit has the bytes and needs no origin.
async fn becomes_whole(origin: &Origin, sidecar: &Sidecar) {
    sidecar.stored(N).await;
    assert_eq!(sidecar.entity().await["complete_length"], N);
    assert_eq!(sidecar.decide("").await, MEMORABLE_HIT);
    let got = sidecar.routed("100-").await;
    assert_eq!(got.status, 206);
    assert!(got.whole && got.body == body(1, 100, N), "wrong bytes");
    assert_eq!(origin.sent(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_stored_when_its_end_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, sidecar) = sidecar(dir.path()).await;
    let fill = sidecar.granted("").await;
    sidecar.begin_open_ended(fill, &unknown().0).await;
    for (start, end) in [(300_000, 500_000), (0, 300_000)] {
        assert_eq!(chunk(&sidecar, fill, start, end).await, 204);
    }
    // Nobody waits for it meanwhile, and nothing of it is used.
    assert!(matches!(sidecar.decide("").await, Decision::Miss { .. }));
    assert_eq!(sidecar.entity().await["cached_bytes"], 0);
    assert_eq!(chunk(&sidecar, fill, 500_000, N).await, 204);
    sidecar.end_at(fill, Some(N), Outcome::Complete).await;
    becomes_whole(&origin, &sidecar).await;
}

/// Bytes of disk that are taken, whatever for.
async fn used(sidecar: &Sidecar) -> u64 {
    let stats = sidecar.manage("GET", "/v1/stats").await;
    let stats: serde_json::Value = serde_json::from_slice(&stats.body).unwrap();
    stats["disk"]["used"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_too_long_takes_no_more_room() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start_with(dir.path(), origin.addr, "max_size = \"500KiB\"").await;
    let fill = sidecar.granted("").await;
    sidecar.begin_open_ended(fill, &unknown().0).await;
    assert_eq!(chunk(&sidecar, fill, 0, 300_000).await, 204);
    assert_ne!(used(&sidecar).await, 0);
    // Where it ends is not known, but that it is longer than it may be.
    assert_eq!(chunk(&sidecar, fill, 300_000, 600_000).await, 429);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while used(&sidecar).await != 0 {
        assert!(std::time::Instant::now() < deadline, "something stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_messages_may_come_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, sidecar) = sidecar(dir.path()).await;
    let fill = sidecar.granted("").await;
    let early = chunk(&sidecar, fill, 0, 400_000);
    let (early, ()) = tokio::join!(early, async {
        sidecar.end_at(fill, Some(N), Outcome::Complete).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        sidecar.begin_open_ended(fill, &unknown().0).await;
    });
    assert_eq!(early, 204);
    assert_eq!(chunk(&sidecar, fill, 400_000, N).await, 204);
    becomes_whole(&origin, &sidecar).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_entity_one_is_taken_down_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, sidecar) = sidecar(dir.path()).await;
    let first = sidecar.granted("").await;
    sidecar.begin_open_ended(first, &unknown().0).await;
    let second = sidecar.granted("").await;
    sidecar.begin_open_ended(second, &unknown().0).await;
    assert_eq!(chunk(&sidecar, second, 0, 1000).await, 410);
    assert_eq!(chunk(&sidecar, first, 0, N).await, 204);
    sidecar.end_at(second, Some(N), Outcome::Complete).await;
    sidecar.end_at(first, Some(N), Outcome::Complete).await;
    becomes_whole(&origin, &sidecar).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_no_bytes_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, sidecar) = sidecar(dir.path()).await;
    let fill = sidecar.granted("").await;
    sidecar.begin_open_ended(fill, &unknown().0).await;
    let other = generation(2, MAX_COMPLETE_LENGTH).id(Profile::Generic, "");
    let taken = sidecar.chunk(fill, other, 0, body(2, 0, 1000)).await;
    assert_eq!(taken.status, 410);
    // Nor is it replaced by what pretends to be of the same transfer.
    let another = EntityKey::new(Profile::Generic, "http://origin.test/another").unwrap();
    sidecar
        .begin_open_ended_of(another, fill, &unknown().0)
        .await;
    assert_eq!(chunk(&sidecar, fill, 0, N).await, 204);
    sidecar.end_at(fill, Some(N), Outcome::Complete).await;
    becomes_whole(&origin, &sidecar).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_it_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_origin, sidecar) = sidecar(dir.path()).await;
    let fill = sidecar.granted("").await;
    sidecar.begin_open_ended(fill, &unknown().0).await;
    assert_eq!(chunk(&sidecar, fill, 0, 400_000).await, 204);
    sidecar
        .end_at(fill, Some(400_000), Outcome::Abandoned)
        .await;
    // Whatever of it comes later is dead.
    assert_eq!(chunk(&sidecar, fill, 400_000, N).await, 410);
    assert_eq!(
        sidecar.manage("GET", "/v1/entities").await.body,
        b"{\"items\":[],\"next\":null}"
    );
    assert!(matches!(sidecar.decide("").await, Decision::Miss { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_was_dropped_leaves_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, sidecar) = sidecar(dir.path()).await;
    let fill = sidecar.granted("").await;
    sidecar.begin_open_ended(fill, &unknown().0).await;
    assert_eq!(chunk(&sidecar, fill, 0, 300_000).await, 204);
    assert_eq!(chunk(&sidecar, fill, 400_000, N).await, 204);
    sidecar.end_at(fill, Some(N), Outcome::Complete).await;
    sidecar.stored(N - 100_000).await;
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert_eq!(origin.sent(), 100_000);
}
