//! Which bytes are there: a set of half-open ranges, kept coalesced. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use viewcache_protocol::ByteRange;

/// What a file system gives out at a time.
pub const BLOCK: u64 = 4096;

/// Disjoint, non-touching ranges in ascending order, as start → end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<ByteRange>", into = "Vec<ByteRange>")]
pub struct Extents {
    runs: BTreeMap<u64, u64>,
}

impl Extents {
    /// Adds every byte of `range`.
    pub fn insert(&mut self, range: ByteRange) {
        let (mut start, mut end) = (range.start(), range.end());
        if let Some((&s, &e)) = self.runs.range(..=start).next_back()
            && start <= e
        {
            start = s;
            end = end.max(e);
        }
        while let Some((&s, &e)) = self.runs.range(start..).next()
            && s <= end
        {
            end = end.max(e);
            self.runs.remove(&s);
        }
        self.runs.insert(start, end);
    }

    /// Adds every byte of `range` unless that makes more than `max` runs.
    pub fn insert_bounded(&mut self, range: ByteRange, max: usize) {
        if self.runs.len() < max || self.touches_or_joins(range) {
            self.insert(range);
        }
    }

    fn touches_or_joins(&self, range: ByteRange) -> bool {
        let before = self.runs.range(..=range.start()).next_back();
        before.is_some_and(|(_, &end)| range.start() <= end)
            || self
                .next_start(range.start())
                .is_some_and(|start| start <= range.end())
    }

    /// Takes every byte of `range` out.
    pub fn remove(&mut self, range: ByteRange) {
        let (start, end) = (range.start(), range.end());
        if let Some((&s, &e)) = self.runs.range(..start).next_back()
            && start < e
        {
            self.runs.insert(s, start);
            if end < e {
                self.runs.insert(end, e);
            }
        }
        while let Some((&s, &e)) = self.runs.range(start..end).next() {
            self.runs.remove(&s);
            if end < e {
                self.runs.insert(end, e);
            }
        }
    }

    /// The end of the run that holds the byte at `offset`; `None` when it is not there.
    pub fn run_end(&self, offset: u64) -> Option<u64> {
        let (_, &end) = self.runs.range(..=offset).next_back()?;
        (offset < end).then_some(end)
    }

    /// The start of the first run after `offset`.
    pub fn next_start(&self, offset: u64) -> Option<u64> {
        self.runs.range(offset..).next().map(|(&start, _)| start)
    }

    /// Whether every byte of `range` is there.
    pub fn covers(&self, range: ByteRange) -> bool {
        self.run_end(range.start())
            .is_some_and(|end| range.end() <= end)
    }

    /// Whether any byte of `range` is there.
    pub fn touches(&self, range: ByteRange) -> bool {
        self.run_end(range.start()).is_some()
            || self
                .next_start(range.start())
                .is_some_and(|start| start < range.end())
    }

    /// The parts of `range` that are not there, in ascending order.
    pub fn gaps(&self, range: ByteRange) -> Vec<ByteRange> {
        let mut gaps = Vec::new();
        let mut at = self.run_end(range.start()).unwrap_or(range.start());
        while at < range.end() {
            let next = self.next_start(at).unwrap_or(u64::MAX).min(range.end());
            gaps.extend(ByteRange::new(at, next));
            at = self.run_end(next).unwrap_or(next);
        }
        gaps
    }

    /// The runs, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.runs
            .iter()
            .filter_map(|(&start, &end)| ByteRange::new(start, end))
    }

    /// The parts of the runs that lie in `range`, in ascending order.
    pub fn within(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let before = self.runs.range(..range.start()).next_back();
        let inside = self.runs.range(range.start()..range.end());
        before
            .into_iter()
            .chain(inside)
            .filter_map(move |(&start, &end)| ByteRange::new(start, end)?.intersect(range))
    }

    /// How many blocks of disk the bytes in `range` touch; one that two runs share counts once.
    pub fn blocks(&self, range: ByteRange) -> u64 {
        let mut next = 0;
        let mut blocks = 0;
        for run in self.within(range) {
            let first = (run.start() / BLOCK).max(next);
            next = run.end().div_ceil(BLOCK);
            blocks += next.saturating_sub(first);
        }
        blocks
    }

    /// How many blocks of disk `part` touches that no run does.
    pub fn fresh_blocks(&self, part: ByteRange) -> u64 {
        let (first, last) = (part.start() / BLOCK, part.end().div_ceil(BLOCK));
        let touched = ByteRange::new(first * BLOCK, last.saturating_mul(BLOCK));
        last - first - touched.map_or(0, |touched| self.blocks(touched))
    }

    /// Whether no byte is there.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many bytes are there.
    pub fn bytes(&self) -> u64 {
        self.iter().map(ByteRange::len).sum()
    }
}

impl FromIterator<ByteRange> for Extents {
    fn from_iter<I: IntoIterator<Item = ByteRange>>(ranges: I) -> Self {
        let mut extents = Self::default();
        ranges.into_iter().for_each(|range| extents.insert(range));
        extents
    }
}

