//! What the origin does on one path.

use std::fmt::Write;
use std::time::Duration;

use tokio::sync::watch;

use crate::content::Content;
use crate::http1::{Head, resolve};

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Content-Length.
    Length,
    /// Chunked.
    Chunked,
    /// The same, with a trailer.
    Trailed,
    /// The end of the connection.
    Close,
}

/// What becomes of a Range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// A 206 with the range.
    Honored,
    /// A 200 with everything.
    Ignored,
    /// A 206 with the right bytes and a Content-Range that is one off.
    Mislabeled,
    /// The query's `range` is answered with a 200 of these bytes; the header like `Honored`.
    InQuery,
}

/// Behaviour; the default is a well-behaved origin with a strong ETag.
#[derive(Clone, Debug)]
pub struct Script {
    /// The bytes.
    pub content: Content,
    /// ETag.
    pub etag: Option<String>,
    /// The ETag of a 304, when that is another.
    pub mistakes: Option<String>,
    /// Last-Modified.
    pub last_modified: Option<String>,
    /// Further fields.
    pub fields: Vec<(String, String)>,
    /// The time before the first byte of the head.
    pub latency: Duration,
    /// So many bytes of body at once, and the time after each.
    pub pace: Option<(u64, Duration)>,
    /// Where bodies wait.
    pub gate: Option<Gate>,
    /// The connection is closed after so many bytes of body.
    pub cut_after: Option<u64>,
    /// Whether it is then reset instead of ended.
    pub resets: bool,
    /// How the body's end is told.
    pub framing: Framing,
    /// Whether a 103 comes first (RFC 8297).
    pub early_hints: bool,
    /// What becomes of a Range.
    pub ranges: Ranges,
    /// Whatever is asked, the answer is this status without a body.
    pub fails_with: Option<u16>,
    /// A query parameter and its value, without which the answer is 403.
    pub requires: Option<(String, String)>,
}

impl Script {
    /// A well-behaved origin of `content`, fresh for an hour.
    pub fn new(content: Content) -> Self {
        Self {
            content,
            etag: Some("\"v1\"".to_owned()),
            mistakes: None,
            last_modified: None,
            fields: vec![
                ("content-type".to_owned(), "video/mp4".to_owned()),
                ("cache-control".to_owned(), "max-age=3600".to_owned()),
            ],
            latency: Duration::ZERO,
            pace: None,
            gate: None,
            cut_after: None,
            resets: false,
            framing: Framing::Length,
            early_hints: false,
            ranges: Ranges::Honored,
            fails_with: None,
            requires: None,
        }
    }

    /// Adds a field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Holds bodies back before an offset of the entity until it is opened.
#[derive(Clone, Debug)]
pub struct Gate {
    at: u64,
    open: watch::Sender<bool>,
}

impl Gate {
    /// A closed gate before the byte `at`.
    pub fn at_byte(at: u64) -> Self {
        Self {
            at,
            open: watch::Sender::new(false),
        }
    }

    /// Lets everything through from now on.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    pub(super) async fn passed(&self) {
        // It cannot fail: this gate has a sender itself.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

/// An answer worked out.
pub(super) struct Answer {
    pub(super) head: String,
    /// Which bytes of the content are its body, half-open.
    pub(super) bytes: (u64, u64),
    /// Whether they go out in chunks.
    pub(super) chunked: bool,
    /// After how many of them the connection is closed.
    pub(super) cut: Option<u64>,
}

impl Answer {
    fn empty(status: u16) -> Self {
        Self {
            head: format!("HTTP/1.1 {status} As Told\r\ncontent-length: 0\r\n\r\n"),
            bytes: (0, 0),
            chunked: false,
            cut: None,
        }
    }

    pub(super) fn new(script: &Script, request: &Head) -> Self {
        if let Some(status) = script.fails_with {
            return Self::empty(status);
        }
        if let Some((name, value)) = &script.requires
            && request.query(name) != Some(value)
        {
            return Self::empty(403);
        }
        let length = script.content.length();
        let whole = (0, length);
        // One validator at most is sent, as written here; lists are beyond it.
        let validators = [script.etag.as_deref(), script.last_modified.as_deref()];
        let is = |name| request.get(name).map(|v| validators.contains(&Some(v)));
        if is("if-match") == Some(false) || is("if-unmodified-since") == Some(false) {
            return Self::empty(412);
        }
        let not_modified =
            is("if-none-match").unwrap_or_else(|| is("if-modified-since") == Some(true));
        let current = is("if-range") != Some(false);
        let asked = request
            .get("range")
            .filter(|_| current && script.ranges != Ranges::Ignored);
        let in_query = request
            .query("range")
            .filter(|_| script.ranges == Ranges::InQuery);
        let resolved = |range: &str| resolve(range, length).unwrap_or(Some(whole));
        let (status, bytes) = match (in_query.map(resolved), asked.map(resolved)) {
            _ if not_modified => ("304 Not Modified", (0, 0)),
            (Some(Some(bytes)), _) => ("200 OK", bytes),
            (None, Some(Some(bytes))) => ("206 Partial Content", bytes),
            (None, None) => ("200 OK", whole),
            _ => ("416 Range Not Satisfiable", (0, 0)),
        };
        let mut head = format!("HTTP/1.1 {status}\r\nserver: scripted\r\naccept-ranges: bytes\r\n");
        let mut field = |name: &str, value: &str| {
            // Writing to a String does not fail.
            let _ = write!(head, "{name}: {value}\r\n");
        };
        let fields = [
            match &script.mistakes {
                mistake @ Some(_) if not_modified => ("etag", mistake),
                _ => ("etag", &script.etag),
            },
            ("last-modified", &script.last_modified),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                field(name, value);
            }
        }
        for (name, value) in &script.fields {
            field(name, value);
        }
        let off = u64::from(script.ranges == Ranges::Mislabeled);
        match &status[..3] {
            "206" => {
                let (first, last) = (bytes.0 + off, bytes.1 - 1 + off);
                field(
                    "content-range",
                    &format!("bytes {first}-{last}/{}", length + off),
                );
            }
            "416" => field("content-range", &format!("bytes */{length}")),
            _ => {}
        }
        match script.framing {
            _ if not_modified => {}
            Framing::Length => field("content-length", &(bytes.1 - bytes.0).to_string()),
            Framing::Chunked => field("transfer-encoding", "chunked"),
            Framing::Trailed => {
                field("transfer-encoding", "chunked");
                field("trailer", "x-sum");
            }
            Framing::Close => field("connection", "close"),
        }
        head += "\r\n";
        Self {
            head,
            bytes,
            chunked: matches!(script.framing, Framing::Chunked | Framing::Trailed) && !not_modified,
            cut: script.cut_after,
        }
    }
}
