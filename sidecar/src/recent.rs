//! Bytes that have just arrived, kept in memory for followers that are close behind: they need not
//! wait for the disk, which may be slow or full. Pure.

use std::collections::VecDeque;

use bytes::Bytes;
use viewcache_protocol::{ByteRange, FillId};

/// What one fill has brought last, in the order of offsets.
#[derive(Debug)]
struct Trail {
    fill: FillId,
    runs: VecDeque<(u64, Bytes)>,
    bytes: u64,
}

/// The trails of one entity's fills.
#[derive(Debug, Default)]
pub struct Recent(Vec<Trail>);

fn end(run: &(u64, Bytes)) -> u64 {
    run.0.saturating_add(run.1.len() as u64)
}

impl Recent {
    /// Adds what a fill has brought and drops its oldest, as long as `keep` bytes are left and
    /// nothing from `awaited` on goes: the fastest reader comes there.
    pub fn push(&mut self, fill: FillId, offset: u64, bytes: Bytes, keep: u64, awaited: u64) {
        let index = self.0.iter().position(|trail| trail.fill == fill);
        let index = index.unwrap_or_else(|| {
            let runs = VecDeque::new();
            self.0.push(Trail {
                fill,
                runs,
                bytes: 0,
            });
            self.0.len() - 1
        });
        let trail = &mut self.0[index];
        trail.bytes += bytes.len() as u64;
        // Chunks overtake each other; nearly always it is the last place.
        let place = trail.runs.partition_point(|run| run.0 <= offset);
        trail.runs.insert(place, (offset, bytes));
        while let Some(oldest) = trail.runs.front()
            && end(oldest) <= awaited
            && keep <= trail.bytes - oldest.1.len() as u64
        {
            trail.bytes -= oldest.1.len() as u64;
            trail.runs.pop_front();
        }
    }

    /// The bytes at `offset` and after it, as far as they lie together.
    pub fn at(&self, offset: u64) -> Option<Bytes> {
        self.0.iter().find_map(|trail| {
            let after = trail.runs.partition_point(|run| run.0 <= offset);
            let run = trail.runs.get(after.checked_sub(1)?)?;
            let skip = usize::try_from(offset - run.0).ok()?;
            (offset < end(run)).then(|| run.1.slice(skip..))
        })
    }

    /// How many there are.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|trail| trail.bytes).sum()
    }

    /// The start of the first run after `offset`.
    pub fn next_start(&self, offset: u64) -> Option<u64> {
        let starts = self.0.iter().filter_map(|trail| {
            let after = trail.runs.partition_point(|run| run.0 < offset);
            trail.runs.get(after).map(|run| run.0)
        });
        starts.min()
    }

    /// Keeps of a fill's runs those that are `needed`. False when none is left.
    pub fn retain(&mut self, fill: FillId, needed: impl Fn(ByteRange) -> bool) -> bool {
        for trail in self.0.iter_mut().filter(|trail| trail.fill == fill) {
            trail
                .runs
                .retain(|run| ByteRange::new(run.0, end(run)).is_some_and(&needed));
            trail.bytes = trail.runs.iter().map(|run| run.1.len() as u64).sum();
        }
        self.0.retain(|trail| !trail.runs.is_empty());
        self.0.iter().any(|trail| trail.fill == fill)
    }

    /// Keeps the trails of the fills that are `wanted`.
    pub fn retain_fills(&mut self, wanted: impl Fn(FillId) -> bool) {
        self.0.retain(|trail| wanted(trail.fill));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILL: FillId = FillId(1);

    fn run(start: u64, end: u64) -> Bytes {
        (start..end).map(|at| at as u8).collect()
    }

    #[test]
    fn a_follower_reads_from_anywhere_in_a_run() {
        let mut recent = Recent::default();
        recent.push(FILL, 100, run(100, 200), 1000, u64::MAX);
        recent.push(FILL, 200, run(200, 250), 1000, u64::MAX);
        assert_eq!(recent.at(100), Some(run(100, 200)));
        assert_eq!(recent.at(150), Some(run(150, 200)));
        assert_eq!(recent.at(249), Some(run(249, 250)));
        assert_eq!(recent.at(99), None);
        assert_eq!(recent.at(250), None);
        assert_eq!(recent.next_start(101), Some(200));
    }

    #[test]
    fn the_oldest_go_first_and_each_fill_has_its_own() {
        let mut recent = Recent::default();
        for start in [0, 10, 20] {
            recent.push(FILL, start, run(start, start + 10), 15, u64::MAX);
        }
        recent.push(FillId(2), 500, run(500, 600), 15, u64::MAX);
        // What the fastest reader has not had stays, however much it is.
        let slow = FillId(3);
        for start in [700, 710, 720] {
            recent.push(slow, start, run(start, start + 10), 5, 710);
        }
        assert!(recent.at(700).is_none() && recent.at(710).is_some());
        assert_eq!(recent.at(5), None);
        assert!(recent.at(10).is_some() && recent.at(500).is_some());
    }

    #[test]
    fn what_is_not_needed_goes() {
        let mut recent = Recent::default();
        recent.push(FILL, 0, run(0, 10), 100, u64::MAX);
        recent.push(FILL, 10, run(10, 20), 100, u64::MAX);
        assert!(recent.retain(FILL, |range| 10 <= range.start()));
        assert_eq!(recent.at(0), None);
        assert!(!recent.retain(FILL, |_| false));
        recent.push(FILL, 0, run(0, 10), 100, u64::MAX);
        recent.retain_fills(|fill| fill != FILL);
        assert_eq!(recent.at(0), None);
    }

    proptest! {
        #[test]
        fn chunks_in_any_order_give_the_same_bytes(order in Just((0..20u64).collect::<Vec<_>>()).prop_shuffle(), at in 0..200u64) {
            let mut recent = Recent::default();
            for n in order {
                recent.push(FILL, n * 10, run(n * 10, n * 10 + 10), 1000, u64::MAX);
            }
            prop_assert_eq!(recent.at(at), Some(run(at, at / 10 * 10 + 10)));
        }
    }
}
