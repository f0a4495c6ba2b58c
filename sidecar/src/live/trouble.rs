//! What went wrong at the origin since its last byte, and when it may be asked again. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first failure; it doubles with each.
const BACK_OFF: Duration = Duration::from_millis(200);

/// And is never longer than this, unless the origin asks for more.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// The state of things at one entity's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Failures in a row.
    failures: u32,
    /// Nobody asks before this.
    pub retry_at: Option<Instant>,
}

impl Trouble {
    /// A transfer failed; the origin may have said how long to wait (RFC 9110 section 10.2.3).
    pub fn failed(&mut self, retry_after: Option<Duration>, now: Instant) {
        let back_off = BACK_OFF * 2u32.pow(self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        let pause = back_off
            .min(BACK_OFF_MAX)
            .max(retry_after.unwrap_or_default());
        self.retry_at = Some(now + pause);
    }

    /// A transfer could not begin for want of something here: that is over in a moment, and no
    /// failure of the origin.
    pub fn lacked(&mut self, now: Instant) {
        self.retry_at = Some(now + BACK_OFF);
    }

    /// A byte has come.
    pub fn over(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_here_is_asked_for_again_soon() {
        let now = Instant::now();
        let mut trouble = Trouble::default();
        for _ in 0..50 {
            trouble.lacked(now);
            assert_eq!(trouble.retry_at, Some(now + BACK_OFF));
        }
        trouble.failed(None, now);
        assert_eq!(trouble.retry_at, Some(now + BACK_OFF));
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
