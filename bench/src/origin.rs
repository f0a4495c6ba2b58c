//! The origin: fast, with a latency that can be set, exact counts of what it sent, and faults.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::content;

/// What is written at once.
const WRITE: u64 = 256 << 10;

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct File {
    /// Raised when it changes.
    pub(crate) version: u64,
    /// Body bytes sent.
    pub(crate) sent: u64,
    /// Requests answered.
    pub(crate) requests: u64,
    /// The next body is reset after so many bytes.
    pub(crate) reset_after: Option<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    files: HashMap<String, File>,
    latency: Duration,
}

/// A running origin, on a thread of its own.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl Origin {
    /// Starts it.
    pub(crate) fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else {
                    return;
                };
                while let Ok((stream, _)) = listener.accept().await {
                    let shared = Arc::clone(&serving);
                    // A client that leaves in mid body is an error here and none of ours.
                    tokio::spawn(async move { converse(stream, &shared).await.ok() });
                }
            });
        });
        Ok(Self { address, shared })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    /// How long it thinks before each answer.
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// A file as it is now.
    pub(crate) fn file(&self, name: &str) -> File {
        self.lock().files.get(name).copied().unwrap_or_default()
    }

    /// Changes a file.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut File)) {
        change(self.lock().files.entry(name.to_owned()).or_default());
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The path of a file of a certain length.
pub(crate) fn path(name: &str, length: u64) -> String {
    format!("/f/{name}/{length}")
}

/// The range that a Range field asks for, half-open; `None` is the whole.
fn asked(value: Option<&str>, length: u64) -> Option<(u64, u64)> {
    let (first, last) = value?.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        return Some((length.saturating_sub(suffix), length));
    }
    let first: u64 = first.parse().ok()?;
    let end = last
        .parse::<u64>()
        .map_or(length, |last| (last + 1).min(length));
    (first < end).then_some((first, end))
}

async fn converse(stream: TcpStream, shared: &Mutex<Shared>) -> Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    loop {
        let Some(start) = lines.next_line().await? else {
            return Ok(());
        };
        let (mut range, mut if_range) = (None, None);
        while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(": ") else {
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "range" => range = Some(value.to_owned()),
                "if-range" => if_range = Some(value.to_owned()),
                _ => {}
            }
        }
        let target = start.split(' ').nth(1).context("request line")?;
        let (name, length) = target
            .strip_prefix("/f/")
            .and_then(|rest| rest.split_once('/'))
            .context("path")?;
        let length: u64 = length.parse()?;
        let (file, latency) = {
            let mut shared = lock(shared);
            let latency = shared.latency;
            let file = shared.files.entry(name.to_owned()).or_default();
            file.requests += 1;
            let now = *file;
            file.reset_after = None;
            (now, latency)
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let etag = format!("\"{name}-{}\"", file.version);
        let range = range.filter(|_| if_range.is_none_or(|tag| tag == etag));
        let part = asked(range.as_deref(), length);
        let (begin, end) = part.unwrap_or((0, length));
        let status = match part {
            Some(_) => format!(
                "206 Partial Content\r\ncontent-range: bytes {begin}-{}/{length}",
                end - 1
            ),
            None => "200 OK".to_owned(),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\netag: {etag}\r\ncontent-type: video/mp4\r\n\
             last-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\ncache-control: max-age=3600\r\n\
             accept-ranges: bytes\r\ncontent-length: {}\r\n\r\n",
            end - begin
        );
        write.write_all(head.as_bytes()).await?;
        let shift = content::shift(name, file.version);
        let stop = file.reset_after.map_or(end, |after| end.min(begin + after));
        let mut at = begin;
        while at < stop {
            let bytes = content::window(shift, at, (stop - at).min(WRITE));
            write.write_all(bytes).await?;
            at += bytes.len() as u64;
            if let Some(file) = lock(shared).files.get_mut(name) {
                file.sent += bytes.len() as u64;
            }
        }
        if stop < end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_understood() {
        assert_eq!(asked(None, 10), None);
        assert_eq!(asked(Some("bytes=2-4"), 10), Some((2, 5)));
        assert_eq!(asked(Some("bytes=2-"), 10), Some((2, 10)));
        assert_eq!(asked(Some("bytes=-3"), 10), Some((7, 10)));
        assert_eq!(asked(Some("bytes=2-99"), 10), Some((2, 10)));
    }
}
