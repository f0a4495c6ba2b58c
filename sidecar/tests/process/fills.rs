//! Mirroring, fetching, following.

use std::time::Duration;

use viewcache_protocol::{Decision, Outcome, Profile};

use crate::harness::{MEMORABLE_HIT, Sidecar, generation};
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;

#[tokio::test]
async fn mirrored_chunks_in_any_order_become_a_hit_that_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    let id = living.id(Profile::Generic, "");
    sidecar.begin(fill, &living, 0, N).await;
    for (start, end) in [
        (700_000, N),
        (0, 65_536),
        (300_000, 700_000),
        (65_536, 300_000),
    ] {
        let got = sidecar.chunk(fill, id, start, body(1, start, end)).await;
        assert_eq!(got.status, 204);
    }
    sidecar.end(fill, Outcome::Complete).await;
    sidecar.stored(N).await;
    assert_eq!(sidecar.decide("").await, MEMORABLE_HIT);
    sidecar.routed("0-99999").await;
    sidecar.routed("50000-149999").await;
    sidecar.stored(N).await;
    let known = sidecar.entity().await;
    for (name, value) in [
        ("status", "complete".into()),
        ("hits", 2.into()),
        ("bytes_from_cache", 200_000.into()),
        ("bytes_from_origin", N.into()),
        ("watched_bytes", 150_000.into()),
    ] as [(&str, serde_json::Value); 5]
    {
        assert_eq!(known[name], value, "{name}");
    }
    sidecar.stop().await;

    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    assert_eq!(sidecar.entity().await, known);
    let check = async |range: &str, status: u16, start, end| {
        assert_eq!(sidecar.decide(range).await, MEMORABLE_HIT);
        let got = sidecar.routed(range).await;
        assert_eq!(got.status, status, "{range}");
        assert!(
            got.whole && got.body == body(1, start, end),
            "{range}: wrong bytes"
        );
        assert!(
            got.field("cache-status")
                .starts_with("viewcache; hit; ttl="),
            "{range}"
        );
        assert_eq!(got.field("content-type"), "video/mp4");
        assert_eq!(got.field("x-viewcache-served"), "1");
    };
    check("", 200, 0, N).await;
    check("0-", 206, 0, N).await;
    check("123-456789", 206, 123, 456_790).await;
    check("-77", 206, N - 77, N).await;
    check("999999-2000000", 206, N - 1, N).await;
    let got = sidecar.routed("1000000-").await;
    assert_eq!(
        (got.status.as_u16(), got.field("content-range")),
        (416, "bytes */1000000")
    );
    assert_eq!(origin.sent(), 0);
}

#[tokio::test]
async fn a_chunk_that_overtakes_its_begin_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    let id = living.id(Profile::Generic, "");
    let (chunk, ()) = tokio::join!(sidecar.chunk(fill, id, 0, body(1, 0, 1000)), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        sidecar.begin(fill, &living, 0, N).await;
    });
    assert_eq!(chunk.status, 204);
    assert_eq!(sidecar.entity().await["cached_bytes"], 1000);
}

#[tokio::test]
async fn a_partial_asks_the_origin_for_exactly_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.mirror("0-99999", 0, 100_000).await;
    sidecar.mirror("500001-600000", 500_001, 600_001).await;
    assert_eq!(sidecar.decide("").await, Decision::Partial);
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert_eq!(got.status, 200);
    assert_eq!(got.field("cache-status"), "viewcache; fwd=partial; stored");
    assert_eq!(origin.sent(), N - 200_000);
    let asked: Vec<_> = origin.requests().into_iter().flatten().collect();
    for line in [
        "range: bytes=100000-500000",
        "if-range: \"v1\"",
        "accept-encoding: identity",
    ] {
        assert!(
            asked.iter().any(|l| l == line),
            "{line} is not in {asked:?}"
        );
    }
    assert!(
        asked.iter().all(|line| !line.starts_with("x-viewcache")),
        "{asked:?}"
    );
    sidecar.stored(N).await;
    let entity = sidecar.entity().await;
    assert_eq!(entity["status"], "complete");
    assert_eq!(entity["ranges"], serde_json::json!([[0, N]]));
    let again = sidecar.routed("").await;
    assert!(again.body == body(1, 0, N) && again.field("cache-status").contains("hit"));
    assert_eq!(origin.sent(), N - 200_000);
}

