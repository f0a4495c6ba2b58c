//! The head of a response from the store. Pure.

use std::time::SystemTime;

use viewcache_protocol::{ByteRange, CacheStatus, ContentRange, Wanted};

use super::parts::Parts;
use crate::freshness;
use crate::live::Snapshot;
use crate::metrics::Served;

/// Status and header fields of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    hit: bool,
}

impl Head {
    /// `range` of a generation: 206 when a range was asked for, 200 for the whole or for a range
    /// that stood in the URL. `bytes=0-` is a range and answered so (RFC 9110 section 15.3.7).
    pub fn of(
        snapshot: &Snapshot,
        wanted: &Wanted,
        range: ByteRange,
        cache_status: CacheStatus<'_>,
        now: SystemTime,
    ) -> Self {
        if wanted.range.is_some() && !wanted.range_in_query {
            return Self::part(snapshot, range, cache_status, now);
        }
        let length = [("content-length", range.len().to_string())];
        Self::with(snapshot, 200, length, cache_status, now)
    }

    /// `range` alone, by a 206.
    pub fn part(
        snapshot: &Snapshot,
        range: ByteRange,
        cache_status: CacheStatus<'_>,
        now: SystemTime,
    ) -> Self {
        let content_range = ContentRange::Part {
            range,
            complete_length: Some(snapshot.generation.complete_length()),
        };
        let fields = [
            ("content-length", range.len().to_string()),
            ("content-range", content_range.to_string()),
        ];
        Self::with(snapshot, 206, fields, cache_status, now)
    }

    /// Several ranges (RFC 9110 section 15.3.7.2): the entity's own type stands in each part.
    pub fn multipart(
        snapshot: &Snapshot,
        parts: &Parts,
        cache_status: CacheStatus<'_>,
        now: SystemTime,
    ) -> Self {
        let content_type = format!("multipart/byteranges; boundary={}", parts.boundary());
        let fields = [
            ("content-length", parts.len().to_string()),
            ("content-type", content_type),
        ];
        Self::with(snapshot, 206, fields, cache_status, now)
    }

    /// The stored fields, with these in their place and what every response has.
    fn with<const N: usize>(
        snapshot: &Snapshot,
        status: u16,
        fields: [(&str, String); N],
        cache_status: CacheStatus<'_>,
        now: SystemTime,
    ) -> Self {
        let generation = &snapshot.generation;
        let age = freshness::age(&generation.headers, generation.received(), now).as_secs();
        let more = [
            ("accept-ranges", "bytes".to_owned()),
            ("age", age.to_string()),
            ("cache-status", cache_status.to_string()),
        ];
        let added: Vec<(&str, String)> = fields.into_iter().chain(more).collect();
        let mut headers = generation.headers.clone();
        headers.retain(|(name, _)| added.iter().all(|(other, _)| name != other));
        let added = added.into_iter();
        headers.extend(added.map(|(name, value)| (name.to_owned(), value)));
        Self {
            status,
            headers,
            hit: matches!(cache_status, CacheStatus::Hit { .. }),
        }
    }

    /// 304, with what a 200 would have had of the fields that it needs
    /// (RFC 9110 section 15.4.5).
    pub fn not_modified(snapshot: &Snapshot, now: SystemTime) -> Self {
        const KEPT: [&str; 7] = [
            "cache-control",
            "content-location",
            "date",
            "etag",
            "expires",
            "last-modified",
            "vary",
        ];
        let generation = &snapshot.generation;
        let age = freshness::age(&generation.headers, generation.received(), now).as_secs();
        let kept = generation.headers.iter();
        let mut headers: Vec<(String, String)> = kept
            .filter(|(name, _)| KEPT.contains(&name.as_str()))
            .cloned()
            .collect();
        let status = CacheStatus::Hit { ttl: snapshot.ttl };
        headers.push(("age".to_owned(), age.to_string()));
        headers.push(("cache-status".to_owned(), status.to_string()));
        Self {
            status: 304,
            headers,
            hit: true,
        }
    }

