//! Fetching beyond what was asked for: only when the operator wants it, and only for a viewer who
//! has shown that it reads on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use viewcache_protocol::{ByteRange, Wanted};

use super::lead::Lead;
use super::pump::{self, Order};
use crate::live::{Live, Snapshot, Spot};
use crate::origin::Asker;
use crate::readers::ReaderId;
use crate::service::Service;

/// No read-ahead takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// A read-ahead among the entity's readers.
struct Reading {
    live: Arc<Live>,
    id: ReaderId,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.live.state().readers.leave(self.id);
        self.live.demand.notify_waiters();
    }
}

/// Notes the request, and fetches what probably comes next.
pub(super) fn follow_habit(
    service: &Arc<Service>,
    live: &Arc<Live>,
    snapshot: &Snapshot,
    wanted: &Wanted,
    range: ByteRange,
    asker: &Asker,
) {
    let seq = snapshot.place.seq;
    let now = Instant::now();
    let mut state = live.state();
    if state.terms.read_ahead == 0 {
        return;
    }
    state.habits.note(&wanted.viewer, range);
    let end = range.end().saturating_add(state.terms.read_ahead);
    let ahead = ByteRange::new(range.end(), end.min(snapshot.generation.complete_length()));
    let Some(ahead) = ahead.filter(|_| snapshot.combinable) else {
        return;
    };
    if !state.habits.sequential(&wanted.viewer, range) {
        return;
    }
    let spot = Spot {
        offset: ahead.start(),
        end: ahead.end(),
        since: now,
        window: state.terms.window,
    };
    let Some(gap) = state.upcoming(seq, spot, ahead.len(), now) else {
        return;
    };
    let reading = Reading {
        live: Arc::clone(live),
        id: state.readers.enter_eager(gap),
    };
    let order = Order {
        lead: Lead::take(service, live, &mut state, seq, gap),
        snapshot: snapshot.clone(),
        gap,
        asker: asker.clone().nameless(),
        despite_store: false,
    };
    drop(state);
    let (failed, mut failure) = mpsc::channel(1);
    pump::order(service, order, failed);
    // The channel closes when the transfer is over, well or not.
    tokio::spawn(async move {
        let _ = tokio::time::timeout(LIMIT, failure.recv()).await;
        drop(reading);
    });
}
