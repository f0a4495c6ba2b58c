//! One entity whose rest is fetched although no viewer has asked for it.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use viewcache_protocol::EntityId;

use super::LINGER;
use crate::completion::{Kind, Retry, Task};
use crate::delivery::Incomplete;
use crate::live::{Live, State};
use crate::origin::Asker;
use crate::pace::Speed;
use crate::seam;
use crate::store::millis;

/// An entity whose rest is wanted.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) live: Arc<Live>,
    pub(super) kind: Kind,
    /// That in whose place or beside which it is wanted: its viewers count as well.
    pub(super) sake: Option<Arc<Live>>,
    /// Somebody was last seen to watch it.
    pub(super) attended_at: Instant,
    /// Whether it goes on without viewers.
    pub(super) insistent: bool,
    /// Once its turn has come.
    pub(super) running: Option<Running>,
    /// What has gone wrong with it.
    pub(super) retry: Retry<Incomplete>,
    /// The URL that was refused: another one is needed.
    pub(super) refused: Option<String>,
    /// When the resolver is asked for one.
    pub(super) renew_at: Option<Instant>,
    pub(super) speed: Speed,
}

#[derive(Debug)]
pub(super) struct Running {
    /// Tells it whether it may fetch; without it, it ends.
    pub(super) go: watch::Sender<bool>,
    /// How much was stored when it began.
    pub(super) had: u64,
    pub(super) completer: JoinHandle<Result<(), Incomplete>>,
}

impl Job {
    pub(super) fn new(
        live: &Arc<Live>,
        kind: Kind,
        sake: Option<&Arc<Live>>,
        insistent: bool,
    ) -> Self {
        Self {
            live: Arc::clone(live),
            kind,
            sake: sake.map(Arc::clone),
            attended_at: Instant::now(),
            insistent,
            running: None,
            retry: Retry::default(),
            refused: None,
            renew_at: None,
            speed: Speed::default(),
        }
    }

    /// Whether it is fetched just now.
    pub(super) fn is_running(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| *running.go.borrow())
    }

    /// How it stands now.
    pub(super) fn task(&mut self, fetched_by: &HashSet<(EntityId, Vec<u8>)>, now: Instant) -> Task {
        let wall = millis(seam::wall());
        // Viewers of these watch what it is for: they are no others.
        let mut own = vec![self.live.id];
        let mut for_sake = false;
        if let Some(sake) = &self.sake {
            let state = sake.state();
            for_sake = attended(&state);
            own.extend([Some(sake.id), state.partner(wall)].into_iter().flatten());
        }
        let state = self.live.state();
        own.extend(state.partner(wall));
        if for_sake || attended(&state) {
            self.attended_at = now;
        }
        self.speed.observe(state.stored.bytes(), now);
        let others = |asker: &Asker| {
            let origin = asker.authority();
            let mut fetched = fetched_by.iter().filter(|(id, _)| !own.contains(id));
            fetched.any(|(_, authority)| authority == origin)
        };
        let path = state.asker.as_ref().map(Asker::path);
        // A new URL is tried at once.
        let renewed = self.refused.is_some() && path != self.refused.as_deref();
        if renewed {
            self.refused = None;
            self.retry.hurry(now);
        }
        Task {
            kind: self.kind,
            ready: self.refused.is_none() && self.retry.ready(now),
            attended: now < self.attended_at + LINGER,
            insistent: self.insistent,
            contended: state.asker.as_ref().is_some_and(others),
        }
    }
}

/// Whether a response from here is being streamed.
pub(super) fn watched(state: &State) -> bool {
    0 < state.readers.viewers()
}

/// Whether somebody watches it, from here or from the origin.
pub(in crate::service) fn attended(state: &State) -> bool {
    watched(state) || state.leads.mirrors()
}
