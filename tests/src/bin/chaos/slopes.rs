//! Whether something grows: least squares over the last three quarters. Pure.

use std::time::Duration;

/// One look at everything that could grow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Look {
    /// The requests answered until then.
    pub(crate) requests: u64,
    /// One value for each of what is looked at.
    pub(crate) values: Vec<u64>,
}

/// How one of them went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Growth {
    /// Its means in the four quarters.
    pub(crate) quarters: [f64; 4],
    /// What is added to the mean with each million of requests, as a part of it.
    pub(crate) per_million: f64,
    /// The standard error of that.
    pub(crate) error: f64,
}

/// Looks that follow each other are alike: so the line is drawn through the means of so many
/// stretches, which are less so, and its error is told by those.
const STRETCHES: usize = 12;

/// The growth of one of the values over the last three quarters of the looks.
pub(crate) fn growth(looks: &[Look], index: usize) -> Growth {
    let tail = &looks[looks.len() / 4..];
    let value = |look: &Look| Some((look.requests as f64, *look.values.get(index)? as f64));
    let points: Vec<(f64, f64)> = tail.iter().filter_map(value).collect();
    let size = points.len().div_ceil(STRETCHES).max(1);
    let middle = |stretch: &[(f64, f64)]| {
        let x = mean(stretch.iter().map(|(x, _)| *x));
        (x, mean(stretch.iter().map(|(_, y)| *y)))
    };
    let stretches: Vec<_> = points.chunks(size).map(middle).collect();
    let mean = mean(points.iter().map(|(_, value)| *value));
    let (slope, error) = line(&stretches);
    let part = |slope: f64| if mean == 0.0 { 0.0 } else { slope * 1e6 / mean };
    let quarter = |quarter: usize| {
        let (from, to) = (looks.len() * quarter / 4, looks.len() * (quarter + 1) / 4);
        let values: Vec<_> = looks[from..to].iter().filter_map(value).collect();
        self::mean(values.iter().map(|(_, value)| *value))
    };
    Growth {
        quarters: [0, 1, 2, 3].map(quarter),
        per_million: part(slope),
        error: part(error),
    }
}

/// The slope of the line that fits best, and its standard error.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let middle = mean(points.iter().map(|(x, _)| *x));
    let level = mean(points.iter().map(|(_, y)| *y));
    let spread: f64 = points.iter().map(|(x, _)| (x - middle).powi(2)).sum();
    if spread == 0.0 || points.len() < 3 {
        return (0.0, 0.0);
    }
    let together = points.iter().map(|(x, y)| (x - middle) * (y - level));
    let slope = together.sum::<f64>() / spread;
    let off = |(x, y): &(f64, f64)| (y - level - slope * (x - middle)).powi(2);
    let rest: f64 = points.iter().map(off).sum();
    let error = (rest / (points.len() - 2) as f64 / spread).sqrt();
    (slope, error)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    if count == 0 {
        return 0.0;
    }
    values.sum::<f64>() / count as f64
}

/// The times of each quarter of the requests, sorted.
pub(crate) fn quarters(times: &[Duration]) -> Vec<Vec<Duration>> {
    let size = times.len().div_ceil(4).max(1);
    let sorted = |quarter: &[Duration]| {
        let mut quarter = quarter.to_vec();
        quarter.sort_unstable();
        quarter
    };
    times.chunks(size).map(sorted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(value: impl Fn(u64) -> u64) -> Vec<Look> {
        (0..100)
            .map(|step| Look {
                requests: step * 10_000,
                values: vec![0, value(step)],
            })
            .collect()
    }

    #[test]
    fn what_stays_does_not_grow() {
        let growth = growth(&looks(|_| 500), 1);
        let expected = Growth {
            quarters: [500.0; 4],
            per_million: 0.0,
            error: 0.0,
        };
        assert_eq!(growth, expected);
        assert_eq!(super::growth(&looks(|_| 500), 0).per_million, 0.0);
        assert_eq!(super::growth(&[], 0).quarters, [0.0; 4]);
    }

    #[test]
    fn what_wavers_has_an_error() {
        let wave = growth(&looks(|step| 1_000 + 100 * (step / 7 % 2)), 1);
        assert!(wave.per_million.abs() < 2.0 * wave.error, "{wave:?}");
        let rise = growth(&looks(|step| 1_000 + 10 * step + step % 2), 1);
        assert!(rise.error < rise.per_million / 10.0, "{rise:?}");
    }

    #[test]
    fn what_grows_is_measured_after_the_first_quarter() {
        // One more for each step, a hundred steps a million: but not at first.
        let late = looks(|step| 10_000 + step.max(25));
        let growth = growth(&late, 1);
        let mean = growth.quarters[1..].iter().sum::<f64>() / 3.0;
        let expected = 100.0 / mean;
        assert!((growth.per_million - expected).abs() < 1e-9, "{growth:?}");
        let early = looks(|step| 10_000 + step.min(25) * 1_000);
        assert_eq!(super::growth(&early, 1).per_million, 0.0);
    }

    #[test]
    fn quarters_are_of_the_requests() {
        let times: Vec<_> = (0..8).rev().map(Duration::from_millis).collect();
        let quarters = quarters(&times);
        assert_eq!(quarters.len(), 4);
        assert_eq!(
            quarters[0],
            [Duration::from_millis(6), Duration::from_millis(7)]
        );
        assert!(super::quarters(&[]).is_empty());
    }
}
