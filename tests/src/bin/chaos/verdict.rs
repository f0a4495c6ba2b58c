//! What the samples of one fault amount to, and whether that is within its limits. Pure.

use std::time::Duration;

use crate::sample::{Moment, Outcome, Sample, quantile, ratio};

/// The steps in which recovery is looked at.
const STEP: Duration = Duration::from_millis(500);
/// A step is good when the middle of its requests waits no longer than this beyond the baseline's
/// 95th percentile.
const TOLERANCE: Duration = Duration::from_millis(50);
/// The part of requests for kept films that must be hits again.
const BACK: f64 = 0.9;
/// A request that began so shortly after a process was killed may have met its last breath.
const BREATH: Duration = Duration::from_millis(100);

/// What is promised under a fault. Wrong bytes and failed requests are none, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// What it adds to the 99th percentile of the requests' longest silences.
    pub(crate) p99: Duration,
    /// What it adds to the longest of all.
    pub(crate) worst: Duration,
    /// The time from its end until hits and waits are as before.
    pub(crate) recovery: Duration,
}

/// What a fault may do to requests all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// Nothing.
    Nothing,
    /// Cut what a killed process was sending, or refuse what comes while it is away.
    Killed,
    /// Give a film that was not stored the origin's own failure, until so long after. Latencies are
    /// then those of the films that were.
    Origin(Duration),
}

/// When it happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) applied: Moment,
    pub(crate) lifted: Moment,
    pub(crate) end: Moment,
}

/// What was killed, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deaths {
    /// When a process was last known to be there, and first known to be gone.
    pub(crate) at: Vec<(Moment, Moment)>,
    /// From when until when viewers found nobody to connect to.
    pub(crate) away: Vec<(Moment, Moment)>,
}

impl Deaths {
    fn excuse(&self, sample: &Sample) -> bool {
        let died = |(there, gone): &(Moment, Moment)| {
            sample.began <= *gone + BREATH && *there <= sample.ended + BREATH
        };
        let away = |(from, to): &(Moment, Moment)| sample.began <= *to && *from <= sample.ended;
        match sample.outcome {
            Outcome::Cut | Outcome::Closed => {
                self.at.iter().any(died) || self.away.iter().any(away)
            }
            Outcome::Refused => self.away.iter().any(away),
            _ => false,
        }
    }
}

/// How it is without any fault.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Baseline {
    pub(crate) median: Duration,
    pub(crate) p95: Duration,
    pub(crate) p99: Duration,
    pub(crate) worst: Duration,
    pub(crate) hits: f64,
}

impl Baseline {
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let silences = silences(samples.iter());
        Self {
            median: quantile(&silences, 0.5),
            p95: quantile(&silences, 0.95),
            p99: quantile(&silences, 0.99),
            worst: quantile(&silences, 1.0),
            hits: hits(samples.iter()),
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) requests: usize,
    /// Those for which there is no excuse.
    pub(crate) failed: usize,
    pub(crate) excused: usize,
    pub(crate) wrong: usize,
    pub(crate) p99: Duration,
    pub(crate) worst: Duration,
    /// `None` when it did not come back while it was watched.
    pub(crate) recovery: Option<Duration>,
    /// The hits among the requests for kept films while it lasted.
    pub(crate) hits: f64,
    /// The request with the longest silence, in words.
    pub(crate) slowest: String,
    /// The first failures, in words.
    pub(crate) failures: Vec<String>,
}

