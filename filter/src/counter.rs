//! What the filter counts. Envoy shows each as `wasmcustom.<name>`, summed over all workers.

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
    fn every_counter_is_in_the_readme() {
        let readme = include_str!("../../README.md");
        for counter in Counter::ALL {
            let row = format!("| `wasmcustom.{}` |", counter.name());
            assert!(readme.contains(&row), "{row}");
        }
    }
}
