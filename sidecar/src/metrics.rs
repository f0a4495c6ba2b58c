//! Counters of the sidecar, as Prometheus reads them at `/metrics`.

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

type Labels = [(&'static str, &'static str); 1];

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Answers to `decide`, by decision.
    pub decisions: Family<Labels, Counter>,
    /// Answers to routed requests, by outcome.
    pub served: Family<Labels, Counter>,
    /// Bytes sent to viewers from the store.
    pub cache_bytes: Counter,
    /// Bytes that came from the origin: mirrored or fetched.
    pub origin_bytes: Counter,
    /// Bytes written to segment files.
    pub stored_bytes: Counter,
    /// Bytes not stored, by reason.
    pub refused: Family<Labels, Counter>,
    /// Stored pieces that were damaged and read again from the origin.
    pub healed: Counter,
    /// Stored pieces that differ from what arrived for them later.
    pub conflicts: Counter,
    /// Requests to the origin of our own, by result.
    pub fetches: Family<Labels, Counter>,
    /// Entities found worth keeping, by reason.
    pub admissions: Family<Labels, Counter>,
    /// Files that imports have looked at, by result.
    pub imports: Family<Labels, Counter>,
    /// Answers of the resolver, by result.
    pub resolved: Family<Labels, Counter>,
    /// Segments removed, by reason.
    pub evictions: Family<Labels, Counter>,
    /// Responses not stored, by reason.
    pub declines: Family<Labels, Counter>,
    /// Entities worth completing that are not completed, by reason.
    pub withheld: Family<Labels, Counter>,
    /// Requests that a port has not let in, by reason.
    pub denied: Family<Labels, Counter>,
    /// Changes of the file of tokens, by whether it could be used.
    pub token_reads: Family<Labels, Counter>,
    /// Responses cut because the origin could not give the rest.
    pub cuts: Counter,
    /// Messages of filters whose protocol version is not understood.
    pub foreign: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("viewcache");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let cache_bytes = counter("cache_bytes", "Bytes sent to viewers from the store");
        let origin_bytes = counter("origin_bytes", "Bytes that came from the origin");
        let stored_bytes = counter("stored_bytes", "Bytes written to segment files");
        let healed = counter("healed", "Damaged pieces read again from the origin");
        let conflicts = counter(
            "conflicts",
            "Stored pieces that differ from what arrived for them later",
        );
        let cuts = counter(
            "cuts",
            "Responses cut because the origin could not give the rest",
        );
        let foreign = counter(
            "foreign_messages",
            "Messages of filters whose protocol version is not understood",
        );
        let mut family = |name: &str, help: &str| {
            let family = Family::<Labels, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let decisions = family("decisions", "Answers to decide callouts");
        let served = family("served", "Answers to routed requests");
        let refused = family("refused_bytes", "Bytes not stored");
        let fetches = family("fetches", "Requests to the origin");
        let evictions = family("evictions", "Segments removed");
        let declines = family("declines", "Responses not stored");
        let withheld = family("not_completed", "Entities worth completing that are not");
        let resolved = family("resolved", "Answers of the resolver");
        let imports = family("imports", "Files that imports have looked at");
        let admissions = family("admissions", "Entities found worth keeping");
        let denied = family("denied_requests", "Requests that were not let in");
        let token_reads = family("token_reads", "Changes of the file of tokens");
        Self {
            registry: Arc::new(registry),
            decisions,
            served,
            cache_bytes,
            origin_bytes,
            stored_bytes,
            refused,
            healed,
            conflicts,
            fetches,
            admissions,
            imports,
            resolved,
            evictions,
            declines,
            withheld,
            denied,
            token_reads,
            cuts,
            foreign,
        }
    }
}

impl Metrics {
    /// The exposition text (OpenMetrics 1.0).
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
