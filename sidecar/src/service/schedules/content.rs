//! The bytes of every generation: each differs from the others nearly everywhere.

use std::sync::OnceLock;

use bytes::Bytes;

use super::chance::mix;

/// So many entities there are at the most.
pub(super) const ENTITIES: usize = 2;

/// So many generations of each.
pub(super) const GENERATIONS: usize = 6;

/// The longest.
pub(super) const LONGEST: u64 = 3 << 20;

/// As many bytes of a generation as the longest has; a shorter one has the first of them.
pub(super) fn bytes(entity: usize, generation: usize) -> Bytes {
    static ALL: [[OnceLock<Bytes>; GENERATIONS]; ENTITIES] =
        [const { [const { OnceLock::new() }; GENERATIONS] }; ENTITIES];
    let make = || {
        let seed = mix(1 + (entity * GENERATIONS + generation) as u64);
        let words = (0..LONGEST / 8).flat_map(|word| mix(seed ^ word).to_le_bytes());
        words.collect()
    };
    ALL[entity][generation].get_or_init(make).clone()
}
