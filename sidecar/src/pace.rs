//! How fast a response goes, and what follows from it: how early its next gap is asked for, and how
//! much at once. Pure; time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time that a rate is measured over.
const SAMPLE: Duration = Duration::from_millis(10);

/// The least that one request of a response asks for: most viewers that ask for everything leave
/// early, and each may soon ask for what lies ahead of another.
const FIRST_WINDOW: u64 = 1 << 20;

/// How far ahead a gap is asked for beyond what the pace demands.
const MARGIN: u64 = 256 << 10;

/// The furthest that a gap is asked for ahead of the response.
const HORIZON_MAX: u64 = 64 << 20;

/// How fast something grows, over the last seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Speed {
    last: Option<(u64, Instant)>,
    bytes_per_second: f64,
}

impl Speed {
    /// It is so large now.
    pub fn observe(&mut self, bytes: u64, now: Instant) {
        /// The time in which an older observation loses most of its weight.
        const FADES: f64 = 2.0;
        if let Some((before, at)) = self.last {
            let seconds = now.saturating_duration_since(at).as_secs_f64();
            if seconds <= 0.0 {
                return;
            }
            let rate = bytes.saturating_sub(before) as f64 / seconds;
            let kept = (-seconds / FADES).exp();
            self.bytes_per_second = kept * self.bytes_per_second + (1.0 - kept) * rate;
        }
        self.last = Some((bytes, now));
    }

    /// Bytes per second.
    pub fn get(&self) -> u64 {
        self.bytes_per_second as u64
    }
}

/// The pace of one response.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes sent since the response began.
    sent: u64,
    /// When the sample that is being taken began, and what had been sent by then.
    sample: (Instant, u64),
    /// Bytes per second in the last two samples.
    rates: [u64; 2],
}

impl Pace {
    /// A response that begins.
    pub fn new(now: Instant) -> Self {
        Self {
            sent: 0,
            sample: (now, 0),
            rates: [0; 2],
        }
    }

    /// Bytes were sent.
    pub fn sent(&mut self, bytes: u64, now: Instant) {
        self.sent += bytes;
        let (since, before) = self.sample;
        let elapsed = now.saturating_duration_since(since);
        if SAMPLE <= elapsed {
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            let rate = (self.sent - before).saturating_mul(1000) / millis.max(1);
            self.rates = [self.rates[1], rate];
            self.sample = (now, self.sent);
        }
    }

    /// The rate that lasts. The first sample of a response tells how fast the buffers between it
    /// and its viewer fill, and nothing of the viewer.
    fn rate(&self) -> u64 {
        self.rates[0].min(self.rates[1])
    }

    /// How far ahead a gap is asked for, so that its first byte is here when the response comes to
    /// it: as far as the response goes while the origin thinks, and a little more. What is asked
    /// for is fetched for nothing when the viewer leaves before it.
    pub fn horizon(&self, latency: Duration) -> u64 {
        let millis = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        let ahead = self.rate().saturating_mul(millis) / 1000;
        ahead.saturating_add(MARGIN).min(HORIZON_MAX)
    }

    /// How much one request asks for: half of what was sent already, at most `max`.
    pub fn window(&self, max: u64) -> u64 {
        (self.sent / 2).max(FIRST_WINDOW).min(max)
    }
}

/// How long the origin takes to begin its answers, smoothed.
#[derive(Clone, Copy, Debug)]
pub struct Latency(Duration);

impl Default for Latency {
    /// What is assumed before the first answer.
    fn default() -> Self {
        Self(Duration::from_millis(100))
    }
}

impl Latency {
    /// An answer took this long to begin.
    pub fn observe(&mut self, took: Duration) {
        self.0 = (self.0 * 3 + took) / 4;
    }

    /// The time to reckon with.
    pub const fn get(self) -> Duration {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_response_asks_earlier() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let latency = Duration::from_millis(20);
        assert_eq!(pace.horizon(latency), MARGIN);
        // A gigabyte a second; the beginning counts only when it goes on like that.
        pace.sent(100 << 20, now + Duration::from_millis(100));
        assert_eq!(pace.horizon(latency), MARGIN);
        pace.sent(100 << 20, now + Duration::from_millis(200));
        let horizon = pace.horizon(latency);
        assert!((20 << 20..22 << 20).contains(&horizon), "{horizon}");
        assert_eq!(pace.horizon(Duration::from_secs(5)), HORIZON_MAX);
        // A video being played.
        pace.sent(50_000, now + Duration::from_millis(300));
        assert!(pace.horizon(latency) < MARGIN + 20_000);
    }

    #[test]
    fn requests_grow_with_what_was_watched() {
        let mut pace = Pace::new(Instant::now());
        assert_eq!(pace.window(16 << 20), FIRST_WINDOW);
        assert_eq!(pace.window(1000), 1000);
        pace.sent(10 << 20, Instant::now());
        assert_eq!(pace.window(16 << 20), 5 << 20);
        pace.sent(50 << 20, Instant::now());
        assert_eq!(pace.window(16 << 20), 16 << 20);
    }

    #[test]
    fn latency_follows_the_origin() {
        let mut latency = Latency::default();
        for _ in 0..20 {
            latency.observe(Duration::from_millis(20));
        }
        assert_eq!(latency.get().as_millis(), 20);
    }
}
