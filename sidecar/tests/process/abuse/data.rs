//! The data port.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use viewcache_protocol::{Outcome, Profile};

use super::{Framing, bodies, kept, message, send, start};
use crate::harness::{generation, key};
use crate::origin::body;

const N: u64 = 1_000_000;

/// The data port, by a process that has got there: what is no message of the filter's changes
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_data_port_takes_the_filters_messages_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, sidecar, mut process) = start(dir.path()).await;
    let living = generation(1, N);
    let identity = living.id(Profile::Generic, "");
    let fill = sidecar.granted("500000-").await;
    sidecar.begin(fill, &living, 500_000, N).await;
    let before = kept(&sidecar).await;
    let asked = origin.requests().len();
    let (port, grown) = (sidecar.data(), process.peak());
    let refused = async |method: &str, target: &str, fields: &str, body: &[u8], framing| {
        let got = send(port, &message(method, target, fields, body, framing)).await;
        let status = got.as_ref().map_or(400, |got| got.0);
        let body = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert!(
            (400..500).contains(&status),
            "{method} {target} {fields:?} {body}: {status}"
        );
    };
    let key = key().to_string();
    let fills = format!("/fills/{fill}");
    let steps = ["begin", "end"].map(|step| format!("{fills}/{step}"));
    let messages = ["/decide".to_owned(), "/invalidate".to_owned()];
    for target in messages.iter().chain(&steps) {
        for (_, body, framing) in bodies() {
            refused("POST", target, "", &body, framing).await;
        }
        let giant = json!({"version": 3, "key": key, "wanted": {"key": key, "viewer": "x".repeat(200 << 10)}});
        refused(
            "POST",
            target,
            "",
            giant.to_string().as_bytes(),
            Framing::Length,
        )
        .await;
        for method in ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "X"] {
            refused(method, target, "", b"", Framing::Length).await;
        }
    }
    for wrong in [
        json!({}),
        json!({"wanted": {}}),
        json!({"wanted": {"key": "nothing", "viewer": ""}}),
        json!({"wanted": {"key": "generic:", "viewer": ""}}),
        json!({"wanted": {"key": "generic:a b", "viewer": ""}}),
        json!({"wanted": {"key": "generic:a\u{0}", "viewer": ""}}),
        json!({"wanted": {"key": "../x:y", "viewer": ""}}),
        json!({"wanted": {"key": format!("generic:{}", "x".repeat(100_000)), "viewer": ""}}),
        json!({"wanted": {"key": key, "viewer": 5}}),
        json!({"wanted": {"key": key, "viewer": "", "range": "9-5"}}),
        json!({"wanted": {"key": key, "viewer": "", "range": "-5-"}}),
        json!({"wanted": {"key": key, "viewer": "", "parts": ["x"]}}),
        json!({"wanted": {"key": key, "viewer": "", "complete_length": -1}}),
    ] {
        let mut wrong = wrong;
        wrong["version"] = json!(3);
        refused(
            "POST",
            "/decide",
            "",
            wrong.to_string().as_bytes(),
            Framing::Length,
        )
        .await;
    }
    let begin = |range: Value, length: Value| {
        let message = json!({
            "version": 3, "key": key, "range": range, "headers": [],
            "generation": {"validator": {"etag": "\"v2\""}, "complete_length": length},
        });
        message.to_string()
    };
    for (range, length) in [
        (json!([0, 0]), json!(10)),
        (json!([5, 2]), json!(10)),
        (json!([0, 11]), json!(10)),
        (json!([-1, 5]), json!(10)),
        (json!([0, u64::MAX]), json!(u64::MAX)),
        (json!({"start": 0, "end": u64::MAX}), json!(u64::MAX)),
        (json!({"start": 0, "end": 20}), json!(10)),
        (json!({"start": 7, "end": 3}), json!(10)),
    ] {
        let body = begin(range, length);
        refused("POST", &steps[0], "", body.as_bytes(), Framing::Length).await;
    }
    chunks(&refused, &fills, &identity.to_string()).await;
    for target in [
        "/",
        "/v1/entities",
        "/metrics",
        "/healthz",
        "/decide/",
        "//decide",
        "/fills",
        "/fills/x/begin",
        "/fills/../decide",
        "/fills/00000000000000000000/end",
        "*",
    ] {
        refused("GET", target, "", b"", Framing::Length).await;
    }
    for target in [
        "/fills/x/begin",
        "/fills/-1/chunks",
        "/fills/%2e%2e/end",
        "/fills/0000000000000001/other",
        "/",
    ] {
        refused("POST", target, "", b"{}", Framing::Length).await;
    }
    assert_eq!(kept(&sidecar).await, before);
    assert_eq!(origin.requests().len(), asked, "the origin was asked");
    let grown = process.peak() - grown;
    assert!(grown < 64 << 20, "{grown} bytes more");
    // The fill goes on.
    let chunk = sidecar
        .chunk(fill, identity, 500_000, body(1, 500_000, 600_000))
        .await;
    assert_eq!(chunk.status, 204);
    sidecar.end(fill, Outcome::Complete).await;
    sidecar.stored(200_000).await;
    let whole = sidecar.routed("").await;
    assert!(whole.whole && whole.body == body(1, 0, N));
    assert!(process.lives(), "it has ended");
}

