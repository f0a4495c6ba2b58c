//! The messages between the filter and the sidecar, and their forms on the wire.
//!
//! `decide`, `begin` and `end` are callouts with a JSON body. A chunk's body is the bytes
//! themselves, so its head travels in headers; so does [`Wanted`] on a routed request. Callouts
//! name the entity id as their authority, which is what Envoy hashes to pick a sidecar, and the
//! protocol's version in a header, as routed requests do.

mod fill_id;
mod wanted;

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::admission::Admission;
use crate::cache_status::Forward;
use crate::conditions::Conditions;
use crate::entity::{EntityId, EntityKey, Generation, GenerationId};
use crate::header;
use crate::range::{ByteRange, RangeSpec};
use crate::transfer::DeclineReason;
use crate::vary::Selecting;
pub use fill_id::FillId;
pub use wanted::{OriginRequest, Wanted};

/// Path of the `decide` callout (POST).
pub const DECIDE_PATH: &str = "/decide";

/// Path of the `invalidate` callout (POST).
pub const INVALIDATE_PATH: &str = "/invalidate";

/// Body of `invalidate`: a request that is not safe has succeeded on the entity's URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalidate {
    /// The entity.
    pub key: EntityKey,
}

/// Body of the `decide` callout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecideRequest {
    /// What is wanted.
    pub wanted: Wanted,
    /// Whether only the head is.
    #[serde(default)]
    pub head: bool,
    /// Under which conditions. On a routed request they stand in its own header fields.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// By what of it a response may be selected. On a routed request, likewise.
    #[serde(default, skip_serializing_if = "Selecting::is_empty")]
    pub selecting: Selecting,
    /// The channel that the entity's video belongs to, as a trusted front-end says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// [`header::REQUEST_ID`], for the log. On a routed request it stands in its own header fields,
    /// on a `begin` in those of [`OriginRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A GET without conditions.
impl From<Wanted> for DecideRequest {
    fn from(wanted: Wanted) -> Self {
        Self {
            wanted,
            head: false,
            conditions: Conditions::default(),
            selecting: Selecting::default(),
            channel: None,
            request_id: None,
        }
    }
}

/// The answer to `decide`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "decision")]
pub enum Decision {
    /// All of the wanted range is stored.
    Hit {
        /// For so many milliseconds every request for the entity is a hit: the filter may
        /// remember that, and need not ask. Absent when only this one is known to be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remember_ms: Option<u64>,
    },
    /// The sidecar streams stored parts, parts in flight, and gaps.
    Partial,
    /// The origin answers; with a grant, the body is mirrored.
    Miss {
        /// What Cache-Status says of it.
        forward: ForwardToken,
        /// The right to mirror; without one the response is only passed on.
        grant: Option<Grant>,
    },
}

/// [`Forward`] as JSON writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardToken {
    /// The entity is unknown.
    UriMiss,
    /// The entity is known, none of the range is stored.
    Partial,
    /// The entity is stale.
    Stale,
    /// What is stored was selected by other request header fields.
    VaryMiss,
    /// The request has a condition that is the origin's to judge.
    Bypass,
}

impl From<ForwardToken> for Forward {
    fn from(token: ForwardToken) -> Self {
        match token {
            ForwardToken::UriMiss => Self::UriMiss,
            ForwardToken::Partial => Self::Partial,
            ForwardToken::Stale => Self::Stale,
            ForwardToken::VaryMiss => Self::VaryMiss,
            ForwardToken::Bypass => Self::Bypass,
        }
    }
}

/// A tentative right to fill: it lapses when no `begin` arrives within its time to live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What mirror messages name the fill by.
    pub fill: FillId,
    /// Milliseconds until it lapses without `begin`.
    pub ttl_ms: u64,
    /// What of the response is wanted.
    #[serde(default, skip_serializing_if = "Admission::is_open")]
    pub admission: Admission,
    /// Which variant of the entity the response is to be.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub variant: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// A step of the mirror protocol, each a POST to `/fills/{fill}/{step}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// [`Begin`].
    Begin,
    /// [`ChunkHead`] and bytes.
    Chunks,
    /// [`End`].
    End,
}

impl Step {
    /// The callout's path.
    pub fn path(self, fill: FillId) -> String {
        format!("/fills/{fill}/{}", self.as_str())
    }

    /// The last part of the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Chunks => "chunks",
            Self::End => "end",
        }
    }
}

/// Body of `begin`: the response's head has come and its body will follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The entity.
    pub key: EntityKey,
    /// What the bytes belong to.
    pub generation: Generation,
    /// The bytes that the response carries, `[start, end)`.
    pub range: ByteRange,
    /// The header fields to store.
    pub headers: Vec<(String, String)>,
    /// By what of the request the response may have been selected.
    #[serde(default, skip_serializing_if = "Selecting::is_empty")]
    pub selecting: Selecting,
    /// Whether only a complete `end` will tell the length: it is where the delivered bytes end.
    #[serde(default)]
    pub open_ended: bool,
    /// The request, so that the rest of the entity can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginRequest>,
}

/// What a chunk's headers say of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    /// The entity.
    pub entity: EntityId,
    /// The generation's identity.
    pub generation: GenerationId,
    /// The offset of the body's first byte in the entity.
    pub offset: u64,
}

