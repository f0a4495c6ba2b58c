//! What of a viewer's request the sidecar asks the origin with.

use std::convert::Infallible;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use viewcache_protocol::{OriginRequest, Selecting, header, vary};

use super::lines;

/// What of a viewer's request a request of our own needs.
#[derive(Clone, Debug)]
pub struct Asker {
    pub(super) authority: HeaderValue,
    pub(super) path: String,
    /// What goes with it each time.
    pub(super) headers: HeaderMap,
    /// What of the rest may select its answer.
    pub(super) selecting: HeaderMap,
    /// As Envoy names the request, if it does.
    pub(super) request_id: Option<HeaderValue>,
}

impl Asker {
    /// From a routed request's head; `path` is path and query to ask with.
    pub fn new(headers: &HeaderMap, path: String) -> Self {
        let authority = headers
            .get(HOST)
            .cloned()
            .unwrap_or(HeaderValue::from_static("-"));
        let named = headers.get(header::KEY_FIELDS);
        let named = named.and_then(|value| value.to_str().ok());
        let named = OriginRequest::key_fields(named.unwrap_or_default());
        let always = OriginRequest::FIELDS.into_iter().chain(named);
        Self::with(
            authority,
            path,
            Self::of(headers, always),
            Self::of(headers, vary::CANDIDATES),
        )
    }

    /// What of a head has these names, each once.
    fn of<'a>(headers: &HeaderMap, names: impl IntoIterator<Item = &'a str>) -> HeaderMap {
        let mut kept = HeaderMap::new();
        for name in names {
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
                continue;
            };
            if !kept.contains_key(&name) {
                for value in headers.get_all(&name) {
                    kept.append(&name, value.clone());
                }
            }
        }
        kept
    }

    /// A field that names the entity goes with it each time, whatever else it may do.
    fn with(
        authority: HeaderValue,
        path: String,
        mut headers: HeaderMap,
        mut selecting: HeaderMap,
    ) -> Self {
        for name in headers.keys() {
            selecting.remove(name);
        }
        Self {
            request_id: headers.remove(header::REQUEST_ID),
            authority,
            path,
            headers,
            selecting,
        }
    }

    /// From what the filter tells of a request and of the fields that may select its answer;
    /// `None` when that is no request.
    pub fn told(request: &OriginRequest, selecting: &Selecting) -> Option<Self> {
        let fields = request.fields.iter();
        let fields = fields.map(|(name, value)| (&name[..], &value[..]));
        let known =
            |name: &str| OriginRequest::FIELDS.contains(&name) || OriginRequest::carries(name);
        let field = |(name, value): (&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        Some(Self::with(
            HeaderValue::from_str(&request.authority).ok()?,
            Some(request.path.clone()).filter(|path| path.starts_with('/'))?,
            fields
                .filter(|(name, _)| known(name))
                .filter_map(field)
                .collect(),
            selecting.iter().filter_map(field).collect(),
        ))
    }

    /// The same for what is done when the request is over, and not in its name.
    #[must_use]
    pub fn nameless(self) -> Self {
        Self {
            request_id: None,
            ..self
        }
    }

    /// As Envoy names the request, if it does.
    pub const fn request_id(&self) -> Option<&HeaderValue> {
        self.request_id.as_ref()
    }

    /// As it can be stored: without what only selects an answer, and without credentials.
    pub fn request(&self) -> OriginRequest {
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).ok();
        let fields = self
            .headers
            .iter()
            .filter(|(name, _)| *name != AUTHORIZATION);
        let field =
            |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), text(value)?));
        OriginRequest {
            authority: text(&self.authority).unwrap_or_default(),
            path: self.path.clone(),
            fields: fields.filter_map(field).collect(),
        }
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whose bytes it asks for: several entities of one origin share its patience.
    pub fn authority(&self) -> &[u8] {
        self.authority.as_bytes()
    }

    /// When its URL expires, in seconds since the epoch, if the URL says so.
    pub fn expires(&self) -> Option<u64> {
        const NAMES: [&str; 3] = ["expire", "expires", "exp"];
        let (_, query) = self.path.split_once('?')?;
        let moments = query.split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let named = NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
            // Anything shorter is no moment of this century.
            (named && 10 <= value.len()).then(|| value.parse().ok())?
        });
        moments.min()
    }

    /// What it has in the fields that may select a response.
    pub fn selecting(&self) -> Selecting {
        let of = |name| [lines(&self.headers, name), lines(&self.selecting, name)].concat();
        let read = Selecting::read(|name| Ok::<_, Infallible>(of(name)));
        let Ok(selecting) = read;
        selecting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_say_when_it_expires() {
        let check = |path: &str, expect: Option<u64>| {
            let request = OriginRequest {
                authority: "media.test".to_owned(),
                path: path.to_owned(),
                fields: Vec::new(),
            };
            let asker = Asker::told(&request, &Selecting::default()).unwrap();
            assert_eq!(asker.expires(), expect, "{path}");
        };
        check(
            "/videoplayback?ei=1&expire=1764000000&sig=x",
            Some(1_764_000_000),
        );
        check("/v?Expires=1764000001", Some(1_764_000_001));
        check("/v?expires=1764000001&exp=1764000000", Some(1_764_000_000));
        check("/v?expires=3600", None);
        check("/v?expires=tomorrow00", None);
        check("/v", None);
        let request = OriginRequest::default();
        assert!(Asker::told(&request, &Selecting::default()).is_none());
    }

    #[test]
    fn what_names_the_entity_goes_with_each_request() {
        let headers = [
            ("host", "a.test"),
            (
                "x-viewcache-key-fields",
                "x-cut,accept-language,host,authorization,range",
            ),
            ("x-cut", "long"),
            ("accept-language", "de"),
            ("accept", "*/*"),
            ("authorization", "secret"),
            ("range", "bytes=0-1"),
            ("user-agent", "player"),
            ("x-other", "1"),
            ("x-request-id", "7"),
        ];
        let field = |(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        let headers: HeaderMap = headers.map(field).into_iter().collect();
        let asker = Asker::new(&headers, "/v".to_owned());
        let names = |headers: &HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort_unstable();
            names
        };
        let always = ["accept-language", "authorization", "user-agent", "x-cut"];
        assert_eq!(names(&asker.headers), always);
        assert_eq!(names(&asker.selecting), ["accept"]);
        let selecting: Vec<_> = asker
            .selecting()
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect();
        assert_eq!(selecting, ["accept", "accept-language"]);
        // As it is kept, and as the filter tells it.
        let stored = asker.request();
        let again = Asker::told(&stored, &asker.selecting()).unwrap();
        assert_eq!(
            names(&again.headers),
            ["accept-language", "user-agent", "x-cut"]
        );
        assert_eq!(names(&again.selecting), ["accept"]);
        assert_eq!(again.request(), stored);
    }

    #[test]
    fn an_origin_behind_tls_is_told_so_each_time() {
        let headers = [("host", "a.test"), ("x-forwarded-proto", "https")];
        let field = |(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        let asker = Asker::new(&headers.map(field).into_iter().collect(), "/v".to_owned());
        let stored = asker.request();
        let told = ("x-forwarded-proto".to_owned(), "https".to_owned());
        assert_eq!(stored.fields, [told]);
        let again = Asker::told(&stored, &Selecting::default()).unwrap();
        assert_eq!(again.request(), stored);
    }
}
