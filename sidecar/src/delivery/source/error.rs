//! Why a transfer cannot be had, and what follows from it. Pure.

use std::time::Duration;

use thiserror::Error;
use viewcache_protocol::DeclineReason;

use super::super::HandBack;
use crate::origin::OriginError;

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

    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Origin(_) => "unreachable",
            Self::Declined { .. } => "declined",
            Self::Changed => "changed",
            Self::NotCombinable => "not-combinable",
            Self::Short(_) => "short",
            Self::Patience => "late",
        }
    }
}
