//! The bytes of the origin's files: windows of one buffer, so that serving and comparing them cost
//! little more than touching them.

use std::sync::LazyLock;

/// After so many bytes a file repeats itself.
const PERIOD: usize = 4 << 20;

/// Two periods, so that a window of one is always in one piece.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut period = Vec::with_capacity(2 * PERIOD);
    while period.len() < PERIOD {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        period.extend_from_slice(&state.to_le_bytes());
    }
    period.extend_from_within(..);
    period
});

/// Where a file's first byte is in the period; another version of it is another file.
pub(crate) fn shift(name: &str, version: u64) -> usize {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let seed = 0xcbf2_9ce4_8422_2325 ^ version.wrapping_mul(0x9e37_79b9);
    name.bytes().fold(seed, mix) as usize % PERIOD
}

/// At most `len` bytes of a file from `offset` on: as many as lie in one piece.
pub(crate) fn window(shift: usize, offset: u64, len: u64) -> &'static [u8] {
    let start = (shift + (offset % PERIOD as u64) as usize) % PERIOD;
    let len = usize::try_from(len).unwrap_or(PERIOD).min(PERIOD);
    &NOISE[start..start + len]
}

/// Whether these are a file's bytes from `offset` on.
pub(crate) fn same(shift: usize, offset: u64, bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        let expected = window(shift, offset + at as u64, (bytes.len() - at) as u64);
        if bytes[at..at + expected.len()] != *expected {
            return false;
        }
        at += expected.len();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_where_it_should_be() {
        let shift = shift("a", 1);
        let whole = window(shift, 0, PERIOD as u64);
        assert_eq!(window(shift, 100, 50), &whole[100..150]);
        assert_eq!(window(shift, PERIOD as u64 + 7, 9), &whole[7..16]);
        assert!(same(shift, 1000, &whole[1000..3000]));
        assert!(!same(shift, 1001, &whole[1000..3000]));
    }
}
