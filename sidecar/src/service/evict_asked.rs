//! Evictions that the operator asks for.

use schemars::JsonSchema;
use serde::Serialize;

use super::Service;
use super::evict::FIRST_ADMITTED;
use super::history::Evicted;
use crate::store::{Aged, Class, StoreError};

/// So many segments are looked at in one step.
const STEP: usize = 64;

/// What is to go, and how far that is.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// So many bytes of disk; without it, whatever may go.
    bytes: Option<u64>,
    /// Only what was not used since then, in milliseconds since the epoch.
    unused_since: Option<u64>,
    /// What has gone.
    pub freed: Freed,
    /// The last segment that was looked at.
    after: Option<Aged>,
    /// Whether all has gone that was to go, or nothing more may.
    pub over: bool,
}

/// What has gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Freed {
    /// How many segments.
    pub segments: u64,
    /// Bytes of disk that they gave back.
    pub bytes: u64,
}

impl Asked {
    /// So many bytes of disk, or all that was not used since then, or what is both.
    pub fn new(bytes: Option<u64>, unused_since: Option<u64>) -> Self {
        Self {
            bytes,
            unused_since,
            ..Self::default()
        }
    }
}

impl Service {
    /// Says which segments have been used since the index was last told. Blocks.
    pub fn prepare_evictions(&self) {
        self.age_all();
    }

    /// Evicts some of what is asked for, that which was used least recently first, and what is
    /// provisional before all else. Blocks.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub fn evict_asked(&self, asked: &mut Asked) -> Result<(), StoreError> {
        let oldest = self.store.oldest(asked.after, STEP)?;
        asked.over = oldest.len() < STEP;
        for aged in oldest {
            asked.after = Some(aged);
            if asked.bytes.is_some_and(|bytes| bytes <= asked.freed.bytes) {
                asked.over = true;
                break;
            }
            if asked
                .unused_since
                .is_some_and(|since| since <= aged.used_at)
            {
                // So are all after it of its class.
                asked.over = aged.class != Class::Provisional;
                asked.after = Some(FIRST_ADMITTED);
                break;
            }
            let freed = self.evict_segment(aged, Evicted::Operator)?;
            asked.freed.bytes += freed;
            asked.freed.segments += u64::from(0 < freed);
        }
        Ok(())
    }
}
