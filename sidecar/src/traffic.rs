//! What viewers asked for and what was sent, over the last minute, hour and day. Pure; time is
//! passed in as seconds since some beginning.

mod report;

use std::collections::HashMap;

pub use report::{Report, Throughput, WindowReports};

/// So many channels are counted; for one more, that which was active least recently is forgotten.
pub const MAX_CHANNELS: usize = 256;

/// Of so many seconds the present throughput is the mean.
const PRESENT: u64 = 5;

/// Requests and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests answered from the store alone.
    pub hits: u64,
    /// Requests answered here, in part from the origin.
    pub partials: u64,
    /// Requests that the origin answered.
    pub misses: u64,
    /// Bytes that went from the store to viewers.
    pub from_cache: u64,
    /// Bytes that went to viewers: those, and those that came from the origin just then.
    pub to_viewers: u64,
    /// Bytes that came from the origin, also those that no viewer has asked for.
    pub from_origin: u64,
}

impl Counts {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes went to a viewer, `cached` of them from the store.
    pub const fn passed(&mut self, bytes: u64, cached: u64) {
        self.to_viewers += bytes;
        self.from_cache += cached;
    }

    fn add(&mut self, more: &Self) {
        for (sum, more) in [
            (&mut self.hits, more.hits),
            (&mut self.partials, more.partials),
            (&mut self.misses, more.misses),
            (&mut self.from_cache, more.from_cache),
            (&mut self.to_viewers, more.to_viewers),
            (&mut self.from_origin, more.from_origin),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Counts by the time at which they came, as far back as there are slots.
#[derive(Clone, Debug)]
struct Ring {
    /// Seconds in a slot.
    step: u64,
    slots: Vec<Counts>,
    /// The newest slot, counted from the beginning.
    newest: u64,
}

impl Ring {
    fn new(step: u64, slots: usize) -> Self {
        Self {
            step,
            slots: vec![Counts::default(); slots],
            newest: 0,
        }
    }

    fn place(&self, slot: u64) -> usize {
        // A remainder of a length fits.
        (slot % self.slots.len() as u64) as usize
    }

    /// Forgets what is too old by now.
    fn turn(&mut self, second: u64) {
        let now = second / self.step;
        let stale = now.saturating_sub(self.newest).min(self.slots.len() as u64);
        for slot in 0..stale {
            let place = self.place(now - slot);
            self.slots[place] = Counts::default();
        }
        self.newest = self.newest.max(now);
    }

    fn add(&mut self, second: u64, counts: &Counts) {
        self.turn(second);
        let place = self.place(self.newest);
        self.slots[place].add(counts);
    }

    /// What came in the slots `back` before the present one, half-open.
    fn sum(&mut self, second: u64, back: std::ops::Range<u64>) -> Counts {
        self.turn(second);
        let mut sum = Counts::default();
        for slot in back {
            if let Some(slot) = self.newest.checked_sub(slot) {
                sum.add(&self.slots[self.place(slot)]);
            }
        }
        sum
    }

    fn all(&mut self, second: u64) -> Counts {
        self.sum(second, 0..self.slots.len() as u64)
    }
}

/// The last minute, hour and day.
#[derive(Clone, Debug)]
pub struct Windows {
    minute: Ring,
    hour: Ring,
    day: Ring,
    total: Counts,
    active_at: u64,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            minute: Ring::new(1, 60),
            hour: Ring::new(60, 60),
            day: Ring::new(900, 96),
            total: Counts::default(),
            active_at: 0,
        }
    }
}

impl Windows {
    /// Something was counted in this second.
    pub fn add(&mut self, second: u64, counts: &Counts) {
        self.minute.add(second, counts);
        self.hour.add(second, counts);
        self.day.add(second, counts);
        self.total.add(counts);
        self.active_at = second;
    }

    /// What was counted until this second.
    pub fn report(&mut self, second: u64) -> WindowReports {
        WindowReports {
            minute: self.minute.all(second).into(),
            hour: self.hour.all(second).into(),
            day: self.day.all(second).into(),
            total: self.total.into(),
        }
    }

    /// How fast bytes went in the last whole seconds.
    pub fn throughput(&mut self, second: u64) -> Throughput {
        let sum = self.minute.sum(second, 1..1 + PRESENT);
        Throughput {
            from_cache: sum.from_cache / PRESENT,
            from_origin: sum.from_origin / PRESENT,
            to_viewers: sum.to_viewers / PRESENT,
        }
    }
}

/// Everything that is counted: all together, by profile and by channel.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// All together.
    pub all: Windows,
    profiles: HashMap<String, Windows>,
    channels: HashMap<String, Windows>,
}

impl Traffic {
    /// An entity was used.
    pub fn add(&mut self, second: u64, counts: &Counts, profile: &str, channel: Option<&str>) {
        self.all.add(second, counts);
        windows(&mut self.profiles, profile).add(second, counts);
        let Some(channel) = channel else {
            return;
        };
        if MAX_CHANNELS <= self.channels.len() && !self.channels.contains_key(channel) {
            let idlest = self.channels.iter().min_by_key(|(_, w)| w.active_at);
            if let Some(idlest) = idlest.map(|(id, _)| id.clone()) {
                self.channels.remove(&idlest);
            }
        }
        windows(&mut self.channels, channel).add(second, counts);
    }