impl ChunkHead {
    /// The headers that carry this.
    pub fn to_headers(self) -> [(&'static str, String); 3] {
        [
            (header::KEY, self.entity.to_string()),
            (header::GENERATION, self.generation.to_string()),
            (header::OFFSET, self.offset.to_string()),
        ]
    }

    /// Reads what [`ChunkHead::to_headers`] wrote.
    ///
    /// # Errors
    /// Names the first header that is missing or malformed.
    pub fn from_headers<'a>(
        get: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<Self, MessageError> {
        Ok(Self {
            entity: required(&get, header::KEY)?,
            generation: required(&get, header::GENERATION)?,
            offset: required(&get, header::OFFSET)?,
        })
    }
}

/// Body of `end`: no more of this fill will come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The entity.
    pub key: EntityKey,
    /// The viewer that got anything, hashed by the filter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub viewer: String,
    /// What the viewer really got, mirrored or not; `None` when not a byte.
    pub delivered: Option<ByteRange>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a fill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "reason")]
pub enum Outcome {
    /// Every byte of the response passed.
    Complete,
    /// The response was cut, by the viewer or the origin.
    Abandoned,
    /// The response must not be stored.
    Declined(DeclineReason),
}

/// Where a request goes after `decide`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// All is stored: a short wait for the sidecar's headers.
    Hit,
    /// The sidecar may have to wait for the origin.
    Partial,
}

impl Route {
    /// The value of [`header::ROUTE`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Partial => "partial",
        }
    }
}

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// A header that must be there is not.
    #[error("{0}: missing")]
    Missing(&'static str),
    /// A header whose value cannot be read.
    #[error("{0}: {1:?} is malformed")]
    Malformed(&'static str, String),
    /// Not 16 hex digits.
    #[error("fill id: not 16 hex digits")]
    FillId,
}

fn required<'a, T: FromStr>(
    get: &impl Fn(&'static str) -> Option<&'a str>,
    name: &'static str,
) -> Result<T, MessageError> {
    optional(get, name)?.ok_or(MessageError::Missing(name))
}

fn parts<'a>(
    get: &impl Fn(&'static str) -> Option<&'a str>,
) -> Result<Vec<RangeSpec>, MessageError> {
    let Some(value) = get(header::PARTS) else {
        return Ok(Vec::new());
    };
    let malformed = |_| MessageError::Malformed(header::PARTS, value.chars().take(64).collect());
    RangeSpec::parse_set(value).map_err(malformed)
}

fn optional<'a, T: FromStr>(
    get: &impl Fn(&'static str) -> Option<&'a str>,
    name: &'static str,
) -> Result<Option<T>, MessageError> {
    let Some(value) = get(name) else {
        return Ok(None);
    };
    let malformed = |_| MessageError::Malformed(name, value.chars().take(64).collect());
    value.parse().map(Some).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Validator;
    use crate::profile::Profile;

    fn key() -> EntityKey {
        EntityKey::new(Profile::Generic, "http://a/b?c").unwrap()
    }

    fn find<'a>(headers: &'a [(&'static str, String)], name: &str) -> Option<&'a str> {
        headers
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn wanted_survives_its_headers() {
        for (range, in_query) in [(None, false), (Some("5-9"), true), (Some("-7"), false)] {
            let wanted = Wanted {
                key: key(),
                range: range.map(|text| text.parse().unwrap()),
                parts: match range {
                    None => RangeSpec::parse_set("0-1,-7").unwrap(),
                    Some(_) => Vec::new(),
                },
                range_in_query: in_query,
                complete_length: in_query.then_some(100),
                viewer: "abc".to_owned(),
                origin_path: in_query.then(|| "/b".to_owned()),
            };
            let headers = wanted.to_headers();
            assert_eq!(
                Wanted::from_headers(|name| find(&headers, name)),
                Ok(wanted)
            );
        }
    }

    #[test]
    fn a_bad_header_is_named() {
        let headers = [
            (header::ENTITY, key().to_string()),
            (header::RANGE, "x".to_owned()),
        ];
        let error = Wanted::from_headers(|name| find(&headers, name)).unwrap_err();
        assert_eq!(error.to_string(), "x-viewcache-range: \"x\" is malformed");
        let error = Wanted::from_headers(|_| None).unwrap_err();
        assert_eq!(error.to_string(), "x-viewcache-entity: missing");
    }

    #[test]
    fn a_chunk_head_survives_its_headers() {
        let generation = Generation {
            validator: Some(Validator::Etag("\"v\"".to_owned())),
            complete_length: 9,
        };
        let head = ChunkHead {
            entity: key().id(),
            generation: generation.id(Profile::Generic, ""),
            offset: 4,
        };
        let headers = head.to_headers();
        assert_eq!(
            ChunkHead::from_headers(|name| find(&headers, name)),
            Ok(head)
        );
    }

    #[test]
    fn the_wire_forms_are_these() {
        let check = |decision: &Decision, json: &str| {
            assert_eq!(serde_json::to_string(decision).unwrap(), json);
            assert_eq!(&serde_json::from_str::<Decision>(json).unwrap(), decision);
        };
        let hit = |remember_ms| Decision::Hit { remember_ms };
        check(&hit(None), r#"{"decision":"hit"}"#);
        check(&hit(Some(1)), r#"{"decision":"hit","remember_ms":1}"#);
        let grant = Some(Grant {
            admission: Admission::default(),
            fill: FillId(10),
            ttl_ms: 5000,
            variant: 0,
        });
        check(
            &Decision::Miss {
                forward: ForwardToken::UriMiss,
                grant,
            },
            r#"{"decision":"miss","forward":"uri-miss","grant":{"fill":"000000000000000a","ttl_ms":5000}}"#,
        );
        let end = End {
            key: key(),
            viewer: String::new(),
            delivered: ByteRange::new(0, 5),
            outcome: Outcome::Declined(DeclineReason::NoStore),
        };
        assert_eq!(
            serde_json::to_string(&end).unwrap(),
            r#"{"key":"generic:http://a/b?c","delivered":[0,5],"outcome":{"outcome":"declined","reason":"no-store"}}"#
        );
        assert_eq!(
            Step::Chunks.path(FillId(10)),
            "/fills/000000000000000a/chunks"
        );
    }
}
