//! What Cache-Status says of a request that went to the origin.

use viewcache_protocol::{CacheStatus, Forward};

use super::Effect;
use crate::profile::BypassReason;

/// What a response says whose request went to the origin.
#[derive(Debug)]
pub(super) struct Note {
    /// Why it went there.
    pub(super) forward: Forward,
    /// Why it is not stored.
    pub(super) detail: &'static str,
}

impl Note {
    pub(super) fn annotate(&self) -> Effect {
        let status = CacheStatus::Forwarded {
            reason: self.forward,
            status: None,
            stored: false,
            collapsed: None,
            detail: Some(self.detail),
        };
        Effect::Annotate(status.to_string())
    }
}

impl From<BypassReason> for Note {
    fn from(reason: BypassReason) -> Self {
        Self {
            forward: reason.forward(),
            detail: reason.as_str(),
        }
    }
}
