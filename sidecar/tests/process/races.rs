//! Messages that overtake each other, viewers that leave, entities that go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use viewcache_protocol::{Decision, Generation, Outcome, Profile};

use crate::harness::{HIT, Sidecar, generation, key};
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_response_outlives_a_purge_and_a_new_generation_of_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let n = 60_000_000;
    let script = Script {
        complete_length: n,
        ..Script::default()
    };
    let origin = Origin::start(script).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.routed("").await;
    sidecar.stored(n).await;
    let mut viewer = sidecar.routed_slowly("").await;
    let mut got = viewer.read(100_000).await;
    let path = format!("/v1/entities/{}", key().id());
    assert_eq!(sidecar.manage("DELETE", &path).await.status, 200);
    assert!(sidecar.routed("").await.whole);
    let rest = tokio::time::timeout(Duration::from_secs(20), viewer.read(usize::MAX)).await;
    got.extend(rest.expect("the first viewer hangs"));
    assert!(got == body(1, 0, n), "wrong bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_viewer_that_left_before_the_origin_answered() {
    let dir = tempfile::tempdir().unwrap();
    let latency = Duration::from_millis(500);
    let origin = Origin::start(Script {
        latency,
        ..Script::default()
    })
    .await;
    let sidecar = Arc::new(Sidecar::start(dir.path(), origin.addr, &[]).await);
    let first = Arc::clone(&sidecar);
    let first = tokio::spawn(async move { first.routed("").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    let (got, ()) = tokio::join!(sidecar.routed(""), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        first.abort();
    });
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    // It had waited for the one that left.
    let status = got.field("cache-status");
    assert!(status.contains("; collapsed=?0"), "{status}");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "waited {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_without_validator_is_not_followed_into_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script {
        without_validator: true,
        ..Script::default()
    };
    let origin = Origin::start(script).await;
    let sidecar = Arc::new(Sidecar::start(dir.path(), origin.addr, &[]).await);
    let fill = sidecar.granted("").await;
    let bare = Generation {
        validator: None,
        complete_length: N,
    };
    sidecar.begin(fill, &bare, 0, N).await;
    let id = bare.id(Profile::Generic, &fill.to_string());
    assert_eq!(
        sidecar.chunk(fill, id, 0, body(1, 0, 200_000)).await.status,
        204
    );
    assert!(matches!(
        sidecar.decide("").await,
        Decision::Miss { grant: None, .. }
    ));
    let got = sidecar.routed("").await;
    let reason = got.field("x-viewcache-handback");
    assert_eq!((got.status.as_u16(), reason), (421, "not-combinable"));
    assert_eq!(sidecar.decide("0-199999").await, HIT);
}

/// The origin answers the range that it is asked for; then the condition turns out not to hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_without_validator_does_not_begin_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script {
        without_validator: true,
        ..Script::default()
    };
    let origin = Origin::start(script).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let got = sidecar.routed_with("0-99", "if-range", "\"other\"").await;
    let reason = got.field("x-viewcache-handback");
    assert_eq!((got.status.as_u16(), reason), (421, "not-combinable"));
    // The next transfer may replace what has no bytes.
    sidecar.granted("0-99").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_overtakes_its_begin_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    let id = living.id(Profile::Generic, "");
    let (chunk, ()) = tokio::join!(sidecar.chunk(fill, id, 0, body(1, 0, 1000)), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        sidecar.end(fill, Outcome::Complete).await;
        sidecar.begin(fill, &living, 0, N).await;
    });
    assert_eq!(chunk.status, 204);
    let entity = sidecar.entity().await;
    assert_eq!(
        (&entity["fills"], &entity["cached_bytes"]),
        (&0.into(), &1000.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_between_an_end_and_its_overtaken_begin_follows() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    let id = living.id(Profile::Generic, "");
    sidecar.end_at(fill, Some(N), Outcome::Complete).await;
    let (got, ()) = tokio::join!(sidecar.routed(""), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sidecar.begin(fill, &living, 0, N).await;
        sidecar.chunk(fill, id, 0, body(1, 0, N)).await;
    });
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_request_leaves_the_stored_headers() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.mirror("0-99999", 0, 100_000).await;
    // The scripted origin's own answers have no Content-Type.
    assert_eq!(sidecar.routed("").await.field("content-type"), "video/mp4");
    sidecar.stored(N).await;
    assert_eq!(sidecar.routed("").await.field("content-type"), "video/mp4");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_length_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("0-999").await;
    let got = sidecar
        .try_begin(fill, &generation(1, 1 << 50), 0, 1000)
        .await;
    assert_eq!(got.status, 400);
    let text = String::from_utf8(got.body).unwrap();
    assert_eq!(
        text,
        "complete_length: 1125899906842624 does not go with the range 0..1000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_validates_what_another_site_may_see() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        headers: "vary: origin\r\ncache-control: max-age=0, stale-while-revalidate=60\r\n",
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    assert_eq!(sidecar.routed_from("https://a.test").await.status, 200);
    let got = sidecar.routed_from("https://b.test").await;
    assert_eq!(got.status, 200);
    assert!(got.field("cache-status").contains("fwd=vary-miss"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(origin.requests().len(), 2, "asked for the wrong site");
}

/// Chunks overtake each other, the last one too.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_its_last_has_overtaken_is_not_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Arc::new(Sidecar::start(dir.path(), origin.addr, &[]).await);
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    let id = living.id(Profile::Generic, "");
    sidecar.begin(fill, &living, 0, N).await;
    let follower = tokio::spawn({
        let sidecar = Arc::clone(&sidecar);
        async move { sidecar.routed("").await }
    });
    for (start, end) in [(0, 300_000), (600_000, N), (300_000, 600_000)] {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let got = sidecar.chunk(fill, id, start, body(1, start, end)).await;
        assert_eq!(got.status, 204);
    }
    sidecar.end(fill, Outcome::Complete).await;
    let got = follower.await.unwrap();
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert_eq!(origin.requests().len(), 0);
}

/// A chunk that was left out, because the filter had no room for it, never comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_a_transfer_leaves_behind_is_asked_for_once() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    let id = living.id(Profile::Generic, "");
    sidecar.begin(fill, &living, 0, N).await;
    for (start, end) in [(0, 300_000), (400_000, 500_000)] {
        let got = sidecar.chunk(fill, id, start, body(1, start, end)).await;
        assert_eq!(got.status, 204);
    }
    // The viewer of the transfer pauses now.
    let got = sidecar.routed("0-449999").await;
    assert!(got.whole && got.body == body(1, 0, 450_000), "wrong bytes");
    assert_eq!(origin.requests().len(), 1);
}
