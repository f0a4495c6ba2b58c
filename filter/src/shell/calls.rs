//! The callouts: which cluster they go to and what becomes of one that cannot be sent.

use std::time::Duration;

use log::{debug, warn};
use proxy_wasm::types::Status;
use serde::Serialize;
use viewcache_protocol::header;
use viewcache_protocol::message::{DECIDE_PATH, DecideRequest};
use viewcache_protocol::version::Sent;

use super::{Call, Stream, host};
use crate::callout::Failure;
use crate::exchange::Event;

impl Stream {
    pub(super) fn decide(&mut self, request: &DecideRequest) -> Option<Event<'static>> {
        let node = request.wanted.key.node().to_string();
        let (cluster, timeout) = (&self.config.decide_cluster, self.config.decide_timeout);
        let failure = match serde_json::to_vec(&Sent::new(request)) {
            Ok(body) => {
                match self.post(cluster, DECIDE_PATH, &node, &[host::JSON], &body, timeout) {
                    Ok(token) => {
                        self.calls.insert(token, Call::Decide);
                        return None;
                    }
                    Err(Status::BadArgument) => {
                        warn!("decide_cluster: Envoy knows no cluster {cluster:?}");
                        Failure::Misconfigured
                    }
                    Err(_) => Failure::Unreachable,
                }
            }
            Err(_) => Failure::Unreadable,
        };
        Some(Event::Decided(Err(failure)))
    }

    /// Posts a message of the mirror protocol that has a JSON body. It is small and must not be
    /// lost to the breakers that bound the memory of chunks, so it goes where decisions go.
    pub(super) fn tell(&self, path: &str, node: &str, message: &impl Serialize) -> Option<u32> {
        let body = serde_json::to_vec(&Sent::new(message)).ok()?;
        let cluster = &self.config.decide_cluster;
        self.send_on(cluster, path, node, &[host::JSON], &body)
    }

    pub(super) fn ingest(
        &self,
        path: &str,
        node: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<u32> {
        let cluster = &self.config.ingest_cluster;
        self.send_on(cluster, path, node, headers, body)
    }

    fn send_on(
        &self,
        cluster: &str,
        path: &str,
        node: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<u32> {
        let timeout = self.config.ingest_timeout;
        let sent = self.post(cluster, path, node, headers, body, timeout);
        sent.inspect_err(|status| debug!("{path} not sent: {status:?}"))
            .ok()
    }

    /// Every callout goes through here, and shows the secret.
    fn post(
        &self,
        cluster: &str,
        path: &str,
        node: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<u32, Status> {
        let secret = self.config.secret.as_ref();
        let secret = secret.map(|secret| (header::SECRET, secret.reveal()));
        let headers: Vec<_> = headers.iter().copied().chain(secret).collect();
        host::post(cluster, path, node, &headers, body, timeout)
    }
}
