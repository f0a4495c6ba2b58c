//! What the origin reads and writes: as much of HTTP/1.1 as the sidecar's client uses.

use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

/// What a request asks for.
pub(super) struct Question {
    pub(super) entity: usize,
    pub(super) range: Option<(u64, Option<u64>)>,
    pub(super) suffix: Option<u64>,
    pub(super) if_range: Option<String>,
    pub(super) unless: Option<String>,
}

impl Question {
    pub(super) fn resolve(&self, length: u64) -> Option<Range<u64>> {
        let range = match (self.range, self.suffix) {
            (Some((first, last)), _) => first..last.map_or(length, |last| (last + 1).min(length)),
            (None, Some(suffix)) => length.saturating_sub(suffix)..length,
            (None, None) => 0..length,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Waits; `None` when the sidecar has gone meanwhile.
pub(super) async fn wait(reading: &mut ReadHalf<DuplexStream>, pause: Duration) -> Option<()> {
    let gone = async {
        let mut byte = [0];
        let _ = reading.read(&mut byte).await;
    };
    tokio::select! {
        biased;
        () = gone => None,
        () = tokio::time::sleep(pause) => Some(()),
    }
}

pub(super) async fn question(reading: &mut ReadHalf<DuplexStream>) -> Option<Question> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut part = [0; 4096];
        let len = reading.read(&mut part).await.ok().filter(|&len| 0 < len)?;
        text.extend_from_slice(&part[..len]);
    }
    let text = String::from_utf8(text).ok()?;
    let mut lines = text.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?;
    let fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let field = |name: &str| {
        let mut named = fields.iter().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| *value)
    };
    let spec = field("range").and_then(|value| value.strip_prefix("bytes="));
    let (first, last) = spec.and_then(|spec| spec.split_once('-')).unzip();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    let range = number(first).map(|first| (first, number(last)));
    Some(Question {
        entity: path.rsplit_once("/v")?.1.parse().ok()?,
        suffix: range.is_none().then(|| number(last)).flatten(),
        range,
        if_range: field("if-range").map(str::to_owned),
        unless: field("if-none-match")
            .or(field("if-modified-since"))
            .map(str::to_owned),
    })
}

pub(super) async fn head(
    writing: &mut WriteHalf<DuplexStream>,
    status: u16,
    fields: &[(&str, String)],
) -> Option<()> {
    let mut text = format!("HTTP/1.1 {status} Answer\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    writing.write_all(text.as_bytes()).await.ok()
}

pub(super) async fn say(
    writing: &mut WriteHalf<DuplexStream>,
    status: u16,
    fields: &[(&str, String)],
) -> Option<()> {
    let mut fields = fields.to_vec();
    if status != 304 {
        fields.push(("content-length", "0".to_owned()));
    }
    head(writing, status, &fields).await
}
