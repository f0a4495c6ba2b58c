//! What is counted, timed and measured, as Prometheus reads it at `/metrics`.
//!
//! A request pays for it with relaxed additions: no lock, no allocation. Levels are looked at when
//! somebody asks.

mod counts;
mod durations;
mod exposition;
mod label;
mod levels;
mod process;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};
use viewcache_protocol::DeclineReason;

use crate::delivery::{Fetched, HandBack};
use crate::error::Refusal;
use crate::fills::Role;
use crate::imports::SkipReason;
use crate::policy::{Reason, Withheld};
use crate::service::Evicted;
use crate::store::{Damage, Fault, How};
pub use counts::Counts;
pub use durations::{Durations, DurationsBy};
use durations::{LONG, QUICK, WAITED};
pub use exposition::Exposition;
pub use label::{CameFrom, Decided, Denied, Label, Looked, Renewal, Served, TokensRead};
pub use levels::{By, Levels, Memory, Pool, Stage, Work};
use process::ProcessCollector;

/// What every name begins with.
const PREFIX: &str = "viewcache";

/// Everything that is counted and timed.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Answers to `decide`.
    pub decisions: Counts<Decided>,
    /// How long they took.
    pub decide: Durations,
    /// Answers to routed requests.
    pub served: Counts<Served>,
    /// How long they took to their first byte.
    pub first_byte: DurationsBy<Served>,
    /// Requests handed back to Envoy.
    pub handbacks: Counts<HandBack>,
    /// Bytes sent to viewers.
    pub viewer_bytes: Counts<CameFrom>,
    /// Bytes that came from the origin: mirrored or fetched.
    pub origin_bytes: Counter,
    /// Requests to the origin of our own.
    pub fetches: Counts<Fetched>,
    /// How long the origin took to begin its answer.
    pub origin_first_byte: DurationsBy<Role>,
    /// How long its answers lasted.
    pub origin: DurationsBy<Role>,
    /// How long bytes took from their arrival until they were stored.
    pub ingest: Durations,
    /// Bytes written to segment files.
    pub stored_bytes: Counter,
    /// Bytes not stored.
    pub refused: Counts<Refusal>,
    /// Stored pieces that were damaged and read again from the origin.
    pub healed: Counts<Damage>,
    /// Stored pieces that differ from what arrived for them later.
    pub conflicts: Counter,
    /// Work of the store that failed.
    pub store_failures: Counts<Fault>,
    /// Entities found worth keeping.
    pub admissions: Counts<Reason>,
    /// Files that imports have looked at.
    pub imports: Counts<Looked>,
    /// How the bytes of imported files are stored.
    pub imported: Counts<How>,
    /// Files that imports have left alone.
    pub import_skips: Counts<SkipReason>,
    /// Answers of the resolver.
    pub resolved: Counts<Renewal>,
    /// Segments removed to make room.
    pub evictions: Counts<Evicted>,
    /// What that gave back.
    pub evicted_bytes: Counts<Evicted>,
    /// Responses not stored.
    pub declines: Counts<DeclineReason>,
    /// Entities worth completing that are not completed.
    pub withheld: Counts<Withheld>,
    /// Requests that a port has not let in.
    pub denied: Counts<Denied>,
    /// Changes of the file of tokens.
    pub token_reads: Counts<TokensRead>,
    /// Responses cut because the origin could not give the rest.
    pub cuts: Counts<Fetched>,
    /// Messages of filters whose protocol version is not understood.
    pub foreign: Counter,
    /// Responses that wait for what another's transfer is to bring.
    followers: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The sidecar's version", version);
        let to = &mut registry;
        Self {
            decisions: add(
                to,
                "decisions",
                "Answers to decide callouts",
                Counts::default(),
            ),
            decide: add(
                to,
                "decide_duration_seconds",
                "Time from a decide callout's arrival to its answer",
                Durations::new(QUICK),
            ),
            served: add(
                to,
                "served",
                "Answers to routed requests",
                Counts::default(),
            ),
            first_byte: add(
                to,
                "serve_first_byte_seconds",
                "Time from a routed request's arrival to the first byte of its answer, or to its being handed back",
                DurationsBy::new(WAITED),
            ),
            handbacks: add(
                to,
                "handbacks",
                "Routed requests that were handed back to Envoy, which asks the origin",
                Counts::default(),
            ),
            viewer_bytes: add(
                to,
                "viewer_bytes",
                "Bytes that viewers were sent",
                Counts::default(),
            ),
            origin_bytes: add(
                to,
                "origin_bytes",
                "Bytes that came from the origin, mirrored or fetched",
                Counter::default(),
            ),
            fetches: add(
                to,
                "fetches",
                "Requests of the sidecar to the origin",
                Counts::default(),
            ),
            origin_first_byte: add(
                to,
                "origin_first_byte_seconds",
                "Time that the origin took to begin an answer, by whose transfer it was",
                DurationsBy::new(WAITED),
            ),
            origin: add(
                to,
                "origin_duration_seconds",
                "Time that transfers from the origin lasted, at their readers' pace",
                DurationsBy::new(LONG),
            ),
            ingest: add(
                to,
                "ingest_duration_seconds",
                "Time from the arrival of bytes until they were stored",
                Durations::new(WAITED),
            ),
            stored_bytes: add(
                to,
                "stored_bytes",
                "Bytes written to segment files",
                Counter::default(),
            ),
            refused: add(
                to,
                "refused_bytes",
                "Bytes that came and were not stored",
                Counts::default(),
            ),
            healed: add(
                to,
                "healed",
                "Stored pieces that were damaged and dropped, to be read again from the origin",
                Counts::default(),
            ),
            conflicts: add(
                to,
                "conflicts",
                "Stored pieces that differ from what arrived for them later",
                Counter::default(),
            ),
            store_failures: add(
                to,
                "store_failures",
                "Work of the store that failed",
                Counts::default(),
            ),
            admissions: add(
                to,
                "admissions",
                "Entities found worth keeping",
                Counts::default(),
            ),
            imports: add(
                to,
                "imports",
                "Files that imports have looked at",
                Counts::default(),
            ),
            imported: add(
                to,
                "imported_files",
                "Files imported, by how their bytes are stored",
                Counts::default(),
            ),
            import_skips: add(
                to,
                "import_skips",
                "Files that imports have left alone",
                Counts::default(),
            ),
            resolved: add(to, "resolved", "Answers of the resolver", Counts::default()),
            evictions: add(
                to,
                "evictions",
                "Segments removed to make room",
                Counts::default(),
            ),
            evicted_bytes: add(
                to,
                "evicted_bytes",
                "Disk that evicted segments gave back",
                Counts::default(),
            ),
            declines: add(
                to,
                "declines",
                "Responses of the origin that were not stored",
                Counts::default(),
            ),
            withheld: add(
                to,
                "not_completed",
                "Entities worth completing that are not",
                Counts::default(),
            ),
            denied: add(
                to,
                "denied_requests",
                "Requests that a port has not let in",
                Counts::default(),
            ),
            token_reads: add(
                to,
                "token_reads",
                "Changes of the file of tokens",
                Counts::default(),
            ),
            cuts: add(
                to,
                "cuts",
                "Responses cut because the origin did not give the rest",
                Counts::default(),
            ),
            foreign: add(
                to,
                "foreign_messages",
                "Messages of filters whose protocol version is not understood",
                Counter::default(),
            ),
            followers: add(
                to,
                "followers",
                "Responses that wait for what another transfer brings, or until the origin may be asked again",
                Gauge::default(),
            ),
            registry,
        }
    }
}

