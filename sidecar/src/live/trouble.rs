//! What went wrong at the origin, or on the way to it, since its last byte, and when it may be asked
//! again. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first failure; it doubles with each.
const BACK_OFF: Duration = Duration::from_millis(200);

/// And is never longer than this, unless the origin asks for more.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// The longest pause for want of a descriptor, of which somebody lets go in a moment.
const LACK_MAX: Duration = Duration::from_secs(1);

/// The state of things at one entity's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Failures in a row.
    failures: u32,
    /// Times in a row that it could not be asked.
    lacks: u32,
    /// Nobody asks before this.
    pub retry_at: Option<Instant>,
}

impl Trouble {
    /// A transfer failed; the origin may have said how long to wait (RFC 9110 section 10.2.3).
    pub fn failed(&mut self, retry_after: Option<Duration>, now: Instant) {
        let pause = doubled(self.failures, BACK_OFF_MAX).max(retry_after.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.pause(now + pause);
    }

    /// It could not be asked, for want of a descriptor: that says nothing of the origin.
    pub fn lacked(&mut self, now: Instant) {
        let pause = doubled(self.lacks, LACK_MAX);
        self.lacks = self.lacks.saturating_add(1);
        self.pause(now + pause);
    }

    /// What was asked for before is kept to.
    fn pause(&mut self, until: Instant) {
        self.retry_at = self.retry_at.max(Some(until));
    }

    /// Whether nobody asks for longer than a viewer waits for a byte.
    pub fn outlasts(&self, now: Instant, patience: Duration) -> bool {
        self.retry_at.is_some_and(|at| now + patience <= at)
    }

    /// A byte has come.
    pub fn over(&mut self) {
        *self = Self::default();
    }
}

/// The pause after so many before it.
fn doubled(times: u32, most: Duration) -> Duration {
    (BACK_OFF * 2u32.pow(times.min(8))).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_no_failure_and_shortens_no_pause() {
        let now = Instant::now();
        let mut trouble = Trouble::default();
        for pause in [BACK_OFF, 2 * BACK_OFF, 4 * BACK_OFF, LACK_MAX, LACK_MAX] {
            trouble.lacked(now);
            assert_eq!(trouble.retry_at, Some(now + pause));
        }
        trouble.failed(Some(Duration::from_secs(20)), now);
        trouble.failed(None, now);
        trouble.lacked(now);
        assert_eq!(trouble.retry_at, Some(now + Duration::from_secs(20)));
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_end_with_a_byte() {
        let now = Instant::now();
        let mut trouble = Trouble::default();
        let pause = |trouble: &Trouble| trouble.retry_at.unwrap() - now;
        trouble.failed(None, now);
        assert_eq!(pause(&trouble), BACK_OFF);
        trouble.failed(None, now);
        assert_eq!(pause(&trouble), 2 * BACK_OFF);
        for _ in 0..50 {
            trouble.failed(None, now);
        }
        assert_eq!(pause(&trouble), BACK_OFF_MAX);
        trouble.failed(Some(Duration::from_secs(20)), now);
        assert_eq!(pause(&trouble), Duration::from_secs(20));
        trouble.over();
        assert_eq!(trouble.retry_at, None);
    }
}
