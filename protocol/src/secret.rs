//! What Envoy and the sidecar show each other so that nobody else is taken for one of them; the
//! management port's tokens are of the same kind.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How long one may be. Shorter ones can be guessed; longer ones are something else.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=256;

/// Characters that every header field takes as they are: the `b64token` of RFC 6750 section 2.1.
/// Printed for debugging it is `***`.
///
/// It is compared by its hash: comparing two hashes takes the same time wherever they differ, and
/// what the hash of a guess is tells nothing of how much of the guess is right.
#[derive(Clone)]
pub struct Secret {
    text: String,
    hash: blake3::Hash,
}

/// Why a text is no secret. The text itself is in no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// Too short or too long.
    #[error("has {0} characters, not 16 to 256")]
    Length(usize),
    /// A character that does not belong in it.
    #[error("has another character than A-Z a-z 0-9 - . _ ~ + / and = at its end")]
    Character,
}

impl Secret {
    /// It itself, for the header field that shows it.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether somebody has shown it, in a time that does not depend on how much is right.
    pub fn is(&self, shown: &[u8]) -> bool {
        self.hash == blake3::hash(shown)
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let within = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
        if !LENGTHS.contains(&text.len()) {
            return Err(SecretError::Length(text.len()));
        }
        let unpadded = text.trim_end_matches('=');
        if unpadded.is_empty() || !unpadded.bytes().all(within) {
            return Err(SecretError::Character);
        }
        Ok(Self {
            text: text.to_owned(),
            hash: blake3::hash(text.as_bytes()),
        })
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_and_fits_a_header() {
        let check = |text: &str, expect: Option<SecretError>| {
            assert_eq!(text.parse::<Secret>().err(), expect, "{text:?}");
        };
        check("0123456789abcdef", None);
        check("AZaz09-._~+/AZaz09==", None);
        check(&"a".repeat(256), None);
        check("", Some(SecretError::Length(0)));
        check("0123456789abcde", Some(SecretError::Length(15)));
        check(&"a".repeat(257), Some(SecretError::Length(257)));
        check("0123456789 abcdef", Some(SecretError::Character));
        check("0123456789=abcdef", Some(SecretError::Character));
        check("0123456789abcde\n", Some(SecretError::Character));
        check("0123456789abcdéf", Some(SecretError::Character));
        check("================", Some(SecretError::Character));
    }

    #[test]
    fn only_it_itself_is_it_and_nobody_prints_it() {
        let secret: Secret = "0123456789abcdef".parse().unwrap();
        assert!(secret.is(b"0123456789abcdef"));
        let others: [&[u8]; 5] = [
            b"",
            b"0123456789abcdeF",
            b"0123456789abcde",
            b"0123456789abcdef ",
            b"\xff",
        ];
        for shown in others {
            assert!(!secret.is(shown), "{shown:?}");
        }
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
    }
}
