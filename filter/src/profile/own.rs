//! The operator's profiles: which requests are theirs, and what of them names the entity.

use viewcache_protocol::{Profile, Wanted};

use super::query::Query;
use super::template::Template;
use super::{BypassReason, Url, key, query_range};
use crate::head::Fields;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Its name and what it allows.
    pub profile: Profile,
    /// The paths that are its.
    pub path: Template,
    /// The authorities that are its, in lower case; none means any.
    pub authorities: Vec<String>,
    /// Whether HEAD is its too.
    pub head: bool,
    /// What names the entity.
    pub key: Key,
    /// The query parameter with a range, to which the answer is a 200.
    pub range_parameter: Option<String>,
    /// The query parameter with the complete length.
    pub length_parameter: Option<String>,
}

/// What names an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Its URL without these query parameters.
    Url {
        /// Their names.
        ignored: Vec<String>,
    },
    /// These parts of the request, whatever its authority.
    Parts(Vec<Part>),
}

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `{name}`: what the path has there.
    Path(String),
    /// `?name`: a query parameter.
    Query(String),
    /// `header:name`: a header field.
    Header(String),
    /// `header:host`: the authority, as Envoy has it.
    Host,
}

impl Part {
    /// Its name in the key.
    pub fn name(&self) -> &str {
        match self {
            Self::Path(name) | Self::Query(name) | Self::Header(name) => name,
            Self::Host => "host",
        }
    }
}

impl Rules {
    /// Whether a request for this URL is its.
    pub(super) fn matches(&self, url: &Url<'_>) -> bool {
        let here = self.authorities.is_empty() || self.authorities.contains(&url.authority);
        here && self.path.captures(url.path()).is_some()
    }

