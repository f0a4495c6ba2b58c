//! Message heads as the host hands them over: names in lower case, pseudo-headers among them, and
//! values that are any bytes at all, because Envoy lets non-UTF-8 values through.

use std::time::{Duration, UNIX_EPOCH};

use viewcache_protocol::{DeclineReason, date};

/// The header fields of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, Vec<u8>)>);

impl Fields {
    /// The values of every field with this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_slice())
    }

    /// The first such value.
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Whether there is such a field.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The distinct names that begin with `prefix`.
    pub fn names_with_prefix(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .0
            .iter()
            .map(|(name, _)| name)
            .filter(|n| n.starts_with(prefix))
            .cloned()
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// What is known of a request when its headers have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// Header fields and pseudo-headers.
    pub fields: Fields,
    /// Whether no body follows.
    pub end_of_stream: bool,
    /// The client's address as Envoy prints it, port included; empty when unknown.
    pub address: Vec<u8>,
}

impl RequestHead {
    /// The viewer by these parts of the request: 16 hex digits that say nothing about whom they
    /// name. One player opens many connections, so the port does not take part.
    pub fn viewer(&self, parts: &[ViewerPart]) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            let value = match part {
                ViewerPart::Address => without_port(&self.address),
                ViewerPart::Header(name) => self.fields.first(name).unwrap_or_default(),
                ViewerPart::Cookie(name) => self.cookie(name).unwrap_or_default(),
            };
            hasher.update(&value.len().to_le_bytes());
            hasher.update(value);
        }
        let leading = hasher
            .finalize()
            .as_bytes()
            .first_chunk()
            .copied()
            .unwrap_or([0; 8]);
        format!("{:016x}", u64::from_be_bytes(leading))
    }

    /// A cookie's value.
    fn cookie(&self, name: &str) -> Option<&[u8]> {
        let pairs = self
            .fields
            .all("cookie")
            .flat_map(|line| line.split(|&b| b == b';'));
        let mut named = pairs.filter_map(|pair| {
            let (known, value) = pair.trim_ascii().split_at_checked(name.len())?;
            let value = value.strip_prefix(b"=")?;
            (known == name.as_bytes()).then_some(value)
        });
        named.next()
    }
}

/// A part of a request that tells viewers apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewerPart {
    /// `address`: the client's, without its port.
    Address,
    /// `header:name`: a header field.
    Header(String),
    /// `cookie:name`: a cookie (RFC 6265 section 5.4).
    Cookie(String),
}

/// `1.2.3.4:5` and `[::1]:5` lose their port; what has none, such as a socket's path, stays.
fn without_port(address: &[u8]) -> &[u8] {
    let is_port = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    match address
        .iter()
        .rposition(|&b| b == b':')
        .and_then(|at| address.split_at_checked(at))
    {
        Some((host, [_, port @ ..])) if is_port(port) => host,
        _ => address,
    }
}

/// What is known of a response when its headers have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// Header fields and pseudo-headers.
    pub fields: Fields,
    /// Whether no body follows.
    pub end_of_stream: bool,
    /// When it came, in milliseconds since the epoch; 0 when that is not known.
    pub received: u64,
}