#[tokio::test]
async fn many_viewers_of_an_unknown_entity_cause_one_transfer() {
    let dir = tempfile::tempdir().unwrap();
    let latency = Duration::from_millis(50);
    let origin = Origin::start(Script {
        latency,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let sidecar = std::sync::Arc::new(sidecar);
    let viewers: Vec<_> = (0..20)
        .map(|_| {
            let sidecar = std::sync::Arc::clone(&sidecar);
            tokio::spawn(async move { sidecar.routed("0-").await })
        })
        .collect();
    for viewer in viewers {
        let got = viewer.await.unwrap();
        assert_eq!(got.status, 206);
        assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
        assert!(
            !got.field("cache-status").contains("hit"),
            "{}",
            got.field("cache-status")
        );
    }
    assert_eq!(origin.sent(), N);
}

#[tokio::test]
async fn a_follower_leads_when_the_lead_goes_silent() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    sidecar.begin(fill, &living, 0, N).await;
    let id = living.id(Profile::Generic, "");
    sidecar.chunk(fill, id, 0, body(1, 0, 200_000)).await;
    // The filter says nothing more: its viewer has paused.
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert_eq!(origin.sent(), N - 200_000);
}

#[tokio::test]
async fn what_arrived_stays_when_the_viewer_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        complete_length: 20_000_000,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.routed_and_left("0-").await;
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    let stored = loop {
        let entity = sidecar.entity().await;
        if entity["fills"] == 0 && entity["cached_bytes"] != 0 {
            break entity["cached_bytes"].as_u64().unwrap();
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the fill goes on: {entity}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(stored < 20_000_000, "a viewer that left filled everything");
    let got = sidecar.routed(&format!("0-{}", stored - 1)).await;
    assert!(got.body == body(1, 0, stored), "wrong bytes");
}

#[tokio::test]
async fn a_transfer_goes_on_through_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    let id = living.id(Profile::Generic, "");
    sidecar.begin(fill, &living, 0, N).await;
    let chunk = async |sidecar: &Sidecar, start, end| {
        let got = sidecar.chunk(fill, id, start, body(1, start, end)).await;
        assert_eq!(got.status, 204, "{start}");
    };
    chunk(&sidecar, 0, 200_000).await;
    sidecar.stored(200_000).await;
    sidecar.stop().await;

    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    chunk(&sidecar, 200_000, N).await;
    sidecar.end(fill, Outcome::Complete).await;
    sidecar.stored(N).await;
    assert_eq!(sidecar.decide("").await, MEMORABLE_HIT);
    let unknown = generation(2, N).id(Profile::Generic, "");
    let got = sidecar.chunk(fill, unknown, 0, body(1, 0, 10)).await;
    assert_eq!(got.status, 410);
}

/// When Envoy has taken the sidecar out for a while, an `end` is lost.
#[tokio::test]
async fn a_transfer_whose_end_is_lost_is_not_reported_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start_with(dir.path(), origin.addr, "stall = \"200ms\"").await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    sidecar.begin(fill, &living, 0, N).await;
    let id = living.id(Profile::Generic, "");
    sidecar.chunk(fill, id, 0, body(1, 0, 200_000)).await;
    let entity = sidecar.entity().await;
    assert_eq!(
        (&entity["status"], &entity["fills"]),
        (&"downloading".into(), &1.into())
    );
    tokio::time::sleep(Duration::from_millis(400)).await;
    let entity = sidecar.entity().await;
    assert_eq!(
        (&entity["status"], &entity["fills"]),
        (&"partial".into(), &0.into())
    );
}