    /// The header fields that name the entity.
    pub(super) fn key_fields(&self) -> impl Iterator<Item = &str> {
        let parts: &[Part] = match &self.key {
            Key::Url { .. } => &[],
            Key::Parts(parts) => &parts[..],
        };
        parts.iter().filter_map(|part| match part {
            Part::Header(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// What such a request wants.
    pub(super) fn identify(&self, url: &Url<'_>, fields: &Fields) -> Result<Wanted, BypassReason> {
        let path = url.path();
        let query = Query(url.query());
        let identity = match &self.key {
            Key::Url { ignored } => {
                let mut names: Vec<&str> = ignored.iter().map(String::as_str).collect();
                names.extend(self.range_parameter.as_deref());
                let kept = query.without(&names);
                let query = kept.as_deref().unwrap_or(query.0);
                let mark = if query.is_empty() { "" } else { "?" };
                format!("{}://{}{path}{mark}{query}", url.scheme, url.authority)
            }
            Key::Parts(parts) => self.parts(parts, url, fields)?,
        };
        let length = self.length_parameter.as_deref();
        let length = length.map(|name| query.given(name)).transpose()?.flatten();
        let complete_length = length
            .map(|digits| digits.parse().ok().filter(|&n: &u64| 0 < n))
            .map(|length| length.ok_or(BypassReason::MissingParameters))
            .transpose()?;
        let range = match &self.range_parameter {
            Some(name) => query
                .given(name)?
                .map(|text| query_range(&text))
                .transpose()?,
            None => None,
        };
        if range.is_some() && complete_length.is_none() {
            return Err(BypassReason::MissingParameters);
        }
        let without_range = self
            .range_parameter
            .as_deref()
            .and_then(|name| query.without(&[name]));
        Ok(Wanted {
            range,
            range_in_query: range.is_some(),
            complete_length,
            origin_path: without_range.map(|query| match query.as_str() {
                "" => path.to_owned(),
                query => format!("{path}?{query}"),
            }),
            ..Wanted::whole(key(self.profile, &identity)?)
        })
    }

    /// `id=7&quality=hd`: what is absent is left out, and an ampersand in a value stands twice, so
    /// that no two requests that differ in a part have the same text. For the same reason a part
    /// that is there and empty names nothing.
    fn parts(
        &self,
        parts: &[Part],
        url: &Url<'_>,
        fields: &Fields,
    ) -> Result<String, BypassReason> {
        let path = url.path();
        let query = Query(url.query());
        if is_ambiguous(path) {
            return Err(BypassReason::AmbiguousPath);
        }
        let captures = self.path.captures(path).unwrap_or_default();
        let mut texts = Vec::new();
        for part in parts {
            let value = match part {
                Part::Path(name) => {
                    let found = captures.iter().find(|(captured, _)| captured == name);
                    found.map(|(_, value)| (*value).to_owned())
                }
                Part::Query(name) => query.given(name)?,
                Part::Header(name) => field(fields, name)?,
                Part::Host => Some(url.authority.replace('%', "%25")),
            };
            if let Some(value) = value {
                texts.push(format!("{}={}", part.name(), value.replace('&', "&&")));
            }
        }
        if texts.is_empty() {
            return Err(BypassReason::MissingParameters);
        }
        Ok(texts.join("&"))
    }
}

/// Whether an origin may take a path for another one: `/films/7/../8/a` is film 8 for whoever removes
/// dot segments, and film 7 by its form (RFC 3986 section 6.2.2.3). So are segments that only an
/// origin may join or split: empty ones, encoded slashes, backslashes; and an encoded NUL, at which
/// some stop reading.
fn is_ambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let joins = ["//", "\\", "%2f", "%5c", "%00"];
    let dots = lower.replace("%2e", ".");
    let is_dots = |segment: &str| {
        // What stands behind a semicolon is no part of the name for some.
        let name = segment.split(';').next().unwrap_or_default();
        matches!(name, "." | "..")
    };
    joins.iter().any(|text| lower.contains(text)) || dots.split('/').any(is_dots)
}

/// A header field's only value, what is not visible ASCII percent-encoded. The sidecar could not ask
/// the origin with one that is no text.
fn field(fields: &Fields, name: &str) -> Result<Option<String>, BypassReason> {
    let mut values = fields.all(name);
    let value = values.next();
    if value.is_some_and(<[u8]>::is_empty) || values.next().is_some() {
        return Err(BypassReason::ConflictingParameters);
    }
    let text = |value: &[u8]| {
        let encoded = value.iter().map(|&b| match b {
            b'%' => "%25".to_owned(),
            b if b.is_ascii_graphic() => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        });
        encoded.collect()
    };
    if value.is_some_and(|value| std::str::from_utf8(value).is_err()) {
        return Err(BypassReason::UnreadableHeader);
    }
    Ok(value.map(text))
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use viewcache_protocol::OwnProfile;

    use super::*;

    fn rules(key: Key) -> Rules {
        Rules {
            profile: Profile::Own(OwnProfile::new("films", &[]).unwrap()),
            path: Template::parse("/films/{id}/{file*}").unwrap(),
            authorities: Vec::new(),
            head: true,
            key,
            range_parameter: Some("range".to_owned()),
            length_parameter: Some("size".to_owned()),
        }
    }

    fn identify(
        rules: &Rules,
        target: &str,
        fields: &[(&str, &str)],
    ) -> Result<Wanted, BypassReason> {
        let field = |&(name, value): &(&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
        let fields = Fields(fields.iter().map(field).collect());
        let url = Url {
            scheme: "https",
            authority: "a.example".to_owned(),
            target,
        };
        assert!(rules.matches(&url), "{target}");
        rules.identify(&url, &fields)
    }

    #[test]
    fn a_url_is_its_own_name_but_for_what_is_ignored() {
        let rules = rules(Key::Url {
            ignored: vec!["token".to_owned(), "expires".to_owned()],
        });
        for (target, expect) in [
            ("/films/7/a.mp4", "films:https://a.example/films/7/a.mp4"),
            (
                "/films/7/a.mp4?token=x",
                "films:https://a.example/films/7/a.mp4",
            ),
            (
                "/films/7/a.mp4?q=1&token=x&expires=9&b=2",
                "films:https://a.example/films/7/a.mp4?q=1&b=2",
            ),
            (
                "/films/7/a.mp4?range=0-9&size=100&token=x",
                "films:https://a.example/films/7/a.mp4?size=100",
            ),
        ] {
            let wanted = identify(&rules, target, &[]).unwrap();
            assert_eq!(wanted.key.as_str(), expect, "{target}");
        }
    }

    #[test]
    fn parts_name_it_on_whatever_host() {
        let rules = rules(Key::Parts(vec![
            Part::Path("id".to_owned()),
            Part::Query("q".to_owned()),
            Part::Header("x-cut".to_owned()),
        ]));
        let key = |target: &str, fields: &[(&str, &str)]| {
            identify(&rules, target, fields).map(|wanted| wanted.key.to_string())
        };
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(key("/films/7/a?x=1", &[]), ok("films:id=7"));
        assert_eq!(key("/films/7/b?q=hd", &[]), ok("films:id=7&q=hd"));
        let cut = [("x-cut", "long one")];
        assert_eq!(key("/films/7/a", &cut), ok("films:id=7&x-cut=long%20one"));
        assert_eq!(key("/films/7&q=hd/a", &[]), ok("films:id=7&&q=hd"));
        let unclear = || Err(BypassReason::ConflictingParameters);
        assert_eq!(key("/films/7/a?q=1&q=2", &[]), unclear());
        let twice = [("x-cut", "a"), ("x-cut", "b")];
        assert_eq!(key("/films/7/a", &twice), unclear());
        // An origin may take them for another thing than what is absent.
        for query in ["q=", "q", "%71=", "q=&q=hd", "size=&x=1", "range="] {
            assert_eq!(
                key(&format!("/films/7/a?{query}"), &[]),
                unclear(),
                "{query}"
            );
        }
        assert_eq!(key("/films/7/a", &[("x-cut", "")]), unclear());
        let fields = Fields(vec![("x-cut".to_owned(), b"\xff".to_vec())]);
        assert_eq!(field(&fields, "x-cut"), Err(BypassReason::UnreadableHeader));
    }

    #[test]
    fn a_host_that_names_it_is_the_authority() {
        let rules = rules(Key::Parts(vec![Part::Host, Part::Path("id".to_owned())]));
        let host = [("host", "b.example")];
        for fields in [&[][..], &host] {
            let wanted = identify(&rules, "/films/7/a", fields).unwrap();
            assert_eq!(wanted.key.as_str(), "films:host=a.example&id=7");
        }
    }

    #[test]
    fn a_path_that_may_be_anothers_names_nothing() {
        let rules = rules(Key::Parts(vec![Part::Path("id".to_owned())]));
        for path in [
            "/films/7/../8/a.mp4",
            "/films/7/%2e%2E/8/a.mp4",
            "/films/7/.%2e/8/a.mp4",
            "/films/7/..;x/8/a.mp4",
            "/films/7/./a.mp4",
            "/films/7/a/..",
            "/films/../8",
            "/films/7//a.mp4",
            "/films/7/..\\8/a.mp4",
            "/films/7%2f..%2F8/a.mp4",
            "/films/7%5c..%5C8/a.mp4",
            "/films/7%00/a.mp4",
        ] {
            let ambiguous = Err(BypassReason::AmbiguousPath);
            assert_eq!(identify(&rules, path, &[]), ambiguous, "{path}");
        }
        for path in ["/films/7/a..mp4", "/films/7/...", "/films/7/a?b=/../c"] {
            let wanted = identify(&rules, path, &[]).unwrap();
            assert_eq!(wanted.key.as_str(), "films:id=7", "{path}");
        }
    }

    #[test]
    fn a_range_in_the_url_needs_the_length() {
        let rules = rules(Key::Parts(vec![Part::Path("id".to_owned())]));
        let wanted = identify(&rules, "/films/7/a?range=5-9&size=100&t=1", &[]).unwrap();
        assert_eq!(wanted.range.map(|r| r.to_string()).as_deref(), Some("5-9"));
        assert!(wanted.range_in_query);
        assert_eq!(wanted.complete_length, Some(100));
        let origin_path = Some("/films/7/a?size=100&t=1");
        assert_eq!(wanted.origin_path.as_deref(), origin_path);
        let wanted = identify(&rules, "/films/7/a?size=100", &[]).unwrap();
        assert_eq!(
            (wanted.complete_length, wanted.origin_path),
            (Some(100), None)
        );
        for target in [
            "/films/7/a?range=5-9",
            "/films/7/a?size=0",
            "/films/7/a?size=x",
        ] {
            let missing = Err(BypassReason::MissingParameters);
            assert_eq!(identify(&rules, target, &[]), missing, "{target}");
        }
    }
}