/// What the samples amount to that ended while the fault was there or after.
pub(crate) fn judge(
    samples: &[Sample],
    span: Span,
    excuse: Excuse,
    deaths: &Deaths,
    baseline: Baseline,
) -> Figures {
    let mut figures = Figures::default();
    let during = |sample: &&Sample| span.applied <= sample.ended && sample.began < span.lifted;
    // How long the origin's failures are its own.
    let its_own = match excuse {
        Excuse::Origin(after) => Some(span.lifted + after),
        Excuse::Nothing | Excuse::Killed => None,
    };
    let counted = |sample: &&Sample| its_own.is_none() || sample.kept;
    let mut silent = Vec::new();
    for sample in samples {
        if sample.ended < span.applied || span.end < sample.ended {
            continue;
        }
        figures.requests += 1;
        // What follows a fault is its doing, too.
        silent.extend(Some(sample).filter(counted));
        if sample.outcome == Outcome::Right {
            continue;
        }
        let origins = its_own.is_some_and(|until| {
            // What the fault before has sent past the cache is the origin's, too.
            let passed_by = !sample.hit && sample.began < span.applied;
            (!sample.kept || passed_by) && sample.began < until
        });
        let excused = match sample.outcome {
            Outcome::Wrong(_) => false,
            Outcome::Mislabeled(_) => origins,
            _ => origins || excuse == Excuse::Killed && deaths.excuse(sample),
        };
        if excused {
            figures.excused += 1;
            continue;
        }
        if sample.outcome.is_false() {
            figures.wrong += 1;
        } else {
            figures.failed += 1;
        }
        if figures.failures.len() < 5 {
            figures.failures.push(describe(sample, span));
        }
    }
    let slowest = silent.iter().max_by_key(|sample| sample.silence);
    figures.slowest = slowest.map_or_else(String::new, |sample| describe(sample, span));
    let silent = silences(silent.into_iter());
    let added = |part, usual| quantile(&silent, part).saturating_sub(usual);
    figures.p99 = added(0.99, baseline.p99);
    figures.worst = added(1.0, baseline.worst);
    figures.hits = hits(samples.iter().filter(during));
    figures.recovery = recovery(samples, span, baseline);
    figures
}

/// What of it is beyond the limits, in words.
pub(crate) fn broken(figures: &Figures, limits: Limits) -> Vec<String> {
    let mut broken = Vec::new();
    let mut more = |what: &str, is: Duration, limit: Duration| {
        if limit < is {
            broken.push(format!("{what} {is:.1?}, limit {limit:.1?}"));
        }
    };
    more("p99 added", figures.p99, limits.p99);
    more("worst added", figures.worst, limits.worst);
    match figures.recovery {
        Some(recovery) => more("recovery", recovery, limits.recovery),
        None => broken.push("does not recover".to_owned()),
    }
    if figures.requests == 0 {
        broken.push("no requests".to_owned());
    }
    for (what, count) in [
        ("wrong bytes", figures.wrong),
        ("failed requests", figures.failed),
    ] {
        if 0 < count {
            broken.push(format!("{count} {what}: {}", figures.failures.join("; ")));
        }
    }
    broken
}

/// From the end of a fault until two steps one after the other are as good as before it.
pub(crate) fn recovery(samples: &[Sample], span: Span, baseline: Baseline) -> Option<Duration> {
    let good = |from: Moment| {
        let step: Vec<_> = samples
            .iter()
            .filter(|sample| {
                from <= sample.began && sample.began < from + STEP && sample.ended <= span.end
            })
            .filter(|sample| sample.kept)
            .collect();
        let silences = silences(step.iter().copied());
        let right = step.iter().all(|sample| sample.outcome == Outcome::Right);
        let back = BACK * baseline.hits <= hits(step.iter().copied());
        !step.is_empty() && right && back && quantile(&silences, 0.5) <= baseline.p95 + TOLERANCE
    };
    let steps = (span.end.saturating_sub(span.lifted)).div_duration_f64(STEP) as u32;
    (0..steps.saturating_sub(1))
        .find(|step| good(span.lifted + STEP * *step) && good(span.lifted + STEP * (step + 1)))
        .map(|step| STEP * step)
}

fn silences<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<Duration> {
    let mut silences: Vec<_> = samples.map(|sample| sample.silence).collect();
    silences.sort_unstable();
    silences
}

fn hits<'a>(samples: impl Iterator<Item = &'a Sample>) -> f64 {
    let kept: Vec<_> = samples.filter(|sample| sample.kept).collect();
    ratio(kept.iter().filter(|sample| sample.hit).count(), kept.len())
}

fn describe(sample: &Sample, span: Span) -> String {
    let after = sample.began.as_secs_f64() - span.applied.as_secs_f64();
    let lasted = (sample.ended - sample.began).as_secs_f64();
    let film = if sample.kept { "kept" } else { "new" };
    let Sample { outcome, hit, .. } = sample;
    format!("{outcome:?} ({film} film, hit {hit}, begun at {after:+.2} s, took {lasted:.2} s)")
}

#[cfg(test)]
mod tests;
