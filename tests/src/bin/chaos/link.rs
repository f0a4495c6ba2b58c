//! A viewer's connection: one request after the other on it, every byte compared as it comes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::client::HOST;
use e2e::http1::Head;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::films::Film;
use crate::sample::Outcome;

/// A player gives up after this; the sidecar's own patience is 30 s.
const PATIENCE: Duration = Duration::from_secs(40);
/// The most that is read at once.
const PIECE: usize = 64 * 1024;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) film: &'a Film,
    /// What follows the film's path.
    pub(crate) query: &'a str,
    /// Half-open.
    pub(crate) range: (u64, u64),
    /// So many bytes are read, and then the viewer leaves.
    pub(crate) read: u64,
    /// The time that each 64 KiB take to be watched, when the viewer reads no faster than that.
    pub(crate) pace: Option<Duration>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) outcome: Outcome,
    /// The longest time without a byte.
    pub(crate) silence: Duration,
    pub(crate) hit: bool,
}

/// A connection, or none yet.
#[derive(Debug)]
pub(crate) struct Link {
    to: SocketAddr,
    agent: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Link {
    pub(crate) fn new(to: SocketAddr, agent: String) -> Self {
        let stream = None;
        Self { to, agent, stream }
    }

    /// Asks, and reads the answer.
    pub(crate) async fn get(&mut self, wanted: &Wanted<'_>) -> Got {
        let mut got = Got {
            outcome: Outcome::Right,
            silence: Duration::ZERO,
            hit: false,
        };
        let outcome = self.exchange(wanted, &mut got).await;
        if let Err(outcome) = outcome {
            got.outcome = outcome;
        }
        got
    }

    async fn exchange(&mut self, wanted: &Wanted<'_>, got: &mut Got) -> Result<(), Outcome> {
        // A server may close an idle connection just when it is used again: every client then
        // asks once more on a new one.
        let reused = self.stream.is_some();
        let (mut stream, head) = match self.ask(wanted, got).await {
            Err(Outcome::Closed) if reused => self.ask(wanted, got).await?,
            other => other?,
        };
        got.hit = head
            .get("cache-status")
            .is_some_and(|status| status.contains("viewcache; hit"));
        let status = head
            .start
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        let body = match status {
            Some(200 | 206) => Body::of(&head, wanted)?,
            status => return Err(Outcome::Status(status.unwrap_or(0))),
        };
        let read = body.length.min(wanted.read);
        let mut buffer = vec![0; PIECE];
        let mut at = 0;
        while at < read {
            let room = PIECE.min((read - at) as usize);
            let began = Instant::now();
            let count = timeout(PATIENCE, stream.read(&mut buffer[..room])).await;
            got.silence = got.silence.max(began.elapsed());
            let count = match count {
                Err(_) => return Err(Outcome::Silent),
                Ok(Err(_) | Ok(0)) => return Err(Outcome::Cut),
                Ok(Ok(count)) => count,
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            let checked = body.content.check(body.start + at, bytes);
            checked.map_err(|error| Outcome::Wrong(format!("{}: {error}", wanted.film.path())))?;
            at += count as u64;
            if let Some(pace) = wanted.pace {
                sleep(pace.mul_f64(count as f64 / PIECE as f64)).await;
            }
        }
        if let Some(label) = body.mislabeled {
            return Err(Outcome::Mislabeled(label));
        }
        // A viewer that leaves closes; dropped, the stream is.
        if read == body.length {
            self.stream = Some(stream);
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        wanted: &Wanted<'_>,
        got: &mut Got,
    ) -> Result<(BufReader<TcpStream>, Head), Outcome> {
        let began = Instant::now();
        let asked = timeout(PATIENCE, self.head(wanted)).await;
        got.silence = got.silence.max(began.elapsed());
        asked.map_err(|_| Outcome::Silent)?
    }

    async fn head(&mut self, wanted: &Wanted<'_>) -> Result<(BufReader<TcpStream>, Head), Outcome> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = connect(self.to, wanted.pace.is_some()).await;
                let stream = stream.map_err(|_| Outcome::Refused)?;
                let _ = stream.set_nodelay(true);
                BufReader::with_capacity(PIECE, stream)
            }
        };
        let (start, end) = wanted.range;
        let request = format!(
            "GET {}{} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: {}\r\nrange: bytes={start}-{}\r\n\r\n",
            wanted.film.path(),
            wanted.query,
            self.agent,
            end - 1,
        );
        let sent = stream.write_all(request.as_bytes()).await;
        sent.map_err(|_| Outcome::Closed)?;
        match Head::read(&mut stream).await {
            Ok(Some(head)) => Ok((stream, head)),
            Ok(None) | Err(_) => Err(Outcome::Closed),
        }
    }
}

/// Whoever reads slowly has little room, or the kernel would read for it.
async fn connect(to: SocketAddr, slow: bool) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if slow {
        socket.set_recv_buffer_size(PIECE as u32)?;
    }
    socket.connect(to).await
}

/// What a body must be by its head.
struct Body {
    content: e2e::content::Content,
    start: u64,
    length: u64,
    /// A Content-Range that is not what was asked for.
    mislabeled: Option<String>,
}

impl Body {
    fn of(head: &Head, wanted: &Wanted<'_>) -> Result<Self, Outcome> {
        Self::read(head, wanted)
            .map_err(|error| Outcome::Wrong(format!("{}: {error}: {head:?}", wanted.film.path())))
    }

    fn read(head: &Head, wanted: &Wanted<'_>) -> Result<Self> {
        let version = head.get("etag").and_then(Film::version);
        let content = wanted.film.content(version.context("no version in ETag")?);
        let length = head
            .get("content-length")
            .and_then(|text| text.parse().ok());
        let length: u64 = length.context("no Content-Length")?;
        let whole = content.length();
        let Some(label) = head.get("content-range") else {
            anyhow::ensure!(length == whole, "{length} bytes of a 200, not {whole}");
            let (start, mislabeled) = (0, None);
            return Ok(Self {
                content,
                start,
                length,
                mislabeled,
            });
        };
        let (start, end) = (wanted.range.0, wanted.range.1.min(whole));
        anyhow::ensure!(length == end - start, "{length} bytes of a 206");
        let right = format!("bytes {start}-{}/{whole}", end - 1);
        let mislabeled = (label != right).then(|| format!("{label} for {right}"));
        Ok(Self {
            content,
            start,
            length,
            mislabeled,
        })
    }
}
