//! The frame of a multipart/byteranges body (RFC 9110 section 14.6). Pure but for its boundary.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use viewcache_protocol::{ByteRange, ContentRange};

use crate::live::Snapshot;

/// What comes before the bytes of a range, and after the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Delimiter and header fields.
    pub before: Bytes,
    /// The range that follows; `None` after the last.
    pub range: Option<ByteRange>,
}

/// The parts that are still to come.
#[derive(Clone, Debug)]
pub struct Parts {
    boundary: String,
    parts: VecDeque<Part>,
}

impl Parts {
    /// Those of a body that is not multipart.
    pub const fn none() -> Self {
        Self {
            boundary: String::new(),
            parts: VecDeque::new(),
        }
    }

    /// Those of these ranges.
    pub fn new(snapshot: &Snapshot, ranges: &[ByteRange]) -> Self {
        // Whoever made the bytes cannot have known it.
        let [one, two] = [1, 2].map(|n: u64| RandomState::new().hash_one(n));
        Self::with_boundary(snapshot, ranges, format!("{one:016x}{two:016x}"))
    }

    fn with_boundary(snapshot: &Snapshot, ranges: &[ByteRange], boundary: String) -> Self {
        let generation = &snapshot.generation;
        let fields = generation.headers.iter();
        let mut types = fields.filter(|(name, _)| name == "content-type");
        let content_type = types.next().map_or_else(String::new, |(_, value)| {
            format!("content-type: {value}\r\n")
        });
        let part = |range: &ByteRange| {
            let complete_length = Some(generation.complete_length());
            let content_range = ContentRange::Part {
                range: *range,
                complete_length,
            };
            let before =
                format!("\r\n--{boundary}\r\n{content_type}content-range: {content_range}\r\n\r\n");
            Part {
                before: before.into(),
                range: Some(*range),
            }
        };
        let last = Part {
            before: format!("\r\n--{boundary}--\r\n").into(),
            range: None,
        };
        let parts = ranges.iter().map(part).chain([last]).collect();
        Self { boundary, parts }
    }

    /// Whether the body is not multipart.
    pub fn is_none(&self) -> bool {
        self.boundary.is_empty()
    }

    /// What stands between the parts.
    pub fn boundary(&self) -> &str {
        &self.boundary
    }

    /// The body's length in bytes.
    pub fn len(&self) -> u64 {
        let len = |part: &Part| part.before.len() as u64 + part.range.map_or(0, ByteRange::len);
        self.parts.iter().map(len).sum()
    }

    /// Whether none is to come.
    pub fn are_over(&self) -> bool {
        self.parts.is_empty()
    }

    /// The next one.
    pub fn next(&mut self) -> Option<Part> {
        self.parts.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use viewcache_protocol::{EntityKey, Generation, Profile};

    use super::*;
    use crate::store::GenerationRecord;

    #[test]
    fn the_frame_is_that_of_rfc_9110() {
        let key = EntityKey::new(Profile::Generic, "http://a/b").unwrap();
        let generation = GenerationRecord {
            seq: 1,
            segment_size: 1 << 20,
            identity: Generation {
                validator: None,
                complete_length: 8000,
            },
            transfer: String::new(),
            headers: vec![("content-type".to_owned(), "video/mp4".to_owned())],
            received_at: 0,
            selecting: Default::default(),
            governing: None,
            original: None,
        };
        let snapshot = Snapshot {
            place: generation.place(key.id()),
            generation,
            ttl: None,
            combinable: true,
        };
        let ranges = [(500, 502), (7000, 7001)].map(|(a, b)| ByteRange::new(a, b).unwrap());
        let mut parts = Parts::with_boundary(&snapshot, &ranges, "X".to_owned());
        let length = parts.len();
        let mut body = String::new();
        while let Some(part) = parts.next() {
            body += std::str::from_utf8(&part.before).unwrap();
            body += &"b".repeat(part.range.map_or(0, |range| range.len() as usize));
        }
        assert_eq!(
            body,
            "\r\n--X\r\ncontent-type: video/mp4\r\ncontent-range: bytes 500-501/8000\r\n\r\nbb\
             \r\n--X\r\ncontent-type: video/mp4\r\ncontent-range: bytes 7000-7000/8000\r\n\r\nb\
             \r\n--X--\r\n"
        );
        assert_eq!(length, body.len() as u64);
        assert!(Parts::none().is_none() && Parts::none().len() == 0);
    }
}
