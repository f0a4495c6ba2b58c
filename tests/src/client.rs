//! A viewer: sends what it is told, even what is malformed, and reads as much as it likes.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http1::Head;

/// Nothing that a test waits for takes this long.
const LIMIT: Duration = Duration::from_secs(30);

/// The name under which viewers know the service.
pub const HOST: &str = "media.test";

/// A request, not sent yet.
#[derive(Clone)]
pub struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
    bodiless: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.head))
    }
}

impl Request {
    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Any method, without a body.
    pub fn new(method: &str, target: &str) -> Self {
        let head = format!("{method} {target} HTTP/1.1\r\nhost: {HOST}\r\n").into_bytes();
        Self {
            head,
            body: Vec::new(),
            bodiless: method == "HEAD",
        }
    }

    /// A request line and fields as they stand, with their line ends but the last; what cannot be
    /// said by the others.
    pub fn raw(head: impl AsRef<[u8]>) -> Self {
        Self {
            head: head.as_ref().to_vec(),
            body: Vec::new(),
            bodiless: head.as_ref().starts_with(b"HEAD "),
        }
    }

    /// A field; its value may be any bytes.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(name.as_bytes());
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }

    /// The same with a body.
    pub fn body(self, body: &str) -> Self {
        Self {
            body: body.as_bytes().to_vec(),
            ..self.field("content-length", body.len().to_string())
        }
    }

    /// The same under another name of the service.
    pub fn host(mut self, name: &str) -> Self {
        let head = String::from_utf8_lossy(&self.head);
        self.head = head
            .replacen(
                &format!("host: {HOST}\r\n"),
                &format!("host: {name}\r\n"),
                1,
            )
            .into_bytes();
        self
    }

    /// `Range: bytes=…`.
    pub fn range(self, range: &str) -> Self {
        self.field("range", format!("bytes={range}"))
    }

    /// Sends it on a connection of its own and reads the response's head.
    pub async fn send(&self, to: SocketAddr) -> Result<Response> {
        let began = Instant::now();
        let exchange = async {
            let mut stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            stream.write_all(&self.head).await?;
            stream
                .write_all(&[b"\r\n", &self.body[..]].concat())
                .await?;
            let mut stream = BufReader::with_capacity(256 * 1024, stream);
            let head = Head::read(&mut stream)
                .await?
                .context("closed without a response")?;
            anyhow::Ok((stream, head))
        };
        let (stream, head) = timeout(LIMIT, exchange).await.context("no response")??;
        let waited = began.elapsed();
        let status = head.start.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status: u16 = status.with_context(|| head.start.clone())?;
        let framing = if self.bodiless || status == 204 || status == 304 {
            Framing::Length(0)
        } else if head.get("transfer-encoding").is_some() {
            Framing::Chunked {
                left: 0,
                ended: false,
            }
        } else if let Some(length) = head.get("content-length") {
            Framing::Length(length.parse()?)
        } else {
            Framing::Close
        };
        Ok(Response {
            status,
            head,
            waited,
            stream,
            framing,
        })
    }
}

/// A response whose body is read on demand. Dropped before its end, it is a viewer that leaves.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub head: Head,
    /// The time from before the connection to the end of the head.
    pub waited: Duration,
    stream: BufReader<TcpStream>,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunked {
        left: u64,
        ended: bool,
    },
    Close,
}

impl Response {
    /// The value of Cache-Status.
    pub fn cache_status(&self) -> &str {
        self.head.get("cache-status").unwrap_or_default()
    }

    /// The next bytes of the body: `count` of them, or fewer when it ends.
    ///
    /// # Errors
    /// When it is cut: closed before the end that its framing tells.
    pub async fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        timeout(LIMIT, self.take_unlimited(count))
            .await
            .context("body: no more bytes came")?
    }

    /// All that is left of the body.
    pub async fn rest(&mut self) -> Result<Vec<u8>> {
        self.take(usize::MAX).await
    }

    async fn take_unlimited(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let wanted = (count - taken.len()) as u64;
            let next = match &mut self.framing {
                Framing::Length(0) | Framing::Chunked { ended: true, .. } => break,
                Framing::Length(left) => wanted.min(*left),
                Framing::Chunked { left: 0, .. } => {
                    self.next_chunk().await?;
                    continue;
                }
                Framing::Chunked { left, .. } => wanted.min(*left),
                Framing::Close => wanted,
            };
            let next = next.min(1 << 20);
            let read = (&mut self.stream)
                .take(next)
                .read_to_end(&mut taken)
                .await? as u64;
            match &mut self.framing {
                Framing::Close if read < next => break,
                Framing::Close => {}
                Framing::Length(left) | Framing::Chunked { left, .. } => *left -= read,
            }
            if read < next {
                bail!(
                    "body cut after {} bytes: {:?} are missing",
                    taken.len(),
                    self.framing
                );
            }
        }
        Ok(taken)
    }

    async fn next_chunk(&mut self) -> Result<()> {
        let mut line = String::new();
        // Every chunk but the first is preceded by the end of the one before it.
        while line.trim().is_empty() {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                bail!("body cut between chunks");
            }
        }
        let left = u64::from_str_radix(line.trim(), 16).with_context(|| line.clone())?;
        self.framing = Framing::Chunked {
            left,
            ended: left == 0,
        };
        Ok(())
    }
}
