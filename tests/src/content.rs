//! Bodies whose bytes depend on a name and an offset alone, so that any part of one can be checked
//! without the rest.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use anyhow::{Result, bail};

/// What an origin serves under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    seed: u64,
    length: u64,
}

impl Content {
    /// Another name (a version in it, say) is another content.
    pub fn new(name: &str, length: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self {
            seed: hasher.finish(),
            length,
        }
    }

    /// The complete length.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The bytes of a range.
    pub fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize + 8);
        let mut word = range.start / 8;
        while word * 8 < range.end {
            bytes.extend_from_slice(&mix(self.seed ^ word).to_le_bytes());
            word += 1;
        }
        let from = (range.start % 8) as usize;
        bytes.drain(..from);
        bytes.truncate((range.end - range.start) as usize);
        bytes
    }

    /// Compares bytes that were received for `offset` and after.
    pub fn check(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset + bytes.len() as u64;
        if self.length < end {
            bail!(
                "bytes up to {end}, but the complete length is {}",
                self.length
            );
        }
        let expected = self.bytes(offset..end);
        match expected.iter().zip(bytes).position(|(a, b)| a != b) {
            Some(at) => bail!("byte {} is wrong", offset + at as u64),
            None => Ok(()),
        }
    }
}

/// The finalizer of splitmix64.
fn mix(word: u64) -> u64 {
    let mut z = word
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_the_same_as_in_the_whole() {
        let content = Content::new("a", 1000);
        let whole = content.bytes(0..1000);
        for (start, end) in [(0, 0), (0, 1), (7, 8), (8, 16), (3, 999), (999, 1000)] {
            assert_eq!(
                content.bytes(start..end),
                whole[start as usize..end as usize]
            );
            content
                .check(start, &whole[start as usize..end as usize])
                .unwrap();
        }
        assert_ne!(whole, Content::new("b", 1000).bytes(0..1000));
    }

    #[test]
    fn a_wrong_byte_is_named() {
        let content = Content::new("a", 100);
        let mut bytes = content.bytes(10..20);
        bytes[3] ^= 1;
        assert_eq!(
            content.check(10, &bytes).unwrap_err().to_string(),
            "byte 13 is wrong"
        );
        assert!(content.check(95, &[0; 6]).is_err());
    }
}
