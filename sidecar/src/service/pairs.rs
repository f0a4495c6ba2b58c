//! Sound and pictures that are watched together.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use viewcache_protocol::EntityId;

use super::Service;
use crate::catalogue::video_of;
use crate::live::Live;
use crate::pairs::{Pair, Sightings, pairs};
use crate::seam;
use crate::store::{StoreError, millis};

/// What viewers have just begun to get.
#[derive(Debug, Default)]
pub(super) struct Sighted(Mutex<Sightings>);

impl Service {
    /// A viewer begins to get bytes of an entity: perhaps the other half of what the same viewer has
    /// just begun to get.
    pub(super) fn sighted(self: &Arc<Self>, live: &Arc<Live>, viewer: &str) {
        let seen = {
            let state = live.state();
            let half = state.half().filter(|_| !viewer.is_empty());
            half.map(|half| (half, video_of(&state.record.key)))
        };
        let Some((half, video)) = seen else {
            return;
        };
        let partner = {
            let mut sightings = self
                .sighted
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            sightings.saw(viewer, &video, half, live.id, Instant::now())
        };
        if let Some(partner) = partner.and_then(|id| self.table.find(id)) {
            self.pair(live, &partner);
        }
    }

    fn pair(self: &Arc<Self>, live: &Arc<Live>, partner: &Arc<Live>) {
        let now = millis(seam::wall());
        for (one, other) in [(live, partner), (partner, live)] {
            let key = other.state().record.key.clone();
            let mut state = one.state();
            state.record.partners.saw(&key, now);
            state.dirty = true;
        }
        self.tend(live);
        self.tend(partner);
    }

    /// The pairs in which these qualities of a video were watched, the latest one first. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pairs(self: &Arc<Self>, entities: &[EntityId]) -> Result<Vec<Pair>, StoreError> {
        let mut halves = Vec::new();
        for id in entities {
            if let Some(live) = self.known(*id)? {
                let state = live.state();
                if let Some(half) = state.half() {
                    let record = &state.record;
                    halves.push((record.key.clone(), half, record.partners.clone()));
                }
            }
        }
        Ok(pairs(&halves))
    }
}