/// Chunks that are none: of the wrong entity, place, length or generation.
async fn chunks(
    refused: &impl AsyncFn(&str, &str, &str, &[u8], Framing),
    fills: &str,
    identity: &str,
) {
    let target = format!("{fills}/chunks");
    let entity = key().id().to_string();
    let fields = |entity: &str, generation: &str, offset: &str| {
        format!(
            "x-viewcache-key: {entity}\r\nx-viewcache-generation: {generation}\r\nx-viewcache-offset: {offset}\r\n"
        )
    };
    let right = fields(&entity, identity, "600000");
    let some = vec![b'x'; 1000];
    for (_, body, framing) in bodies() {
        if framing != Framing::Length || body.is_empty() {
            refused("POST", &target, &right, &body, framing).await;
        }
    }
    for fields in [
        String::new(),
        fields("x", identity, "0"),
        fields(&entity, "x", "0"),
        fields(&entity, identity, "x"),
        fields(&entity, identity, "-1"),
        fields(&entity, identity, "18446744073709551616"),
        fields(&entity, identity, "18446744073709551615"),
        fields(&entity, identity, "1000000"),
        fields(&entity, identity, "999001"),
        fields(&entity, "0000000000000000", "600000"),
        fields("00000000000000000000000000000000", identity, "600000"),
        right.replace("x-viewcache-offset", "x-viewcache-else"),
    ] {
        refused("POST", &target, &fields, &some, Framing::Length).await;
    }
    let claims = |length: u64| Framing::Claimed(length);
    for length in [0, 999_999, 8 << 20, (8 << 20) + 1, u64::MAX] {
        refused("POST", &target, &right, &some, claims(length)).await;
    }
    let other = target.replace(fills, "/fills/00000000000000ff");
    let lost = fields("ffffffffffffffffffffffffffffffff", identity, "0");
    refused("POST", &other, &lost, &some, Framing::Length).await;
}

/// A path that is put behind the egress listener's address must not become part of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_routed_request_cannot_lead_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, sidecar, mut process) = start(dir.path()).await;
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = canary.local_addr().unwrap();
    let asked = origin.requests().len();
    for path in [
        format!("@{elsewhere}/"),
        format!(":x@{elsewhere}/"),
        format!(".{elsewhere}/"),
        format!("http://{elsewhere}/"),
        "*".to_owned(),
        "?".to_owned(),
        String::new(),
        "/a b".to_owned(),
    ] {
        for route in ["hit", "partial"] {
            for (number, entity) in [
                "generic:http://origin.test/video",
                "generic:http://origin.test/new",
            ]
            .iter()
            .enumerate()
            {
                let key = format!("{number:032x}");
                let fields = [
                    ("x-viewcache-route", route),
                    ("x-viewcache-key", &key),
                    ("x-viewcache-entity", entity),
                    ("x-viewcache-viewer", "x"),
                    ("x-viewcache-range", "500000-500099"),
                    ("x-viewcache-origin-path", &path),
                ];
                let got = sidecar
                    .data_as("GET", "/video", &fields, String::new())
                    .await;
                assert!(got.status.is_client_error(), "{path:?}: {}", got.status);
                assert_ne!(got.field("x-viewcache-handback"), "", "{path:?}");
            }
        }
    }
    let came = timeout(Duration::from_millis(200), canary.accept()).await;
    assert!(came.is_err(), "the sidecar has asked elsewhere");
    assert_eq!(origin.requests().len(), asked);
    assert!(process.lives(), "it has ended");
}
