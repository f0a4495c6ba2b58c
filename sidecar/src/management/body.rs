//! The bodies of requests.

use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use hyper::StatusCode;
use hyper::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::call::Call;
use super::problem::Problem;

/// What is written of one thing is small; whatever is longer is something else.
pub(super) const MAX_BODY: u64 = 64 << 10;

/// A body that is not read yet.
pub(super) type Body = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `application/json`.
    Json,
    /// That, or a merge patch (RFC 7396).
    Patch,
    /// Whatever it is.
    Any,
}

impl Kind {
    const fn types(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Patch => "application/merge-patch+json, application/json",
            Self::Any => "*/*",
        }
    }

    fn allows(self, content_type: Option<&str>) -> bool {
        let essence = content_type.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let is = |name: &str| essence.is_some_and(|kind| kind.eq_ignore_ascii_case(name));
        match self {
            Self::Json => is("application/json"),
            Self::Patch => is("application/json") || is("application/merge-patch+json"),
            Self::Any => true,
        }
    }
}

pub(super) fn boxed<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>> + Send + Sync + 'static,
) -> Body {
    Box::pin(body.map(|part| {
        let mut part = part?;
        Ok(part.copy_to_bytes(part.remaining()))
    }))
}

/// Reads a body of a kind that is no longer than `most`.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    kind: Kind,
    most: u64,
) -> Result<Bytes, Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(CONTENT_TYPE);
    if !kind.allows(content_type) {
        let types = kind.types();
        let found = content_type.unwrap_or_default();
        let detail = format!("content-type: {found:?} is not among {types}");
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        return Err(problem.of("content-type", found).with(ACCEPT, types));
    }
    let long = |length: u64| {
        let detail = format!("content-length: {length} is more than {most}");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).of("content-length", length)
    };
    let length: Option<u64> = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    // HTTP/1.1 has no body without either.
    match length {
        Some(length) if most < length => return Err(long(length)),
        None if headers.contains_key(TRANSFER_ENCODING) => {
            let problem = Problem::new(StatusCode::LENGTH_REQUIRED, "content-length: missing");
            return Err(problem.of("content-length", Value::Null));
        }
        Some(_) | None => {}
    }
    let mut whole = BytesMut::new();
    while let Some(part) = body.next().await {
        let cut = |error: warp::Error| {
            Problem::new(StatusCode::BAD_REQUEST, format!("body: not whole: {error}"))
        };
        whole.extend_from_slice(&part.map_err(cut)?);
        if most < whole.len() as u64 {
            return Err(long(whole.len() as u64));
        }
    }
    Ok(whole.freeze())
}

/// The JSON object that a body is.
pub(super) async fn document(call: &mut Call, kind: Kind) -> Result<Value, Problem> {
    parse(&call.body(kind, MAX_BODY).await?, kind)
}

/// The JSON object that these bytes are.
pub(super) fn parse(body: &[u8], kind: Kind) -> Result<Value, Problem> {
    let wrong = |error| Problem::new(StatusCode::BAD_REQUEST, format!("body: {error}"));
    let document = serde_json::from_slice(body).map_err(wrong)?;
    check(document, kind)
}

/// The members that may be lists.
const LISTS: [&str; 1] = ["quality"];

/// A list is no object whose members are told by their place, which serde takes it for, and what
/// has no value is left out; in a merge patch alone `null` means something.
fn check(document: Value, kind: Kind) -> Result<Value, Problem> {
    if !document.is_object() {
        return Err(Problem::refused("body", document, "is not a JSON object"));
    }
    match misplaced(None, &document, kind) {
        Some((path, value, why)) => Err(Problem::refused(&path, value, why)),
        None => Ok(document),
    }
}

/// The path to the first list or `null` where none may be, with what is there and what is wrong
/// with it.
fn misplaced(
    path: Option<&str>,
    value: &Value,
    kind: Kind,
) -> Option<(String, Value, &'static str)> {
    let wrong = |why| Some((path.unwrap_or_default().to_owned(), value.clone(), why));
    let below = |name: &str, value: &Value| match path {
        None => misplaced(Some(name), value, kind),
        Some(path) => misplaced(Some(&format!("{path}.{name}")), value, kind),
    };
    match value {
        Value::Null if kind != Kind::Patch => wrong("is no value: leave the member out"),
        Value::Array(_)
            if !LISTS
                .iter()
                .any(|list| path.is_some_and(|path| path.ends_with(list))) =>
        {
            wrong("is a list, which is not wanted here")
        }
        Value::Object(members) => members.iter().find_map(|(name, value)| below(name, value)),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, value)| below(&index.to_string(), value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What a document says. What is wrong with it is told with the path to it.
pub(super) fn meaning<T: DeserializeOwned>(document: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let path = error.path().to_string();
        let why = error.into_inner().to_string();
        // Some name their field themselves.
        let name = path.rsplit('.').next().unwrap_or_default();
        let own = why
            .strip_prefix(name)
            .and_then(|why| why.strip_prefix(": "));
        let why = own.unwrap_or(&why);
        match &path[..] {
            "." => Problem::new(StatusCode::BAD_REQUEST, format!("body: {why}")),
            _ => Problem::within(document, format!("{path}: {why}")),
        }
    })
}

/// A member that may be absent, but is not null.
pub(super) fn given<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_an_object_without_nulls_and_lists() {
        let told = |text: &str, kind| {
            let checked = check(serde_json::from_str(text).unwrap(), kind);
            checked.err().map(|problem| problem.detail().to_owned())
        };
        for kind in [Kind::Json, Kind::Patch] {
            assert_eq!(told(r#"{"a": {"quality": ["22", 18]}}"#, kind), None);
            for (text, detail) in [
                ("[1]", "body: [1] is not a JSON object"),
                (
                    r#"{"a": {"b": [1]}}"#,
                    "a.b: [1] is a list, which is not wanted here",
                ),
                (
                    r#"{"quality": [[]]}"#,
                    "quality.0: [] is a list, which is not wanted here",
                ),
            ] {
                assert_eq!(told(text, kind).as_deref(), Some(detail));
            }
        }
        for (text, path) in [
            (r#"{"a": null}"#, "a"),
            // A member may have no name.
            (r#"{"": {"a": null}}"#, ".a"),
            (r#"{"a": {"quality": [1, null]}}"#, "a.quality.1"),
        ] {
            let detail = format!("{path}: null is no value: leave the member out");
            assert_eq!(told(text, Kind::Json), Some(detail));
            assert_eq!(told(text, Kind::Patch), None);
        }
    }

    #[test]
    fn a_body_is_of_its_kind() {
        for (kind, content_type, expect) in [
            (Kind::Json, Some("application/json"), true),
            (Kind::Json, Some("Application/JSON; charset=utf-8"), true),
            (Kind::Json, Some("application/merge-patch+json"), false),
            (Kind::Json, Some("application/jsonp"), false),
            (Kind::Json, Some("text/plain"), false),
            // What a page of another site may send without asking.
            (Kind::Json, None, false),
            (Kind::Patch, Some("application/merge-patch+json"), true),
            (Kind::Patch, Some("application/json"), true),
            (Kind::Patch, Some("application/json-patch+json"), false),
            (Kind::Any, None, true),
            (Kind::Any, Some("text/csv"), true),
        ] {
            assert_eq!(kind.allows(content_type), expect, "{content_type:?}");
        }
    }
}
