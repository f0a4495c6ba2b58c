//! What became of one request, as plain values.

use std::time::Duration;

/// The time since the program began.
pub(crate) type Moment = Duration;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
    /// The longest time without a byte: before the head, or in the body.
    pub(crate) silence: Duration,
    /// Whether all of the film was stored before the first fault.
    pub(crate) kept: bool,
    /// Whether Cache-Status says `hit`.
    pub(crate) hit: bool,
    pub(crate) outcome: Outcome,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every byte that was read is the origin's. The viewer may have left before the end.
    Right,
    /// Nobody listened.
    Refused,
    /// The connection ended before the response's head.
    Closed,
    /// Another status than 200 or 206.
    Status(u16),
    /// The connection ended in the body.
    Cut,
    /// No byte came for longer than a player waits.
    Silent,
    /// The right bytes under a Content-Range that was not asked for.
    Mislabeled(String),
    /// A byte that is not the origin's, or a length that is not.
    Wrong(String),
}

impl Outcome {
    /// Whether the viewer was told something false.
    pub(crate) const fn is_false(&self) -> bool {
        matches!(self, Self::Wrong(_) | Self::Mislabeled(_))
    }
}

/// A part of sorted values: 0.5 is the median. Zero when there is none.
pub(crate) fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let last = sorted.len().saturating_sub(1) as f64;
    let index = (last * part).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// A part of a whole; everything of nothing.
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let values: Vec<_> = (0..=100).map(Duration::from_millis).collect();
        let check = |part, ms| assert_eq!(quantile(&values, part), Duration::from_millis(ms));
        check(0.0, 0);
        check(0.5, 50);
        check(0.99, 99);
        check(1.0, 100);
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
        assert_eq!(quantile(&values[7..8], 0.99), values[7]);
    }

    #[test]
    fn ratios() {
        assert_eq!(ratio(1, 2), 0.5);
        assert_eq!(ratio(0, 0), 1.0);
    }
}
