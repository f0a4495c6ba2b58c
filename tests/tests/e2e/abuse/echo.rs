//! An origin whose answer follows from what it was asked, to the byte: whoever gets what was meant
//! for another has wrong bytes. All its entities have one length and one entity tag, so that nothing
//! else tells them apart.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use e2e::content::Content;
use e2e::http1::resolve;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Every entity's.
pub(super) const LENGTH: u64 = 20_000;

/// The most of a head.
const MAX_HEAD: usize = 1 << 20;

/// What a request asks for: the name of the bytes, and the range of them that a 200 has.
pub(super) type Meaning = fn(&Head) -> Meant;

/// What an origin makes of a request.
pub(super) struct Meant {
    pub(super) name: String,
    /// In the URL, as the query has it.
    pub(super) range: Option<String>,
    /// Whether the answer is in words, whatever was asked for.
    pub(super) in_words: bool,
}

/// A request's head as it came.
#[derive(Clone, Debug)]
pub(super) struct Head(Vec<u8>);

impl Head {
    pub(super) fn target(&self) -> &[u8] {
        let line = self.0.split(|&b| b == b'\r').next().unwrap_or_default();
        let mut words = line.split(|&b| b == b' ');
        words.nth(1).unwrap_or_default()
    }

    pub(super) fn method(&self) -> &[u8] {
        self.0.split(|&b| b == b' ').next().unwrap_or_default()
    }

    /// The names and values of the fields, names in lower case.
    pub(super) fn fields(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let lines = self.0.split(|&b| b == b'\n').skip(1);
        lines.filter_map(|line| {
            let colon = line.iter().position(|&b| b == b':')?;
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            Some((name, line[colon + 1..].trim_ascii().to_vec()))
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        let mut fields = self.fields();
        let value = fields.find(|(n, _)| n == name)?.1;
        Some(String::from_utf8_lossy(&value).into_owned())
    }
}

/// By the raw target and the host, whose case alone means nothing (RFC 9110 section 4.2.3).
pub(super) fn to_the_byte(head: &Head) -> Meant {
    let host = head.get("host").unwrap_or_default().to_ascii_lowercase();
    Meant {
        name: format!("{host}|{}", head.target().escape_ascii()),
        range: None,
        in_words: false,
    }
}

#[derive(Debug)]
pub(super) struct Echo {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<Head>>>,
    accepting: JoinHandle<()>,
}

impl Echo {
    pub(super) async fn start(meaning: Meaning) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<Head>>>::default();
        let seen = Arc::clone(&heads);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let seen = Arc::clone(&seen);
                connections.spawn(async move { serve(stream, meaning, &seen).await });
            }
        });
        Self {
            address,
            heads,
            accepting,
        }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked so far.
    pub(super) fn heads(&self) -> Vec<Head> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.accepting.abort();
        if std::thread::panicking() {
            return;
        }
        for head in self.heads() {
            let ours = head
                .fields()
                .find(|(name, _)| name.starts_with("x-viewcache"));
            assert!(ours.is_none(), "reached the origin: {ours:?}");
        }
    }
}

async fn serve(stream: TcpStream, meaning: Meaning, seen: &Mutex<Vec<Head>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = read(&mut stream).await? {
        skip_body(&mut stream, &head).await?;
        seen.lock().unwrap().push(head.clone());
        stream.write_all(&answer(&head, meaning)).await?;
    }
    Ok(())
}

async fn read(stream: &mut BufReader<TcpStream>) -> Result<Option<Head>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head).await? == 0 {
            return Ok(None);
        }
        if MAX_HEAD < head.len() {
            bail!("a head of more than {MAX_HEAD} bytes");
        }
    }
    Ok(Some(Head(head)))
}

/// As its framing tells: what is left over would be another request.
async fn skip_body(stream: &mut BufReader<TcpStream>, head: &Head) -> Result<()> {
    if head.get("transfer-encoding").is_none() {
        let length: u64 = head
            .get("content-length")
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0);
        let mut body = stream.take(length);
        body.read_to_end(&mut Vec::new()).await?;
        return Ok(());
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let length = u64::from_str_radix(line.trim(), 16)?;
        // The chunk and the end of its line; the last one's is that of the trailers.
        let mut chunk = stream.take(length + 2);
        chunk.read_to_end(&mut Vec::new()).await?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn answer(head: &Head, meaning: Meaning) -> Vec<u8> {
    let meant = meaning(head);
    let content = Content::new(&meant.name, LENGTH);
    let whole = (0, LENGTH);
    let asked = head.get("range").filter(|_| meant.range.is_none());
    let asked = asked.and_then(|range| resolve(&range, LENGTH));
    let in_url = meant.range.and_then(|range| resolve(&range, LENGTH));
    let (status, bytes) = match (in_url, asked) {
        (Some(Some(bytes)), _) => ("200 OK", bytes),
        (None, Some(Some(bytes))) => ("206 Partial Content", bytes),
        (None, None) => ("200 OK", whole),
        (Some(None), _) | (None, Some(None)) => ("416 Range Not Satisfiable", (0, 0)),
    };
    let mut text = format!(
        "HTTP/1.1 {status}\r\ncache-control: max-age=3600\r\netag: \"v1\"\r\ncontent-length: {}\r\n",
        bytes.1 - bytes.0
    );
    text += match meant.in_words {
        true => "content-type: text/plain\r\n",
        false => "content-type: video/mp4\r\n",
    };
    text += &match &status[..3] {
        "206" => format!(
            "content-range: bytes {}-{}/{LENGTH}\r\n",
            bytes.0,
            bytes.1 - 1
        ),
        "416" => format!("content-range: bytes */{LENGTH}\r\n"),
        _ => String::new(),
    };
    text += "\r\n";
    let mut message = text.into_bytes();
    if head.method() != b"HEAD" {
        message.extend(match meant.in_words {
            true => vec![b'w'; (bytes.1 - bytes.0) as usize],
            false => content.bytes(bytes.0..bytes.1),
        });
    }
    message
}
