//! Why a transfer cannot be had, and what follows from it. Pure.

use std::time::Duration;

use strum::VariantArray;
use thiserror::Error;
use viewcache_protocol::DeclineReason;

use super::super::HandBack;
use crate::origin::OriginError;

/// What became of a request to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Fetched {
    /// It brings bytes.
    Ok,
    /// What is stored is still the entity.
    NotModified,
    /// There was no answer.
    Unreachable,
    /// The sidecar has no descriptor left to ask with.
    Descriptors,
    /// None in time.
    Timeout,
    /// A status of 500 or more.
    ServerError,
    /// Another status that brings no bytes.
    Refused,
    /// An answer that must not be stored.
    Declined,
    /// Another generation.
    Changed,
    /// Without a validator nothing can be asked for in parts.
    NotCombinable,
    /// The body ended before its end.
    Short,
    /// No byte came for as long as a viewer waits.
    Late,
}

impl Fetched {
    /// The token in logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotModified => "not-modified",
            Self::Unreachable => "unreachable",
            Self::Descriptors => "descriptors",
            Self::Timeout => "timeout",
            Self::ServerError => "server-error",
            Self::Refused => "refused",
            Self::Declined => "declined",
            Self::Changed => "changed",
            Self::NotCombinable => "not-combinable",
            Self::Short => "short",
            Self::Late => "late",
        }
    }

    /// Whether the origin has failed, or the way to it, whatever was asked.
    pub(in crate::delivery) const fn is_outage(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Descriptors | Self::Timeout | Self::ServerError
        )
    }
}

/// Why a transfer cannot be had, or went no further.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The origin did not answer.
    #[error("{0}")]
    Origin(#[from] OriginError),
    /// It answered with something that must not be stored here.
    #[error("the origin's answer {status} is not usable: {reason}", reason = reason.as_str())]
    Declined {
        /// The status of the answer.
        status: u16,
        /// Why.
        reason: DeclineReason,
        /// How long the origin asks to be left alone (RFC 9110 section 10.2.3).
        retry_after: Option<Duration>,
    },
    /// It answered with another generation, which is the living one now.
    #[error("the entity has changed")]
    Changed,
    /// The generation has no validator to ask under.
    #[error("the entity cannot be asked for in parts")]
    NotCombinable,
    /// The body ended or failed before its end.
    #[error("the origin's body was cut at {0}")]
    Short(u64),
    /// No byte came for as long as a viewer is let wait.
    #[error("no byte came in time")]
    Patience,
}

impl SourceError {
    pub(in crate::delivery) const fn hand_back(&self) -> HandBack {
        match self {
            Self::Origin(_) | Self::Short(_) | Self::Changed | Self::Patience => HandBack::Origin,
            Self::Declined { .. } if self.is_final() => HandBack::Declined,
            Self::Declined { .. } => HandBack::Origin,
            Self::NotCombinable => HandBack::NotCombinable,
        }
    }

    /// Whether asking again has no use: the origin has said what it has to say.
    pub(in crate::delivery) const fn is_final(&self) -> bool {
        match self {
            // RFC 9110 sections 15.5.9 and 15.6, RFC 6585 section 4, RFC 8470 section 5.2.
            Self::Declined { status, .. } => !matches!(status, 408 | 425 | 429 | 500..),
            Self::Changed | Self::NotCombinable | Self::Patience => true,
            Self::Origin(_) | Self::Short(_) => false,
        }
    }

    /// Whether the origin was not asked, for want of a descriptor.
    pub(in crate::delivery) const fn is_lack(&self) -> bool {
        matches!(self, Self::Origin(OriginError::NoDescriptor(_)))
    }

    /// Whether the URL is no good any more.
    pub(in crate::delivery) const fn is_expiry(&self) -> bool {
        matches!(self, Self::Declined { status, .. } if matches!(status, 403 | 404 | 410))
    }

    pub(in crate::delivery) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Declined { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The status of an answer by which the origin has failed, or the one that stands for none
    /// (RFC 5861 section 4).
    pub(in crate::delivery) const fn failure(&self) -> Option<u16> {
        match self {
            Self::Declined {
                status: status @ (500 | 502 | 503 | 504),
                ..
            } => Some(*status),
            Self::Origin(_) => Some(504),
            _ => None,
        }
    }

    pub(in crate::delivery) const fn fetched(&self) -> Fetched {
        match self {
            Self::Origin(OriginError::Late) => Fetched::Timeout,
            Self::Origin(OriginError::NoDescriptor(_)) => Fetched::Descriptors,
            Self::Origin(_) => Fetched::Unreachable,
            Self::Declined { status: 500.., .. } => Fetched::ServerError,
            Self::Declined {
                reason: DeclineReason::Status,
                ..
            } => Fetched::Refused,
            Self::Declined { .. } => Fetched::Declined,
            Self::Changed => Fetched::Changed,
            Self::NotCombinable => Fetched::NotCombinable,
            Self::Short(_) => Fetched::Short,
            Self::Patience => Fetched::Late,
        }
    }
}
