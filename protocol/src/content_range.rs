//! The Content-Range field (RFC 9110 section 14.4), parsed strictly: an invalid one means that
//! the body must not be stored or combined.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::range::ByteRange;

/// A valid Content-Range field value in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// `bytes first-last/complete` or, with `None`, `bytes first-last/*`.
    Part {
        /// The enclosed bytes.
        range: ByteRange,
        /// The entity's complete length, larger than the range's last position.
        complete_length: Option<u64>,
    },
    /// `bytes */complete`, as a 416 response carries it.
    Unsatisfied {
        /// The entity's complete length.
        complete_length: u64,
    },
}

/// Why a Content-Range field value is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ContentRangeError {
    /// Not `bytes first-last/length`.
    #[error("content-range: {0:?} is malformed")]
    Malformed(String),
    /// Last position before the first.
    #[error("content-range: last position {last} is before first position {first}")]
    Inverted {
        /// The first position.
        first: u64,
        /// The last position.
        last: u64,
    },
    /// The complete length ends before the range does.
    #[error("content-range: complete length {complete_length} is not after last position {last}")]
    TooShort {
        /// The complete length.
        complete_length: u64,
        /// The last position.
        last: u64,
    },
}

impl FromStr for ContentRange {
    type Err = ContentRangeError;

    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let malformed = || ContentRangeError::Malformed(text.chars().take(64).collect());
        let number = |digits: &str| {
            if digits.bytes().all(|b| b.is_ascii_digit()) {
                digits.parse::<u64>().map_err(|_| malformed())
            } else {
                Err(malformed())
            }
        };
        let (unit, rest) = text.trim().split_once(' ').ok_or_else(malformed)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return Err(malformed());
        }
        let (part, complete) = rest.trim().split_once('/').ok_or_else(malformed)?;
        if part == "*" {
            return Ok(Self::Unsatisfied {
                complete_length: number(complete)?,
            });
        }
        let (first, last) = part.split_once('-').ok_or_else(malformed)?;
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(ContentRangeError::Inverted { first, last });
        }
        let range = last
            .checked_add(1)
            .and_then(|end| ByteRange::new(first, end))
            .ok_or_else(malformed)?;
        let complete_length = if complete == "*" {
            None
        } else {
            Some(number(complete)?)
        };
        match complete_length {
            Some(complete_length) if complete_length <= last => Err(ContentRangeError::TooShort {
                complete_length,
                last,
            }),
            complete_length => Ok(Self::Part {
                range,
                complete_length,
            }),
        }
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part {
                range,
                complete_length,
            } => {
                write!(
                    f,
                    "bytes {}-{}/",
                    range.start(),
                    range.end().saturating_sub(1)
                )?;
                match complete_length {
                    Some(length) => write!(f, "{length}"),
                    None => f.write_str("*"),
                }
            }
            Self::Unsatisfied { complete_length } => write!(f, "bytes */{complete_length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_strictly() {
        let part = |start, end, complete_length| {
            Some(ContentRange::Part {
                range: ByteRange::new(start, end)?,
                complete_length,
            })
        };
        let check = |text: &str, expect: Option<ContentRange>| {
            assert_eq!(text.parse().ok(), expect, "{text}");
        };
        check("bytes 0-9/10", part(0, 10, Some(10)));
        check("bytes 5-9/*", part(5, 10, None));
        check(
            "bytes */10",
            Some(ContentRange::Unsatisfied {
                complete_length: 10,
            }),
        );
        check("bytes 0-9/9", None);
        check("bytes 9-0/10", None);
        check("bytes 0-9", None);
        check("bytes 0-9/ten", None);
        check("bytes -5/10", None);
        check("bytes +0-9/10", None);
        check("bytes 0-18446744073709551615/*", None);
        check("pages 0-9/10", None);
        check("", None);
    }

    #[test]
    fn an_error_states_the_values() {
        let error = "bytes 0-12/10".parse::<ContentRange>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "content-range: complete length 10 is not after last position 12"
        );
    }

    proptest! {
        #[test]
        fn printing_then_parsing_is_the_identity(start: u32, len in 1u32.., more: Option<u32>) {
            let range = ByteRange::from_len(start.into(), len.into()).unwrap();
            let complete_length = more.map(|more| range.end() + u64::from(more));
            let value = ContentRange::Part { range, complete_length };
            prop_assert_eq!(value.to_string().parse(), Ok(value));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = text.parse::<ContentRange>();
        }
    }
}
