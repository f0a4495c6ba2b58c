//! Counters, one for each value of a label. All of them are there from the start: a rate of what
//! has not happened yet is 0, not absent.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use super::Label;

/// The counters. Counting is a relaxed addition.
#[derive(Clone, Debug)]
pub struct Counts<L> {
    counts: Arc<[AtomicU64]>,
    label: PhantomData<L>,
}

impl<L: Label> Default for Counts<L> {
    fn default() -> Self {
        Self {
            counts: L::VARIANTS.iter().map(|_| AtomicU64::new(0)).collect(),
            label: PhantomData,
        }
    }
}

impl<L: Label> Counts<L> {
    /// Adds one.
    pub fn inc(&self, label: L) {
        self.add(label, 1);
    }

    /// Adds `n`.
    pub fn add(&self, label: L, n: u64) {
        let labelled = L::VARIANTS.iter().zip(&*self.counts);
        for (_, count) in labelled.filter(|&(&of, _)| of == label) {
            count.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// How often, or how much.
    pub fn get(&self, label: L) -> u64 {
        let mut labelled = L::VARIANTS.iter().zip(&*self.counts);
        let count = labelled.find(|&(&of, _)| of == label);
        count.map_or(0, |(_, count)| count.load(Ordering::Relaxed))
    }
}

impl<L: Label> EncodeMetric for Counts<L> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, u64>> = None;
        for &label in L::VARIANTS {
            encoder
                .encode_family(&[(L::NAME, label.value())])?
                .encode_counter(&self.get(label), NO_EXEMPLAR)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
