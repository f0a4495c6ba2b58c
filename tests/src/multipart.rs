//! Reads multipart/byteranges bodies (RFC 9110 section 14.6).

use anyhow::{Context, Result, ensure};

/// One part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its Content-Type.
    pub content_type: Option<String>,
    /// Its Content-Range.
    pub content_range: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The parts of a body with this Content-Type.
///
/// # Errors
/// When it is not framed as its section says.
pub fn parts(content_type: &str, body: &[u8]) -> Result<Vec<Part>> {
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=");
    let boundary = boundary.with_context(|| content_type.to_owned())?;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let found = body.windows(delimiter.len()).enumerate();
    let mut starts: Vec<usize> = found
        .filter(|(_, window)| *window == delimiter)
        .map(|(at, _)| at)
        .collect();
    let end = starts.pop().context("no delimiter")?;
    ensure!(&body[end + delimiter.len()..] == b"--\r\n", "no end");
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([end]).collect();
    let parts = starts.iter().zip(ends);
    parts
        .map(|(&start, end)| part(&body[start + delimiter.len()..end]))
        .collect()
}

fn part(part: &[u8]) -> Result<Part> {
    let blank = part.windows(4).position(|window| window == b"\r\n\r\n");
    let blank = blank.context("a part without a head")?;
    let head = std::str::from_utf8(&part[..blank])?;
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(n, value)| (n == name).then(|| value.to_owned()))
    };
    Ok(Part {
        content_type: field("content-type"),
        content_range: field("content-range").context("a part without Content-Range")?,
        bytes: part[blank + 4..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_framed_and_refuses_the_rest() {
        let kind = "multipart/byteranges; boundary=X";
        let body = b"\r\n--X\r\ncontent-range: bytes 0-1/9\r\n\r\nab\r\n--X--\r\n";
        let read = parts(kind, body).unwrap();
        assert_eq!(read[0].content_range, "bytes 0-1/9");
        assert_eq!((read.len(), &read[0].bytes[..]), (1, &b"ab"[..]));
        assert!(parts(kind, &body[..20]).is_err());
        assert!(parts("text/plain", body).is_err());
    }
}
