//! Numbers that follow from a seed (SplitMix64).

use std::ops::Range;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

pub(super) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5EED))
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number of the range, which is not empty.
    pub(super) const fn of(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// True so many times in a thousand.
    pub(super) const fn per_mille(&mut self, n: u64) -> bool {
        self.next() % 1000 < n
    }

    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[(self.next() % all.len() as u64) as usize]
    }

    /// Up to so many milliseconds.
    pub(super) const fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.of(0..most + 1))
    }

    /// Small numbers as often as large ones: each power of two has its turn.
    pub(super) const fn size(&mut self, range: Range<u64>) -> u64 {
        let bits = self.of(0..(range.end.ilog2() + 1) as u64);
        let most = range.end >> bits;
        if most <= range.start {
            return range.start;
        }
        self.of(range.start..most)
    }
}
