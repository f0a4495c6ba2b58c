//! What a filter of the version before says, to the letter, and what it must be told: the sidecar
//! is upgraded first. When the version is raised, what is here becomes that of the version which
//! was the last until then.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use viewcache_protocol::version::Sent;
use viewcache_protocol::{Begin, DecideRequest, Invalidate, Profile};

use crate::harness::{Sidecar, generation, key};
use crate::origin::{Origin, Script, body};

/// The id of the entity and that of its generation, which the filter computes, too.
const ENTITY: &str = "fb3f7afb545b3b2729b2198945a7fe2c";
const GENERATION: &str = "41e2be87340c158b";

const DECIDE: &str = r#"{"version":3,"wanted":{"key":"generic:http://origin.test/video","range":"0-99999","range_in_query":false,"viewer":"a906cbe35dc6fcba"},"head":false,"selecting":[["accept","*/*"]]}"#;

const BEGIN: &str = r#"{"version":3,"key":"generic:http://origin.test/video","generation":{"validator":{"etag":"\"v1\""},"complete_length":1000000},"range":[0,100000],"headers":[["content-type","video/mp4"],["cache-control","max-age=3600"],["etag","\"v1\""]],"selecting":[["accept","*/*"]],"open_ended":false,"origin":{"authority":"origin.test","path":"/video","fields":[["user-agent","curl/7.88.1"]]}}"#;

const END: &str = r#"{"key":"generic:http://origin.test/video","viewer":"a906cbe35dc6fcba","delivered":[0,100000],"outcome":{"outcome":"complete"}}"#;

const INVALIDATE: &str = r#"{"version":3,"key":"generic:http://origin.test/video"}"#;

/// Sends a message as it is; its answer's head and body.
async fn say(sidecar: &Sidecar, head: &str, message: &[u8]) -> (String, Vec<u8>) {
    let mut stream = BufReader::new(TcpStream::connect(sidecar.data()).await.unwrap());
    let head = format!("{head}content-length: {}\r\n\r\n", message.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(message).await.unwrap();
    let (mut answer, mut length) = (String::new(), 0);
    while !answer.ends_with("\r\n\r\n") {
        let from = answer.len();
        assert_ne!(stream.read_line(&mut answer).await.unwrap(), 0, "{answer}");
        if let Some(text) = answer[from..].strip_prefix("content-length: ") {
            length = text.trim().parse().unwrap();
        }
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    (answer, bytes)
}

/// A callout with JSON.
async fn tell(sidecar: &Sidecar, path: &str, message: &str) -> (String, String) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {ENTITY}\r\ncontent-type: application/json\r\n\
         x-envoy-internal: true\r\n"
    );
    let (answer, body) = say(sidecar, &head, message.as_bytes()).await;
    let status = answer.lines().next().unwrap_or_default().to_owned();
    (status, String::from_utf8(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_of_version_3_fills_and_hits() {
    let now = generation(1, 1_000_000).id(Profile::Generic, "");
    let ids = (key().id().to_string(), now.to_string());
    assert_eq!(ids, (ENTITY.to_owned(), GENERATION.to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;

    let (status, decision) = tell(&sidecar, "/decide", DECIDE).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let fill = decision
        .strip_prefix(r#"{"decision":"miss","forward":"uri-miss","grant":{"fill":""#)
        .and_then(|rest| rest.strip_suffix(r#"","ttl_ms":5000}}"#));
    let fill = fill.unwrap_or_else(|| panic!("{decision}"));
    assert_eq!(fill.len(), 16);

    const TAKEN: &str = "HTTP/1.1 204 No Content";
    let begun = tell(&sidecar, &format!("/fills/{fill}/begin"), BEGIN).await;
    assert_eq!(begun.0, TAKEN);
    let head = format!(
        "POST /fills/{fill}/chunks HTTP/1.1\r\nhost: {ENTITY}\r\nx-viewcache-key: {ENTITY}\r\n\
         x-viewcache-generation: {GENERATION}\r\nx-viewcache-offset: 0\r\n"
    );
    let (answer, _) = say(&sidecar, &head, &body(1, 0, 100_000)).await;
    assert!(answer.starts_with(TAKEN), "{answer}");
    let ended = tell(&sidecar, &format!("/fills/{fill}/end"), END).await;
    assert_eq!(ended.0, TAKEN);
    sidecar.stored(100_000).await;

    let (_, decision) = tell(&sidecar, "/decide", DECIDE).await;
    assert_eq!(decision, r#"{"decision":"hit"}"#);
    let routed = format!(
        "GET /video HTTP/1.1\r\nhost: origin.test\r\nrange: bytes=0-99999\r\naccept: */*\r\n\
         x-viewcache-key: {ENTITY}\r\nx-viewcache-entity: generic:http://origin.test/video\r\n\
         x-viewcache-viewer: a906cbe35dc6fcba\r\nx-viewcache-range: 0-99999\r\n\
         x-viewcache-route: hit\r\n"
    );
    let (answer, bytes) = say(&sidecar, &routed, b"").await;
    assert!(
        answer.starts_with("HTTP/1.1 206 Partial Content"),
        "{answer}"
    );
    assert!(answer.contains("\r\nx-viewcache-served: 1\r\n"), "{answer}");
    assert!(bytes == body(1, 0, 100_000), "wrong bytes");
    assert!(origin.requests().is_empty(), "it was asked");

    let told = tell(&sidecar, "/invalidate", INVALIDATE).await;
    assert_eq!(told.0, TAKEN);
    let (_, decision) = tell(&sidecar, "/decide", DECIDE).await;
    assert_eq!(decision, r#"{"decision":"partial"}"#);
    sidecar.stop().await;
}

/// The other way round: what a filter of today sends is what one of version 3 sent, so a sidecar of
/// version 3 understands it.
#[test]
fn a_sidecar_of_version_3_is_told_what_it_knows() {
    fn check<T: Serialize + DeserializeOwned>(literal: &str) {
        let message: T = serde_json::from_str(literal).unwrap();
        let sent = serde_json::to_value(Sent::new(&message)).unwrap();
        assert_eq!(sent, serde_json::from_str::<Value>(literal).unwrap());
    }
    check::<DecideRequest>(DECIDE);
    check::<Begin>(BEGIN);
    check::<Invalidate>(INVALIDATE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_refused_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    for version in ["2", "5", "", "x"] {
        let version = format!("x-viewcache-version: {version}\r\n");
        // Nothing of a message need be as it is now.
        for path in ["/decide", "/invalidate", "/fills/1/begin", "/later"] {
            let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{version}");
            let (answer, _) = say(&sidecar, &head, b"not JSON").await;
            assert!(answer.starts_with("HTTP/1.1 409 Conflict"), "{answer}");
        }
        let head = format!("GET /video HTTP/1.1\r\nhost: x\r\nx-viewcache-route: x\r\n{version}");
        let (answer, _) = say(&sidecar, &head, b"").await;
        assert!(
            answer.contains("\r\nx-viewcache-handback: version\r\n"),
            "{answer}"
        );
    }
    // One that says so in the message alone, as was done before there was a header.
    let (status, _) = tell(&sidecar, "/decide", &DECIDE.replacen('3', "2", 1)).await;
    assert_eq!(status, "HTTP/1.1 409 Conflict");
    assert_eq!(sidecar.metric("viewcache_foreign_messages_total").await, 21);
    sidecar.stop().await;
}
