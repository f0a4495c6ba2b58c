//! Memory for bytes on their way to viewers, shared among responses and transfers: the more of
//! them, the less each has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Service;

/// For the frames of responses: the one being sent and the one being read.
pub(super) const FRAMES: u64 = 128 << 20;

/// For what transfers have brought and readers have not taken.
pub(super) const AHEAD: u64 = 64 << 20;

/// So many responses are streamed at once; beyond, requests are handed back to the origin.
const STREAMS: u64 = 1024;

/// The sizes of a read: enough to keep a disk busy, or little enough for many.
const READ: std::ops::RangeInclusive<u64> = 64 << 10..=256 << 10;

/// The same for how far a transfer may be ahead of its readers.
const AHEAD_EACH: std::ops::RangeInclusive<u64> = 256 << 10..=2 << 20;

/// Who shares the memory.
#[derive(Debug, Default)]
pub(super) struct Shares {
    streams: AtomicU64,
    pumps: AtomicU64,
}

/// A response's share.
#[derive(Debug)]
pub struct StreamShare(Arc<Shares>);

impl Drop for StreamShare {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A transfer's share.
#[derive(Debug)]
pub struct PumpShare(Arc<Shares>);

impl Drop for PumpShare {
    fn drop(&mut self) {
        self.0.pumps.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shares {
    /// Responses that are streamed.
    pub(super) fn streams(&self) -> u64 {
        self.streams.load(Ordering::Relaxed)
    }
}

impl Service {
    /// What the frames of responses take at the most: of each, one is sent and one is read.
    pub(super) fn frames(&self) -> u64 {
        self.shares.streams() * self.read_size() * 2
    }

    /// A share for one more response; `None` when there are too many.
    pub fn stream_share(&self) -> Option<StreamShare> {
        let before = self.shares.streams.fetch_add(1, Ordering::Relaxed);
        let share = StreamShare(Arc::clone(&self.shares));
        (before < STREAMS).then_some(share)
    }

    /// A share for one more transfer. Their number is bounded by the responses'.
    pub fn pumping(&self) -> PumpShare {
        self.shares.pumps.fetch_add(1, Ordering::Relaxed);
        PumpShare(Arc::clone(&self.shares))
    }

    /// How many bytes one read takes from the disk; a power of two.
    pub fn read_size(&self) -> u64 {
        let streams = self.shares.streams.load(Ordering::Relaxed).max(1);
        let each = (FRAMES / 2 / streams).clamp(*READ.start(), *READ.end());
        1 << each.ilog2()
    }

    /// How far a transfer may be ahead of its fastest reader.
    pub fn ahead(&self) -> u64 {
        let pumps = self.shares.pumps.load(Ordering::Relaxed).max(1);
        (AHEAD / pumps).clamp(*AHEAD_EACH.start(), *AHEAD_EACH.end())
    }
}
