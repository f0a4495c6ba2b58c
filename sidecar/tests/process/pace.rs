//! Who fetches what, when, and at whose pace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use viewcache_protocol::{Decision, Outcome, Profile};

use crate::harness::{Sidecar, generation};
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;

async fn large(complete_length: u64) -> Origin {
    Origin::start(Script {
        complete_length,
        ..Script::default()
    })
    .await
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "not so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starved_follower_leads_ahead_of_a_slow_viewer() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    sidecar.begin(fill, &living, 0, N).await;
    let id = living.id(Profile::Generic, "");
    sidecar.chunk(fill, id, 0, body(1, 0, 200_000)).await;
    let begun = Instant::now();
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    // Well before the transfer would count as stalled.
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(origin.sent(), N - 200_000);
    // What the slow viewer brings later is stored already: the filter need not send more of it.
    let got = sidecar
        .chunk(fill, id, 200_000, body(1, 200_000, 300_000))
        .await;
    assert_eq!(got.field("x-viewcache-skip-until"), "1000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_outlives_the_viewer_that_opened_it_while_others_follow() {
    let dir = tempfile::tempdir().unwrap();
    let n = 30_000_000;
    let origin = large(n).await;
    let sidecar = Arc::new(Sidecar::start(dir.path(), origin.addr, &[]).await);
    let mut opener = sidecar.routed_slowly("").await;
    opener.read(100_000).await;
    let follower = Arc::clone(&sidecar);
    let follower = tokio::spawn(async move { follower.routed("").await });
    until("two viewers", async || {
        sidecar.entity().await["viewers"] == 2
    })
    .await;
    drop(opener);
    let got = follower.await.unwrap();
    assert!(got.whole && got.body == body(1, 0, n), "wrong bytes");
    assert_eq!(origin.sent(), n);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_does_not_run_away_from_a_viewer_that_pauses() {
    let dir = tempfile::tempdir().unwrap();
    let n = 60_000_000;
    let origin = large(n).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let mut viewer = sidecar.routed_slowly("").await;
    let mut got = viewer.read(100_000).await;
    // Longer than a stall: nobody takes a paused transfer over.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let fetched = sidecar.entity().await["bytes_from_origin"]
        .as_u64()
        .unwrap();
    assert!(fetched < 20_000_000, "{fetched} bytes were fetched");
    got.extend(viewer.read(usize::MAX).await);
    assert!(got == body(1, 0, n), "wrong bytes");
    assert_eq!(origin.sent(), n);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_gap_is_asked_for_before_the_stored_part_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.mirror("0-899999", 0, 900_000).await;
    let mut viewer = sidecar.routed_slowly("").await;
    let mut got = viewer.read(1).await;
    assert!(got.len() < 900_000);
    until("asked", async || origin.requests().len() == 1).await;
    got.extend(viewer.read(usize::MAX).await);
    assert!(got == body(1, 0, N), "wrong bytes");
    assert_eq!(origin.sent(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_a_full_disk_refuses_come_from_memory_once() {
    let dir = tempfile::tempdir().unwrap();
    let n = 8_000_000;
    let origin = Origin::start(Script {
        complete_length: n,
        without_validator: true,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &["--max-bytes", "1MiB"]).await;
    let mut viewer = sidecar.routed_slowly("").await;
    let mut got = Vec::new();
    while (got.len() as u64) < n {
        got.extend(viewer.read(500_000).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(got == body(1, 0, n), "wrong bytes");
    assert_eq!(origin.sent(), n);
}

/// Viewers of many places of one uncached entity, the first of them a moment ahead.
async fn viewers_at_many_offsets(sidecar: &Arc<Sidecar>, viewers: u64, n: u64) {
    let viewing: Vec<_> = (0..viewers)
        .map(|viewer| {
            let sidecar = Arc::clone(sidecar);
            let start = viewer * n / viewers;
            tokio::spawn(async move {
                let got = sidecar.routed(&format!("{start}-")).await;
                assert!(got.whole && got.body == body(1, start, n), "wrong bytes");
            })
        })
        .collect();
    for viewer in viewing {
        viewer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_viewers_at_fifty_places_fetch_little_more_than_once() {
    let dir = tempfile::tempdir().unwrap();
    let n = 50 << 20;
    let origin = Origin::start(Script {
        complete_length: n,
        latency: Duration::from_millis(20),
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start_with(dir.path(), origin.addr, "miss = \"relay\"").await;
    let sidecar = Arc::new(sidecar);
    assert_eq!(sidecar.decide("0-").await, Decision::Partial);
    viewers_at_many_offsets(&sidecar, 50, n).await;
    let fetched = sidecar.entity().await["bytes_from_origin"]
        .as_u64()
        .unwrap();
    assert!(fetched <= n * 105 / 100, "{} %", fetched * 100 / n);
}

#[tokio::test(flavor = "multi_thread")]
async fn short_stored_runs_are_bridged_when_the_operator_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start_with(dir.path(), origin.addr, "bridge = \"64KiB\"").await;
    sidecar.mirror("100000-109999", 100_000, 110_000).await;
    sidecar.mirror("300000-399999", 300_000, 400_000).await;
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert_eq!(origin.requests().len(), 2);
    assert_eq!(origin.sent(), N - 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_ahead_without_evidence_and_a_setting() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let rules = "miss = \"relay\"\nread_ahead = \"200000\"";
    let sidecar = Sidecar::start_with(dir.path(), origin.addr, rules).await;
    for (range, end) in [("0-99999", 100_000), ("100000-199999", 200_000)] {
        assert!(sidecar.routed(range).await.whole);
        sidecar.stored(end).await;
    }
    assert!(sidecar.routed("200000-299999").await.whole);
    sidecar.stored(500_000).await;
    let decision = sidecar.decide("300000-499999").await;
    assert!(matches!(decision, Decision::Hit { .. }), "{decision:?}");
    assert_eq!(origin.sent(), 500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_leaves_is_followed_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    sidecar.begin(fill, &living, 0, N).await;
    let id = living.id(Profile::Generic, "");
    sidecar.chunk(fill, id, 0, body(1, 0, 300_000)).await;
    let mut follower = sidecar.routed_slowly("").await;
    let mut got = follower.read(1).await;
    sidecar.end(fill, Outcome::Abandoned).await;
    got.extend(follower.read(usize::MAX).await);
    assert!(got == body(1, 0, N), "wrong bytes");
    assert_eq!(origin.sent(), N - 300_000);
}
