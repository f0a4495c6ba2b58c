//! The bytes that are sent: no two kinds of them are alike anywhere near each other.

use std::sync::LazyLock;

use bytes::Bytes;

/// The complete lengths of the states.
pub(super) const LENGTHS: [u64; 4] = [150_000, 150_000, 150_000, 70_000];

/// Longer than any offset and chunk.
pub(super) const LONGEST: u64 = 260_000;

/// Kinds of bytes: of each state, and of each transfer where a state is one's alone; twice, so that
/// some contradict others.
const KINDS: usize = 16;

static ALL: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let base = |at: u64| (at.wrapping_mul(2_654_435_761) >> 7) as u8;
    let kind = |kind: usize| {
        (0..LONGEST)
            .map(|at| base(at) ^ (kind as u8 * 17))
            .collect()
    };
    (0..KINDS).map(kind).collect()
});

/// Which bytes a chunk has.
pub(super) fn kind(state: usize, slot: usize, variant: usize) -> usize {
    match state {
        2 => 8 + 2 * slot + variant,
        _ => 2 * state + variant,
    }
}

/// Some of a kind.
pub(super) fn bytes(kind: usize, start: u64, end: u64) -> Bytes {
    ALL[kind].slice(start as usize..end as usize)
}
