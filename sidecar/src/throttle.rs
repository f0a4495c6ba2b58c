//! Log lines that must not flood.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// How often a line passes at the most.
const EVERY: Duration = Duration::from_secs(10);

/// Lets one line pass every ten seconds.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    passed: Option<Instant>,
    kept: u64,
}

impl Throttle {
    /// How many lines were kept back since the last one, when it is time for the next.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.passed.is_some_and(|passed| now < passed + EVERY) {
            state.kept += 1;
            return None;
        }
        state.passed = Some(now);
        Some(std::mem::take(&mut state.kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_at_a_time_and_counts_the_others() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.pass_at(now), Some(0));
        assert_eq!(throttle.pass_at(now + EVERY / 2), None);
        assert_eq!(throttle.pass_at(now + EVERY / 2), None);
        assert_eq!(throttle.pass_at(now + EVERY), Some(2));
    }
}
