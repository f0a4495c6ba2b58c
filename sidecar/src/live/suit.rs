//! Whether an entity is the one of several variants that a request is about. Pure.

use tokio::time::Instant;
use viewcache_protocol::message::ForwardToken;
use viewcache_protocol::{FillId, Selecting};

use super::State;

/// How one variant stands to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suit {
    /// Its response answers it, or one is coming that was asked for alike.
    Answers,
    /// It has no response, and none is coming.
    Free,
    /// Its response answers others, and nobody uses it now.
    Idle {
        /// When it was last used, in milliseconds since the epoch.
        used_at: u64,
    },
    /// It is in use by others.
    Taken,
}

impl State {
    /// How it stands to a request with this in the selecting fields.
    pub fn suit(&self, selecting: &Selecting, now: Instant) -> Suit {
        let answers = match &self.record.generation {
            Some(living) => living.answers(selecting),
            None if self.is_free(now) => return Suit::Free,
            None => self.asked_with.as_ref() == Some(selecting),
        };
        match (answers, &self.record.generation) {
            (true, _) => Suit::Answers,
            (false, Some(_)) if self.is_free(now) => Suit::Idle {
                used_at: self.record.last_accessed,
            },
            (false, _) => Suit::Taken,
        }
    }

    /// Whether nobody streams, fetches or writes it.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        !self.active() && self.leads.underway(now, &self.terms) == 0
    }

    /// Grants a lead to a request with this in the selecting fields.
    pub fn grant(&mut self, fill: FillId, until: Instant, selecting: &Selecting) {
        self.leads.grant(fill, until);
        self.asked_with = Some(selecting.clone());
    }

    /// Why the origin is asked when nothing is known of the entity.
    pub fn unknown(&self) -> ForwardToken {
        match self.record.key.number() {
            0 => ForwardToken::UriMiss,
            _ => ForwardToken::VaryMiss,
        }
    }
}
