//! The management port's guard: it judges every request before any route is looked at, so that no
//! route can forget to ask.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Request};
use warp::reply::Response;

use super::problem::Problem;
use crate::access::{Denial, Head, Hosts, Tokens, judge};
use crate::config::TokensFile;
use crate::metrics::{Metrics, TokensRead};
use crate::throttle::Throttle;

/// How often it is looked whether the file of the tokens says something else.
const REREAD_EVERY: Duration = Duration::from_secs(1);

/// What every answer says to a browser: to take it for nothing but what it says it is, and to give
/// it to no other site's page, nor show it inside of one.
const GUARDED: [(HeaderName, &str); 3] = [
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (HeaderName::from_static("x-frame-options"), "DENY"),
];

/// Who is let in.
#[derive(Debug)]
pub(crate) struct Access {
    hosts: Hosts,
    /// Replaced as a whole, so that a request is judged by the old ones or the new ones.
    tokens: RwLock<Arc<Tokens>>,
    metrics: Arc<Metrics>,
    warnings: Throttle,
}

impl Access {
    pub(crate) fn new(hosts: Hosts, tokens: Tokens, metrics: Arc<Metrics>) -> Self {
        Self {
            hosts,
            tokens: RwLock::new(Arc::new(tokens)),
            metrics,
            warnings: Throttle::default(),
        }
    }

    /// The answer to whom is not let in.
    pub(super) fn guard(&self, request: &Request<Incoming>) -> Option<Response> {
        let head = Head {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            body: !request.body().is_end_stream(),
        };
        let denial = judge(head, &self.hosts, &self.tokens()).err()?;
        self.note(request, &denial);
        Some(answer(&denial))
    }

    fn note(&self, request: &Request<Incoming>, denial: &Denial) {
        self.metrics.denied.inc(denial.counted());
        // Of a page that asks for the token the first requests have none; all else is worth a line.
        if *denial != Denial::NoToken
            && let Some(kept) = self.warnings.pass()
        {
            let (method, path) = (request.method(), request.uri().path());
            tracing::warn!(%method, path, %denial, kept, "management: not let in");
        }
    }

    fn tokens(&self) -> Arc<Tokens> {
        let tokens = self.tokens.read();
        Arc::clone(&tokens.unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the file of the tokens, for ever. What cannot be used changes nothing: an empty or
    /// half-written file neither opens the port nor locks everybody out.
    pub(crate) async fn follow(self: Arc<Self>, file: TokensFile, others: Tokens) {
        let mut tick = tokio::time::interval(REREAD_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut complained = None;
        loop {
            tick.tick().await;
            let file = file.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || file.read()).await else {
                continue;
            };
            match read {
                Ok((tokens, _)) => {
                    complained = None;
                    self.replace(tokens.with(&others));
                }
                Err(error) => {
                    let error = error.to_string();
                    if complained.as_ref() != Some(&error) {
                        self.metrics.token_reads.inc(TokensRead::Unusable);
                        tracing::error!(error, "the tokens from before are kept");
                        complained = Some(error);
                    }
                }
            }
        }
    }

    fn replace(&self, tokens: Tokens) {
        if *self.tokens() == tokens {
            return;
        }
        tracing::info!(count = tokens.len(), "tokens_file: read again");
        let current = self.tokens.write();
        *current.unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
        self.metrics.token_reads.inc(TokensRead::Used);
    }
}

/// What every answer has in its head.
pub(super) fn guarded() -> HeaderMap {
    GUARDED
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .collect()
}

fn answer(denial: &Denial) -> Response {
    let (field, value) = denial.field();
    let problem = Problem::new(denial.status(), denial.to_string()).of(field, value);
    let mut response = problem.into_response();
    let headers = response.headers_mut();
    headers.extend(guarded());
    if let Some(challenge) = denial.challenge() {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}
