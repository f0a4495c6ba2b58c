//! Histograms of durations. The library's own takes a lock for each observation; these are
//! relaxed additions.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Label;

/// The upper bounds of the buckets in microseconds, for what should take less than a millisecond.
pub(super) const QUICK: &[u64] = &[
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 1_000_000,
];

/// For what a disk or a viewer waits for.
pub(super) const WAITED: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// For what goes on as long as somebody watches.
pub(super) const LONG: &[u64] = &[
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
];

/// One histogram.
#[derive(Clone, Debug)]
pub struct Durations {
    bounds: &'static [u64],
    /// How many fell into each bucket; the last one is for what is beyond all bounds.
    buckets: Arc<[AtomicU64]>,
    /// The sum of them all in nanoseconds, which is enough for five centuries.
    sum: Arc<AtomicU64>,
}

impl Durations {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        let buckets = 0..=bounds.len();
        Self {
            bounds,
            buckets: buckets.map(|_| AtomicU64::new(0)).collect(),
            sum: Arc::default(),
        }
    }

    /// It has taken so long.
    pub fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|&bound| bound * 1_000 < nanos);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    fn encode_with(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let counts = self.buckets.iter();
        let counts: Vec<u64> = counts.map(|count| count.load(Ordering::Relaxed)).collect();
        let bounds = self.bounds.iter().map(|&micros| micros as f64 / 1e6);
        // The encoder adds them up itself.
        let buckets: Vec<(f64, u64)> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        let count = buckets.iter().map(|&(_, count)| count).sum();
        let sum = self.sum.load(Ordering::Relaxed) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.encode_with(&mut encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// One for each value of a label.
#[derive(Clone, Debug)]
pub struct DurationsBy<L> {
    each: Vec<Durations>,
    label: PhantomData<L>,
}

impl<L: Label> DurationsBy<L> {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        let each = L::VARIANTS.iter().map(|_| Durations::new(bounds));
        Self {
            each: each.collect(),
            label: PhantomData,
        }
    }

    /// It has taken so long.
    pub fn observe(&self, label: L, duration: Duration) {
        let labelled = L::VARIANTS.iter().zip(&self.each);
        for (_, durations) in labelled.filter(|&(&of, _)| of == label) {
            durations.observe(duration);
        }
    }
}

impl<L: Label> EncodeMetric for DurationsBy<L> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (label, durations) in L::VARIANTS.iter().zip(&self.each) {
            let labels = [(L::NAME, label.value())];
            durations.encode_with(&mut encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
