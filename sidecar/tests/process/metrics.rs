//! Each metric moves when what it is about happens.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use viewcache_protocol::{DeclineReason, Outcome, Profile};

use crate::harness::{Sidecar, generation, key};
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;

/// Waits until a metric has a value that will do.
async fn becomes(sidecar: &Sidecar, name: &str, will_do: impl Fn(u64) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let value = sidecar.metric(&format!("viewcache_{name}")).await;
        if will_do(value) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is {value}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for what an event does to counters: each is greater than before by at least so much.
async fn moves<T>(
    sidecar: &Sidecar,
    expected: &[(&str, u64)],
    event: impl Future<Output = T>,
) -> T {
    let mut before = Vec::new();
    for (name, _) in expected {
        before.push(sidecar.metric(&format!("viewcache_{name}")).await);
    }
    let result = event.await;
    for (&(name, more), before) in expected.iter().zip(before) {
        becomes(sidecar, name, |now| before + more <= now).await;
    }
    result
}

#[tokio::test]
async fn a_miss_a_hit_and_a_partial_are_counted_and_timed() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let mirrored = [
        (r#"decisions_total{decision="miss"}"#, 1),
        ("decide_duration_seconds_count", 1),
        ("origin_bytes_total", 100_000),
        ("stored_bytes_total", 100_000),
        ("ingest_duration_seconds_count", 1),
        (r#"origin_first_byte_seconds_count{role="mirror"}"#, 1),
        (r#"origin_duration_seconds_count{role="mirror"}"#, 1),
        (r#"viewer_bytes_total{source="origin"}"#, 100_000),
    ];
    let mirror = async {
        let fill = sidecar.granted("0-99999").await;
        let living = generation(1, N);
        sidecar.begin(fill, &living, 0, 100_000).await;
        let id = living.id(Profile::Generic, "");
        let chunk = sidecar.chunk(fill, id, 0, body(1, 0, 100_000)).await;
        assert_eq!(chunk.status, 204);
        sidecar.end_at(fill, Some(100_000), Outcome::Complete).await;
    };
    moves(&sidecar, &mirrored, mirror).await;

    let hit = [
        (r#"served_total{outcome="hit"}"#, 1),
        (r#"serve_first_byte_seconds_count{outcome="hit"}"#, 1),
        (r#"viewer_bytes_total{source="cache"}"#, 100_000),
    ];
    assert!(moves(&sidecar, &hit, sidecar.routed("0-99999")).await.whole);
    let decided = [(r#"decisions_total{decision="hit"}"#, 1)];
    moves(&sidecar, &decided, sidecar.decide("0-99999")).await;

    let partial = [
        (r#"served_total{outcome="partial"}"#, 1),
        (r#"serve_first_byte_seconds_count{outcome="partial"}"#, 1),
        (r#"viewer_bytes_total{source="cache"}"#, 100_000),
        (r#"viewer_bytes_total{source="origin"}"#, 900_000),
        (r#"fetches_total{result="ok"}"#, 1),
        (r#"origin_first_byte_seconds_count{role="own"}"#, 1),
        (r#"origin_duration_seconds_count{role="own"}"#, 1),
        ("origin_bytes_total", 900_000),
    ];
    assert!(moves(&sidecar, &partial, sidecar.routed("")).await.whole);
    becomes(&sidecar, r#"disk_used_bytes{pool="admitted"}"#, |n| n >= N).await;
    for idle in ["streams", "followers", r#"leads{role="own"}"#] {
        becomes(&sidecar, idle, |level| level == 0).await;
    }
    let sum = sidecar.metric("viewcache_viewer_bytes_total").await;
    assert_eq!(sum, 100_000 + 100_000 + N);
}

#[tokio::test]
async fn what_is_not_stored_and_not_served_is_counted_by_reason() {
    let dir = tempfile::tempdir().unwrap();
    let headers = "cache-control: no-store\r\n";
    let origin = Origin::start(Script {
        headers,
        ..Script::default()
    })
    .await;
    let flags = ["--ingest-memory", "1MiB"];
    let sidecar = Sidecar::start(dir.path(), origin.addr, &flags).await;
    let declined = [
        (r#"declines_total{reason="no-store"}"#, 1),
        (r#"fetches_total{result="declined"}"#, 1),
        (r#"handbacks_total{reason="declined"}"#, 1),
        (r#"served_total{outcome="handed-back"}"#, 1),
        (
            r#"serve_first_byte_seconds_count{outcome="handed-back"}"#,
            1,
        ),
    ];
    assert_eq!(
        moves(&sidecar, &declined, sidecar.routed("")).await.status,
        421
    );

    let told = [(r#"declines_total{reason="private"}"#, 1)];
    let tell = async {
        let fill = sidecar.granted("0-9").await;
        sidecar
            .end(fill, Outcome::Declined(DeclineReason::Private))
            .await;
    };
    moves(&sidecar, &told, tell).await;

    origin.change(|script| script.headers = "");
    let fill = sidecar.granted("0-").await;
    let living = generation(1, 2 * N);
    sidecar.begin(fill, &living, 0, 2 * N).await;
    let id = living.id(Profile::Generic, "");
    let busy = [(r#"refused_bytes_total{reason="busy"}"#, 2 * N)];
    let chunk = sidecar.chunk(fill, id, 0, body(1, 0, 2 * N));
    assert_eq!(moves(&sidecar, &busy, chunk).await.status, 429);

    // A write fails where the folder is gone that its file should be in.
    let segments = dir.path().join("segments");
    std::fs::remove_dir_all(&segments).unwrap();
    let failed = [
        (r#"refused_bytes_total{reason="disk"}"#, 1_000),
        (r#"store_failures_total{reason="segment"}"#, 1),
    ];
    let chunk = sidecar.chunk(fill, id, 0, body(1, 0, 1_000));
    assert_eq!(moves(&sidecar, &failed, chunk).await.status, 429);
}

#[tokio::test]
async fn an_origin_that_fails_is_counted_by_how() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        refusals: 1,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let failed = [
        (r#"fetches_total{result="server-error"}"#, 1),
        (r#"handbacks_total{reason="origin"}"#, 1),
    ];
    assert_eq!(
        moves(&sidecar, &failed, sidecar.routed("")).await.status,
        421
    );

    origin.change(|script| (script.refusals, script.refusal) = (100, "403 Forbidden"));
    sidecar.mirror("0-99999", 0, 100_000).await;
    let cut = [
        (r#"fetches_total{result="refused"}"#, 1),
        (r#"cuts_total{result="refused"}"#, 1),
        (r#"viewer_bytes_total{source="cache"}"#, 100_000),
    ];
    assert!(!moves(&sidecar, &cut, sidecar.routed("")).await.whole);

    let nowhere = "127.0.0.1:1".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path(), nowhere, &[]).await;
    let unreachable = [(r#"fetches_total{result="unreachable"}"#, 1)];
    moves(&sidecar, &unreachable, sidecar.routed("")).await;
}

#[tokio::test]
async fn damage_and_evictions_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let flags = ["--max-bytes", "8MiB"];
    let sidecar = Sidecar::start(dir.path(), origin.addr, &flags).await;
    sidecar
        .policy(json!({"admit": {"watched_percent": 0}}))
        .await;
    sidecar.mirror("", 0, N).await;
    sidecar.stored(N).await;
    let folders = std::fs::read_dir(dir.path().join("segments")).unwrap();
    for folder in folders {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    // Files that are open already are not missed before the next start.
    sidecar.stop().await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &flags).await;
    let healed = [(r#"healed_total{reason="missing"}"#, 1)];
    let got = moves(&sidecar, &healed, sidecar.routed("")).await;
    assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    sidecar.stored(N).await;

    let evicted = [
        ("evictions_total", 1),
        ("evicted_bytes_total", 64 << 10),
        (r#"admissions_total{reason="at-once"}"#, 1),
    ];
    let fill_up = async {
        for n in 0..12 {
            let path = format!("/{n}");
            assert!(sidecar.routed_at(&path, "").await.whole);
        }
    };
    moves(&sidecar, &evicted, fill_up).await;
    assert!(sidecar.metric("viewcache_disk_used_bytes").await <= 8 << 20);
    assert!(0 < sidecar.metric("viewcache_index_bytes").await);
    assert!(12 <= sidecar.metric("viewcache_entities_in_memory").await);
}

#[tokio::test]
async fn followers_streams_and_leads_are_there_while_they_last() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        stalls: 1,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start_with(dir.path(), origin.addr, "stall = \"1500ms\"").await;
    let watch = async {
        for (name, expected) in [
            ("followers", 2),
            ("streams", 2),
            (r#"leads{role="own"}"#, 1),
            ("watched_entities", 1),
        ] {
            becomes(&sidecar, name, |level| level == expected).await;
        }
        assert!(
            0 < sidecar
                .metric("viewcache_memory_bytes{use=\"frames\"}")
                .await
        );
    };
    let viewers = async { tokio::join!(sidecar.routed(""), sidecar.routed("")) };
    let ((one, other), ()) = tokio::join!(viewers, watch);
    assert!(one.whole && other.whole, "a viewer was cut");
    assert_eq!(sidecar.metric("viewcache_viewer_bytes_total").await, 2 * N);
    assert!(
        0 < sidecar
            .metric(r#"viewcache_viewer_bytes_total{source="followed"}"#)
            .await
    );
    becomes(&sidecar, "streams", |level| level == 0).await;
    becomes(&sidecar, "watched_entities", |level| level == 0).await;
}

#[tokio::test]
async fn downloads_are_counted_by_how_far_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let download = json!({"url": "http://origin.test/video"}).to_string();
    let started = sidecar.manage_with("POST", "/v1/downloads", download).await;
    assert!(started.status.is_success(), "{}", started.status);
    becomes(&sidecar, r#"downloads{status="complete"}"#, |n| n == 1).await;
    let admitted = "viewcache_admissions_total{reason=\"download\"}";
    assert_eq!(sidecar.metric(admitted).await, 1);
    let pause = format!("/v1/downloads/{}/pause", key().id());
    assert!(sidecar.manage("POST", &pause).await.status.is_success());
    becomes(&sidecar, r#"downloads{status="paused"}"#, |n| n == 1).await;
    becomes(&sidecar, r#"downloads{status="complete"}"#, |n| n == 0).await;
}

#[tokio::test]
async fn both_formats_are_to_be_had_and_promtool_finds_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    assert!(sidecar.routed("").await.whole);
    let text = sidecar.manage("GET", "/metrics").await;
    assert_eq!(
        text.field("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let open_metrics = sidecar.manage_accepting("/metrics", accept).await;
    assert_eq!(
        open_metrics.field("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(open_metrics.body.ends_with(b"# EOF\n"));
    let lines = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    for process in [
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
    ] {
        assert!(lines(&text.body).contains(process), "{process}");
        assert!(lines(&open_metrics.body).contains(process), "{process}");
    }
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("skipped: there is no promtool here");
        return;
    };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(&text.body)
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        lines(&said)
    );
}
