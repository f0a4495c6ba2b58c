//! The Cache-Status field (RFC 9211): the one place where an outcome becomes a field value.

use std::fmt;

/// Why a request went forward, the `fwd` parameter (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The entity is unknown.
    UriMiss,
    /// The entity is known; part or none of the range is stored.
    Partial,
    /// It is stored but no longer fresh.
    Stale,
    /// It was selected by other request header fields (RFC 9111 section 4.1).
    VaryMiss,
    /// The cache was not consulted.
    Bypass,
    /// The method is not one that is cached.
    Method,
    /// The client asked for the origin's answer.
    Request,
}

impl Forward {
    /// The token on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UriMiss => "uri-miss",
            Self::Partial => "partial",
            Self::Stale => "stale",
            Self::VaryMiss => "vary-miss",
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::Request => "request",
        }
    }
}

/// How this cache handled a request. A hit was not forwarded and a forward is no hit, by type
/// (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus<'a> {
    /// Answered from the store alone.
    Hit {
        /// Seconds of freshness left; negative when served stale.
        ttl: Option<i64>,
    },
    /// Something was asked from upstream.
    Forwarded {
        /// Why.
        reason: Forward,
        /// The status that upstream answered with, when it is not the one passed on or is worth
        /// telling.
        status: Option<u16>,
        /// Whether the response is being stored.
        stored: bool,
        /// Whether it shared another request's forward; false when it waited for one and had to go
        /// itself (RFC 9211 section 2.6).
        collapsed: Option<bool>,
        /// A token that says more: a bypass, decline or failure reason.
        detail: Option<&'a str>,
    },
}

impl CacheStatus<'_> {
    /// A forward for `reason` with nothing else to tell.
    pub const fn forwarded(reason: Forward) -> Self {
        Self::Forwarded {
            reason,
            status: None,
            stored: false,
            collapsed: None,
            detail: None,
        }
    }
}

/// The list member: `viewcache; hit; ttl=60`. Details are tokens (RFC 8941 section 3.3.4);
/// anything else in one is left out.
impl fmt::Display for CacheStatus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("viewcache")?;
        match *self {
            Self::Hit { ttl } => {
                f.write_str("; hit")?;
                ttl.map_or(Ok(()), |ttl| write!(f, "; ttl={ttl}"))
            }
            Self::Forwarded {
                reason,
                status,
                stored,
                collapsed,
                detail,
            } => {
                write!(f, "; fwd={}", reason.as_str())?;
                if let Some(status) = status {
                    write!(f, "; fwd-status={status}")?;
                }
                if stored {
                    f.write_str("; stored")?;
                }
                match collapsed {
                    Some(true) => f.write_str("; collapsed")?,
                    Some(false) => f.write_str("; collapsed=?0")?,
                    None => {}
                }
                match detail.filter(|detail| is_token(detail)) {
                    Some(detail) => write!(f, "; detail={detail}"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn is_token(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_each_outcome_of_the_lexicon() {
        let check = |status: CacheStatus<'_>, expect| assert_eq!(status.to_string(), expect);
        check(CacheStatus::Hit { ttl: Some(60) }, "viewcache; hit; ttl=60");
        check(CacheStatus::Hit { ttl: None }, "viewcache; hit");
        let full = CacheStatus::Forwarded {
            reason: Forward::Partial,
            status: Some(206),
            stored: true,
            collapsed: Some(true),
            detail: Some("failover"),
        };
        check(
            full,
            "viewcache; fwd=partial; fwd-status=206; stored; collapsed; detail=failover",
        );
        check(
            CacheStatus::forwarded(Forward::UriMiss),
            "viewcache; fwd=uri-miss",
        );
        check(
            CacheStatus::forwarded(Forward::Request),
            "viewcache; fwd=request",
        );
    }

    #[test]
    fn a_detail_that_is_no_token_is_left_out() {
        let status = CacheStatus::Forwarded {
            reason: Forward::Bypass,
            status: None,
            stored: false,
            collapsed: None,
            detail: Some("a b; hit"),
        };
        assert_eq!(status.to_string(), "viewcache; fwd=bypass");
    }
}
