//! Whoever reaches a port and means harm: whatever is sent to whatever is described, the answer is a
//! problem, the process lives, its memory has a bound, and nothing of it is kept.

mod data;
mod management;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{Running, Sidecar};
use crate::origin::{Origin, Script};

/// What is written, to the byte, and what comes back: status, head and body.
async fn send(to: SocketAddr, message: &[u8]) -> Option<(u16, String, Vec<u8>)> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // It may be refused before it is whole.
    let _ = timeout(Duration::from_secs(5), stream.write_all(message)).await;
    let mut got = Vec::new();
    let mut buffer = [0; 64 << 10];
    let end = |got: &[u8]| got.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    // Who is waiting for more is told after a while that no more comes.
    let mut cut = is_cut(message);
    while end(&got).is_none() {
        let patience = Duration::from_millis(if cut { 200 } else { 10_000 });
        match timeout(patience, stream.read(&mut buffer)).await {
            Ok(Ok(read)) if 0 < read => got.extend_from_slice(&buffer[..read]),
            Err(_) if cut => {
                cut = false;
                let _ = stream.shutdown().await;
            }
            _ => break,
        }
    }
    let at = end(&got)?;
    let head = String::from_utf8_lossy(&got[..at]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |digits| digits.parse().unwrap());
    while got.len() < at + 4 + length {
        match timeout(Duration::from_secs(5), stream.read(&mut buffer)).await {
            Ok(Ok(read)) if 0 < read => got.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head, got[at + 4..].to_vec()))
}

/// Whether less of a body comes than its head says.
fn is_cut(message: &[u8]) -> bool {
    let end = message.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = message.split_at(end.map_or(message.len(), |end| end + 4));
    let head = String::from_utf8_lossy(head);
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|digits| (body.len() as u64) < digits.parse().unwrap_or(0))
}

/// What an operator sees of what is stored and said.
async fn kept(sidecar: &Sidecar) -> Vec<Value> {
    let mut kept = Vec::new();
    for path in [
        "/v1/policy",
        "/v1/entities",
        "/v1/videos",
        "/v1/channels",
        "/v1/downloads",
        "/v1/imports",
    ] {
        let got = sidecar.manage("GET", path).await;
        assert_eq!(got.status, 200, "{path}");
        let mut value: Value = serde_json::from_slice(&got.body).unwrap();
        for item in value["items"].as_array_mut().into_iter().flatten() {
            // These change by themselves: a transfer that says nothing lapses, what was watched
            // becomes worth keeping.
            for passing in ["viewers", "last_accessed", "status", "provisional"] {
                item[passing] = Value::Null;
            }
        }
        kept.push(value);
    }
    kept
}

/// A sidecar in a process of its own, of whose one entity something is stored.
async fn start(dir: &Path) -> (Origin, Sidecar, Running) {
    let origin = Origin::start(Script::default()).await;
    let (sidecar, process) = Sidecar::spawn(dir, origin.addr, &[]).await;
    assert!(sidecar.routed("0-99999").await.whole);
    sidecar.stored(100_000).await;
    (origin, sidecar, process)
}

