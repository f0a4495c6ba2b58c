//! Origins that misbehave, disks that lie.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use viewcache_protocol::{Decision, Outcome, Profile};

use crate::harness::{HIT, MEMORABLE_HIT, Sidecar, generation};
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;

#[tokio::test]
async fn a_cut_transfer_is_resumed_at_the_exact_offset() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        cuts: 3,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert_eq!(origin.sent(), N);
    assert_eq!(origin.requests().len(), 4);
}

#[tokio::test]
async fn a_viewer_is_cut_when_the_origin_gives_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script {
        cuts: 1000,
        cut_after: 0,
        ..Script::default()
    };
    let origin = Origin::start(script).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.mirror("0-99999", 0, 100_000).await;
    let got = sidecar.routed("").await;
    assert!(!got.whole, "a cut body looked whole");
    assert!(body(1, 0, 100_000).starts_with(&got.body), "wrong bytes");
}

#[tokio::test]
async fn a_refusal_inside_a_response_is_asked_again_when_the_origin_allows() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script {
        refusals: 2,
        refusal: "429 Too Many Requests\r\nretry-after: 1",
        ..Script::default()
    };
    let origin = Origin::start(script).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.mirror("0-99999", 0, 100_000).await;
    let begun = Instant::now();
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    let waited = begun.elapsed();
    assert!(Duration::from_secs(2) <= waited, "only {waited:?}");
    assert_eq!(origin.requests().len(), 3);
}

#[tokio::test]
async fn a_final_refusal_inside_a_response_is_not_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script {
        refusals: 100,
        refusal: "403 Forbidden",
        ..Script::default()
    };
    let origin = Origin::start(script).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.mirror("0-99999", 0, 100_000).await;
    let got = sidecar.routed("").await;
    assert!(!got.whole && body(1, 0, 100_000).starts_with(&got.body));
    assert_eq!(origin.requests().len(), 1);
    let entity = sidecar.entity().await;
    let why = (&entity["status"], &entity["stale_reason"]);
    assert_eq!(why, (&"stale".into(), &"expired-url".into()));
    // A viewer whose URL is good mends it.
    origin.change(|script| script.refusals = 0);
    assert!(sidecar.routed("").await.whole);
    sidecar.stored(N).await;
    assert_eq!(sidecar.entity().await["status"], "complete");
}

#[tokio::test]
async fn a_transfer_that_stalls_is_taken_over_at_the_exact_offset() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script {
        stalls: 1,
        ..Script::default()
    };
    let origin = Origin::start(script).await;
    let sidecar = Sidecar::start_with(dir.path(), origin.addr, "stall = \"300ms\"").await;
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert_eq!(origin.sent(), N);
}

#[tokio::test]
async fn a_viewer_waits_no_longer_than_it_is_let() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script {
        refusals: 1000,
        refusal: "503 Service Unavailable\r\nretry-after: 60",
        ..Script::default()
    };
    let origin = Origin::start(script).await;
    let sidecar = Sidecar::start_with(dir.path(), origin.addr, "patience = \"500ms\"").await;
    sidecar.mirror("0-99999", 0, 100_000).await;
    let begun = Instant::now();
    let got = sidecar.routed("").await;
    assert!(!got.whole && body(1, 0, 100_000).starts_with(&got.body));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_lack_of_descriptors_is_not_the_origins_failure() {
    let origin = Origin::start(Script::default()).await;
    // A name has to be looked up for each connection, which takes a descriptor too.
    for host in ["127.0.0.1", "localhost"] {
        let dir = tempfile::tempdir().unwrap();
        let egress = format!("http://{host}:{}", origin.addr.port());
        let (sidecar, process) = Sidecar::spawn_by(dir.path(), &egress).await;
        sidecar.mirror("0-99999", 0, 100_000).await;
        sidecar.stored(100_000).await;
        let pid = Pid::from_child(&process);
        let usual = getrlimit(Resource::Nofile);
        let limit = |maximum: Rlimit| prlimit(Some(pid), Resource::Nofile, maximum).unwrap();
        let open =
            |number: &u64| std::fs::exists(format!("/proc/{}/fd/{number}", process.id())).unwrap();
        let starve = || {
            let current = (0..).find(|number| !open(number));
            limit(Rlimit { current, ..usual });
        };
        starve();
        let lacking = async {
            // An origin that fails for so long is given up.
            for _ in 0..60 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                // What was closed meanwhile may not be opened again.
                starve();
            }
            limit(usual);
        };
        let (got, ()) = tokio::join!(sidecar.routed(""), lacking);
        assert!(got.whole && got.body == body(1, 0, N), "{host}");
        let lacks = "viewcache_fetches_total{result=\"descriptors\"}";
        let told = (
            sidecar.metric(lacks).await,
            sidecar.metric("viewcache_cuts_total").await,
        );
        assert!(0 < told.0 && told.1 == 0, "{host}: {told:?}");
    }
}

#[tokio::test]
async fn an_origin_that_wants_to_be_left_alone_is_handed_back_to() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script {
        refusals: 1_000_000,
        refusal: "503 Service Unavailable\r\nretry-after: 18446744073709551615",
        ..Script::default()
    };
    let origin = Origin::start(script).await;
    let sidecar = Sidecar::start_with(dir.path(), origin.addr, "patience = \"500ms\"").await;
    sidecar.mirror("0-99999", 0, 100_000).await;
    // Its head is out when that is found.
    assert!(!sidecar.routed("").await.whole);
    assert_eq!(origin.requests().len(), 1);
    // It is known before the next one's.
    let got = sidecar.routed("").await;
    assert_eq!(
        got.field("x-viewcache-handback"),
        "origin",
        "{}",
        got.status
    );
    assert_eq!(origin.requests().len(), 1);
    assert!(sidecar.routed("0-99999").await.whole);
}