/// Registers a metric.
fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    register(registry, name, help, metric.clone());
    metric
}

/// Registers a metric; what its name ends in is its unit.
fn register(registry: &mut Registry, name: &str, help: &str, metric: impl Metric) {
    let units = [("_bytes", Unit::Bytes), ("_seconds", Unit::Seconds)];
    let unit = units.into_iter().find_map(|(suffix, unit)| {
        let name = name.strip_suffix(suffix)?;
        Some((name, unit))
    });
    match unit {
        Some((name, unit)) => registry.register_with_unit(name, help, unit, metric),
        None => registry.register(name, help, metric),
    }
}

/// Held by a response that waits for another's transfer.
#[derive(Debug)]
pub struct Follower(Gauge);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// One more response waits for another's transfer, until this is dropped.
    pub fn follow(&self) -> Follower {
        self.followers.inc();
        Follower(self.followers.clone())
    }

    /// All of it, with the levels of this moment. Reads files below `/proc`.
    pub fn text(&self, format: Exposition, levels: Levels) -> String {
        let mut gauges = Registry::with_prefix(PREFIX);
        levels.register(&mut gauges);
        let mut process = Registry::default();
        process.register_collector(Box::new(ProcessCollector));
        let mut text = String::new();
        for registry in [&self.registry, &gauges, &process] {
            // Writing to a String cannot fail.
            let _ = encode_registry(&mut text, registry);
        }
        let _ = encode_eof(&mut text);
        format.of(text)
    }
}

#[cfg(test)]
mod tests;