    /// The profiles, each with what was counted of it.
    pub fn profiles(&mut self, second: u64) -> impl Iterator<Item = (String, WindowReports)> {
        reports(&mut self.profiles, second)
    }

    /// The channels, likewise.
    pub fn channels(&mut self, second: u64) -> impl Iterator<Item = (String, WindowReports)> {
        reports(&mut self.channels, second)
    }
}

fn windows<'a>(by_name: &'a mut HashMap<String, Windows>, name: &str) -> &'a mut Windows {
    by_name.entry(name.to_owned()).or_default()
}

fn reports(
    by_name: &mut HashMap<String, Windows>,
    second: u64,
) -> impl Iterator<Item = (String, WindowReports)> {
    let reports = by_name.iter_mut();
    reports.map(move |(name, windows)| (name.clone(), windows.report(second)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hits(hits: u64) -> Counts {
        Counts {
            hits,
            ..Counts::default()
        }
    }

    #[test]
    fn what_is_too_old_is_forgotten() {
        let mut windows = Windows::default();
        for (second, count) in [(0, 1), (30, 10), (59, 100)] {
            windows.add(second, &hits(count));
        }
        let mut at = |second| {
            let report = windows.report(second);
            [report.minute, report.hour, report.day, report.total].map(|report| report.hits)
        };
        assert_eq!(at(59), [111, 111, 111, 111]);
        assert_eq!(at(60), [110, 111, 111, 111]);
        assert_eq!(at(118), [100, 111, 111, 111]);
        assert_eq!(at(119), [0, 111, 111, 111]);
        assert_eq!(at(3599), [0, 111, 111, 111]);
        assert_eq!(at(3600), [0, 0, 111, 111]);
        assert_eq!(at(86_399), [0, 0, 111, 111]);
        assert_eq!(at(86_400), [0, 0, 0, 111]);
        // A clock that stands still or jumps far forgets no more than that.
        assert_eq!(at(u64::MAX), [0, 0, 0, 111]);
    }

    #[test]
    fn ratios_are_of_what_there_is() {
        let report = Report::from(Counts::default());
        assert_eq!((report.hit_ratio, report.byte_hit_ratio), (None, None));
        let mut counts = Counts {
            hits: 1,
            partials: 1,
            misses: 2,
            from_origin: 500,
            ..Counts::default()
        };
        counts.passed(300, 300);
        counts.passed(100, 0);
        let report = Report::from(counts);
        assert_eq!((report.requests, report.hit_ratio), (4, Some(0.25)));
        assert_eq!(
            (report.bytes_to_viewers, report.byte_hit_ratio),
            (400, Some(0.75))
        );
        // More was fetched than anybody watched.
        assert_eq!(report.origin_bytes_saved, -100);
    }

    #[test]
    fn throughput_is_that_of_the_last_whole_seconds() {
        let mut windows = Windows::default();
        for second in 0..20 {
            windows.add(
                second,
                &Counts {
                    from_origin: 100,
                    ..Counts::default()
                },
            );
        }
        assert_eq!(windows.throughput(19).from_origin, 100);
        assert_eq!(windows.throughput(22).from_origin, 60);
        assert_eq!(windows.throughput(30).from_origin, 0);
        // In the beginning there were fewer.
        assert_eq!(Windows::default().throughput(2).from_origin, 0);
    }

    #[test]
    fn the_channels_that_were_active_last_are_counted() {
        let mut traffic = Traffic::default();
        let most = MAX_CHANNELS as u64;
        for second in 0..=most {
            traffic.add(second, &hits(1), "generic", Some(&second.to_string()));
        }
        traffic.add(most, &hits(1), "generic", None);
        let channels: Vec<_> = traffic.channels(most).map(|(id, _)| id).collect();
        assert_eq!(channels.len(), MAX_CHANNELS);
        assert!(!channels.contains(&"0".to_owned()) && channels.contains(&most.to_string()));
        let profiles: Vec<_> = traffic.profiles(most).collect();
        assert_eq!(profiles.len(), 1);
        assert_eq!(profiles[0].1.total.hits, most + 2);
    }

    proptest! {
        #[test]
        fn a_ring_has_what_came_in_its_time(
            steps in proptest::collection::vec((0..40u64, 0..100u64), 1..60),
            step in 1..8u64,
            slots in 1..10usize,
        ) {
            let mut ring = Ring::new(step, slots);
            let (mut second, mut came) = (0, Vec::new());
            for (pause, count) in steps {
                second += pause;
                ring.add(second, &hits(count));
                came.push((second / step, count));
                let newest = second / step;
                let recent = came.iter().filter(|(slot, _)| newest < slot + slots as u64);
                let expected: u64 = recent.map(|(_, count)| count).sum();
                prop_assert_eq!(ring.all(second).hits, expected);
            }
        }
    }
}
