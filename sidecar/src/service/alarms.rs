//! What an operator has to know at once: for each kind of trouble one line at most every ten
//! seconds, with what has happened, how bad it is, and what to do. `others` counts the lines that
//! were kept back. Viewers get their bytes from the origin meanwhile.

use viewcache_protocol::{ByteRange, EntityId};

use super::room::Look;
use crate::delivery::Fetched;
use crate::error::Error;
use crate::store::{Damage, Fault, StoreError};
use crate::throttle::Throttle;

/// One for each kind.
#[derive(Debug, Default)]
pub struct Alarms {
    store: Throttle,
    room: Throttle,
    damage: Throttle,
    conflicts: Throttle,
    origin: Throttle,
    cuts: Throttle,
    callouts: Throttle,
}

impl Alarms {
    /// The disk or the index fails, and does so for everything.
    pub(super) fn store(&self, what: &'static str, error: &StoreError) {
        if let Some(others) = self.store.pass() {
            let fault = error.fault();
            let (reason, advice) = (fault.as_str(), fault.advice());
            tracing::error!(reason, %error, others, advice, "{what}");
        }
    }

    /// Nothing is stored, because nothing may go.
    pub(super) fn no_room(&self, look: impl FnOnce() -> Look) {
        if let Some(others) = self.room.pass() {
            let Look {
                used,
                limit,
                free,
                floor,
                ..
            } = look();
            let advice = match free <= floor {
                true => "free disk space: the file system has less left than min_free",
                false => "raise max_bytes, or unpin entities: what is pinned is not evicted",
            };
            tracing::error!(used, limit, free, floor, others, advice, "no room to store");
        }
    }

    /// The disk has given other bytes than it was given.
    pub(super) fn damage(&self, entity: EntityId, range: ByteRange, damage: Damage) {
        if let Some(others) = self.damage.pass() {
            let reason = damage.as_str();
            let advice = "after a power loss this passes; if it goes on, the disk is failing";
            tracing::warn!(%entity, %range, reason, others, advice, "damaged bytes are dropped");
        }
    }

    /// The origin has given other bytes than before.
    pub(super) fn conflict(&self, entity: EntityId, first: ByteRange, pieces: u64) {
        if let Some(others) = self.conflicts.pass() {
            let advice =
                "purge the entity; its origin changes bytes without changing the validator";
            tracing::warn!(%entity, %first, pieces, others, advice, "bytes arrive that differ from those stored");
        }
    }

    /// The origin fails, or the way to it.
    pub(crate) fn origin(&self, authority: &[u8], fetched: Fetched, error: &dyn std::error::Error) {
        if let Some(others) = self.origin.pass() {
            let authority = String::from_utf8_lossy(authority);
            let reason = fetched.as_str();
            let (what, advice) = match fetched {
                Fetched::Descriptors => ("the origin cannot be asked", Fault::Descriptors.advice()),
                Fetched::ServerError => ("the origin fails", "look at the origin"),
                _ => (
                    "the origin fails",
                    "look at Envoy's egress listener and its cluster origin (/clusters)",
                ),
            };
            tracing::warn!(%authority, reason, %error, others, advice, "{what}");
        }
    }

    /// A viewer did not get all of a response.
    pub(crate) fn cut(
        &self,
        entity: EntityId,
        at: u64,
        fetched: Fetched,
        error: &dyn std::error::Error,
    ) {
        if let Some(others) = self.cuts.pass() {
            let advice = match fetched {
                Fetched::Descriptors => Fault::Descriptors.advice(),
                _ => "the origin has failed inside a response; see viewcache_cuts_total",
            };
            tracing::warn!(%entity, at, %error, others, advice, "a response is cut");
        }
    }

    /// The filter was not understood.
    pub(crate) fn callout(&self, error: &Error) {
        if let Some(others) = self.callouts.pass() {
            let advice = match error {
                Error::Store(error) => error.fault().advice(),
                _ => "report it: the filter and the sidecar do not understand each other",
            };
            tracing::warn!(%error, others, advice, "a callout is refused");
        }
    }
}
