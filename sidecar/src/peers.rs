//! Asks the management ports of the other cache nodes how they are. It is the one thing beside the
//! resolver that is asked elsewhere than at Envoy's egress listener: only the addresses that are
//! configured, only for `/v1/stats`, and wherever an answer points to, nobody follows.

mod sum;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::PeersTerms;
use crate::error::cause;
use crate::service::Stats;
pub use sum::sum;

/// The longest answer that is read: 256 channels and all profiles take less than a third of it.
const MAX_ANSWER: usize = 1 << 20;

/// So many rounds of questions are under way at once; others wait. Whoever asks one node must not
/// have all of them flooded.
const ROUNDS: usize = 4;

/// What a node tells of itself.
const PATH: &str = "/v1/stats";

/// Why a node's figures are not there.
#[derive(Debug, Error)]
enum PeerError {
    #[error("no answer in {0:?}")]
    Late(Duration),
    #[error("not reached: {0}")]
    Unreachable(String),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("its answer is longer than {MAX_ANSWER} bytes")]
    Long,
    #[error("its answer is cut: {0}")]
    Cut(String),
    #[error("its statistics are not understood: {0}")]
    Malformed(String),
}

/// Another node, as it was reached just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// Where its management port is.
    #[schemars(example = &"http://10.0.0.6:7070")]
    pub address: String,
    /// Whether it has told its statistics.
    pub reachable: bool,
    /// Why it has not; null when it has.
    pub error: Option<String>,
    /// Whether it is the node that was asked, which may be among its own peers.
    pub itself: bool,
    /// Its version; null when it is not reachable.
    pub version: Option<String>,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
}

/// What came of asking a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// How it was reached.
    pub peer: Peer,
    /// What it has told.
    pub stats: Option<Stats>,
}

/// The other nodes.
#[derive(Debug)]
pub struct Peers {
    addresses: Vec<String>,
    timeout: Duration,
    token: Option<HeaderValue>,
    client: Client<HttpConnector, Empty<Bytes>>,
    rounds: Semaphore,
}

impl Peers {
    /// Those that are configured; nobody is asked yet.
    pub fn new(terms: &PeersTerms) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(1)
            .build(connector);
        Self {
            addresses: terms.addresses.clone(),
            timeout: terms.timeout,
            token: terms.token.as_ref().and_then(|token| {
                let mut value =
                    HeaderValue::from_str(&format!("Bearer {}", token.reveal())).ok()?;
                value.set_sensitive(true);
                Some(value)
            }),
            client,
            rounds: Semaphore::new(ROUNDS),
        }
    }

    /// Asks all of them at once, and waits for each as long as is configured. `instance` is this
    /// node's own.
    pub async fn ask(&self, instance: &str) -> Vec<Answer> {
        // An error would mean that it is closed, which it never is.
        let _round = self.rounds.acquire().await;
        join_all(
            self.addresses
                .iter()
                .map(|address| self.one(address, instance)),
        )
        .await
    }

    async fn one(&self, address: &str, instance: &str) -> Answer {
        let begun = Instant::now();
        let told = tokio::time::timeout(self.timeout, self.fetch(address)).await;
        let told = told.unwrap_or(Err(PeerError::Late(self.timeout)));
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let error = told.as_ref().err().map(ToString::to_string);
        let stats = told.ok();
        Answer {
            peer: Peer {
                address: address.to_owned(),
                reachable: stats.is_some(),
                error,
                itself: stats
                    .as_ref()
                    .is_some_and(|stats| stats.instance == instance),
                version: stats.as_ref().map(|stats| stats.version.clone()),
                took_ms,
            },
            stats,
        }
    }

    async fn fetch(&self, address: &str) -> Result<Stats, PeerError> {
        let unreachable =
            |error: &(dyn Error + 'static)| PeerError::Unreachable(cause(error).to_string());
        let mut request = Request::get(format!("{address}{PATH}"));
        request = request.header(ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Empty::new());
        let request = request.map_err(|error| unreachable(&error))?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| unreachable(&error))?;
        // A redirection is an answer like every other that is not the statistics.
        if response.status() != StatusCode::OK {
            return Err(PeerError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => PeerError::Long,
            false => PeerError::Cut(cause(&*error).to_string()),
        })?;
        let read = serde_json::from_slice(&body.to_bytes());
        read.map_err(|error| PeerError::Malformed(error.to_string().chars().take(200).collect()))
    }
}
