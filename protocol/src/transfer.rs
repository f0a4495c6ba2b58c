//! Whether a response's body may be stored, and as which bytes of which generation. The filter
//! asks this of what passes through Envoy, the sidecar of what it fetches itself.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use strum::VariantArray;

use crate::cache_control::{CacheControl, governing};
use crate::content_range::ContentRange;
use crate::entity::{Generation, Validator};
use crate::profile::{Allowance, Profile};
use crate::range::{ByteRange, RangeSpec};
use crate::vary;

/// The longest entity that is stored, in bytes: 4 TiB. An origin may claim any length, and work
/// must not grow with a claim.
pub const MAX_COMPLETE_LENGTH: u64 = 1 << 42;

/// The most stored header fields of one response, and their most bytes.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// What was asked of the origin, as far as it decides what the answer's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The profile that identified the request.
    pub profile: Profile,
    /// The wanted range; `None` is the whole entity.
    pub range: Option<RangeSpec>,
    /// Whether the range stood in the URL, so that the answer to it is a 200.
    pub range_in_query: bool,
    /// The complete length as the URL tells it.
    pub complete_length: Option<u64>,
    /// Whether a body whose length only its end tells is of use.
    pub open_ended: bool,
}

/// A storable response body: which bytes it carries, of which generation, under which headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// What the bytes belong to.
    pub generation: Generation,
    /// Where they belong.
    pub range: ByteRange,
    /// The header fields to store (RFC 9111 section 3.1), names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whether only its clean end tells the length. The complete length is then the most that is
    /// stored, and the range all of that.
    pub open_ended: bool,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, VariantArray)]
#[serde(rename_all = "kebab-case")]
pub enum DeclineReason {
    /// A status other than 200 and 206.
    Status,
    /// No Content-Length, and no framing that tells a cut body from a whole one.
    NoLength,
    /// A body without bytes.
    Empty,
    /// A missing or invalid Content-Range, or one that is not what was asked for.
    ContentRange,
    /// Several ranges in one response.
    Multipart,
    /// A content coding: its bytes are not the identity's (RFC 9110 section 14.2).
    Encoding,
    /// It varies by request header fields beyond [`vary::CANDIDATES`].
    Vary,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// It sets a cookie.
    SetCookie,
    /// A content type that the operator does not want, or that is not the entity's.
    ContentType,
    /// A complete length that the operator does not want.
    Size,
    /// More header fields than are kept.
    Headers,
    /// A complete length beyond [`MAX_COMPLETE_LENGTH`].
    TooLong,
}

impl DeclineReason {
    /// The token in logs, metric labels and Cache-Status details.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NoLength => "no-length",
            Self::Empty => "empty",
            Self::ContentRange => "content-range",
            Self::Multipart => "multipart",
            Self::Encoding => "encoding",
            Self::Vary => "vary",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::SetCookie => "set-cookie",
            Self::ContentType => "content-type",
            Self::Size => "size",
            Self::Headers => "headers",
            Self::TooLong => "too-long",
        }
    }
}

impl Transfer {
    /// Judges a response by its status and header fields (names in lower case); of those that are
    /// `targeted` one may count instead of Cache-Control.
    ///
    /// # Errors
    /// The first reason for which it must not be stored.
    pub fn judge(
        asked: &Asked,
        targeted: &[&str],
        status: u16,
        headers: &[(String, String)],
    ) -> Result<Self, DeclineReason> {
        let fields = Fields(headers);
        let content_length = || {
            let value = fields.one("content-length")?;
            value
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| value.parse::<u64>().ok())?
        };
        let open_ended = status == 200 && is_open_ended(asked, &fields);
        let (range, complete_length) = match status {
            200 if open_ended => {
                let most = ByteRange::new(0, MAX_COMPLETE_LENGTH).ok_or(DeclineReason::Empty)?;
                (most, MAX_COMPLETE_LENGTH)
            }
            200 => {
                let length = content_length().ok_or(DeclineReason::NoLength)?;
                whole_or_query_range(asked, length)?
            }
            206 => {
                let (range, complete_length) = part(asked, &fields)?;
                if content_length() != Some(range.len()) {
                    return Err(DeclineReason::NoLength);
                }
                (range, complete_length)
            }
            _ => return Err(DeclineReason::Status),
        };
        if MAX_COMPLETE_LENGTH < complete_length {
            return Err(DeclineReason::TooLong);
        }
        may_store(asked.profile, targeted, &fields)?;
        let generation = Generation {
            validator: validator(&fields),
            complete_length,
        };
        Ok(Self {
            generation,
            range,
            headers: stored_headers(headers)?,
            open_ended,
        })
    }
}