/// Bodies that nobody means: what they are called, how they are framed, and whether they are
/// malformed for anything that is JSON.
fn bodies() -> Vec<(&'static str, Vec<u8>, Framing)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let deep = |open: &str, close: &str| {
        text(&format!(
            "{{\"a\": {}{}}}",
            open.repeat(5000),
            close.repeat(5000)
        ))
    };
    use Framing::{Chunked, Claimed, Length, Unframed};
    vec![
        ("nothing", Vec::new(), Length),
        ("a word", text("null"), Length),
        ("a number", text("5"), Length),
        ("a list", text("[1, 2, 3]"), Length),
        ("cut", text("{\"title\": \"x"), Length),
        ("no UTF-8", b"{\"title\": \"\xff\xfe\"}".to_vec(), Length),
        ("no UTF-8 name", b"{\"\xc3\x28\": 1}".to_vec(), Length),
        ("half a surrogate", text("{\"title\": \"\\ud800\"}"), Length),
        ("a NUL", b"{\"title\": \"a\0b\"}".to_vec(), Length),
        ("a mark", b"\xef\xbb\xbf{}".to_vec(), Length),
        (
            "UTF-16",
            text("{\"a\":1}").into_iter().flat_map(|b| [b, 0]).collect(),
            Length,
        ),
        ("deep lists", deep("[", "]"), Length),
        ("deep objects", deep("{\"a\":", "}"), Length),
        ("deep and open", text(&"[".repeat(60_000)), Length),
        (
            "unknown",
            text("{\"__proto__\": {\"admin\": true}}"),
            Length,
        ),
        ("huge number", text("{\"bytes\": 1e999}"), Length),
        (
            "long number",
            text(&format!("{{\"bytes\": {}}}", "9".repeat(60_000))),
            Length,
        ),
        ("after it", text("{} {}"), Length),
        (
            "XML",
            text("<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><x>&b;</x>"),
            Length,
        ),
        (
            "long",
            text(&format!("{{\"title\": \"{}\"}}", "x".repeat(9 << 20))),
            Length,
        ),
        ("claimed to be long", text("{}"), Claimed(u64::MAX)),
        ("claimed to be very long", text("{}"), Claimed(10 << 30)),
        ("shorter than claimed", text("{}"), Claimed(100)),
        ("in chunks", text("{}"), Chunked),
        ("long, in chunks", vec![b' '; 9 << 20], Chunked),
        ("of no length", text("{\"title\": \"x\"}"), Unframed),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    /// So many bytes, which do not come.
    Claimed(u64),
    Chunked,
    /// Neither: there is no body then (RFC 9112 section 6.3), and what follows is no request.
    Unframed,
}

fn message(method: &str, target: &str, fields: &str, body: &[u8], framing: Framing) -> Vec<u8> {
    let length = body.len();
    let framed = match framing {
        Framing::Length => format!("content-length: {length}\r\n"),
        Framing::Claimed(length) => format!("content-length: {length}\r\n"),
        Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
        Framing::Unframed => String::new(),
    };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}{framed}\r\n"
    );
    let mut bytes = head.into_bytes();
    if framing == Framing::Chunked {
        bytes.extend(format!("{length:x}\r\n").bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\r\n0\r\n\r\n");
    } else {
        bytes.extend_from_slice(body);
    }
    bytes
}

/// An answer that is no success is a problem (RFC 9457), and the fault is the caller's.
fn is_problem(got: &Option<(u16, String, Vec<u8>)>, said: &str) {
    let Some((status, head, body)) = got else {
        return;
    };
    assert!((400..500).contains(status), "{said}: {status} {head}");
    // What is no HTTP is refused before anybody is asked.
    if head.contains("content-length: 0") && [400, 431, 414].contains(status) {
        return;
    }
    assert!(
        head.contains("content-type: application/problem+json"),
        "{said}: {head}"
    );
    let problem: Value = serde_json::from_slice(body)
        .unwrap_or_else(|error| panic!("{said}: {error}: {:?}", String::from_utf8_lossy(body)));
    assert_eq!(problem["status"], *status, "{said}: {problem}");
    assert!(problem["detail"].is_string(), "{said}: {problem}");
}

/// Very many who say nothing hold neither port up.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_hold_no_port_up() {
    let dir = tempfile::tempdir().unwrap();
    let (_origin, sidecar, mut process) = start(dir.path()).await;
    let grown = process.peak();
    let mut silent = Vec::new();
    for (number, port) in [sidecar.data(), sidecar.manage_address()]
        .repeat(250)
        .into_iter()
        .enumerate()
    {
        let mut stream = TcpStream::connect(port).await.unwrap();
        let begun: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ",
            _ => b"POST /decide HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{",
        };
        stream.write_all(begun).await.unwrap();
        silent.push(stream);
    }
    let began = Instant::now();
    for _ in 0..20 {
        assert!(sidecar.routed("0-99999").await.whole);
        assert_eq!(sidecar.manage("GET", "/v1/stats").await.status, 200);
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let grown = process.peak() - grown;
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert!(process.lives(), "it has ended");
}
