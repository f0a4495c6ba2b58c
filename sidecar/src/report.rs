//! What is told of entities, videos, downloads and imports, wherever it is told. Pure; time is passed in.

mod download;
mod import;
mod video;

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;
use viewcache_protocol::{ByteRange, EntityId, EntityKey, Profile, Selecting, Validator};

use crate::catalogue::video_of;
use crate::store::EntityRecord;
pub use download::{Download, DownloadStatus};
pub use import::{Import, ImportStatus, Imported, ImportedFile};
pub use video::Video;

/// A time, as an example.
pub(crate) const AT: &str = "2026-11-28T09:00:00.000Z";

/// Milliseconds since the epoch as RFC 3339 in UTC.
pub fn rfc3339(millis: u64) -> String {
    // The last moment that can be written.
    const END: u64 = 253_402_300_799_999;
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis.min(END));
    humantime::format_rfc3339_millis(time).to_string()
}

/// How much of an entity there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Some of it is on its way.
    Downloading,
    /// Some of it is stored.
    Partial,
    /// All of it is.
    Complete,
    /// It is not used without asking the origin, or cannot be completed.
    Stale,
}

/// Not a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is not downloading, partial, complete or stale")]
pub struct UnknownStatus;

impl std::str::FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(name: &str) -> Result<Self, UnknownStatus> {
        match name {
            "downloading" => Ok(Self::Downloading),
            "partial" => Ok(Self::Partial),
            "complete" => Ok(Self::Complete),
            "stale" => Ok(Self::Stale),
            _ => Err(UnknownStatus),
        }
    }
}

/// Why an entity is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StaleReason {
    /// Its freshness has ended: the origin is asked before it is used.
    Freshness,
    /// The origin refused the last URL that it was asked with: a viewer with a new one is needed.
    ExpiredUrl,
}

/// What is known of an entity beside its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// How many of its bytes are stored.
    pub cached_bytes: u64,
    /// The channel that its video belongs to.
    pub channel: Option<String>,
    /// Transfers that bring bytes of it.
    pub fills: usize,
    /// Who watches it.
    pub viewers: usize,
    /// How much of each part is stored, if that was asked for.
    pub coverage: Option<String>,
}

/// An entity.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Entity {
    /// Its id: a hash of its key.
    #[schemars(example = &"7f3a0b5c9d2e41687f3a0b5c9d2e4168")]
    pub id: String,
    /// The profile by which its URL was understood.
    #[schemars(with = "String", example = &"youtube")]
    pub profile: Profile,
    /// What names it, whatever its signed URL.
    #[schemars(
        with = "String",
        example = &"youtube:v=dQw4w9WgXcQ&itag=22&lmt=1&clen=3111029"
    )]
    pub key: EntityKey,
    /// The video that it is a quality of.
    #[schemars(example = &"dQw4w9WgXcQ")]
    pub video_id: String,
    /// Which quality, if its key says so.
    #[schemars(example = &"22")]
    pub itag: Option<String>,
    /// The channel that its video belongs to.
    #[schemars(example = &"UCabc")]
    pub channel: Option<String>,
    /// How much of it there is.
    pub status: Status,
    /// Why it is stale, when it is.
    #[schemars(example = None::<StaleReason>)]
    pub stale_reason: Option<StaleReason>,
    /// Whether it is not known to be worth keeping.
    pub provisional: bool,
    /// Whether the operator keeps it.
    pub pinned: bool,
    /// Its length in bytes, once a response has told it.
    #[schemars(example = 3_111_029)]
    pub complete_length: Option<u64>,
    /// How many of its bytes are stored.
    #[schemars(example = 1_196_733)]
    pub cached_bytes: u64,
    /// When it was first asked for.
    #[schemars(example = AT)]
    pub started_at: String,
    /// When it was last asked for.
    #[schemars(example = AT)]
    pub last_accessed: String,
    /// Requests answered from the store alone.
    pub hits: u64,
    /// Bytes sent to viewers from the store.
    pub bytes_from_cache: u64,
    /// Bytes that came from the origin.
    pub bytes_from_origin: u64,
    /// Different bytes that went to some viewer, whoever had them.
    pub watched_bytes: u64,
    /// How much of it the viewer has watched that has watched most, in percent, until it was found
    /// worth keeping.
    #[schemars(example = 38)]
    pub watched_percent: Option<u64>,
    /// Who watches it just now.
    pub viewers: usize,
    /// One hexadecimal digit for each part: 0 when nothing of it is stored, f when all of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"ffff8000")]
    pub coverage: Option<String>,
}

/// An entity with what is told of it alone.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "EntityDetails")]
pub struct Details {
    /// The same as in lists.
    #[serde(flatten)]
    pub entity: Entity,
    /// The stored bytes, half-open.
    #[schemars(with = "Vec<(u64, u64)>", example = [(0, 1_196_733)])]
    pub ranges: Vec<ByteRange>,
    /// The state of the bytes that are stored: validator and complete length, hashed.
    #[schemars(example = &"0123456789abcdef")]
    pub generation: Option<String>,
    /// By what the origin tells states apart.
    #[schemars(with = "Vec<ValidatorShape>")]
    pub validators: Vec<Validator>,
    /// The file that it was imported from, if it was.
    pub imported: Option<Imported>,
    /// What the request had in the fields that the response varies by.
    #[schemars(with = "Vec<(String, String)>", example = [("accept-language", "en")])]
    pub selecting: Selecting,
    /// Transfers that bring bytes of it.
    pub fills: usize,
}

