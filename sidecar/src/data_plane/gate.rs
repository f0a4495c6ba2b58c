//! Lets only those in who show the secret, when there is one: Envoy does. Whoever else reaches the
//! data port could store bytes of his own under anybody's name.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{HeaderMap, Request, StatusCode};
use viewcache_protocol::{Secret, header};
use warp::reply::Response;

use super::{plain, value};
use crate::metrics::{Denied, Metrics};
use crate::throttle::Throttle;

/// Where Envoy's health checks ask. They cannot show the secret, and any answer will do for them.
const HEALTH: &str = "/healthz";

/// The gate.
#[derive(Debug)]
pub(super) struct Gate {
    secret: Option<Secret>,
    metrics: Arc<Metrics>,
    warnings: Throttle,
}

impl Gate {
    pub(super) fn new(secret: Option<Secret>, metrics: Arc<Metrics>) -> Self {
        Self {
            secret,
            metrics,
            warnings: Throttle::default(),
        }
    }

    /// The answer to whom is not let in. It hands back: a viewer whose request Envoy routes here
    /// with another secret gets the origin's.
    pub(super) fn guard(&self, request: &Request<Incoming>) -> Option<Response> {
        if opens(self.secret.as_ref(), request.headers()) {
            return None;
        }
        let path = request.uri().path();
        if path != HEALTH {
            self.metrics.denied.inc(Denied::Secret);
            if let Some(kept) = self.warnings.pass() {
                tracing::warn!(path, kept, "data port: secret missing or wrong");
            }
        }
        let message = format!("{}: missing or wrong", header::SECRET);
        let mut response = plain(StatusCode::FORBIDDEN, message);
        let headers = response.headers_mut();
        headers.insert(header::HANDBACK, value(Denied::Secret.as_str()));
        Some(response)
    }
}

/// Whether a request shows the secret, once, or there is none to show.
fn opens(secret: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(secret) = secret else { return true };
    let mut shown = headers.get_all(header::SECRET).iter();
    match (shown.next(), shown.next()) {
        (Some(shown), None) => secret.is(shown.as_bytes()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_opens() {
        let check = |secret: Option<&str>, shown: &[&str], expect: bool| {
            let secret = secret.map(|secret| secret.parse::<Secret>().unwrap());
            let mut headers = HeaderMap::new();
            for shown in shown {
                headers.append(header::SECRET, shown.parse().unwrap());
            }
            assert_eq!(opens(secret.as_ref(), &headers), expect, "{shown:?}");
        };
        let (right, wrong) = ("hush-hush-hush-hush", "hush-hush-hush-hus");
        check(None, &[], true);
        check(None, &[wrong], true);
        check(Some(right), &[right], true);
        check(Some(right), &[], false);
        check(Some(right), &[""], false);
        check(Some(right), &["-"], false);
        check(Some(right), &[wrong], false);
        check(Some(right), &[right, right], false);
        check(Some(right), &[wrong, right], false);
    }
}
