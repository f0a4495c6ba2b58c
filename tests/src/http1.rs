//! As much of HTTP/1.1 as scripted peers need: heads. Deliberately not a library's, which would
//! refuse to send or accept the malformed messages that the tests are about.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

const MAX_HEAD: usize = 256 * 1024;

/// A start line and header fields.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The request or status line.
    pub start: String,
    /// The fields, names in lower case; bytes that are not UTF-8 are replaced.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// Reads one; `None` when the peer closes before it.
    pub async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Self>> {
        let mut head = Self::default();
        let mut size = 0;
        loop {
            let mut line = Vec::new();
            size += stream.read_until(b'\n', &mut line).await?;
            if MAX_HEAD < size {
                bail!("head: more than {MAX_HEAD} bytes");
            }
            let ended = line.pop() != Some(b'\n');
            if ended && head.start.is_empty() {
                return Ok(None);
            }
            if ended {
                bail!("head: cut after {:?}", head.start);
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            if head.start.is_empty() {
                head.start = line.to_owned();
            } else if line.is_empty() {
                return Ok(Some(head));
            } else {
                let (name, value) = line.split_once(':').with_context(|| line.to_owned())?;
                head.fields
                    .push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }

    /// The first value of a field; the name in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The method of a request.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The target of a request.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The target's path, without the query.
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// A parameter of the target's query.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target().split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A range of `bytes=…` or of a query parameter, resolved: `Some(None)` when it asks for nothing
/// that is there, `None` when it cannot be read.
pub fn resolve(range: &str, length: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap_or(range)
        .split_once('-')?;
    let (start, end) = match (first, last) {
        ("", suffix) => (length.saturating_sub(suffix.parse().ok()?), length),
        (first, "") => (first.parse().ok()?, length),
        (first, last) => (
            first.parse().ok()?,
            length.min(last.parse::<u64>().ok()?.saturating_add(1)),
        ),
    };
    Some((start < end).then_some((start, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |range, expect| assert_eq!(resolve(range, 100), expect, "{range}");
        check("bytes=0-9", Some(Some((0, 10))));
        check("bytes=90-", Some(Some((90, 100))));
        check("bytes=-7", Some(Some((93, 100))));
        check("5-400", Some(Some((5, 100))));
        check("bytes=100-", Some(None));
        check("bytes=x-", None);
    }
}
