//! Ranges: as a client writes them ([`RangeSpec`]) and as bytes of an entity ([`ByteRange`]).
//!
//! RFC 9110 section 14.1.2 positions are inclusive; they exist only while parsing and printing.
//! In memory every range is half-open and never empty.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A run of bytes `start..end` of an entity; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// `None` when `start..end` holds no byte.
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start < end {
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// The run of `len` bytes from `start`; `None` when it is empty or passes `u64::MAX`.
    pub fn from_len(start: u64, len: u64) -> Option<Self> {
        Self::new(start, start.checked_add(len)?)
    }

    /// The first byte's offset.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// One past the last byte's offset.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// The number of bytes; at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a ByteRange is never empty")]
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the byte at `offset` is in the range.
    pub const fn contains(self, offset: u64) -> bool {
        self.start <= offset && offset < self.end
    }

    /// Whether every byte of `other` is in the range.
    pub const fn covers(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The bytes in both.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// Half-open pairs, as the REST API and the mirror protocol write them: `[start, end]`.
impl Serialize for ByteRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.start, self.end).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ByteRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (start, end) = <(u64, u64)>::deserialize(deserializer)?;
        Self::new(start, end)
            .ok_or_else(|| serde::de::Error::custom(format!("range {start}..{end} is empty")))
    }
}

/// One range as the client wrote it, unresolved until the complete length is known
/// (RFC 9110 section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeSpec {
    /// `first-last`, both inclusive, `first <= last`.
    Closed {
        /// The first byte's position.
        first: u64,
        /// The last byte's position, which may lie past the end.
        last: u64,
    },
    /// `first-`: from there to the end.
    From {
        /// The first byte's position.
        first: u64,
    },
    /// `-len`: the last `len` bytes.
    Suffix {
        /// How many bytes before the end; 0 is never satisfiable.
        len: u64,
    },
}

/// Why a Range header is not one byte range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RangeError {
    /// A unit other than `bytes` (RFC 9110 section 14.1).
    #[error("range: unit is not bytes")]
    OtherUnit,
    /// A valid unit with more than one range.
    #[error("range: more than one range")]
    Several,
    /// Anything else; RFC 9110 section 14.2 lets it be ignored.
    #[error("range: not a byte range")]
    Malformed,
}

impl RangeSpec {
    /// Parses a Range field value. Digits beyond `u64` saturate: such a position is past any end.
    ///
    /// # Errors
    /// When the value is not exactly one range of bytes.
    pub fn parse_header(value: &[u8]) -> Result<Self, RangeError> {
        let value = std::str::from_utf8(value)
            .map_err(|_| RangeError::Malformed)?
            .trim();
        let (unit, set) = value.split_once('=').ok_or(RangeError::Malformed)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return Err(RangeError::OtherUnit);
        }
        if set.contains(',') {
            return Err(RangeError::Several);
        }
        set.trim().parse()
    }

    /// The most ranges of one request that are answered apart.
    pub const MAX_PARTS: usize = 100;

    /// Parses a Range field value of at least two ranges of bytes, in the order written.
    ///
    /// # Errors
    /// When it is none, or has more than [`RangeSpec::MAX_PARTS`].
    pub fn parse_parts(value: &[u8]) -> Result<Vec<Self>, RangeError> {
        let value = std::str::from_utf8(value).map_err(|_| RangeError::Malformed)?;
        let (unit, set) = value.trim().split_once('=').ok_or(RangeError::Malformed)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return Err(RangeError::OtherUnit);
        }
        Self::parse_set(set)
    }

    /// Parses what [`RangeSpec::parse_parts`] finds behind the unit. Empty members of the list are
    /// left out (RFC 9110 section 5.6.1).
    ///
    /// # Errors
    /// Likewise.
    pub fn parse_set(set: &str) -> Result<Vec<Self>, RangeError> {
        let members = set.split(',').map(str::trim).filter(|m| !m.is_empty());
        let parts: Vec<Self> = members
            .take(Self::MAX_PARTS.saturating_add(1))
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        if parts.len() < 2 || Self::MAX_PARTS < parts.len() {
            return Err(RangeError::Several);
        }
        Ok(parts)
    }

    /// The bytes meant in an entity of `complete_length`; `None` is 416
    /// (RFC 9110 section 15.5.17).
    pub fn resolve(self, complete_length: u64) -> Option<ByteRange> {
        match self {
            Self::Closed { first, last } => {
                ByteRange::new(first, last.saturating_add(1).min(complete_length))
            }
            Self::From { first } => ByteRange::new(first, complete_length),
            Self::Suffix { len } => {
                ByteRange::new(complete_length.saturating_sub(len), complete_length)
                    .filter(|_| len > 0)
            }
        }
    }

    /// The offset where the range begins, unless that depends on the complete length.
    pub fn first(self) -> Option<u64> {
        match self {
            Self::Closed { first, .. } | Self::From { first } => Some(first),
            Self::Suffix { .. } => None,
        }
    }
}

impl FromStr for RangeSpec {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (first, last) = text.split_once('-').ok_or(RangeError::Malformed)?;
        match (first, last) {
            ("", len) => Ok(Self::Suffix {
                len: position(len)?,
            }),
            (first, "") => Ok(Self::From {
                first: position(first)?,
            }),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                if last < first {
                    return Err(RangeError::Malformed);
                }
                Ok(Self::Closed { first, last })
            }
        }
    }
}

