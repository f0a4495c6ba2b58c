//! Which of the responses to one URL a request is about, where they vary by fields of the request
//! (RFC 9111 section 4.1). Each is an entity of its own: the first has the URL's key, the others
//! have it with a number.

use std::sync::Arc;

use tokio::time::Instant;
use viewcache_protocol::{EntityId, EntityKey, Selecting};

use super::Service;
use crate::error::Error;
use crate::live::{Live, Suit};
use crate::seam;

/// So many are kept besides the first; for one more, that which was used least recently goes.
pub(super) const MAX_VARIANTS: u8 = 8;

impl Service {
    /// The entity for a request that has this in the selecting fields: one whose response answers
    /// it, else one that may take the origin's answer, else the first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn selected(
        self: &Arc<Self>,
        key: &EntityKey,
        selecting: &Selecting,
    ) -> Result<Arc<Live>, Error> {
        let first = self.live(key).await?;
        let now = Instant::now();
        let suit = {
            let state = first.state();
            // Without a response nothing says whether, and by what, they vary.
            match &state.record.generation {
                Some(_) => state.suit(selecting, now),
                None => Suit::Answers,
            }
        };
        let mut oldest = match suit {
            Suit::Answers | Suit::Free => return Ok(first),
            Suit::Idle { used_at } => Some((used_at, Arc::clone(&first))),
            Suit::Taken => None,
        };
        let mut free = None;
        for number in 1..=MAX_VARIANTS {
            let key = key.variant(number);
            let Some(live) = self.existing(key.id()).await? else {
                free = free.or(Some(key));
                continue;
            };
            let suit = live.state().suit(selecting, now);
            match suit {
                Suit::Answers => return Ok(live),
                Suit::Free => free = free.or(Some(key)),
                Suit::Idle { used_at } => {
                    if oldest.as_ref().is_none_or(|(other, _)| used_at < *other) {
                        oldest = Some((used_at, live));
                    }
                }
                Suit::Taken => {}
            }
        }
        match free {
            Some(key) => self.live(&key).await,
            None => Ok(oldest.map_or(first, |(_, live)| live)),
        }
    }

    /// An entity that is in memory or stored, and of a key all variants that are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn variants(
        self: &Arc<Self>,
        key: &EntityKey,
    ) -> Result<Vec<Arc<Live>>, Error> {
        let mut found = Vec::new();
        for number in 0..=MAX_VARIANTS {
            found.extend(self.existing(key.variant(number).id()).await?);
        }
        Ok(found)
    }

    /// The entity, if it is in memory or stored.
    pub(super) async fn existing(
        self: &Arc<Self>,
        id: EntityId,
    ) -> Result<Option<Arc<Live>>, Error> {
        if let Some(live) = self.table.find(id) {
            return Ok(Some(live));
        }
        if self.store.lacks(id) {
            return Ok(None);
        }
        let service = Arc::clone(self);
        Ok(seam::spawn_blocking(move || service.known(id)).await??)
    }
}
