//! What a request's conditions make of a stored response (RFC 9110 section 13.2.2, RFC 9111
//! section 4.3.2). Pure.

use std::time::{Duration, SystemTime};

use viewcache_protocol::Conditions;

/// How a conditional request is answered from a stored, usable response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As if it had no condition; its Range is ignored unless `ranged`.
    Answer {
        /// Whether its Range counts (RFC 9110 section 13.1.5).
        ranged: bool,
    },
    /// By a 304.
    NotModified,
    /// By the origin: a cache does not evaluate If-Match and If-Unmodified-Since.
    Forward,
}

/// A Last-Modified is strong when it is so much older than the response
/// (RFC 9110 section 8.8.2.2).
const STRONG_AGE: Duration = Duration::from_secs(1);

/// Judges the conditions by the stored header fields (names in lower case).
pub fn judge(conditions: &Conditions, headers: &[(String, String)]) -> Verdict {
    let field = |name: &str| {
        let found = headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.trim())
    };
    let (etag, modified) = (field("etag"), field("last-modified"));
    // They hold for certain where what is stored is just what they name. Everything else is the
    // origin's to say.
    let unchanged = match (&conditions.if_match, &conditions.if_unmodified_since) {
        (Some(list), _) => tags(list).any(|tag| etag.is_some_and(|etag| strong(tag, etag))),
        (None, Some(date)) => modified == Some(date.trim()),
        (None, None) => true,
    };
    if !unchanged {
        return Verdict::Forward;
    }
    let not_modified = match (&conditions.if_none_match, &conditions.if_modified_since) {
        (Some(list), _) => {
            list.trim() == "*" || tags(list).any(|tag| etag.is_some_and(|etag| weak(tag, etag)))
        }
        (None, Some(since)) => {
            // Without a Last-Modified the Date serves (RFC 9111 section 4.3.2).
            let last = date(modified.or(field("date")));
            let since = date(Some(since));
            since.zip(last).is_some_and(|(since, last)| last <= since)
        }
        (None, None) => false,
    };
    if not_modified {
        return Verdict::NotModified;
    }
    let ranged = match conditions.if_range.as_deref().map(str::trim) {
        None => true,
        Some(tag) if tag.starts_with('"') => etag.is_some_and(|etag| strong(tag, etag)),
        Some(since) => {
            let age = date(modified).zip(date(field("date")));
            let age = age.and_then(|(modified, date)| date.duration_since(modified).ok());
            modified == Some(since) && age.is_some_and(|age| STRONG_AGE <= age)
        }
    };
    Verdict::Answer { ranged }
}

fn date(value: Option<&str>) -> Option<SystemTime> {
    httpdate::parse_http_date(value?.trim()).ok()
}

/// Both are strong and the same (RFC 9110 section 8.8.3.2).
fn strong(one: &str, other: &str) -> bool {
    one == other && one.starts_with('"')
}

/// The same but for their weakness.
fn weak(one: &str, other: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    opaque(one) == opaque(other)
}

