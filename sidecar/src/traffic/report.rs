//! What was counted, as it is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Counts;

/// Counts with what follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Counts")]
pub struct Report {
    /// All requests that the cache was asked for.
    pub requests: u64,
    /// Those answered from the store alone.
    pub hits: u64,
    /// Those answered in part from the origin.
    pub partials: u64,
    /// Those that the origin answered.
    pub misses: u64,
    /// Hits of all requests; null without any.
    pub hit_ratio: Option<f64>,
    /// Bytes sent to viewers from the store.
    pub bytes_from_cache: u64,
    /// Bytes sent to viewers, as far as they passed through here.
    pub bytes_to_viewers: u64,
    /// Bytes that came from the origin.
    pub bytes_from_origin: u64,
    /// Bytes from the store of all that were sent; null without any.
    pub byte_hit_ratio: Option<f64>,
    /// What the origin did not send because of the cache; negative when more was fetched than was
    /// watched.
    pub origin_bytes_saved: i64,
}

impl From<Counts> for Report {
    fn from(counts: Counts) -> Self {
        let requests = counts.hits.saturating_add(counts.partials);
        let requests = requests.saturating_add(counts.misses);
        let ratio = |part: u64, of: u64| (0 < of).then(|| part as f64 / of as f64);
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Self {
            requests,
            hits: counts.hits,
            partials: counts.partials,
            misses: counts.misses,
            hit_ratio: ratio(counts.hits, requests),
            bytes_from_cache: counts.from_cache,
            bytes_to_viewers: counts.to_viewers,
            bytes_from_origin: counts.from_origin,
            byte_hit_ratio: ratio(counts.from_cache, counts.to_viewers),
            origin_bytes_saved: signed(counts.to_viewers) - signed(counts.from_origin),
        }
    }
}

impl From<&Report> for Counts {
    fn from(report: &Report) -> Self {
        Self {
            hits: report.hits,
            partials: report.partials,
            misses: report.misses,
            from_cache: report.bytes_from_cache,
            to_viewers: report.bytes_to_viewers,
            from_origin: report.bytes_from_origin,
        }
    }
}

impl Report {
    /// This and what another node counted in the same time.
    fn with(&self, more: &Self) -> Self {
        let mut counts = Counts::from(self);
        counts.add(&more.into());
        counts.into()
    }
}

/// Reports over several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Windows")]
pub struct WindowReports {
    /// The last 60 seconds.
    pub minute: Report,
    /// The last 60 minutes.
    pub hour: Report,
    /// The last 24 hours.
    pub day: Report,
    /// Since the process began.
    pub total: Report,
}

impl WindowReports {
    /// These and those of another node.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        Self {
            minute: self.minute.with(&more.minute),
            hour: self.hour.with(&more.hour),
            day: self.day.with(&more.day),
            total: self.total.with(&more.total),
        }
    }
}

/// Bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Throughput {
    /// Sent to viewers from the store.
    pub from_cache: u64,
    /// Come from the origin.
    pub from_origin: u64,
    /// Sent to viewers.
    pub to_viewers: u64,
}
