//! Sizes with their units.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// A number of bytes, written `64MiB`, `2GiB` or plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub(super) u64);

impl ByteSize {
    const UNITS: [(&'static str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is not a size such as \"64MiB\"");
        let unit = Self::UNITS.iter().find(|(unit, _)| text.ends_with(unit));
        let (digits, shift) = match unit {
            Some((unit, shift)) => (&text[..text.len() - unit.len()], *shift),
            None => (text, 0),
        };
        let number: u64 = digits.parse().map_err(|_| error())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, shift): &&(&str, u32)| self.0 != 0 && self.0.is_multiple_of(1 << shift);
        match Self::UNITS.iter().rev().find(whole) {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// How much of a disk is left free: a size, or a part of the whole written `2%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinFree {
    /// So many bytes.
    Bytes(ByteSize),
    /// So many hundredths of a percent.
    Part(u16),
}

impl MinFree {
    /// What is left free of a disk of `total` bytes.
    pub const fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Bytes(size) => size.0,
            Self::Part(part) => total / 10_000 * part as u64,
        }
    }
}

impl FromStr for MinFree {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is not a size such as \"1GiB\" or a part such as \"2%\"");
        let Some(number) = text.strip_suffix('%') else {
            return text.parse().map(Self::Bytes).map_err(|_: String| error());
        };
        let percent: f64 = number.parse().map_err(|_| error())?;
        let part = (percent * 100.0).round();
        // Of a whole disk nothing could be used.
        if (0.0..10_000.0).contains(&part) && !part.is_sign_negative() {
            Ok(Self::Part(part as u16))
        } else {
            Err(error())
        }
    }
}

impl<'de> Deserialize<'de> for MinFree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(
                text.parse::<ByteSize>().ok().map(ByteSize::bytes),
                expect,
                "{text}"
            );
        };
        check("64MiB", Some(64 << 20));
        check("1024", Some(1024));
        check("2TiB", Some(2 << 40));
        check("64MB", None);
        check("MiB", None);
        check("-1", None);
        check("99999999999TiB", None);
        assert_eq!(ByteSize(64 << 20).to_string(), "64MiB");
        assert_eq!(ByteSize(1000).to_string(), "1000");
    }

    #[test]
    fn what_is_left_free_is_a_size_or_a_part() {
        let check = |text: &str, expect: Option<u64>| {
            let parsed = text.parse::<MinFree>().ok();
            assert_eq!(parsed.map(|free| free.bytes(1_000_000)), expect, "{text}");
        };
        check("2%", Some(20_000));
        check("0.5%", Some(5_000));
        check("64KiB", Some(65_536));
        check("0", Some(0));
        check("100%", None);
        check("99.99%", Some(999_900));
        check("99.999%", None);
        check("-0.001%", None);
        check("-1%", None);
        check("%", None);
        check("NaN%", None);
    }
}