impl ResponseHead {
    /// The status; 0 when it cannot be read, which is none that is stored.
    pub fn status(&self) -> u16 {
        let digits = self
            .fields
            .first(":status")
            .and_then(|v| std::str::from_utf8(v).ok());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// Its fields as text, with a Date. Bytes that are no text are left out.
    ///
    /// # Errors
    /// When they could decide whether and as what the body may be stored.
    pub fn texts(&self) -> Result<Vec<(String, String)>, DeclineReason> {
        const DECIDING: [&str; 11] = [
            "cache-control",
            "connection",
            "content-encoding",
            "content-length",
            "content-range",
            "content-type",
            "date",
            "etag",
            "last-modified",
            "set-cookie",
            "vary",
        ];
        let mut texts = Vec::with_capacity(self.fields.0.len());
        for (name, value) in &self.fields.0 {
            match std::str::from_utf8(value) {
                Ok(value) => texts.push((name.to_ascii_lowercase(), value.to_owned())),
                Err(_)
                    if DECIDING
                        .iter()
                        .any(|deciding| name.eq_ignore_ascii_case(deciding)) =>
                {
                    return Err(DeclineReason::Headers);
                }
                Err(_) => {}
            }
        }
        if 0 < self.received {
            date(
                &mut texts,
                UNIX_EPOCH + Duration::from_millis(self.received),
            );
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn head(address: &str, agent: &[u8]) -> RequestHead {
        RequestHead {
            fields: Fields(vec![("user-agent".to_owned(), agent.to_vec())]),
            end_of_stream: true,
            address: address.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_viewer_is_an_address_and_an_agent() {
        let parts = crate::config::Config::default().viewer;
        let viewer = |address, agent| head(address, agent).viewer(&parts);
        let one = viewer("10.0.0.1:1234", b"vlc\xff");
        assert_eq!(one.len(), 16);
        assert!(one.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(one, viewer("10.0.0.1:999", b"vlc\xff"));
        assert_ne!(one, viewer("10.0.0.2:1234", b"vlc\xff"));
        assert_ne!(one, viewer("10.0.0.1:1234", b"mpv"));
    }

    #[test]
    fn or_whatever_the_operator_names() {
        let parts = [
            ViewerPart::Cookie("sid".to_owned()),
            ViewerPart::Header("x-user".to_owned()),
        ];
        let viewer = |cookies: &[&str], user: &str| {
            let mut head = head("10.0.0.1:1", user.as_bytes());
            let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
            head.fields.0.push(field("x-user", user));
            let cookies = cookies.iter().map(|line| field("cookie", line));
            head.fields.0.extend(cookies);
            head.viewer(&parts)
        };
        let one = viewer(&["a=1; sid=x"], "u");
        assert_eq!(one, viewer(&["b=sid=y", "sid=x;sid=z"], "u"));
        assert_ne!(one, viewer(&["sid=y"], "u"));
        assert_ne!(one, viewer(&["sidx=x"], "u"));
        assert_ne!(one, viewer(&["a=1; sid=x"], "v"));
        // What one part has cannot pass for another's.
        assert_ne!(viewer(&["sid=xu"], ""), viewer(&["sid=x"], "u"));
    }

    #[test]
    fn only_a_port_is_cut_off() {
        let check = |address: &str, expect: &str| {
            assert_eq!(without_port(address.as_bytes()), expect.as_bytes());
        };
        check("1.2.3.4:80", "1.2.3.4");
        check("[::1]:80", "[::1]");
        check("[::1]", "[::1]");
        check("/run/a:b.sock", "/run/a:b.sock");
        check("1.2.3.4:", "1.2.3.4:");
        check("", "");
    }

    #[test]
    fn a_response_without_a_date_gets_one() {
        let texts = |name: &str, received| {
            let head = ResponseHead {
                fields: Fields(vec![(name.to_owned(), b"x".to_vec())]),
                received,
                ..ResponseHead::default()
            };
            head.texts().unwrap()
        };
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let date = field("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(texts("a", 784_111_777_999), [field("a", "x"), date]);
        assert_eq!(texts("Date", 784_111_777_999), [field("date", "x")]);
        assert_eq!(texts("a", 0), [field("a", "x")]);
    }

    #[test]
    fn a_status_that_cannot_be_read_is_none() {
        let status = |value: &[u8]| {
            let fields = Fields(vec![(":status".to_owned(), value.to_vec())]);
            ResponseHead {
                fields,
                ..ResponseHead::default()
            }
            .status()
        };
        assert_eq!(status(b"206"), 206);
        assert_eq!(status(b"\xff"), 0);
        assert_eq!(ResponseHead::default().status(), 0);
    }
}