/// Whether it is the whole entity in chunks, whose last one tells the length and that nothing was
/// cut (RFC 9112 section 8). The end of a connection tells neither.
fn is_open_ended(asked: &Asked, fields: &Fields<'_>) -> bool {
    asked.open_ended
        && !asked.range_in_query
        && asked.complete_length.is_none()
        && fields.all("content-length").next().is_none()
        && fields
            .one("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
}

/// A 200 carries the entity from its first byte, or, to a range in the URL, that range.
fn whole_or_query_range(asked: &Asked, length: u64) -> Result<(ByteRange, u64), DeclineReason> {
    if !asked.range_in_query {
        let range = ByteRange::new(0, length).ok_or(DeclineReason::Empty)?;
        let contradicted = asked.complete_length.is_some_and(|told| told != length);
        return if contradicted {
            Err(DeclineReason::ContentRange)
        } else {
            Ok((range, length))
        };
    }
    let told = asked.complete_length.ok_or(DeclineReason::ContentRange)?;
    let wanted = asked
        .range
        .and_then(|spec| spec.resolve(told))
        .ok_or(DeclineReason::ContentRange)?;
    if wanted.len() != length {
        return Err(DeclineReason::ContentRange);
    }
    Ok((wanted, told))
}

/// A 206 must say which bytes it carries, and they must be among those that were asked for and
/// begin where they were to begin.
fn part(asked: &Asked, fields: &Fields<'_>) -> Result<(ByteRange, u64), DeclineReason> {
    if fields
        .one("content-type")
        .is_some_and(|t| starts_with_ignore_case(t, "multipart/"))
    {
        return Err(DeclineReason::Multipart);
    }
    let value = fields
        .one("content-range")
        .ok_or(DeclineReason::ContentRange)?;
    let Ok(ContentRange::Part {
        range,
        complete_length: Some(complete_length),
    }) = value.parse()
    else {
        return Err(DeclineReason::ContentRange);
    };
    let wanted = match asked.range {
        Some(spec) => spec.resolve(complete_length),
        None => None,
    };
    let as_asked = wanted.is_some_and(|w| w.start() == range.start() && w.covers(range));
    let contradicted = asked
        .complete_length
        .is_some_and(|told| told != complete_length);
    if !as_asked || contradicted {
        return Err(DeclineReason::ContentRange);
    }
    Ok((range, complete_length))
}

fn may_store(
    profile: Profile,
    targeted: &[&str],
    fields: &Fields<'_>,
) -> Result<(), DeclineReason> {
    if fields
        .list("content-encoding")
        .any(|coding| !coding.eq_ignore_ascii_case("identity"))
    {
        return Err(DeclineReason::Encoding);
    }
    if profile == Profile::Youtube && is_message(fields) {
        return Err(DeclineReason::ContentType);
    }
    if !vary::is_bounded(fields.0) {
        return Err(DeclineReason::Vary);
    }
    let control =
        CacheControl::of_response(fields.0, governing(fields.0, targeted.iter().copied()));
    if control.no_store && !profile.allows(Allowance::NoStore) {
        return Err(DeclineReason::NoStore);
    }
    if control.private && !profile.allows(Allowance::Private) {
        return Err(DeclineReason::Private);
    }
    if fields.all("set-cookie").next().is_some() && !profile.allows(Allowance::SetCookie) {
        return Err(DeclineReason::SetCookie);
    }
    Ok(())
}

/// Whether it is no video but words, such as where to ask instead, or a video in frames. Either may be
/// just as long as the range that was asked for, and a viewer can ask for both.
fn is_message(fields: &Fields<'_>) -> bool {
    let mut kinds = fields.all("content-type");
    kinds.any(|kind| {
        let is = |prefix| starts_with_ignore_case(kind.trim_start(), prefix);
        is("text/") || is("application/vnd.yt-ump")
    })
}

/// A strong ETag, else a Last-Modified that is at least a second older than the response
/// (RFC 9110 section 8.8.2.2).
fn validator(fields: &Fields<'_>) -> Option<Validator> {
    if let Some(etag) = fields.one("etag") {
        let strong = etag.len() >= 2 && etag.starts_with('"') && etag.ends_with('"');
        return strong.then(|| Validator::Etag(etag.to_owned()));
    }
    let modified = fields.one("last-modified")?;
    let time = |value: &str| httpdate::parse_http_date(value).ok();
    let age = time(fields.one("date")?)?
        .duration_since(time(modified)?)
        .ok()?;
    (age.as_secs() >= 1).then(|| Validator::LastModified(modified.to_owned()))
}

/// Gives a response without a Date one: when it came (RFC 9110 section 6.6.1).
pub fn date(headers: &mut Vec<(String, String)>, received: SystemTime) {
    if !headers.iter().any(|(name, _)| name == "date") {
        headers.push(("date".to_owned(), httpdate::fmt_http_date(received)));
    }
}

/// The header fields of a response to store: everything but what belongs to one connection, to
/// one range, or to one client (RFC 9111 section 3.1). Names are in lower case.
///
/// # Errors
/// [`DeclineReason::Headers`] when they are more than are kept.
pub fn stored_headers(
    headers: &[(String, String)],
) -> Result<Vec<(String, String)>, DeclineReason> {
    const LEFT_OUT: [&str; 16] = [
        "cache-status",
        "connection",
        "content-length",
        "content-range",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "alt-svc",
    ];
    let fields = Fields(headers);
    let named: Vec<&str> = fields.list("connection").collect();
    let kept = |name: &str| {
        !name.starts_with(':')
            && !name.starts_with("x-envoy-")
            && !name.starts_with(crate::header::PREFIX)
            && !LEFT_OUT.contains(&name)
            && !named.iter().any(|n| n.eq_ignore_ascii_case(name))
    };
    let stored: Vec<(String, String)> = headers
        .iter()
        .filter(|(name, _)| kept(name))
        .cloned()
        .collect();
    let bytes: usize = stored
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()))
        .sum();
    if stored.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(DeclineReason::Headers);
    }
    Ok(stored)
}

struct Fields<'a>(&'a [(String, String)]);

impl<'a> Fields<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The members of a list-based field (RFC 9110 section 5.6.1), empty ones left out.
    fn list(&self, name: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.all(name)
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|m| !m.is_empty())
    }

    /// The field's value when the field stands once; one that stands twice says nothing certain.
    fn one(&self, name: &'static str) -> Option<&'a str> {
        let mut values = self.all(name);
        let value = values.next()?;
        values.next().is_none().then_some(value.trim())
    }
}

fn starts_with_ignore_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests;
