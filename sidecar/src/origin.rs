//! Reads from the origin, always through Envoy's egress listener: TLS, DNS, balancing and retries
//! are Envoy's job.

mod asker;

use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, HOST, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, RANGE, RETRY_AFTER,
};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use thiserror::Error;
use tokio::time::Instant;
use viewcache_protocol::{Secret, Validator, header};

use crate::error::cause;
#[cfg(test)]
use crate::service::schedules::threads;
use crate::store::is_out_of_descriptors;
pub use asker::Asker;

/// Why the origin could not be read.
#[derive(Debug, Error)]
pub enum OriginError {
    /// The URL or a header field cannot be sent on.
    #[error("origin request: {0}")]
    Request(#[from] hyper::http::Error),
    /// No answer.
    #[error("origin: {}", cause(.0))]
    Unreachable(hyper_util::client::legacy::Error),
    /// Not asked: this process has no descriptor left for a connection.
    #[error("no descriptor to ask the origin with: {}", cause(.0))]
    NoDescriptor(hyper_util::client::legacy::Error),
    /// No head in time.
    #[error("origin: no response in time")]
    Late,
    /// No answer in a schedule of a test.
    #[cfg(test)]
    #[error("origin: {0}")]
    Scheduled(#[from] hyper::Error),
}

impl OriginError {
    /// A lack of descriptors is told apart: it says nothing of the origin. Of a name that cannot be
    /// looked up for want of one the system says something else, so it is tried.
    fn of(error: hyper_util::client::legacy::Error) -> Self {
        let told = cause(&error).downcast_ref::<io::Error>();
        let lacks = error.is_connect()
            && (told.is_some_and(is_out_of_descriptors)
                || File::open("/dev/null").is_err_and(|error| is_out_of_descriptors(&error)));
        match lacks {
            true => Self::NoDescriptor(error),
            false => Self::Unreachable(error),
        }
    }
}

/// Under which condition the origin is asked for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under<'a> {
    /// Under none.
    Nothing,
    /// For the range when this is the entity still, and for the whole of another
    /// (RFC 9110 section 13.1.5).
    Same(&'a Validator),
    /// Only when this is not the entity any more; else a 304 says so
    /// (RFC 9110 sections 13.1.2 and 13.1.3).
    Other(&'a Validator),
}

impl<'a> Under<'a> {
    const fn field(self) -> Option<(HeaderName, &'a Validator)> {
        match self {
            Self::Nothing => None,
            Self::Same(validator) => Some((IF_RANGE, validator)),
            Self::Other(validator @ Validator::Etag(_)) => Some((IF_NONE_MATCH, validator)),
            Self::Other(validator @ Validator::LastModified(_)) => {
                Some((IF_MODIFIED_SINCE, validator))
            }
        }
    }
}

/// The way to the origin.
#[derive(Clone, Debug)]
pub struct Origin {
    client: Client<HttpConnector, Empty<Bytes>>,
    egress: String,
    /// What the egress listener knows the sidecar by.
    secret: Option<HeaderValue>,
}

/// The lines of a field that are text.
pub fn lines(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok().map(str::to_owned))
        .collect()
}

/// An origin is left alone for no longer than this, whatever it asks for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How long a response asks to wait before the next request, in seconds or until a date
/// (RFC 9110 section 10.2.3): at most an hour.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = httpdate::parse_http_date(value).ok()?;
            until.duration_since(now).unwrap_or_default()
        }
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

impl Origin {
    /// `egress` is the base URL of Envoy's egress listener, such as `http://127.0.0.1:10001`, and
    /// `secret` what is shown to it.
    pub fn new(egress: &Uri, secret: Option<&Secret>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(1)));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        let authority = egress
            .authority()
            .map_or("", |authority| authority.as_str());
        Self {
            client,
            egress: format!("http://{authority}"),
            secret: secret.and_then(|secret| {
                let mut value = HeaderValue::from_str(secret.reveal()).ok()?;
                value.set_sensitive(true);
                Some(value)
            }),
        }
    }

    /// Asks for a range (a Range field's value) or the whole, and waits for the response's head
    /// until `deadline`.
    pub async fn fetch(
        &self,
        asker: &Asker,
        range: Option<&str>,
        under: Under<'_>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, OriginError> {
        let mut request = Request::get(format!("{}{}", self.egress, asker.path));
        if let Some(headers) = request.headers_mut() {
            headers.extend(asker.headers.clone());
            headers.extend(asker.selecting.clone());
            // What the viewer's request is called, so is what it makes us ask.
            let name = HeaderName::from_static(header::REQUEST_ID);
            headers.extend(asker.request_id.clone().map(|id| (name, id)));
        }
        request = request
            .header(HOST, &asker.authority)
            .header(ACCEPT_ENCODING, "identity");
        if let Some(secret) = &self.secret {
            request = request.header(header::SECRET, secret);
        }
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        if let Some((name, validator)) = under.field() {
            request = request.header(name, validator.as_str());
        }
        let request = request.body(Empty::new())?;
        #[cfg(test)]
        if let Some(scheduler) = threads::scheduler() {
            let answer = scheduler.egress(request);
            return match tokio::time::timeout_at(deadline, answer).await {
                Ok(answer) => Ok(answer?),
                Err(_) => Err(OriginError::Late),
            };
        }
        let answer = self.client.request(request);
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(answer) => answer.map_err(OriginError::of),
            Err(_) => Err(OriginError::Late),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let check = |value: &str, expect: Option<u64>| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
            let expect = expect.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), expect, "{value}");
        };
        check("5", Some(5));
        check("Sun, 06 Nov 1994 08:49:47 GMT", Some(10));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("soon", None);
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now()), None);
    }
}