/// By what the origin tells states of an entity apart.
#[derive(JsonSchema)]
#[schemars(rename = "Validator", rename_all = "kebab-case")]
#[expect(dead_code, reason = "the shape of another type")]
enum ValidatorShape {
    /// A strong entity tag, quotes included.
    Etag(#[schemars(example = &"\"2f7875-18ea8e64828f23fd\"")] String),
    /// A Last-Modified date that is strong by RFC 9110 section 8.8.2.2.
    LastModified(String),
}

/// How an entity stands.
pub fn status(
    record: &EntityRecord,
    cached_bytes: u64,
    fetching: bool,
    now: SystemTime,
) -> (Status, Option<StaleReason>) {
    if fetching {
        return (Status::Downloading, None);
    }
    let Some(generation) = &record.generation else {
        return (Status::Partial, None);
    };
    let fresh = !record.invalidated && 0 < generation.ttl(now);
    if !record.key.profile().immutable() && !fresh {
        return (Status::Stale, Some(StaleReason::Freshness));
    }
    // What is complete needs no URL.
    match generation.complete_length() <= cached_bytes {
        true => (Status::Complete, None),
        false if record.url_expired => (Status::Stale, Some(StaleReason::ExpiredUrl)),
        false => (Status::Partial, None),
    }
}

impl Entity {
    /// What is told of an entity.
    pub fn new(id: EntityId, record: EntityRecord, present: Present, now: SystemTime) -> Self {
        let fetching = 0 < present.fills;
        let (status, stale_reason) = status(&record, present.cached_bytes, fetching, now);
        let complete_length = record.generation.as_ref().map(|g| g.complete_length());
        Self {
            id: id.to_string(),
            profile: record.key.profile(),
            video_id: video_of(&record.key),
            itag: record.key.part("itag").map(str::to_owned),
            channel: present.channel,
            key: record.key,
            status,
            stale_reason,
            provisional: !record.admitted,
            pinned: record.pinned,
            complete_length,
            cached_bytes: present.cached_bytes,
            started_at: rfc3339(record.started_at),
            last_accessed: rfc3339(record.last_accessed),
            hits: record.hits,
            bytes_from_cache: record.bytes_from_cache,
            bytes_from_origin: record.bytes_from_origin,
            watched_bytes: record.watched.bytes(),
            watched_percent: complete_length.map(|length| {
                let percent = u128::from(record.most_watched) * 100 / u128::from(length.max(1));
                u64::try_from(percent).unwrap_or(100)
            }),
            viewers: present.viewers,
            coverage: present.coverage,
        }
    }
}

#[cfg(test)]
mod tests {
    use viewcache_protocol::{Allowance, Generation, OwnProfile};

    use super::*;
    use crate::store::{GenerationRecord, millis};

    fn record(profile: Profile, max_age: u64) -> EntityRecord {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let key = EntityKey::new(profile, "http://a/b").unwrap();
        let generation = GenerationRecord {
            seq: 1,
            segment_size: 1 << 20,
            identity: Generation {
                validator: None,
                complete_length: 100,
            },
            transfer: String::new(),
            headers: vec![("cache-control".to_owned(), format!("max-age={max_age}"))],
            received_at: millis(now),
            selecting: Selecting::default(),
            governing: None,
            original: None,
        };
        EntityRecord {
            generation: Some(generation),
            ..EntityRecord::new(key, now)
        }
    }

    #[test]
    fn a_status_says_what_can_be_done_with_an_entity() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_010);
        let own = Profile::Own(OwnProfile::new("films", &[Allowance::Immutable]).unwrap());
        let check = |record: &EntityRecord, cached, fetching, expect| {
            assert_eq!(status(record, cached, fetching, now), expect, "{record:?}");
        };
        let fresh = record(Profile::Generic, 60);
        check(&fresh, 100, false, (Status::Complete, None));
        check(&fresh, 99, false, (Status::Partial, None));
        check(&fresh, 99, true, (Status::Downloading, None));
        let aged = record(Profile::Generic, 5);
        let freshness = Some(StaleReason::Freshness);
        check(&aged, 100, false, (Status::Stale, freshness));
        check(&aged, 100, true, (Status::Downloading, None));
        check(&record(own, 5), 100, false, (Status::Complete, None));
        let changed = EntityRecord {
            invalidated: true,
            ..fresh.clone()
        };
        check(&changed, 100, false, (Status::Stale, freshness));
        let refused = EntityRecord {
            url_expired: true,
            ..fresh
        };
        let expired = Some(StaleReason::ExpiredUrl);
        check(&refused, 99, false, (Status::Stale, expired));
        check(&refused, 100, false, (Status::Complete, None));
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_764_320_000_123), "2025-11-28T08:53:20.123Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