/// The entity tags of a list, up to what is none. A tag may have commas in it.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let open = if rest.starts_with("W/") { 2 } else { 0 };
        let quoted = rest.get(open..)?.strip_prefix('"')?;
        let end = open + 1 + quoted.find('"')? + 1;
        let (tag, behind) = rest.split_at(end);
        rest = behind;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:00:00 GMT";
    const DATE: &str = "Sun, 06 Nov 1994 09:00:00 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:30:00 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 07:00:00 GMT";

    fn headers(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = fields.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
        owned.collect()
    }

    fn stored() -> Vec<(String, String)> {
        headers(&[
            ("etag", "\"a\""),
            ("last-modified", MODIFIED),
            ("date", DATE),
        ])
    }

    fn conditions(fields: &[(&str, &str)]) -> Conditions {
        let read = Conditions::read(|name| {
            let lines = fields.iter().filter(|(n, _)| *n == name);
            Ok::<_, ()>(lines.map(|&(_, value)| value.to_owned()).collect())
        });
        read.unwrap()
    }

    const ANSWER: Verdict = Verdict::Answer { ranged: true };
    const WHOLE: Verdict = Verdict::Answer { ranged: false };

    #[test]
    fn each_condition_is_judged_as_its_section_says() {
        let check = |fields: &[(&str, &str)], expect| {
            assert_eq!(judge(&conditions(fields), &stored()), expect, "{fields:?}");
        };
        check(&[], ANSWER);
        // RFC 9110 section 13.1.2: weak comparison.
        check(&[("if-none-match", "\"a\"")], Verdict::NotModified);
        check(&[("if-none-match", "W/\"a\"")], Verdict::NotModified);
        check(&[("if-none-match", "*")], Verdict::NotModified);
        check(
            &[("if-none-match", "\"x,y\" , \"a\"")],
            Verdict::NotModified,
        );
        check(&[("if-none-match", "\"b\"")], ANSWER);
        check(&[("if-none-match", "a")], ANSWER);
        // Section 13.1.3: ignored beside If-None-Match, and when it is no date.
        check(
            &[("if-none-match", "\"b\""), ("if-modified-since", LATER)],
            ANSWER,
        );
        check(&[("if-modified-since", MODIFIED)], Verdict::NotModified);
        check(&[("if-modified-since", LATER)], Verdict::NotModified);
        check(&[("if-modified-since", EARLIER)], ANSWER);
        check(&[("if-modified-since", "yesterday")], ANSWER);
        // Section 13.1.5: strong comparison, an exact date.
        check(&[("if-range", "\"a\"")], ANSWER);
        check(&[("if-range", "W/\"a\"")], WHOLE);
        check(&[("if-range", "\"b\"")], WHOLE);
        check(&[("if-range", MODIFIED)], ANSWER);
        check(&[("if-range", LATER)], WHOLE);
        check(&[("if-range", "not a validator")], WHOLE);
        // RFC 9111 section 4.3.2: not a cache's.
        check(&[("if-match", "\"a\"")], ANSWER);
        check(&[("if-match", "\"b\"")], Verdict::Forward);
        check(&[("if-match", "W/\"a\"")], Verdict::Forward);
        check(&[("if-match", "*")], Verdict::Forward);
        check(&[("if-unmodified-since", MODIFIED)], ANSWER);
        check(&[("if-unmodified-since", LATER)], Verdict::Forward);
        check(
            &[("if-match", "\"a\""), ("if-unmodified-since", EARLIER)],
            ANSWER,
        );
        // Section 13.2.2: in this order.
        check(
            &[("if-match", "\"b\""), ("if-none-match", "\"a\"")],
            Verdict::Forward,
        );
        check(
            &[("if-none-match", "\"a\""), ("if-range", "\"b\"")],
            Verdict::NotModified,
        );
    }

    #[test]
    fn a_weak_validator_answers_no_range() {
        let weak = headers(&[("etag", "W/\"a\""), ("date", DATE)]);
        let check = |fields: &[(&str, &str)], expect| {
            assert_eq!(judge(&conditions(fields), &weak), expect, "{fields:?}");
        };
        check(&[("if-none-match", "\"a\"")], Verdict::NotModified);
        check(&[("if-range", "W/\"a\"")], WHOLE);
        check(&[("if-range", "\"a\"")], WHOLE);
        check(&[("if-match", "\"a\"")], Verdict::Forward);
        // Without a Last-Modified the Date serves.
        check(&[("if-modified-since", DATE)], Verdict::NotModified);
        let young = headers(&[("last-modified", DATE), ("date", DATE)]);
        assert_eq!(judge(&conditions(&[("if-range", DATE)]), &young), WHOLE);
    }

    proptest! {
        #[test]
        fn no_list_of_tags_is_too_strange(list: String) {
            for tag in tags(&list) {
                prop_assert!(tag.ends_with('"') && tag.len() >= 2);
            }
        }
    }
}
