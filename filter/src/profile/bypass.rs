//! Why the cache is not consulted, and what is told of it.

use strum::VariantArray;
use viewcache_protocol::{Forward, RangeError};

use super::query::Unclear;

/// Why the cache is not consulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
pub enum BypassReason {
    /// A method other than GET and HEAD.
    Method,
    /// A path outside the configured prefixes.
    Path,
    /// An authority that is not configured.
    Authority,
    /// A protocol upgrade.
    Upgrade,
    /// A request with a body.
    Body,
    /// Credentials (RFC 9111 section 3.5).
    Authorization,
    /// A precondition that is not text, or too long to pass on.
    Condition,
    /// The client said `no-cache`.
    NoCache,
    /// The client said `no-store`.
    NoStore,
    /// A Range in a unit other than bytes.
    RangeUnit,
    /// More than one range, where they are not all stored or not in order.
    SeveralRanges,
    /// A Range that cannot be read.
    MalformedRange,
    /// A needed header that is missing, too long, not visible ASCII, or not what it must be.
    UnreadableHeader,
    /// A URL too long for a key.
    UrlTooLong,
    /// Not a video's URL in this profile.
    NotAVideo,
    /// A video's URL without the parameters that name the bytes.
    MissingParameters,
    /// What names the bytes stands twice, or, in a profile of the operator's, without a value.
    ConflictingParameters,
    /// A path that may be another's for the origin, where parts of it name the bytes.
    AmbiguousPath,
    /// An answer that would be framed (UMP, SABR), not the video's bytes.
    Ump,
}

impl BypassReason {
    /// The token in logs and Cache-Status details.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Path => "path",
            Self::Authority => "authority",
            Self::Upgrade => "upgrade",
            Self::Body => "body",
            Self::Authorization => "authorization",
            Self::Condition => "condition",
            Self::NoCache => "no-cache",
            Self::NoStore => "no-store",
            Self::RangeUnit => "range-unit",
            Self::SeveralRanges => "several-ranges",
            Self::MalformedRange => "malformed-range",
            Self::UnreadableHeader => "unreadable-header",
            Self::UrlTooLong => "url-too-long",
            Self::NotAVideo => "not-a-video",
            Self::MissingParameters => "missing-parameters",
            Self::ConflictingParameters => "conflicting-parameters",
            Self::AmbiguousPath => "ambiguous-path",
            Self::Ump => "ump",
        }
    }

    /// What Cache-Status says of it.
    pub const fn forward(self) -> Forward {
        match self {
            Self::Method => Forward::Method,
            Self::NoCache | Self::NoStore => Forward::Request,
            _ => Forward::Bypass,
        }
    }
}

impl From<RangeError> for BypassReason {
    fn from(error: RangeError) -> Self {
        match error {
            RangeError::OtherUnit => Self::RangeUnit,
            RangeError::Several => Self::SeveralRanges,
            RangeError::Malformed => Self::MalformedRange,
        }
    }
}

impl From<Unclear> for BypassReason {
    fn from(_: Unclear) -> Self {
        Self::ConflictingParameters
    }
}
