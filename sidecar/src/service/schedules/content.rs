//! The bytes of every generation: each differs from the others nearly everywhere.

use std::sync::OnceLock;

use bytes::Bytes;

use super::chance::mix;

/// So many entities there are at the most.
pub(super) const ENTITIES: usize = 2;

/// So many generations of each.
pub(super) const GENERATIONS: usize = 10;

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

/// Keeps of the candidates those that have these bytes at `offset`; false when that is none. Twins
/// have one name, so that nobody can tell them apart: each byte is of one of them.
pub(super) fn narrow(
    entity: usize,
    candidates: &mut Vec<usize>,
    twins: bool,
    offset: u64,
    bytes: &[u8],
) -> bool {
    let at = offset as usize..offset as usize + bytes.len();
    let known = |generation: usize| self::bytes(entity, generation).get(at.clone()) == Some(bytes);
    let one = candidates.iter().any(|&generation| known(generation));
    if one || !twins {
        if !twins {
            candidates.retain(|&generation| known(generation));
        }
        return one;
    }
    let all: Vec<Bytes> = candidates
        .iter()
        .filter(|_| at.end <= LONGEST as usize)
        .map(|&generation| self::bytes(entity, generation).slice(at.clone()))
        .collect();
    (0..bytes.len()).all(|at| all.iter().any(|known| known[at] == bytes[at]))
}
