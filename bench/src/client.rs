//! A viewer that compares every byte and costs little.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::content;
use crate::origin;

/// What is read at once.
const READ: usize = 256 << 10;

/// No response takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The file's name.
    pub(crate) name: String,
    /// The file's complete length.
    pub(crate) length: u64,
    /// Its version.
    pub(crate) version: u64,
    /// Half-open; an end of `length` is asked for as an open range.
    pub(crate) range: Option<(u64, u64)>,
    /// Leave after so many bytes.
    pub(crate) leave_after: u64,
    /// Bytes per second at the most; 0 is as fast as they come.
    pub(crate) pace: u64,
    /// Read on when a byte is of another version.
    pub(crate) tolerant: bool,
}

impl Ask {
    /// A whole file.
    pub(crate) fn whole(name: &str, length: u64) -> Self {
        Self {
            name: name.to_owned(),
            length,
            version: 0,
            range: None,
            leave_after: u64::MAX,
            pace: 0,
            tolerant: false,
        }
    }

    /// A part of it.
    pub(crate) fn part(name: &str, length: u64, start: u64, end: u64) -> Self {
        Self {
            range: Some((start, end)),
            ..Self::whole(name, length)
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Got {
    /// Time to the response's first byte.
    pub(crate) ttfb: Duration,
    /// Time to its last.
    pub(crate) took: Duration,
    /// Body bytes, all compared.
    pub(crate) bytes: u64,
    /// Whether all were of the version that was asked for.
    pub(crate) right: bool,
    /// Whether all that was promised came.
    pub(crate) whole: bool,
}

/// A connection, kept for the next request.
pub(crate) struct Client {
    to: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects when it is first needed.
    pub(crate) fn new(to: SocketAddr) -> Self {
        Self {
            to,
            stream: None,
            buffer: vec![0; READ],
        }
    }

    /// Asks and reads.
    ///
    /// # Errors
    /// When no response comes or a byte is wrong. A body that is cut is not an error.
    pub(crate) async fn get(&mut self, ask: &Ask) -> Result<Got> {
        let got = tokio::time::timeout(LIMIT, self.exchange(ask)).await;
        got.context("no response in time")?
            .with_context(|| format!("{ask:?}"))
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Got> {
        let range = match ask.range {
            Some((start, end)) if end == ask.length => format!("range: bytes={start}-\r\n"),
            Some((start, end)) => format!("range: bytes={start}-{}\r\n", end - 1),
            None => String::new(),
        };
        let path = origin::path(&ask.name, ask.length);
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench.test\r\n{range}\r\n");
        let began = Instant::now();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.to).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        let head_end = loop {
            let read = stream.read(&mut self.buffer[filled..]).await?;
            ensure!(0 < read, "closed without a response");
            filled += read;
            let head = &self.buffer[..filled];
            if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let ttfb = began.elapsed();
        let head = std::str::from_utf8(&self.buffer[..head_end])?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap_or_default();
        let expected = if ask.range.is_some() { "206" } else { "200" };
        if status != expected {
            bail!("status {status}: {head}");
        }
        let length = head.split("content-length: ").nth(1).context("length")?;
        let length: u64 = length.split("\r\n").next().unwrap_or_default().parse()?;
        let start = ask.range.map_or(0, |(start, _)| start);
        let shift = content::shift(&ask.name, ask.version);
        let mut right = true;
        let mut check = |at: u64, bytes: &[u8]| {
            let same = content::same(shift, start + at, bytes);
            ensure!(same || ask.tolerant, "wrong bytes at {}", start + at);
            right &= same;
            Ok(())
        };
        let mut at = (filled - head_end) as u64;
        check(0, &self.buffer[head_end..filled])?;
        while at < length && at < ask.leave_after {
            let most = usize::try_from(length - at).unwrap_or(READ).min(READ);
            let read = match stream.read(&mut self.buffer[..most]).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            check(at, &self.buffer[..read])?;
            at += read as u64;
            if 0 < ask.pace {
                let due = Duration::from_secs_f64(at as f64 / ask.pace as f64);
                tokio::time::sleep_until((began + due).into()).await;
            }
        }
        if at == length {
            self.stream = Some(stream);
        }
        Ok(Got {
            ttfb,
            took: began.elapsed(),
            bytes: at,
            right,
            whole: at == length,
        })
    }
}

/// The outcome of many requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    /// Each request's time to its first byte, ascending.
    pub(crate) ttfb: Vec<Duration>,
    /// Each request's time to its last byte, ascending.
    pub(crate) took: Vec<Duration>,
    /// Body bytes.
    pub(crate) bytes: u64,
    /// The time of all together.
    pub(crate) elapsed: Duration,
}

impl Load {
    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.took.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Megabytes a second.
    pub(crate) fn megabytes(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.elapsed.as_secs_f64()
    }
}

/// A percentile of ascending times, in milliseconds.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> f64 {
    let last = times.len().saturating_sub(1);
    times
        .get(last * percent / 100)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// Lets each list of requests be asked by a client of its own, all at once.
///
/// # Errors
/// The first client's error.
pub(crate) async fn all(to: SocketAddr, lists: Vec<Vec<Ask>>) -> Result<Load> {
    let began = Instant::now();
    let clients: Vec<_> = lists
        .into_iter()
        .map(|asks| {
            tokio::spawn(async move {
                let mut client = Client::new(to);
                let mut got = Vec::with_capacity(asks.len());
                for ask in asks {
                    got.push(client.get(&ask).await?);
                }
                anyhow::Ok(got)
            })
        })
        .collect();
    let mut load = Load::default();
    for client in clients {
        for got in client.await?? {
            load.ttfb.push(got.ttfb);
            load.took.push(got.took);
            load.bytes += got.bytes;
        }
    }
    load.elapsed = began.elapsed();
    load.ttfb.sort_unstable();
    load.took.sort_unstable();
    Ok(load)
}
