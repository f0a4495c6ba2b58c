//! A limit in bytes per second that several transfers share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What was not taken in this time cannot be made up for.
const BURST: Duration = Duration::from_millis(100);

/// The limit, and until when it is used up.
#[derive(Debug)]
pub struct Rate {
    /// 0 is no limit.
    bytes_per_second: AtomicU64,
    used_until: Mutex<Instant>,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            bytes_per_second: AtomicU64::new(0),
            used_until: Mutex::new(Instant::now()),
        }
    }
}

impl Rate {
    /// From now on so many bytes per second; 0 is no limit.
    pub fn set(&self, bytes_per_second: u64) {
        self.bytes_per_second
            .store(bytes_per_second, Ordering::Relaxed);
    }

    /// Waits until so many bytes may be taken.
    pub async fn take(&self, bytes: u64) {
        if let Some(until) = self.book(bytes, Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }

    /// When so many bytes may be taken; `None` is at once.
    fn book(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let limit = self.bytes_per_second.load(Ordering::Relaxed);
        if limit == 0 {
            return None;
        }
        let millis = bytes.saturating_mul(1000) / limit;
        let mut used_until = self
            .used_until
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let from = used_until.max(now.checked_sub(BURST).unwrap_or(now));
        *used_until = from + Duration::from_millis(millis);
        Some(*used_until).filter(|&until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_waited_for() {
        let rate = Rate::default();
        let now = Instant::now() + Duration::from_secs(1);
        assert_eq!(rate.book(1 << 30, now), None);
        rate.set(1000);
        // The burst is at once.
        assert_eq!(rate.book(100, now), None);
        assert_eq!(rate.book(500, now), Some(now + Duration::from_millis(500)));
        assert_eq!(rate.book(500, now), Some(now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(10);
        assert_eq!(rate.book(100, later), None);
        assert_eq!(rate.book(1000, later), Some(later + Duration::from_secs(1)));
    }
}
