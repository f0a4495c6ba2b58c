//! What a channel may take of the disk.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Service;
use super::history::Evicted;
use crate::live::Live;
use crate::store::{Aged, Class, StoreError};

/// The channels that have a quota and of which something was stored since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Quotas(Mutex<HashSet<String>>);

impl Service {
    /// Something of an entity was stored.
    pub(super) fn grown(&self, live: &Live) {
        self.look_for_lower(live);
        let Some(channel) = live.state().channel.clone() else {
            return;
        };
        if self.quota(&channel).is_some() {
            let mut grown = self.quotas.0.lock().unwrap_or_else(PoisonError::into_inner);
            grown.insert(channel);
        }
    }

    fn quota(&self, channel: &str) -> Option<u64> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels.get(channel)?.quota_bytes
    }

    /// Evicts of every channel that has grown what is over its quota. Blocks.
    pub(super) fn keep_quotas(&self) {
        let grown = {
            let mut grown = self.quotas.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *grown)
        };
        for channel in grown {
            if let Some(quota) = self.quota(&channel)
                && let Err(error) = self.keep_quota(&channel, quota)
            {
                self.trouble("a quota could not be kept", &error);
            }
        }
    }

    /// The segments of a channel that were used least recently go until the others fit.
    fn keep_quota(&self, channel: &str, quota: u64) -> Result<(), StoreError> {
        let entities = self.store.entities_of_channel(channel)?;
        for live in entities.iter().filter_map(|id| self.table.find(*id)) {
            self.age(&live, u64::MAX);
        }
        let mut segments = Vec::new();
        for entity in entities {
            segments.extend(self.store.segments_of(entity)?);
        }
        segments.retain(|(_, segment)| segment.class == Class::Admitted);
        let taken: u64 = segments.iter().map(|(_, segment)| segment.allocated).sum();
        let mut over = taken.saturating_sub(quota);
        segments.sort_unstable_by_key(|(_, segment)| segment.used_at);
        for (id, segment) in segments {
            if over == 0 {
                break;
            }
            let aged = Aged {
                class: segment.class,
                used_at: segment.used_at,
                id,
            };
            over = over.saturating_sub(self.evict_segment(aged, Evicted::Quota)?);
        }
        Ok(())
    }

    /// What holds for an entity has changed, perhaps.
    pub(super) fn apply_rules(&self, live: &Arc<Live>) {
        let changed = {
            let mut state = live.state();
            let grace = self.rules(&state).min_keep_millis;
            state.grant_grace(grace)
        };
        if changed {
            self.age(live, u64::MAX);
        }
    }
}