    /// 416 with the complete length (RFC 9110 section 15.5.17).
    pub fn unsatisfiable(snapshot: &Snapshot) -> Self {
        let complete_length = snapshot.generation.complete_length();
        let content_range = ContentRange::Unsatisfied { complete_length }.to_string();
        let headers = [
            ("content-range", content_range),
            ("content-length", "0".to_owned()),
            ("accept-ranges", "bytes".to_owned()),
            (
                "cache-status",
                CacheStatus::Hit { ttl: snapshot.ttl }.to_string(),
            ),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).into();
        Self {
            status: 416,
            headers,
            hit: true,
        }
    }

    /// The same, behind what caches nearer to the origin have said of this request
    /// (RFC 9211 section 2).
    pub fn behind(mut self, upstream: &str) -> Self {
        let ours = self.headers.iter_mut().find(|(n, _)| n == "cache-status");
        if let Some((_, ours)) = ours {
            *ours = format!("{upstream}, {ours}");
        }
        self
    }

    /// What the request came to.
    pub const fn outcome(&self) -> Served {
        if self.hit {
            Served::Hit
        } else {
            Served::Partial
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use viewcache_protocol::{EntityKey, Generation, Profile};

    use super::*;
    use crate::store::GenerationRecord;

    fn snapshot() -> Snapshot {
        let key = EntityKey::new(Profile::Generic, "http://a/b").unwrap();
        let generation = GenerationRecord {
            seq: 1,
            segment_size: 1 << 20,
            identity: Generation {
                validator: None,
                complete_length: 100,
            },
            transfer: String::new(),
            headers: vec![("content-type".to_owned(), "video/mp4".to_owned())],
            received_at: 1_000_000,
            selecting: Default::default(),
            governing: None,
            original: None,
        };
        let place = generation.place(key.id());
        Snapshot {
            generation,
            place,
            ttl: Some(60),
            combinable: true,
        }
    }

    fn head(range: Option<&str>, in_query: bool) -> Head {
        let wanted = Wanted {
            key: EntityKey::new(Profile::Generic, "http://a/b").unwrap(),
            range: range.map(|text| text.parse().unwrap()),
            parts: Vec::new(),
            range_in_query: in_query,
            complete_length: None,
            viewer: String::new(),
            origin_path: None,
        };
        let bytes = crate::live::resolve(&wanted, 100).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1007);
        Head::of(
            &snapshot(),
            &wanted,
            bytes,
            CacheStatus::Hit { ttl: Some(60) },
            now,
        )
    }

    fn field<'a>(head: &'a Head, name: &str) -> Option<&'a str> {
        head.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_range_is_answered_by_a_206_even_when_it_is_the_whole() {
        let whole = head(Some("0-"), false);
        assert_eq!(whole.status, 206);
        assert_eq!(field(&whole, "content-range"), Some("bytes 0-99/100"));
        assert_eq!(field(&whole, "content-length"), Some("100"));
        let part = head(Some("-10"), false);
        assert_eq!(field(&part, "content-range"), Some("bytes 90-99/100"));
        assert_eq!(field(&part, "content-length"), Some("10"));
    }

    #[test]
    fn the_whole_and_a_range_in_the_url_are_answered_by_a_200() {
        for (head, length) in [(head(None, false), "100"), (head(Some("5-9"), true), "5")] {
            assert_eq!(head.status, 200);
            assert_eq!(field(&head, "content-range"), None);
            assert_eq!(field(&head, "content-length"), Some(length));
            assert_eq!(field(&head, "age"), Some("7"));
            assert_eq!(field(&head, "cache-status"), Some("viewcache; hit; ttl=60"));
            assert_eq!(field(&head, "content-type"), Some("video/mp4"));
        }
    }

    #[test]
    fn a_416_tells_the_complete_length() {
        let head = Head::unsatisfiable(&snapshot());
        assert_eq!(
            (head.status, field(&head, "content-range")),
            (416, Some("bytes */100"))
        );
    }
}
