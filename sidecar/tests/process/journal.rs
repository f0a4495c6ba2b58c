//! What is told of decisions, exchanges and fills: one line of JSON for each.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use viewcache_protocol::{DecideRequest, Decision, Outcome, Profile};

use crate::harness::{Sidecar, generation, key, wanted};
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;

/// As the README has it.
const DETAILED: &str = "info,viewcache_sidecar::journal=debug";

/// The lines of a log with this message.
fn lines(log: &Path, message: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    // The last one may not be whole yet.
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["message"] == message)
        .collect()
}

/// Waits for the line number `count` with this message.
async fn line(log: &Path, message: &str, count: usize) -> Value {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(line) = lines(log, message).into_iter().nth(count - 1) {
            return line;
        }
        let text = std::fs::read_to_string(log).unwrap();
        assert!(Instant::now() < deadline, "no line {message}:\n{text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[track_caller]
fn check(line: &Value, expected: &[(&str, Value)]) {
    for (field, value) in expected {
        assert_eq!(&line[*field], value, "{field} in {line}");
    }
}

#[tokio::test]
async fn decisions_exchanges_and_fills_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let log = dir.path().join("log");
    let output = File::create(&log).unwrap();
    let data = dir.path().join("data");
    let (sidecar, mut process) =
        Sidecar::spawn_logging(&data, origin.addr, &["--log", DETAILED], output).await;

    // A viewer's own transfer.
    let request = DecideRequest {
        request_id: Some("request-1".to_owned()),
        ..wanted("0-99999").into()
    };
    let Decision::Miss {
        grant: Some(grant), ..
    } = sidecar.decide_as(&request).await
    else {
        panic!("no grant");
    };
    let (fill, living) = (grant.fill, generation(1, N));
    sidecar.begin(fill, &living, 0, 100_000).await;
    let id = living.id(Profile::Generic, "");
    sidecar.chunk(fill, id, 0, body(1, 0, 100_000)).await;
    sidecar.end_at(fill, Some(100_000), Outcome::Complete).await;
    let (entity, shown) = (key().id().to_string(), "generic:http://origin.test/video");
    let decided = line(&log, "decided", 1).await;
    check(
        &decided,
        &[
            ("level", "DEBUG".into()),
            ("entity", entity.clone().into()),
            ("key", shown.into()),
            ("range", "0-99999".into()),
            ("decision", "miss".into()),
            ("fill", fill.to_string().into()),
            ("request_id", "request-1".into()),
        ],
    );
    assert!(decided["duration_ms"].is_f64(), "{decided}");
    let told = line(&log, "fill", 1).await;
    check(
        &told,
        &[
            ("level", "INFO".into()),
            ("entity", entity.clone().into()),
            ("key", shown.into()),
            ("fill", fill.to_string().into()),
            ("role", "mirror".into()),
            ("range", "0..100000".into()),
            ("outcome", "complete".into()),
            ("cache_bytes", 0.into()),
            ("origin_bytes", 100_000.into()),
            ("request_id", "request-1".into()),
        ],
    );
    let times = ["first_byte_ms", "duration_ms"].map(|name| told[name].as_f64().unwrap());
    assert!(times.is_sorted(), "{told}");

    // The rest of it is the sidecar's, and goes on under the request's name.
    let got = sidecar.routed_with("", "x-request-id", "request-2").await;
    assert!(got.whole);
    let exchange = line(&log, "exchange", 1).await;
    check(
        &exchange,
        &[
            ("level", "DEBUG".into()),
            ("entity", entity.clone().into()),
            ("key", shown.into()),
            ("range", "0..1000000".into()),
            ("outcome", "partial".into()),
            ("end", "complete".into()),
            ("cache_bytes", 100_000.into()),
            ("followed_bytes", 0.into()),
            ("origin_bytes", 900_000.into()),
            ("request_id", "request-2".into()),
        ],
    );
    let times = ["first_byte_ms", "duration_ms"].map(|name| exchange[name].as_f64().unwrap());
    assert!(times.is_sorted(), "{exchange}");
    let told = line(&log, "fill", 2).await;
    check(
        &told,
        &[
            ("role", "own".into()),
            ("range", "100000..1000000".into()),
            ("outcome", "complete".into()),
            ("origin_bytes", 900_000.into()),
            ("request_id", "request-2".into()),
        ],
    );
    let asked = origin.requests();
    let sent = asked[0]
        .iter()
        .find(|line| line.starts_with("x-request-id"));
    assert_eq!(sent.map(String::as_str), Some("x-request-id: request-2"));

    // A hit, and one that is left.
    sidecar.stored(N).await;
    assert!(sidecar.routed("5-9").await.whole);
    check(
        &line(&log, "exchange", 2).await,
        &[
            ("range", "5..10".into()),
            ("outcome", "hit".into()),
            ("cache_bytes", 5.into()),
            ("origin_bytes", 0.into()),
            ("request_id", Value::Null),
        ],
    );
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test]
async fn neither_a_query_nor_a_cookie_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        refusals: 1,
        refusal: "403 Forbidden",
        ..Script::default()
    })
    .await;
    let log = dir.path().join("log");
    let output = File::create(&log).unwrap();
    let data = dir.path().join("data");
    let flags = ["--log", "trace,hyper=info,hyper_util=info,warp=info"];
    let (sidecar, mut process) = Sidecar::spawn_logging(&data, origin.addr, &flags, output).await;
    let path = "/v.mp4?token=secret";
    assert_eq!(sidecar.routed_at(path, "").await.status, 421);
    assert!(sidecar.routed_at("/w.mp4?token=secret", "").await.whole);
    let told = line(&log, "fill", 1).await;
    check(
        &told,
        &[
            ("key", "generic:http://origin.test/v.mp4?…".into()),
            ("outcome", "refused".into()),
            ("origin_bytes", 0.into()),
        ],
    );
    let handed_back = line(&log, "exchange", 1).await;
    check(
        &handed_back,
        &[
            ("outcome", "handed-back".into()),
            ("end", "declined".into()),
        ],
    );
    let complete = line(&log, "exchange", 2).await;
    check(&complete, &[("end", "complete".into())]);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("secret"), "{text}");
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test]
async fn trouble_is_told_once_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let output = File::create(&log).unwrap();
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let data = dir.path().join("data");
    let (sidecar, mut process) = Sidecar::spawn_logging(&data, nowhere, &[], output).await;
    for n in 0..20 {
        let got = sidecar.routed_at(&format!("/{n}"), "").await;
        assert_eq!(got.status, 421);
    }
    let told = line(&log, "the origin fails", 1).await;
    check(
        &told,
        &[
            ("level", "WARN".into()),
            ("authority", "origin.test".into()),
            ("reason", "unreachable".into()),
            ("others", 0.into()),
        ],
    );
    assert!(told["advice"].as_str().unwrap().contains("Envoy"), "{told}");
    assert_eq!(lines(&log, "the origin fails").len(), 1);

    std::fs::remove_dir_all(data.join("segments")).unwrap();
    for n in 0..5 {
        let (start, end) = (n * 1000, n * 1000 + 1000);
        let fill = sidecar.granted(&format!("{start}-{}", end - 1)).await;
        let living = generation(1, N);
        sidecar.begin(fill, &living, start, end).await;
        let id = living.id(Profile::Generic, "");
        sidecar.chunk(fill, id, start, body(1, start, end)).await;
        sidecar.end(fill, Outcome::Abandoned).await;
    }
    let told = line(&log, "a chunk is dropped", 1).await;
    check(
        &told,
        &[("level", "ERROR".into()), ("reason", "segment".into())],
    );
    assert!(
        told["advice"].is_string() && told["error"].is_string(),
        "{told}"
    );
    assert_eq!(lines(&log, "a chunk is dropped").len(), 1);
    process.kill().unwrap();
    process.wait().unwrap();
}
