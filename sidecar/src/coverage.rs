//! How much of each part of an entity is stored, for drawing. Pure.

use viewcache_protocol::ByteRange;

use crate::extents::Extents;

/// The most parts that can be asked for.
pub const MAX_BUCKETS: u32 = 4096;

/// Stored bytes by part of an entity, or of several that stand beside each other: each is divided
/// into as many parts as the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    stored: Vec<u64>,
    length: Vec<u64>,
}

/// Where part `index` of `count` begins in an entity.
fn boundary(index: usize, count: usize, complete_length: u64) -> u64 {
    // The quotient is at most the complete length.
    (index as u128 * u128::from(complete_length) / count.max(1) as u128) as u64
}

impl Coverage {
    /// Of nothing yet.
    pub fn new(buckets: usize) -> Self {
        Self {
            stored: vec![0; buckets],
            length: vec![0; buckets],
        }
    }

    /// Of one entity: no more parts than it has bytes.
    pub fn of(stored: &Extents, complete_length: u64, buckets: u32) -> Self {
        let most = usize::try_from(complete_length).unwrap_or(usize::MAX);
        let mut coverage = Self::new(most.min(buckets as usize));
        coverage.add(stored, complete_length);
        coverage
    }

    /// An entity more.
    pub fn add(&mut self, stored: &Extents, complete_length: u64) {
        let count = self.stored.len();
        for index in 0..count {
            let start = boundary(index, count, complete_length);
            let Some(bucket) = ByteRange::new(start, boundary(index + 1, count, complete_length))
            else {
                continue;
            };
            self.length[index] += bucket.len();
            self.stored[index] += stored.within(bucket).map(ByteRange::len).sum::<u64>();
        }
    }

    /// How many parts there are.
    pub const fn buckets(&self) -> usize {
        self.stored.len()
    }

    /// A hexadecimal digit for each part: `0` when nothing of it is stored, `f` when all of it is,
    /// and else what comes near to the share.
    pub fn digits(&self) -> String {
        let digit = |(&stored, &length): (&u64, &u64)| {
            let share = match (stored, length) {
                (0, _) => 0,
                (stored, length) if length <= stored => 15,
                // At most 14: the quotient is below 1.
                (stored, length) => 1 + (u128::from(stored) * 14 / u128::from(length)) as u32,
            };
            char::from_digit(share, 16).unwrap_or('f')
        };
        self.stored.iter().zip(&self.length).map(digit).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extents(ranges: &[(u64, u64)]) -> Extents {
        let ranges = ranges.iter();
        ranges
            .filter_map(|&(start, end)| ByteRange::new(start, end))
            .collect()
    }

    #[test]
    fn a_digit_says_how_much_of_its_part_is_stored() {
        let check = |stored: &[(u64, u64)], length, buckets, expect: &str| {
            let coverage = Coverage::of(&extents(stored), length, buckets);
            assert_eq!(coverage.digits(), expect, "{stored:?} of {length}");
            assert_eq!(coverage.buckets(), expect.len());
        };
        check(&[], 100, 4, "0000");
        check(&[(0, 100)], 100, 4, "ffff");
        check(&[(0, 25), (60, 100)], 100, 4, "f09f");
        // Neither nothing nor all, however close.
        check(&[(0, 1), (1001, 2000)], 2000, 2, "1e");
        // No more parts than bytes.
        check(&[(0, 1)], 2, 4, "f0");
        check(&[], 0, 4, "");
        check(&[(u64::MAX - 1, u64::MAX)], u64::MAX, 3, "001");
    }

    #[test]
    fn several_entities_stand_beside_each_other() {
        let mut coverage = Coverage::new(2);
        coverage.add(&extents(&[(0, 100)]), 100);
        assert_eq!(coverage.digits(), "ff");
        coverage.add(&extents(&[(0, 50)]), 300);
        assert_eq!(coverage.digits(), "84");
    }

    proptest! {
        #[test]
        fn every_byte_is_in_one_part(length in 1..2000u64, buckets in 1..300u32, start in 0..2000u64, end in 0..2000u64) {
            let stored = extents(&[(start.min(length), end.min(length))]);
            let coverage = Coverage::of(&stored, length, buckets);
            prop_assert_eq!(coverage.length.iter().sum::<u64>(), length);
            prop_assert_eq!(coverage.stored.iter().sum::<u64>(), stored.bytes());
            prop_assert!(coverage.stored.iter().zip(&coverage.length).all(|(s, l)| s <= l && 0 < *l));
        }
    }
}
