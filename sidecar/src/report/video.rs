//! What is told of a video: what somebody has said of it, and its entities together.

use std::collections::BTreeSet;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Present, Status, rfc3339, status};
use crate::catalogue;
use crate::store::EntityRecord;

/// A video: its entities together.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Video {
    /// Its id.
    #[schemars(example = &"dQw4w9WgXcQ")]
    pub id: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"A video")]
    pub title: Option<String>,
    /// The channel that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"UCabc")]
    pub channel: Option<String>,
    /// How long it plays, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 62.5)]
    pub duration: Option<f64>,
    /// The key of one of its entities: what to call it by that has no title.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"generic:http://media.test/film.mp4")]
    pub key: Option<String>,
    /// How many entities there are.
    #[schemars(example = 2)]
    pub entities: u64,
    /// Which qualities they are.
    #[schemars(example = ["140", "22"])]
    pub itags: BTreeSet<String>,
    /// Downloading or stale when one is, complete when all are; null without any.
    pub status: Option<Status>,
    /// Whether none is known to be worth keeping.
    pub provisional: bool,
    /// Whether the operator keeps one.
    pub pinned: bool,
    /// Their lengths together, as far as they are known.
    #[schemars(example = 3_111_029)]
    pub complete_length: Option<u64>,
    /// How many of their bytes are stored.
    pub cached_bytes: u64,
    /// When the first was first asked for.
    #[schemars(example = super::AT)]
    pub started_at: Option<String>,
    /// When one was last asked for.
    #[schemars(example = super::AT)]
    pub last_accessed: Option<String>,
    /// Requests answered from the store alone.
    pub hits: u64,
    /// Bytes sent to viewers from the store.
    pub bytes_from_cache: u64,
    /// Bytes that came from the origin.
    pub bytes_from_origin: u64,
    /// Who watches it just now.
    pub viewers: usize,
    /// One hexadecimal digit for each part: 0 when nothing of it is stored, f when all of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"ffff8000")]
    pub coverage: Option<String>,
    /// When the first was first asked for, in milliseconds since the epoch.
    #[serde(skip)]
    pub started_millis: u64,
    /// When one was last asked for, likewise.
    #[serde(skip)]
    pub accessed_millis: u64,
}

impl Video {
    /// A video without entities.
    pub fn new(id: String, said: catalogue::Video) -> Self {
        Self {
            id,
            title: said.title,
            channel: said.channel,
            duration: said.duration,
            key: None,
            entities: 0,
            itags: BTreeSet::new(),
            status: None,
            provisional: false,
            pinned: false,
            complete_length: None,
            cached_bytes: 0,
            started_at: None,
            last_accessed: None,
            hits: 0,
            bytes_from_cache: 0,
            bytes_from_origin: 0,
            viewers: 0,
            coverage: None,
            started_millis: 0,
            accessed_millis: 0,
        }
    }

    /// One of its entities.
    pub fn add(&mut self, record: &EntityRecord, present: &Present, now: SystemTime) {
        let (status, _) = status(record, present.cached_bytes, 0 < present.fills, now);
        self.status = Some(match (self.status, status) {
            (None, status) => status,
            (Some(Status::Downloading), _) | (_, Status::Downloading) => Status::Downloading,
            (Some(Status::Stale), _) | (_, Status::Stale) => Status::Stale,
            (Some(Status::Complete), Status::Complete) => Status::Complete,
            _ => Status::Partial,
        });
        self.provisional = !record.admitted && (self.provisional || self.entities == 0);
        self.pinned |= record.pinned;
        self.entities += 1;
        self.key.get_or_insert_with(|| record.key.to_string());
        self.itags
            .extend(record.key.part("itag").map(str::to_owned));
        if let Some(generation) = &record.generation {
            let length = self.complete_length.unwrap_or(0);
            self.complete_length = Some(length.saturating_add(generation.complete_length()));
        }
        self.cached_bytes += present.cached_bytes;
        self.hits += record.hits;
        self.bytes_from_cache += record.bytes_from_cache;
        self.bytes_from_origin += record.bytes_from_origin;
        self.viewers += present.viewers;
        self.started_millis = match self.started_at {
            Some(_) => self.started_millis.min(record.started_at),
            None => record.started_at,
        };
        self.accessed_millis = self.accessed_millis.max(record.last_accessed);
        self.started_at = Some(rfc3339(self.started_millis));
        self.last_accessed = Some(rfc3339(self.accessed_millis));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use viewcache_protocol::{EntityKey, Generation, Profile, Selecting};

    use super::*;
    use crate::store::GenerationRecord;

    fn record(itag: u32, at: u64, complete_length: u64) -> EntityRecord {
        let rest = format!("v=abc&itag={itag}");
        let key = EntityKey::new(Profile::Youtube, &rest).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(at);
        EntityRecord {
            generation: Some(GenerationRecord {
                seq: 1,
                segment_size: 1 << 20,
                identity: Generation {
                    validator: None,
                    complete_length,
                },
                transfer: String::new(),
                headers: Vec::new(),
                received_at: at,
                selecting: Selecting::default(),
                governing: None,
                original: None,
            }),
            hits: 2,
            ..EntityRecord::new(key, now)
        }
    }

    fn stored(cached_bytes: u64) -> Present {
        Present {
            cached_bytes,
            viewers: 1,
            ..Present::default()
        }
    }

    #[test]
    fn a_video_is_its_entities_together() {
        let now = SystemTime::UNIX_EPOCH;
        let mut video = Video::new("abc".to_owned(), catalogue::Video::default());
        assert_eq!((video.status, video.complete_length), (None, None));
        video.add(&record(22, 2000, 100), &stored(100), now);
        assert_eq!(video.status, Some(Status::Complete));
        assert!(video.provisional);
        let mut kept = record(140, 1000, 50);
        (kept.admitted, kept.pinned) = (true, true);
        video.add(&kept, &stored(20), now);
        assert_eq!(video.status, Some(Status::Partial));
        assert!(!video.provisional && video.pinned);
        assert_eq!((video.entities, video.hits, video.viewers), (2, 4, 2));
        assert_eq!(
            (video.complete_length, video.cached_bytes),
            (Some(150), 120)
        );
        assert_eq!(Vec::from_iter(video.itags.iter()), ["140", "22"]);
        assert_eq!(
            video.started_at.as_deref(),
            Some("1970-01-01T00:00:01.000Z")
        );
        assert_eq!(
            video.last_accessed.as_deref(),
            Some("1970-01-01T00:00:02.000Z")
        );
        // One that is not admitted does not make it provisional again.
        let mut refused = record(18, 1500, 10);
        refused.url_expired = true;
        video.add(&refused, &stored(0), now);
        assert_eq!(video.status, Some(Status::Stale));
        assert!(!video.provisional);
        let fetched = Present {
            fills: 1,
            ..stored(0)
        };
        video.add(&record(17, 1500, 10), &fetched, now);
        assert_eq!(video.status, Some(Status::Downloading));
    }
}