fn position(digits: &str) -> Result<u64, RangeError> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RangeError::Malformed);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

/// The set part of a Range field: `0-499`, `500-` or `-500`.
impl fmt::Display for RangeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { first, last } => write!(f, "{first}-{last}"),
            Self::From { first } => write!(f, "{first}-"),
            Self::Suffix { len } => write!(f, "-{len}"),
        }
    }
}

impl Serialize for RangeSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RangeSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| serde::de::Error::custom(format!("range {text:?} is malformed")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn closed(first: u64, last: u64) -> RangeSpec {
        RangeSpec::Closed { first, last }
    }

    #[test]
    fn parses_what_clients_write() {
        let check = |value: &str, expect| {
            assert_eq!(RangeSpec::parse_header(value.as_bytes()), expect, "{value}");
        };
        check("bytes=0-499", Ok(closed(0, 499)));
        check("bytes=0-0", Ok(closed(0, 0)));
        check("bytes=500-", Ok(RangeSpec::From { first: 500 }));
        check("bytes=-500", Ok(RangeSpec::Suffix { len: 500 }));
        check("Bytes=0-1", Ok(closed(0, 1)));
        check(" bytes= 0-1 ", Ok(closed(0, 1)));
        check("bytes=0-99999999999999999999999", Ok(closed(0, u64::MAX)));
        check("bytes=0--1", Err(RangeError::Malformed));
        check("bytes=5-4", Err(RangeError::Malformed));
        check("bytes=", Err(RangeError::Malformed));
        check("bytes=-", Err(RangeError::Malformed));
        check("bytes=+1-2", Err(RangeError::Malformed));
        check("bytes=0-1,5-6", Err(RangeError::Several));
        check("items=0-1", Err(RangeError::OtherUnit));
        check("bytes", Err(RangeError::Malformed));
        assert_eq!(
            RangeSpec::parse_header(b"bytes=0-\xff"),
            Err(RangeError::Malformed)
        );
    }

    #[test]
    fn several_ranges_are_a_list() {
        let check = |value: &str, expect: Result<Vec<RangeSpec>, RangeError>| {
            assert_eq!(RangeSpec::parse_parts(value.as_bytes()), expect, "{value}");
        };
        let tail = RangeSpec::Suffix { len: 2 };
        check(
            "bytes=0-1, 5-6,-2",
            Ok(vec![closed(0, 1), closed(5, 6), tail]),
        );
        check("bytes=0-1,,5-6,", Ok(vec![closed(0, 1), closed(5, 6)]));
        check("bytes=0-1,x", Err(RangeError::Malformed));
        check("bytes=0-1,", Err(RangeError::Several));
        check("items=0-1,2-3", Err(RangeError::OtherUnit));
        let many = |n: usize| format!("bytes={}", vec!["0-1"; n].join(","));
        assert!(RangeSpec::parse_parts(many(100).as_bytes()).is_ok());
        check(&many(101), Err(RangeError::Several));
    }

    #[test]
    fn resolves_against_the_complete_length() {
        let check = |spec: RangeSpec, length, expect: Option<(u64, u64)>| {
            let got = spec.resolve(length).map(|r| (r.start(), r.end()));
            assert_eq!(got, expect, "{spec} of {length}");
        };
        check(closed(0, 9), 100, Some((0, 10)));
        check(closed(90, 200), 100, Some((90, 100)));
        check(closed(100, 200), 100, None);
        check(closed(0, u64::MAX), 100, Some((0, 100)));
        check(RangeSpec::From { first: 99 }, 100, Some((99, 100)));
        check(RangeSpec::From { first: 100 }, 100, None);
        check(RangeSpec::Suffix { len: 10 }, 100, Some((90, 100)));
        check(RangeSpec::Suffix { len: 1000 }, 100, Some((0, 100)));
        check(RangeSpec::Suffix { len: 0 }, 100, None);
        check(RangeSpec::Suffix { len: 5 }, 0, None);
    }

    #[test]
    fn an_empty_range_cannot_be_made() {
        assert_eq!(ByteRange::new(5, 5), None);
        assert_eq!(ByteRange::from_len(u64::MAX, 2), None);
        assert!(serde_json::from_str::<ByteRange>("[7,7]").is_err());
    }

    proptest! {
        #[test]
        fn printing_then_parsing_is_the_identity(first: u64, more: u64, kind in 0..3u8) {
            let spec = match kind {
                0 => closed(first, first.saturating_add(more)),
                1 => RangeSpec::From { first },
                _ => RangeSpec::Suffix { len: first },
            };
            prop_assert_eq!(RangeSpec::parse_header(format!("bytes={spec}").as_bytes()), Ok(spec));
        }

        #[test]
        fn a_resolved_range_lies_in_the_entity(value: Vec<u8>, length: u64) {
            if let Ok(spec) = RangeSpec::parse_header(&value)
                && let Some(range) = spec.resolve(length) {
                prop_assert!(range.end() <= length);
            }
        }
    }
}
