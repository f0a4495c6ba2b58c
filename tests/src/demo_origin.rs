//! A plain file server with what a video origin needs: strong validators, ranges, a latency like a
//! distant one's, and a count of the bytes it has sent.

use std::collections::HashMap;
use std::io::SeekFrom;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::http1::{Head, resolve};

/// What is served and how.
#[derive(Debug)]
pub struct DemoOrigin {
    root: PathBuf,
    latency: Duration,
    sent: Mutex<HashMap<String, u64>>,
    stall: watch::Sender<Option<(String, u64)>>,
}

/// A response's head and where its body comes from.
struct Answer {
    status: &'static str,
    fields: Vec<(&'static str, String)>,
    body: Body,
}

enum Body {
    None,
    File { file: File, start: u64, length: u64 },
}

impl DemoOrigin {
    /// Serves the files of `root`; the first byte of each answer comes `latency` late.
    pub fn new(root: PathBuf, latency: Duration) -> Self {
        Self {
            root,
            latency,
            sent: Mutex::default(),
            stall: watch::Sender::new(None),
        }
    }

    /// Accepts connections for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            let origin = Arc::clone(&self);
            // A viewer that leaves is no error worth telling.
            tokio::spawn(async move { origin.connection(stream).await });
        }
    }

    /// Serves on a free port of the loopback address, from now on.
    pub async fn start(self: &Arc<Self>) -> Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(Arc::clone(self).serve(listener));
        Ok(address)
    }

    /// The bytes of body sent for a path so far.
    pub fn sent(&self, path: &str) -> u64 {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.get(path).copied().unwrap_or_default()
    }

    /// Lets no byte of a path from this offset on leave, until it is called again.
    pub fn stall(&self, at: Option<(&str, u64)>) {
        self.stall
            .send_replace(at.map(|(path, offset)| (path.to_owned(), offset)));
    }

    fn count(&self, path: &str, bytes: u64) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        *sent.entry(path.to_owned()).or_default() += bytes;
    }

    async fn connection(&self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        while let Some(request) = Head::read(&mut stream).await? {
            tokio::time::sleep(self.latency).await;
            let answer = self.answer(&request).await;
            let mut head = format!("HTTP/1.1 {}\r\nserver: demo-origin\r\n", answer.status);
            for (name, value) in &answer.fields {
                head += &format!("{name}: {value}\r\n");
            }
            head += "\r\n";
            stream.write_all(head.as_bytes()).await?;
            if request.method() != "HEAD" {
                self.send(&mut stream, answer.body, request.path()).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, stream: &mut BufReader<TcpStream>, body: Body, path: &str) -> Result<()> {
        let (mut file, start, mut left) = match body {
            Body::None => return Ok(()),
            Body::File {
                file,
                start,
                length,
            } => (file, start, length),
        };
        file.seek(SeekFrom::Start(start)).await?;
        let mut stall = self.stall.subscribe();
        let mut at = start;
        let mut piece = vec![0; 256 * 1024];
        while 0 < left {
            let mut most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let stalled = |stall: &Option<(String, u64)>| match stall {
                Some((stalled, offset)) if stalled == path => Some(offset.saturating_sub(at)),
                _ => None,
            };
            let room = tokio::select! {
                biased;
                stall = stall.wait_for(|stall| stalled(stall) != Some(0)) => stalled(&*stall?),
                // Nothing is expected from the peer before the body's end: it has left.
                _ = stream.fill_buf() => bail!("{path}: the peer left"),
            };
            if let Some(room) = room {
                most = most.min(usize::try_from(room).unwrap_or(usize::MAX));
            }
            let read = file.read(&mut piece[..most]).await?;
            if read == 0 {
                bail!("{path}: shorter than it was");
            }
            // Counted before it is written: whoever has received it shall find it counted.
            self.count(path, read as u64);
            stream.write_all(&piece[..read]).await?;
            left -= read as u64;
            at += read as u64;
        }
        Ok(())
    }

    async fn answer(&self, request: &Head) -> Answer {
        if !["GET", "HEAD"].contains(&request.method()) {
            return Answer::empty("405 Method Not Allowed");
        }
        let name = match request.path() {
            "/" => "index.html",
            path => path.trim_start_matches('/'),
        };
        match self.open(name).await {
            Ok(found) => Answer::file(found, name, request),
            Err(_) => Answer::empty("404 Not Found"),
        }
    }

    async fn open(&self, name: &str) -> Result<(File, u64, SystemTime)> {
        let path = tokio::fs::canonicalize(self.root.join(name)).await?;
        let root = tokio::fs::canonicalize(&self.root).await?;
        if !path.starts_with(root) {
            bail!("{name}: outside the root");
        }
        let file = File::open(path).await?;
        let metadata = file.metadata().await?;
        if !metadata.is_file() {
            bail!("{name}: not a file");
        }
        Ok((file, metadata.len(), metadata.modified()?))
    }
}

impl Answer {
    fn empty(status: &'static str) -> Self {
        let fields = vec![("content-length", "0".to_owned())];
        Self {
            status,
            fields,
            body: Body::None,
        }
    }

    fn file((file, length, modified): (File, u64, SystemTime), name: &str, request: &Head) -> Self {
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let etag = format!("\"{length:x}-{:x}\"", since.as_nanos());
        let mut fields = vec![
            ("content-type", content_type(name).to_owned()),
            ("accept-ranges", "bytes".to_owned()),
            ("cache-control", "max-age=3600".to_owned()),
            ("etag", etag.clone()),
            ("last-modified", httpdate::fmt_http_date(modified)),
            ("date", httpdate::fmt_http_date(SystemTime::now())),
        ];
        let current = request
            .get("if-range")
            .is_none_or(|validator| validator == etag);
        let range = request.get("range").filter(|_| current);
        let (status, start, end) = match range.and_then(|range| resolve(range, length)) {
            None => ("200 OK", 0, length),
            Some(Some((start, end))) => {
                fields.push((
                    "content-range",
                    format!("bytes {start}-{}/{length}", end - 1),
                ));
                ("206 Partial Content", start, end)
            }
            Some(None) => {
                fields.push(("content-range", format!("bytes */{length}")));
                ("416 Range Not Satisfiable", 0, 0)
            }
        };
        fields.push(("content-length", (end - start).to_string()));
        Self {
            status,
            fields,
            body: Body::File {
                file,
                start,
                length: end - start,
            },
        }
    }
}

fn content_type(name: &str) -> &'static str {
    match Path::new(name)
        .extension()
        .and_then(|extension| extension.to_str())
    {
        Some("mp4") => "video/mp4",
        Some("webm") => "video/webm",
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "application/octet-stream",
    }
}
