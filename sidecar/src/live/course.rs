//! How a response goes on at an offset: from the store, from another's transfer, or by a transfer
//! of its own. Pure.

use bytes::Bytes;
use tokio::time::Instant;
use viewcache_protocol::{ByteRange, FillId};

use super::State;

/// Where a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Offset of its next byte, which is before `end`.
    pub offset: u64,
    /// Where it ends.
    pub end: u64,
    /// When it came to that offset.
    pub since: Instant,
    /// The most that one request may ask for it.
    pub window: u64,
}

/// How a response goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Just arrived, or not written yet, and in memory.
    Recent(Bytes),
    /// Stored up to here.
    Stored(u64),
    /// Somebody is bringing it: wait for a change, until then at the most.
    Follow(Instant),
    /// Nobody is: fetch this.
    Fetch(ByteRange),
    /// The generation is gone.
    Gone,
}

impl State {
    /// How a response of generation `seq` goes on.
    pub fn next(&self, seq: u64, spot: Spot, now: Instant) -> Next {
        let Spot {
            offset, end, since, ..
        } = spot;
        if !self.lives(seq) {
            return Next::Gone;
        }
        let come = self.recent.at(offset);
        if let Some(mut bytes) = come.or_else(|| self.unwritten.at(offset)) {
            bytes.truncate(usize::try_from(end - offset).unwrap_or(usize::MAX));
            return Next::Recent(bytes);
        }
        if let Some(run_end) = self.stored.run_end(offset) {
            return Next::Stored(run_end.min(end));
        }
        // A disk that hangs must not hang the viewer: after a while its bytes are fetched too.
        let disk_stalls = since + self.terms.stall;
        if self.writing.run_end(offset).is_some() && now < disk_stalls {
            return Next::Follow(disk_stalls);
        }
        if let Some(until) = self.leads.awaited(offset, since, now, &self.terms) {
            return Next::Follow(until);
        }
        if let Some(until) = self.leads.overtaken(offset, since, now) {
            return Next::Follow(until);
        }
        // The origin has asked for a pause, or has just failed.
        if let Some(at) = self.trouble.retry_at.filter(|&at| now < at) {
            return Next::Follow(at);
        }
        match self.gap(offset, end, spot.window, now) {
            Some(gap) => Next::Fetch(gap),
            None => Next::Gone,
        }
    }

    /// The first gap that nobody is bringing and that a response comes to within the next
    /// `horizon` bytes: what to ask for now, so that there is no pause when it gets there.
    pub fn upcoming(&self, seq: u64, spot: Spot, horizon: u64, now: Instant) -> Option<ByteRange> {
        if !self.lives(seq) || self.trouble.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        let until = spot.end.min(spot.offset.saturating_add(horizon));
        let mut at = spot.offset;
        while at < until {
            let past = [
                self.stored.run_end(at),
                self.writing.run_end(at),
                self.leads.promised(at, now, &self.terms),
            ];
            match past.into_iter().flatten().max() {
                Some(end) => at = end,
                None => return self.gap(at, spot.end, spot.window, now),
            }
        }
        None
    }

    /// What one request asks for at `offset`: up to what others have or bring, across stored runs
    /// that are too short to ask around, at most `window`.
    fn gap(&self, offset: u64, end: u64, window: u64, now: Instant) -> Option<ByteRange> {
        let end = end.min(offset.saturating_add(window));
        let others = self.leads.next_frontier(offset, now, &self.terms);
        let written = match self.writing.run_end(offset) {
            Some(run_end) => Some(run_end),
            None => self.writing.next_start(offset),
        };
        // What has come and waits to be written together with what comes next.
        let come = self.recent.next_start(offset);
        let limit = [others, written, come].into_iter().flatten().min();
        let mut stop = self.stored.next_start(offset).unwrap_or(end);
        while let Some(island) = self.stored.run_end(stop)
            && island - stop <= self.terms.bridge
            && island < end
        {
            stop = self.stored.next_start(island).unwrap_or(end);
        }
        ByteRange::new(offset, stop.min(end).min(limit.unwrap_or(end)))
    }

    /// Whether the byte at `offset` is being written. Who asks the origin for it all the same does
    /// so because the disk hangs.
    pub fn is_written(&self, offset: u64) -> bool {
        self.writing.run_end(offset).is_some()
    }

    /// Whether a transfer of the sidecar's own that has come to `frontier` meets what another has
    /// brought or brings, and enough of it to be worth a new request later: it ends there. Where
    /// another has passed and left nothing, a chunk of it was lost or left out.
    pub fn meets(&self, fill: FillId, frontier: u64, worth: u64) -> bool {
        let stored = self.stored.run_end(frontier).unwrap_or(frontier);
        let written = self.writing.run_end(frontier).unwrap_or(frontier);
        let end = stored.max(written);
        let is_there = frontier < end || self.recent.at(frontier).is_some();
        worth <= end - frontier || is_there && self.leads.passed(fill, frontier, worth)
    }

    /// Whether `seq` is the living generation.
    pub fn lives(&self, seq: u64) -> bool {
        let living = self.record.generation.as_ref();
        living.is_some_and(|generation| generation.seq == seq)
    }
}
