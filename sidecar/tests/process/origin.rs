//! An origin that does what a test says, in the place of Envoy's egress listener.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The byte at `offset` of the entity whose bytes are of `version`.
pub(crate) fn byte(version: u64, offset: u64) -> u8 {
    let mixed = (offset ^ version.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x2545_f491_4f6c_dd1d);
    (mixed >> 32) as u8
}

/// Bytes `start..end`.
pub(crate) fn body(version: u64, start: u64, end: u64) -> Vec<u8> {
    (start..end).map(|at| byte(version, at)).collect()
}

/// How the origin behaves.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) complete_length: u64,
    /// Names the bytes and the ETag.
    pub(crate) version: u64,
    /// No ETag and no Last-Modified.
    pub(crate) without_validator: bool,
    /// Further header lines, each with its CRLF.
    pub(crate) headers: &'static str,
    /// Cut each of the first so many bodies after `cut_after` bytes.
    pub(crate) cuts: u64,
    pub(crate) cut_after: u64,
    /// Wait before the head.
    pub(crate) latency: Duration,
    /// Answer each of the first so many requests with this status line and fields, and no body.
    pub(crate) refusals: u64,
    pub(crate) refusal: &'static str,
    /// Stop, without closing, each of the first so many bodies after `cut_after` bytes.
    pub(crate) stalls: u64,
    /// Answer 200 with everything, whatever was asked.
    pub(crate) ignores_ranges: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            complete_length: 1_000_000,
            version: 1,
            without_validator: false,
            headers: "cache-control: max-age=600\r\n",
            cuts: 0,
            cut_after: 100_000,
            latency: Duration::ZERO,
            refusals: 0,
            refusal: "503 Service Unavailable",
            stalls: 0,
            ignores_ranges: false,
        }
    }
}

/// A running origin.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    state: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    script: Mutex<Script>,
    /// Body bytes sent.
    sent: AtomicU64,
    requests: Mutex<Vec<Vec<String>>>,
}

impl Origin {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Inner {
            script: Mutex::new(script),
            sent: AtomicU64::new(0),
            requests: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                // A client that leaves in mid body is an error here and none of ours.
                tokio::spawn(async move { converse(stream, &shared).await.ok() });
            }
        });
        Self { addr, state }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.state.script.lock().unwrap());
    }

    pub(crate) fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// The head of each request so far, as lines.
    pub(crate) fn requests(&self) -> Vec<Vec<String>> {
        self.state.requests.lock().unwrap().clone()
    }
}

async fn converse(stream: TcpStream, state: &Inner) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    loop {
        let mut head = Vec::new();
        loop {
            match lines.next_line().await? {
                None => return Ok(()),
                Some(line) if line.is_empty() => break,
                Some(line) => head.push(line),
            }
        }
        let script = {
            let mut script = state.script.lock().unwrap();
            let now = script.clone();
            match now.refusals {
                0 => {
                    script.cuts = now.cuts.saturating_sub(1);
                    script.stalls = now.stalls.saturating_sub(1);
                }
                _ => script.refusals -= 1,
            }
            now
        };
        let field = |name: &str| {
            head.iter()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::to_owned)
        };
        let (range, if_range) = (field("range"), field("if-range"));
        state.requests.lock().unwrap().push(head);
        tokio::time::sleep(script.latency).await;
        if 0 < script.refusals {
            let refusal = format!("HTTP/1.1 {}\r\ncontent-length: 0\r\n\r\n", script.refusal);
            write.write_all(refusal.as_bytes()).await?;
            continue;
        }
        let etag = format!("\"v{}\"", script.version);
        let same = if_range.is_none_or(|tag| tag == etag);
        let n = script.complete_length;
        let part = range
            .filter(|_| same && !script.ignores_ranges)
            .map(|value| {
                let (first, last) = value
                    .strip_prefix("bytes=")
                    .unwrap()
                    .split_once('-')
                    .unwrap();
                let first: u64 = first.parse().unwrap();
                (first, last.parse().map_or(n, |last: u64| (last + 1).min(n)))
            });
        let (start, end) = part.unwrap_or((0, n));
        let status = match part {
            Some(_) => format!("206 OK\r\ncontent-range: bytes {start}-{}/{n}", end - 1),
            None => "200 OK".to_owned(),
        };
        let validator = match script.without_validator {
            true => String::new(),
            false => format!("etag: {etag}\r\n"),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\n{validator}{}content-length: {}\r\n\r\n",
            script.headers,
            end - start
        );
        write.write_all(head.as_bytes()).await?;
        let cut = 0 < script.cuts || 0 < script.stalls;
        let until = if cut {
            end.min(start + script.cut_after)
        } else {
            end
        };
        for from in (start..until).step_by(32 << 10) {
            let part = body(script.version, from, until.min(from + (32 << 10)));
            write.write_all(&part).await?;
            state.sent.fetch_add(part.len() as u64, Ordering::SeqCst);
        }
        if 0 < script.stalls {
            // Until the other side gives up.
            lines.next_line().await?;
        }
        if cut {
            return Ok(());
        }
    }
}
