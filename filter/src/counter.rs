//! What the filter counts. Envoy shows each as `wasmcustom.<name>`, summed over all workers; what
//! has a reason is counted by that as well, as `wasmcustom.<name>_reason.<reason>`.

use strum::VariantArray;
use viewcache_protocol::DeclineReason;

use crate::budget::Shed;
use crate::callout::Failure;
use crate::profile::BypassReason;

/// One counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// One a second from every living VM. With `fail_open` no other statistic tells that a VM has
    /// died: this one's rate falls.
    Heartbeat,
    /// Requests routed as hits without asking, by a decision that was remembered. They are not
    /// among the decisions.
    Remembered,
    /// Decisions `hit`.
    Hit,
    /// Decisions `partial`.
    Partial,
    /// Decisions `miss`.
    Miss,
    /// Requests for which the cache was not consulted.
    Bypass,
    /// Decisions that could not be had.
    DecideFailure,
    /// Routed requests that the origin answered.
    Failover,
    /// Responses whose mirroring began.
    MirrorStarted,
    /// Responses whose mirroring did not begin, or ended with it, for want of memory or takers.
    MirrorShed,
    /// Times that a response's bytes began to be left out, until the sidecar had caught up.
    MirrorPaused,
    /// Responses that must not be stored.
    MirrorDeclined,
    /// Chunks handed to Envoy for the sidecar.
    ChunkSent,
    /// Chunks that the sidecar did not take.
    ChunkLost,
    /// Bytes in the chunks that were sent.
    MirroredBytes,
}

impl Counter {
    /// Every counter, in the order of the enum.
    pub const ALL: [Self; 15] = [
        Self::Heartbeat,
        Self::Remembered,
        Self::Hit,
        Self::Partial,
        Self::Miss,
        Self::Bypass,
        Self::DecideFailure,
        Self::Failover,
        Self::MirrorStarted,
        Self::MirrorShed,
        Self::MirrorPaused,
        Self::MirrorDeclined,
        Self::ChunkSent,
        Self::ChunkLost,
        Self::MirroredBytes,
    ];

    /// The metric's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "viewcache.heartbeat",
            Self::Remembered => "viewcache.remembered",
            Self::Hit => "viewcache.hit",
            Self::Partial => "viewcache.partial",
            Self::Miss => "viewcache.miss",
            Self::Bypass => "viewcache.bypass",
            Self::DecideFailure => "viewcache.decide_failure",
            Self::Failover => "viewcache.failover",
            Self::MirrorStarted => "viewcache.mirror_started",
            Self::MirrorShed => "viewcache.mirror_shed",
            Self::MirrorPaused => "viewcache.mirror_paused",
            Self::MirrorDeclined => "viewcache.mirror_declined",
            Self::ChunkSent => "viewcache.chunk_sent",
            Self::ChunkLost => "viewcache.chunk_lost",
            Self::MirroredBytes => "viewcache.mirrored_bytes",
        }
    }

    /// What is counted.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Heartbeat => {
                "One a second from each worker and from the main thread; a rate that falls means that the filter has died there"
            }
            Self::Remembered => {
                "Requests routed as hits without asking, by a decision that was remembered"
            }
            Self::Hit => "Decisions `hit`; the remembered ones are not among them",
            Self::Partial => "Decisions `partial`",
            Self::Miss => "Decisions `miss`",
            Self::Bypass => "Requests for which the cache was not consulted",
            Self::DecideFailure => "Decisions that could not be had",
            Self::Failover => "Routed requests that the origin answered",
            Self::MirrorStarted => "Responses whose mirroring began",
            Self::MirrorShed => {
                "Responses whose mirroring did not begin, or ended with it, for want of memory or takers"
            }
            Self::MirrorPaused => {
                "Times that a response's bytes began to be left out, until the sidecar had caught up"
            }
            Self::MirrorDeclined => "Responses that must not be stored",
            Self::ChunkSent => "Chunks on their way to the sidecar",
            Self::ChunkLost => "Chunks that it did not take",
            Self::MirroredBytes => "Bytes in the chunks that were sent",
        }
    }
}

/// Why something was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Why the cache was not consulted.
    Bypass(BypassReason),
    /// Why a decision could not be had.
    DecideFailure(Failure),
    /// Why a response must not be stored.
    MirrorDeclined(DeclineReason),
    /// Why a response is not mirrored, or no more.
    MirrorShed(Shed),
}

impl Reason {
    /// Every reason, in the order of [`Reason::index`].
    pub fn all() -> impl Iterator<Item = Self> {
        let bypass = BypassReason::VARIANTS.iter().copied().map(Self::Bypass);
        let failures = Failure::VARIANTS.iter().copied();
        let declines = DeclineReason::VARIANTS.iter().copied();
        let sheds = Shed::VARIANTS.iter().copied();
        bypass
            .chain(failures.map(Self::DecideFailure))
            .chain(declines.map(Self::MirrorDeclined))
            .chain(sheds.map(Self::MirrorShed))
    }

    /// How many there are.
    pub const COUNT: usize = Self::SHEDS.saturating_add(Shed::VARIANTS.len());

    const FAILURES: usize = BypassReason::VARIANTS.len();
    const DECLINES: usize = Self::FAILURES.saturating_add(Failure::VARIANTS.len());
    const SHEDS: usize = Self::DECLINES.saturating_add(DeclineReason::VARIANTS.len());

    /// Its place among all.
    pub const fn index(self) -> usize {
        match self {
            Self::Bypass(reason) => reason as usize,
            Self::DecideFailure(failure) => Self::FAILURES.saturating_add(failure as usize),
            Self::MirrorDeclined(reason) => Self::DECLINES.saturating_add(reason as usize),
            Self::MirrorShed(shed) => Self::SHEDS.saturating_add(shed as usize),
        }
    }

    /// The counter of all such reasons.
    pub const fn counter(self) -> Counter {
        match self {
            Self::Bypass(_) => Counter::Bypass,
            Self::DecideFailure(_) => Counter::DecideFailure,
            Self::MirrorDeclined(_) => Counter::MirrorDeclined,
            Self::MirrorShed(_) => Counter::MirrorShed,
        }
    }

    /// The token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass(reason) => reason.as_str(),
            Self::DecideFailure(failure) => failure.as_str(),
            Self::MirrorDeclined(reason) => reason.as_str(),
            Self::MirrorShed(shed) => shed.as_str(),
        }
    }

    /// The metric's name. Envoy's configuration makes a label of what follows the last dot.
    pub fn name(self) -> String {
        [self.counter().name(), "_reason.", self.as_str()].concat()
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn all_is_in_the_order_of_the_enum() {
        for (at, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, at);
            assert!(counter.name().starts_with("viewcache."));
        }
    }

    #[test]
    fn all_reasons_are_in_the_order_of_their_places() {
        for (at, reason) in Reason::all().enumerate() {
            assert_eq!(reason.index(), at, "{reason:?}");
        }
        assert_eq!(Reason::all().count(), Reason::COUNT);
        let bypass = Reason::Bypass(BypassReason::NoCache);
        assert_eq!(bypass.name(), "viewcache.bypass_reason.no-cache");
    }
}
