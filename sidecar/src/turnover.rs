//! How fast what only one viewer has asked for may take the place of what is stored. Pure.

use std::time::Duration;

const DAY: f64 = 24.0 * 60.0 * 60.0;

/// So much of a day's bytes is saved up at the most.
const SAVED: f64 = 0.1;

/// What may still be written: it grows with time up to a bound, and may be overdrawn by those who
/// have begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turnover {
    /// Bytes; less than nothing when overdrawn.
    left: f64,
    /// Until when it has grown; `None` before it was first looked at, when it is full.
    at: Option<Duration>,
}

impl Turnover {
    /// Takes `bytes` at a time that is counted from any fixed moment. False, and nothing is taken,
    /// when there is nothing left; whoever is `committed`, having begun before, may overdraw as much
    /// as can be saved up.
    ///
    /// In a day `per_day` bytes come back, of which a tenth is saved up at the most.
    pub fn take(&mut self, bytes: u64, committed: bool, per_day: u64, now: Duration) -> bool {
        let per_day = per_day as f64;
        let most = per_day * SAVED;
        let grown = self.at.map_or(most, |at| {
            now.saturating_sub(at).as_secs_f64() / DAY * per_day
        });
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        self.left = (self.left + grown).min(most);
        let least = if committed { -most } else { 0.0 };
        let allowed = least < self.left;
        if allowed {
            self.left -= bytes as f64;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_is_used_up_comes_back_with_time_and_is_not_hoarded() {
        let mut turnover = Turnover::default();
        // Ten bytes an hour, 24 of them saved up.
        let mut take = |bytes, committed, now| turnover.take(bytes, committed, 240, now);
        assert!(take(24, false, HOUR));
        assert!(!take(1, false, HOUR));
        assert!(take(23, true, HOUR) && take(7, true, HOUR));
        assert!(!take(1, true, HOUR));
        // Three hours make up for what was overdrawn.
        assert!(!take(1, false, 4 * HOUR));
        assert!(take(1, false, 5 * HOUR));
        assert!(take(24, false, 500 * HOUR));
        assert!(!take(1, false, 500 * HOUR));
        // A clock that goes back gives nothing.
        assert!(!take(1, false, HOUR));
        assert!(!take(1, false, 500 * HOUR));
    }
}
