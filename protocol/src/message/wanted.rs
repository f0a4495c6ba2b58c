//! What a request wants, and how the origin is asked for more of it.

use serde::{Deserialize, Serialize};

use super::{MessageError, optional, parts, required};
use crate::entity::EntityKey;
use crate::header;
use crate::profile::Profile;
use crate::range::RangeSpec;
use crate::transfer::Asked;

/// What a routed or a judged request wants, and of which entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The entity.
    pub key: EntityKey,
    /// The range as written; `None` is the whole entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<RangeSpec>,
    /// The ranges as written when they are several; `range` is absent then, for an answer may
    /// always be the whole (RFC 9110 section 14.2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<RangeSpec>,
    /// Whether the range stood in the URL, so that its answer is a 200.
    #[serde(default)]
    pub range_in_query: bool,
    /// The complete length as the URL tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_length: Option<u64>,
    /// The viewer, hashed by the filter.
    pub viewer: String,
    /// Path and query to ask the origin with, when they are not the request's own (a range in
    /// the URL is taken out of it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_path: Option<String>,
}

impl Wanted {
    /// All of an entity, for nobody.
    pub fn whole(key: EntityKey) -> Self {
        let complete_length = match key.profile() {
            Profile::Youtube => key.part("clen").and_then(|digits| digits.parse().ok()),
            Profile::Generic | Profile::Own(_) => None,
        };
        Self {
            key,
            range: None,
            parts: Vec::new(),
            range_in_query: false,
            complete_length,
            viewer: String::new(),
            origin_path: None,
        }
    }

    /// The control headers that carry this on a routed request.
    pub fn to_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (header::KEY, self.key.id().to_string()),
            (header::ENTITY, self.key.to_string()),
            (header::VIEWER, self.viewer.clone()),
        ];
        let mut optional = |name, value: Option<String>| {
            headers.extend(value.map(|value| (name, value)));
        };
        optional(header::RANGE, self.range.map(|range| range.to_string()));
        let parts: Vec<String> = self.parts.iter().map(ToString::to_string).collect();
        optional(header::PARTS, (!parts.is_empty()).then(|| parts.join(",")));
        optional(
            header::RANGE_IN,
            self.range_in_query.then(|| "query".to_owned()),
        );
        optional(
            header::COMPLETE_LENGTH,
            self.complete_length.map(|n| n.to_string()),
        );
        optional(header::ORIGIN_PATH, self.origin_path.clone());
        headers
    }

    /// Reads what [`Wanted::to_headers`] wrote; `get` finds a header's value by its name.
    ///
    /// # Errors
    /// Names the first header that is missing or malformed.
    pub fn from_headers<'a>(
        get: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<Self, MessageError> {
        Ok(Self {
            key: required(&get, header::ENTITY)?,
            range: optional(&get, header::RANGE)?,
            parts: parts(&get)?,
            range_in_query: get(header::RANGE_IN) == Some("query"),
            complete_length: optional(&get, header::COMPLETE_LENGTH)?,
            viewer: get(header::VIEWER).unwrap_or_default().to_owned(),
            origin_path: get(header::ORIGIN_PATH).map(str::to_owned),
        })
    }

    /// The same, its Range header ignored; a range in the URL stays.
    pub fn without_header_range(&self) -> Self {
        let range = self.range.filter(|_| self.range_in_query);
        Self {
            range,
            parts: Vec::new(),
            ..self.clone()
        }
    }

    /// What decides the meaning of the origin's answer to this request.
    pub fn asked(&self) -> Asked {
        Asked {
            profile: self.key.profile(),
            range: self.range,
            range_in_query: self.range_in_query,
            complete_length: self.complete_length,
            open_ended: false,
        }
    }
}

/// What of a viewer's request the sidecar needs to ask the origin for more of its entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRequest {
    /// The authority.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// What it has in [`OriginRequest::FIELDS`], and in the fields that name its entity; absent ones
    /// are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

impl OriginRequest {
    /// The header fields that go with it, beside those that may select its answer.
    pub const FIELDS: [&str; 5] = [
        "authorization",
        "user-agent",
        "referer",
        // Else an origin takes a viewer's TLS for none, and may answer with a redirect to it.
        "x-forwarded-proto",
        header::REQUEST_ID,
    ];

    /// The most fields that name an entity.
    const MAX_KEY_FIELDS: usize = 16;

    /// Whether a field of this name goes with it when it names the entity: not those that go with it
    /// anyhow, nor those that each request has of its own.
    pub fn carries(name: &str) -> bool {
        const OWN: [&str; 12] = [
            "accept-encoding",
            "connection",
            "content-length",
            "expect",
            "host",
            "keep-alive",
            "proxy-connection",
            "range",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ];
        let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        !name.is_empty()
            && name.bytes().all(token)
            && !name.starts_with(header::PREFIX)
            && !name.starts_with("if-")
            && !OWN.contains(&name)
            && !Self::FIELDS.contains(&name)
    }

    /// The names in a [`header::KEY_FIELDS`].
    pub fn key_fields(value: &str) -> impl Iterator<Item = &str> {
        let names = value.split(',').map(str::trim);
        names
            .filter(|name| Self::carries(name))
            .take(Self::MAX_KEY_FIELDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_an_entity_goes_with_its_requests() {
        let check = |value: &str, expect: &[&str]| {
            let names: Vec<&str> = OriginRequest::key_fields(value).collect();
            assert_eq!(names, expect, "{value}");
        };
        check(
            "x-cut, accept-language,cookie",
            &["x-cut", "accept-language", "cookie"],
        );
        check("", &[]);
        check("authorization,user-agent,x-request-id", &[]);
        check("host,range,if-range,x-viewcache-secret,connection", &[]);
        check("X-Cut,x cut,:path,x\u{e9}", &[]);
        let many: Vec<String> = (0..20).map(|number| format!("x-{number}")).collect();
        assert_eq!(OriginRequest::key_fields(&many.join(",")).count(), 16);
    }
}
