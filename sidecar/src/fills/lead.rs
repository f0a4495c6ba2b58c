//! One transfer from the origin, and how far it is.

use tokio::time::Instant;
use viewcache_protocol::FillId;

use super::{ANSWER, Role};
use crate::terms::Terms;

/// One transfer from the origin, granted or running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lead {
    pub(super) fill: FillId,
    pub(super) phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Granted; which bytes it will bring is not known before its `begin`.
    Tentative { until: Instant },
    /// Ended before its `begin`, which was overtaken and may still come. Where bytes were
    /// delivered it is on its way, and waited for until `begins_by`.
    Overtaken {
        until: Instant,
        begins_by: Option<Instant>,
    },
    /// Ended, with chunks of `start..end` on their way until `until`.
    Landing {
        start: u64,
        end: u64,
        until: Instant,
    },
    /// Ended, with bytes in memory that are not stored yet.
    Draining,
    /// Bringing bytes: it began at `start`, has come to `frontier`, and goes on to `end`. While it
    /// is paused its readers have what they want, and it does not stall.
    Running {
        role: Role,
        /// Whether the origin has begun to answer.
        answered: bool,
        ignores_range: bool,
        paused: bool,
        /// When it last waited for its readers, or went on after that.
        paced: Option<Instant>,
        seq: u64,
        start: u64,
        frontier: u64,
        end: u64,
        progressed: Instant,
    },
}

impl Lead {
    /// When a running lead counts as stalled; `None` when it does already.
    pub(super) fn stalls(&self, now: Instant, terms: &Terms) -> Option<Instant> {
        match self.phase {
            Phase::Running { paused: true, .. } => Some(now + terms.stall),
            Phase::Running {
                answered,
                progressed,
                ..
            } => {
                let patience = if answered { terms.stall } else { ANSWER };
                Some(progressed + patience).filter(|&stalls| now < stalls)
            }
            _ => None,
        }
    }
}

/// A transfer whose response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub(super) fill: FillId,
    pub(super) role: Role,
    pub(super) ignores_range: bool,
}

impl Begun {
    /// A viewer's own, which brings what was asked for as far as is known here.
    pub const fn mirrored(fill: FillId) -> Self {
        Self {
            fill,
            role: Role::Mirror,
            ignores_range: false,
        }
    }

    /// The sidecar's own. When the origin ignores ranges (RFC 9110 section 14.2) it begins before
    /// the range that was asked for, and so would another.
    pub const fn own(fill: FillId, ignores_range: bool) -> Self {
        Self {
            fill,
            role: Role::Own,
            ignores_range,
        }
    }

    /// Its name.
    pub const fn fill(self) -> FillId {
        self.fill
    }
}
