//! Why an entity could not be completed. Pure.

use thiserror::Error;

use super::HandBack;

/// Why an entity is not complete in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Incomplete {
    /// The URL is refused, or none is known.
    #[error("its URL has expired")]
    Expired,
    /// The origin's answers are of no use.
    #[error("the origin's answers are of no use: {reason}", reason = .0.as_str())]
    Origin(HandBack),
    /// What came later would drive out what came before.
    #[error("it is larger than the room there is")]
    TooLarge,
    /// As much as it is long has come, and a part of it has gone again: for others, or because its
    /// channel may have no more.
    #[error("what has come of it is evicted again")]
    Displaced,
    /// What has come could not be stored.
    #[error("there is no room")]
    NoRoom,
    /// It was purged, or is another now.
    #[error("it has changed")]
    Changed,
    /// A better quality of the same video is complete.
    #[error("a better quality is complete")]
    Outdone,
    /// It is not wanted any more.
    #[error("not wanted any more")]
    Unwanted,
}

impl Incomplete {
    /// Whether trying again later is of no use.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Origin(reason) => matches!(
                reason,
                HandBack::Declined | HandBack::NotCombinable | HandBack::Vary
            ),
            Self::TooLarge | Self::Displaced | Self::Outdone => true,
            Self::Expired | Self::NoRoom | Self::Changed | Self::Unwanted => false,
        }
    }
}
