//! Which filters and sidecars go together.
//!
//! Every message of the filter's, callout or routed request, names its version in a header, so
//! that it is known before anything else of the message is read. The sidecar understands its own
//! version and the one before; what it does not understand it refuses, and the filter goes on
//! without it. So sidecars are upgraded before filters and rolled back after them; in the other
//! order nothing may be cached until both are changed, and nothing wrong ever is. Between this
//! version and the one before any order will do: see [`Sent`].

use serde::Serialize;
use thiserror::Error;

/// The filter's. Raised when a message changes so that an older sidecar would misread it; the
/// messages of the version before stay understood, and those of the one before that no more.
pub const PROTOCOL_VERSION: &str = "4";

/// The other one that the sidecar understands. Its messages had no header for it.
pub const VERSION_BEFORE: &str = "3";

/// A message as it is sent: a sidecar of version 3 looks for that number in it, and would understand
/// all else. One of version 4 looks at the header alone, and when the version is raised this goes.
#[derive(Debug, Serialize)]
pub struct Sent<'a, T> {
    version: u32,
    #[serde(flatten)]
    message: &'a T,
}

impl<'a, T> Sent<'a, T> {
    /// The message with what the version before wants of it.
    pub const fn new(message: &'a T) -> Self {
        Self {
            version: 3,
            message,
        }
    }
}

/// A version that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "protocol version {0:?} of the filter's is neither {PROTOCOL_VERSION} nor {VERSION_BEFORE}, \
     which this sidecar understands"
)]
pub struct UnknownVersion(String);

/// Whether a message with this in [`crate::header::VERSION`] is understood.
///
/// # Errors
/// When it is not; names the beginning of what is there.
pub fn understood(header: Option<&str>) -> Result<(), UnknownVersion> {
    match header.unwrap_or(VERSION_BEFORE) {
        PROTOCOL_VERSION | VERSION_BEFORE => Ok(()),
        other => Err(UnknownVersion(other.chars().take(16).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_versions_are_understood_and_another_is_named() {
        let check = |header: Option<&str>, expect: bool| {
            assert_eq!(understood(header).is_ok(), expect, "{header:?}");
        };
        check(Some("4"), true);
        check(Some("3"), true);
        check(None, true);
        for other in ["5", "2", "", "x", "-4", " 4", "4 "] {
            check(Some(other), false);
        }
        assert_eq!(
            understood(Some("5")).unwrap_err().to_string(),
            "protocol version \"5\" of the filter's is neither 4 nor 3, which this sidecar understands"
        );
        let long = understood(Some(&"x".repeat(1000))).unwrap_err();
        assert!(long.to_string().len() < 120);
    }
}