impl From<Vec<ByteRange>> for Extents {
    fn from(ranges: Vec<ByteRange>) -> Self {
        ranges.into_iter().collect()
    }
}

impl From<Extents> for Vec<ByteRange> {
    fn from(extents: Extents) -> Self {
        extents.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    fn pairs(extents: &Extents) -> Vec<(u64, u64)> {
        extents.iter().map(|r| (r.start(), r.end())).collect()
    }

    #[test]
    fn touching_and_overlapping_runs_coalesce() {
        let mut extents = Extents::default();
        for (start, end) in [(10, 20), (30, 40), (20, 25), (24, 30), (0, 5)] {
            extents.insert(range(start, end));
        }
        assert_eq!(pairs(&extents), [(0, 5), (10, 40)]);
        assert_eq!(extents.bytes(), 35);
        extents.remove(range(15, 20));
        assert_eq!(pairs(&extents), [(0, 5), (10, 15), (20, 40)]);
    }

    #[test]
    fn a_bounded_set_takes_only_what_joins_when_it_is_full() {
        let mut extents = Extents::default();
        for start in [0, 20, 40] {
            extents.insert_bounded(range(start, start + 10), 2);
        }
        assert_eq!(pairs(&extents), [(0, 10), (20, 30)]);
        extents.insert_bounded(range(10, 15), 2);
        extents.insert_bounded(range(18, 20), 2);
        assert_eq!(pairs(&extents), [(0, 15), (18, 30)]);
    }

    #[test]
    fn gaps_lie_between_runs() {
        let mut extents = Extents::default();
        extents.insert(range(10, 20));
        extents.insert(range(30, 40));
        assert_eq!(
            extents.gaps(range(0, 50)),
            [range(0, 10), range(20, 30), range(40, 50)]
        );
        assert_eq!(extents.gaps(range(12, 18)), []);
        assert_eq!(extents.gaps(range(15, 35)), [range(20, 30)]);
        assert!(extents.touches(range(0, 11)) && !extents.touches(range(0, 10)));
    }

    const SPACE: usize = 64;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(usize, usize),
        Remove(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let bounds = || (0..SPACE, 1..=SPACE).prop_filter("not empty", |(s, e)| s < e);
        let step = prop_oneof![
            3 => bounds().prop_map(|(s, e)| Step::Insert(s, e)),
            1 => bounds().prop_map(|(s, e)| Step::Remove(s, e)),
        ];
        prop::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn blocks_are_counted_once(parts in prop::collection::vec((0..40_000u64, 1..9000u64), 0..12), s in 0..40_000u64, len in 1..20_000u64) {
            let mut extents = Extents::default();
            let part = range(s, s + len);
            let mut touched = std::collections::BTreeSet::new();
            for (start, len) in parts {
                let run = range(start, start + len);
                extents.insert(run);
                touched.extend(run.start() / BLOCK..run.end().div_ceil(BLOCK));
            }
            let of = |part: ByteRange| part.start() / BLOCK..part.end().div_ceil(BLOCK);
            prop_assert_eq!(extents.blocks(range(0, 1 << 20)), touched.len() as u64);
            let fresh = of(part).filter(|block| !touched.contains(block)).count();
            prop_assert_eq!(extents.fresh_blocks(part), fresh as u64);
        }

        #[test]
        fn behaves_like_a_bitmap(steps in steps(), s in 0..SPACE, len in 1..SPACE) {
            let mut extents = Extents::default();
            let mut bits = [false; SPACE];
            for step in steps {
                let (s, e, value) = match step {
                    Step::Insert(s, e) => (s, e, true),
                    Step::Remove(s, e) => (s, e, false),
                };
                bits[s..e].fill(value);
                let r = range(s as u64, e as u64);
                if value { extents.insert(r) } else { extents.remove(r) }
            }
            // Coalesced: the runs are exactly the bitmap's maximal runs.
            let mut runs: Vec<(u64, u64)> = Vec::new();
            for at in (0..SPACE).filter(|&at| bits[at]) {
                match runs.last_mut() {
                    Some(last) if last.1 == at as u64 => last.1 += 1,
                    _ => runs.push((at as u64, at as u64 + 1)),
                }
            }
            prop_assert_eq!(pairs(&extents), runs);
            let e = (s + len).min(SPACE);
            let wanted = range(s as u64, e as u64);
            prop_assert_eq!(extents.covers(wanted), bits[s..e].iter().all(|&b| b));
            prop_assert_eq!(extents.touches(wanted), bits[s..e].iter().any(|&b| b));
            let parts: Vec<_> = extents.within(wanted).collect();
            prop_assert!(parts.iter().all(|part| wanted.covers(*part)));
            let there = bits[s..e].iter().filter(|&&b| b).count() as u64;
            prop_assert_eq!(parts.iter().map(|part| part.len()).sum::<u64>(), there);
            // Gaps and covered bytes together are the wanted range, and gaps are not stored.
            let mut missing = [false; SPACE];
            for gap in extents.gaps(wanted) {
                missing[gap.start() as usize..gap.end() as usize].fill(true);
            }
            for at in s..e {
                prop_assert_eq!(missing[at], !bits[at]);
            }
        }
    }
}
