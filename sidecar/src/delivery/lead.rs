//! The right to fetch, held by a transfer of the sidecar's.

use std::sync::Arc;

use tokio::time::Instant;
use viewcache_protocol::{ByteRange, FillId, Selecting};

use crate::live::{Live, State};
use crate::service::Service;

/// A lead of the sidecar's own. Dropped, it ends: whoever waits for it looks for another way.
#[derive(Debug)]
pub(super) struct Lead {
    live: Arc<Live>,
    fill: FillId,
}

impl Lead {
    /// Takes a gap of generation `seq`. The state is locked by the caller, who has just seen in it
    /// that nobody else leads there.
    pub(super) fn take(
        service: &Service,
        live: &Arc<Live>,
        state: &mut State,
        seq: u64,
        gap: ByteRange,
    ) -> Self {
        let fill = service.lead();
        state.leads.ask(fill, seq, gap, Instant::now());
        Self {
            live: Arc::clone(live),
            fill,
        }
    }

    /// Takes what is not known yet, until `until` at the most, for a request with this in the
    /// selecting fields.
    pub(super) fn grant(
        service: &Service,
        live: &Arc<Live>,
        state: &mut State,
        until: Instant,
        selecting: &Selecting,
    ) -> Self {
        let fill = service.lead();
        state.grant(fill, until, selecting);
        Self {
            live: Arc::clone(live),
            fill,
        }
    }

    pub(super) const fn fill(&self) -> FillId {
        self.fill
    }

    pub(super) const fn live(&self) -> &Arc<Live> {
        &self.live
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.live.state().leads.forget(self.fill);
        self.live.changed.notify_waiters();
    }
}