#[tokio::test]
async fn a_changed_entity_is_never_mixed() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.mirror("0-99999", 0, 100_000).await;
    origin.change(|script| script.version = 2);
    // The head went out for the old bytes: this one is cut.
    let got = sidecar.routed("").await;
    assert!(
        !got.whole && body(1, 0, 100_000).starts_with(&got.body),
        "bytes of two generations"
    );
    // Every later one is the new entity.
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(2, 0, N), "wrong bytes");
    assert_eq!(got.field("etag"), "\"v2\"");
}

#[tokio::test]
async fn a_change_found_before_the_head_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.mirror("500000-599999", 500_000, 600_000).await;
    origin.change(|script| {
        script.version = 2;
        script.complete_length = 900_000;
    });
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(2, 0, 900_000), "wrong bytes");
}

#[tokio::test]
async fn an_answer_that_must_not_be_stored_is_handed_back() {
    let dir = tempfile::tempdir().unwrap();
    let headers = "cache-control: no-store\r\n";
    let origin = Origin::start(Script {
        headers,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let got = sidecar.routed("").await;
    assert_eq!(
        (got.status.as_u16(), got.field("x-viewcache-handback")),
        (421, "declined")
    );
    assert!(matches!(sidecar.decide("").await, Decision::Miss { .. }));
}

#[tokio::test]
async fn an_unreachable_origin_is_handed_back() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let sidecar = Sidecar::start(dir.path(), nowhere, &[]).await;
    let got = sidecar.routed("").await;
    assert_eq!(
        (got.status.as_u16(), got.field("x-viewcache-handback")),
        (421, "origin")
    );
}

#[tokio::test]
async fn an_origin_that_ignores_ranges_fills_from_its_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        ignores_ranges: true,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.mirror("0-99999", 0, 100_000).await;
    let got = sidecar.routed("50000-399999").await;
    assert_eq!(got.status, 206);
    assert!(
        got.whole && got.body == body(1, 50_000, 400_000),
        "wrong bytes"
    );
}

#[tokio::test]
async fn an_origin_that_ignores_ranges_is_asked_once_for_a_seek_far_ahead() {
    const LONG: u64 = 48 << 20;
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        ignores_ranges: true,
        complete_length: LONG,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let first = LONG - 100_000;
    let got = sidecar.routed(&format!("{first}-")).await;
    assert!(got.whole && got.body == body(1, first, LONG), "wrong bytes");
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn without_a_validator_no_two_transfers_are_joined() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        without_validator: true,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let got = sidecar.routed("0-99999").await;
    assert!(got.whole && got.body == body(1, 0, 100_000), "wrong bytes");
    sidecar.stored(100_000).await;
    assert_eq!(sidecar.decide("0-99999").await, HIT);
    assert!(matches!(
        sidecar.decide("").await,
        Decision::Miss { grant: Some(_), .. }
    ));
    let got = sidecar.routed("").await;
    assert_eq!(got.status, 421);
}

#[tokio::test]
async fn a_damaged_piece_is_healed_inside_the_response() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.mirror("", 0, N).await;
    sidecar.stored(N).await;
    for folder in std::fs::read_dir(dir.path().join("segments")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[300_000] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    assert!(0 < origin.sent(), "nothing was read again");
    let healed = "viewcache_healed_total{reason=\"checksum\"}";
    assert_eq!(sidecar.metric(healed).await, 1);
    // Only the damaged piece went, and is stored again.
    assert!(
        origin.sent() <= 256 << 10,
        "{} bytes were read again",
        origin.sent()
    );
    let got = sidecar.routed("").await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    sidecar.stored(N).await;
    assert_eq!(sidecar.decide("").await, MEMORABLE_HIT);
}

#[tokio::test]
async fn late_chunks_of_a_dead_generation_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let old = generation(1, N);
    sidecar.begin(fill, &old, 0, N).await;
    sidecar
        .chunk(fill, old.id(Profile::Generic, ""), 0, body(1, 0, 1000))
        .await;
    let new = generation(2, N);
    sidecar.begin(fill, &new, 0, N).await;
    let late = sidecar.chunk(
        fill,
        old.id(Profile::Generic, ""),
        1000,
        body(1, 1000, 2000),
    );
    sidecar.end(fill, Outcome::Abandoned).await;
    assert_eq!(late.await.status, 410);
    assert_eq!(sidecar.entity().await["cached_bytes"], 0);
}

#[tokio::test]
async fn messages_that_cannot_be_read_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let got = sidecar.manage("GET", "/v1/entities/xyz").await;
    assert_eq!(got.status, 400);
    assert_eq!(got.field("content-type"), "application/problem+json");
    assert!(
        String::from_utf8(got.body)
            .unwrap()
            .contains("not 32 hex digits")
    );
    let got = sidecar.manage("GET", "/v1/entities?limit=0").await;
    assert!(String::from_utf8(got.body).unwrap().contains("limit"));
    let got = sidecar.manage("GET", "/nothing").await;
    assert_eq!(got.status, 404);
    let got = sidecar.manage("PUT", "/v1/entities").await;
    assert_eq!(got.status, 405);
}
