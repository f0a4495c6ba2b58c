//! A viewer that speaks HTTP/2, by curl or frame by frame, and an origin that does, by another Envoy.

use std::process::{Command, Output};

use e2e::client::{HOST, Request};
use e2e::content::Content;
use e2e::envoy_config::OriginUrl;
use e2e::origin::Script;
use e2e::poll::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{MIB, SOON, World, parameter};

/// Whether there is a curl here that can play this viewer.
fn can_play() -> bool {
    let version = Command::new("curl").arg("--version").output();
    version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("HTTP2"))
}

/// Views a path, all of it or a range, checks every byte, and tells the Cache-Status.
async fn view(world: &World, content: Content, path: &str, range: Option<(u64, u64)>) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--http2-prior-knowledge"])
        .args(["--max-time", "30", "--dump-header", "/dev/stderr"])
        .args(["--connect-to", &format!("::{}", world.stack.ingress())])
        .arg(format!("http://{HOST}{path}"));
    let (start, end) = range.unwrap_or((0, content.length()));
    if range.is_some() {
        curl.args(["--range", &format!("{start}-{}", end - 1)]);
    }
    // The origin lives on this thread.
    let output = tokio::task::spawn_blocking(move || curl.output());
    let Output {
        status,
        stdout,
        stderr,
    } = output.await.unwrap().unwrap();
    let head = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{status}: {head}");
    let expected = if range.is_some() {
        "HTTP/2 206"
    } else {
        "HTTP/2 200"
    };
    assert!(head.starts_with(expected), "{head}");
    assert_eq!(stdout.len() as u64, end - start, "{head}");
    content.check(start, &stdout).unwrap();
    assert!(!head.contains("x-viewcache"), "{head}");
    let mut fields = head.lines();
    let cache_status = fields.find_map(|line| line.strip_prefix("cache-status: "));
    cache_status.unwrap_or_else(|| panic!("{head}")).to_owned()
}

#[tokio::test]
async fn a_viewer_over_http2_gets_the_same() {
    if !can_play() {
        eprintln!("skipped: there is no curl with HTTP/2 here");
        return;
    }
    let world = World::start().await;
    let content = world.serve("/v", 2 * MIB + 17);
    let check = async |range, parameters: &[&str]| {
        let cache_status = view(&world, content, "/v", range).await;
        for expected in parameters {
            assert!(
                parameter(&cache_status, expected),
                "{range:?}: {cache_status}"
            );
        }
    };
    let half = Some((0, MIB));
    check(half, &["fwd=uri-miss", "stored"]).await;
    world.stored("/v", &[(0, MIB)]).await;
    check(half, &["hit"]).await;
    check(None, &["fwd=partial", "stored"]).await;
    world.stored("/v", &[(0, 2 * MIB + 17)]).await;
    assert_eq!(world.origin.sent("/v"), 2 * MIB + 17, "each byte once");
    // The second time by a decision that is remembered.
    check(None, &["hit"]).await;
    check(Some((MIB - 5, MIB + 5)), &["hit"]).await;
    world.counted("remembered", 1).await;
}

/// A frame on stream 1, or on the connection (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A header field with a new name, not indexed (RFC 7541 section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// The body of a GET that ends with trailers, of at most what a new connection may send.
async fn get_with_trailers(world: &World, path: &str, trailers: &[(&str, &str)]) -> Vec<u8> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    let head = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", HOST),
        (":path", path),
    ];
    let head = head.map(|(name, value)| field(name, value)).concat();
    let trailers = trailers.iter().map(|(name, value)| field(name, value));
    let trailers = trailers.collect::<Vec<_>>().concat();
    let before = world.origin.seen(path).len();
    let mut stream = TcpStream::connect(world.stack.ingress()).await.unwrap();
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &head),
    ];
    stream.write_all(&request.concat()).await.unwrap();
    // The origin has the head before the trailers come.
    let asked = until("the origin is asked", SOON, async || {
        (before < world.origin.seen(path).len()).then_some(())
    });
    asked.await.unwrap();
    let end = frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers);
    stream.write_all(&end).await.unwrap();
    let mut body = Vec::new();
    let reading = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let [high, middle, low, kind, flags, ..] = head;
            let length = u32::from_be_bytes([0, high, middle, low]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if kind == DATA {
                body.extend(payload);
            }
            if kind <= HEADERS && flags & END_STREAM != 0 {
                return;
            }
        }
    };
    timeout(SOON, reading).await.unwrap();
    body
}

#[tokio::test]
async fn a_request_with_trailers_passes_by() {
    let world = World::start().await;
    let content = world.serve("/v", 50_000);
    let hostile = [
        ("x-viewcache-route", "sidecar"),
        ("range", "bytes=0-4"),
        ("host", "elsewhere.test"),
    ];
    let passes_by = async |times| {
        let body = get_with_trailers(&world, "/v", &hostile).await;
        assert_eq!(body.len(), 50_000);
        content.check(0, &body).unwrap();
        world.counted("bypass_reason.body", times).await;
    };
    passes_by(1).await;
    passes_by(2).await;
    let view = world.view(&Request::get("/v"), content).await;
    view.expect(200, &["fwd=uri-miss", "stored"]);
    world.becomes_hit(&Request::get("/v"), content).await;
    // What is stored is of no use to such a request either.
    passes_by(3).await;
    world.filter_lives().await;
}

#[tokio::test]
async fn an_origin_over_http2_is_cached_alike() {
    // Its egress listener takes HTTP/2 and passes on to the origin.
    let far = World::start().await;
    let near = World::with(|options| {
        options.origin = OriginUrl::http(far.stack.egress());
        options.edits.push((
            "explicit_http_config: {http_protocol_options: {}}".to_owned(),
            "explicit_http_config: {http2_protocol_options: {}}".to_owned(),
        ));
    })
    .await;
    let content = far.serve("/v", 8 * MIB + 5);
    let get = |range| Request::get("/v").range(range);
    let view = near.view(&get("0-999999"), content).await;
    view.expect(206, &["fwd=uri-miss", "stored"]);
    near.stored("/v", &[(0, 1_000_000)]).await;
    near.hit(&get("5-999999"), content).await;
    let view = near.view(&Request::get("/v"), content).await;
    view.expect(200, &["fwd=partial", "stored"]);
    near.stored("/v", &[(0, 8 * MIB + 5)]).await;
    assert_eq!(far.origin.sent("/v"), 8 * MIB + 5, "each byte once");
    let stats =
        e2e::management::envoy_stat(near.stack.admin(), "cluster.origin.upstream_cx_http2_total");
    assert!(0 < stats.await.unwrap(), "it was HTTP/1.1");

    // A stream that is reset: what came is kept, and the rest is asked for again.
    let content = far.serve("/cut", 4 * MIB);
    let cut = Script {
        cut_after: Some(MIB + 77),
        ..Script::new(content)
    };
    far.origin.script("/cut", cut);
    let mut response = near.open(&Request::get("/cut")).await;
    response.rest().await.unwrap_err();
    let view = near.view(&Request::get("/cut"), content).await;
    assert_eq!(view.bytes, (0, 4 * MIB));
    near.becomes_hit(&Request::get("/cut"), content).await;
}
