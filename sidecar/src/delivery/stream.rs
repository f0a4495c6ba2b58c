//! The body of a response: what is stored from the disk, what has just arrived from memory, in
//! order; what neither is there nor on its way is ordered from the origin, early enough.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use viewcache_protocol::ByteRange;

use super::lead::Lead;
use super::pump::{self, Order};
use super::source::SourceError;
use super::{Cut, Sent, Viewing};
use crate::error::Error;
use crate::extents::Extents;
use crate::live::{Live, Next, Snapshot, Spot, State};
use crate::origin::Asker;
use crate::pace::Pace;
use crate::service::{Read, Service, StreamShare};
use crate::terms::Terms;

/// A response being streamed. Its frames are made when they are asked for; dropped, it leaves what
/// it ordered to the other readers.
pub(super) struct Stream {
    pub(super) service: Arc<Service>,
    pub(super) live: Arc<Live>,
    pub(super) snapshot: Snapshot,
    pub(super) asker: Asker,
    pub(super) viewing: Viewing,
    /// The generation's number now: after a purge it has another, with the same bytes.
    pub(super) seq: u64,
    /// Offset of the next byte to send.
    pub(super) at: u64,
    /// Where the response ends.
    pub(super) end: u64,
    pub(super) terms: Terms,
    pub(super) pace: Pace,
    /// Transfers of its own that failed since the last byte, those apart that could not begin for
    /// want of a descriptor.
    pub(super) tries: u32,
    /// The last of these.
    pub(super) lack: Option<SourceError>,
    /// Where they are told.
    pub(super) failures: (mpsc::Sender<SourceError>, mpsc::Receiver<SourceError>),
    /// What was sent.
    pub(super) sent: Sent,
    /// What its own transfers were to bring.
    pub(super) fetched: Extents,
    /// Whether it ended before its end.
    pub(super) is_cut: bool,
    /// Its part of the memory for responses.
    pub(super) _share: StreamShare,
    /// The read that was begun while the frame before it was sent, and its offset.
    pub(super) reading: Option<(u64, JoinHandle<Result<Bytes, Error>>)>,
}

impl Stream {
    /// The next bytes; `None` at the end.
    pub(super) async fn frame(&mut self) -> Result<Option<Bytes>, Cut> {
        // The viewer's pauses are not the origin's.
        let since = Instant::now();
        while self.at < self.end {
            match self.step(since).await {
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                Ok(None) => {}
                Err(error) => {
                    let fetched = error.fetched();
                    self.service.metrics.cuts.inc(fetched);
                    self.service
                        .alarms
                        .cut(self.live.id, self.at, fetched, &error);
                    self.is_cut = true;
                    self.end = self.at;
                    return Err(Cut);
                }
            }
        }
        Ok(None)
    }

    /// Whether all of its range was sent.
    pub(super) const fn is_over(&self) -> bool {
        self.end <= self.at
    }

    /// Goes on with another range.
    pub(super) fn turn_to(&mut self, range: ByteRange) {
        (self.at, self.end) = (range.start(), range.end());
        self.reading = None;
        self.viewing.aim(range);
    }

    /// Goes on from the offset that the response has reached.
    async fn step(&mut self, since: Instant) -> Result<Option<Bytes>, SourceError> {
        let live = Arc::clone(&self.live);
        let mut changed = std::pin::pin!(live.changed.notified());
        changed.as_mut().enable();
        let now = Instant::now();
        self.count_failures(now, since)?;
        let (next, order) = {
            let mut state = live.state();
            let spot = Spot {
                offset: self.at,
                end: self.end,
                since,
                window: self.pace.window(self.terms.window),
            };
            let next = state.next(self.seq, spot, now);
            let gap = match next {
                Next::Fetch(gap) => Some(gap),
                Next::Gone => None,
                _ if self.snapshot.combinable => {
                    let horizon = self.pace.horizon(state.latency.get());
                    state.upcoming(self.seq, spot, horizon, now)
                }
                _ => None,
            };
            // Taken under the same lock: of all who see the gap, one leads.
            let order = gap.map(|gap| {
                let stalls = state.is_written(gap.start());
                (gap, self.lead(&mut state, gap), stalls)
            });
            (next, order)
        };
        if let Some((gap, lead, stalls)) = order {
            self.order(gap, lead, stalls)?;
        }
        let (until, follows) = match next {
            Next::Recent(bytes) => return Ok(Some(self.passed(bytes, false))),
            Next::Stored(run_end) => return self.read(run_end).await,
            Next::Fetch(_) => return Ok(None),
            Next::Follow(until) => (until, Some(self.service.metrics.follow())),
            Next::Gone => match self.revive(now)? {
                Some(until) => (until, None),
                None => return Ok(None),
            },
        };
        // Either way the state is looked at again.
        let until = until.min(since + self.terms.patience);
        let _ = tokio::time::timeout_at(until, changed).await;
        drop(follows);
        Ok(None)
    }

    /// Whether the response has waited long enough for a byte, or tried often enough.
    fn count_failures(&mut self, now: Instant, since: Instant) -> Result<(), SourceError> {
        while let Ok(error) = self.failures.1.try_recv() {
            if error.is_lack() {
                self.lack = Some(error);
                continue;
            }
            self.tries += 1;
            if error.is_final() || self.terms.tries <= self.tries {
                return Err(error);
            }
        }
        if self.terms.patience <= now.saturating_duration_since(since) {
            return Err(self.lack.take().unwrap_or(SourceError::Patience));
        }
        Ok(())
    }

    fn lead(&self, state: &mut State, gap: ByteRange) -> Lead {
        Lead::take(&self.service, &self.live, state, self.seq, gap)
    }

    fn order(
        &mut self,
        gap: ByteRange,
        lead: Lead,
        despite_store: bool,
    ) -> Result<(), SourceError> {
        if !self.snapshot.combinable {
            return Err(SourceError::NotCombinable);
        }
        self.fetched.insert(gap);
        let order = Order {
            lead,
            snapshot: self.snapshot.clone(),
            gap,
            asker: self.asker.clone(),
            despite_store,
        };
        pump::order(&self.service, order, self.failures.0.clone());
        Ok(())
    }

    /// The generation was purged or replaced: under its validator the origin tells which. When it
    /// is the same still, the response goes on with it; when to look again comes back.
    fn revive(&mut self, now: Instant) -> Result<Option<Instant>, SourceError> {
        let mut state = self.live.state();
        if let Some(living) = &state.record.generation {
            let profile = state.record.key.profile();
            if living.id(profile) != self.snapshot.generation.id(profile) {
                return Err(SourceError::Changed);
            }
            self.seq = living.seq;
            return Ok(None);
        }
        let awaited = state.leads.awaited(self.at, now, now, &self.terms);
        let waits = awaited.or(state.trouble.retry_at.filter(|&at| now < at));
        if waits.is_some() {
            return Ok(waits);
        }
        let window = self.pace.window(self.terms.window);
        let end = self.end.min(self.at.saturating_add(window));
        let Some(rest) = ByteRange::new(self.at, end) else {
            return Ok(None);
        };
        let lead = self.lead(&mut state, rest);
        drop(state);
        self.order(rest, lead, false)?;
        Ok(None)
    }

    /// The stored bytes at the response's offset.
    async fn read(&mut self, run_end: u64) -> Result<Option<Bytes>, SourceError> {
        let Some(range) = self.piece(self.at, run_end) else {
            return Ok(None);
        };
        let begun = self.reading.take().filter(|(at, _)| *at == self.at);
        let reading = match begun {
            Some((_, waits)) => Read::Waits(waits),
            None => self.service.read(&self.live, self.seq, range),
        };
        let (read, waited) = match reading {
            Read::Done(bytes) => (Ok(Ok(bytes)), false),
            Read::Waits(waits) => {
                let read = tokio::time::timeout(self.terms.stall, waits).await;
                let read = read.map(|joined| joined.unwrap_or_else(|error| Err(error.into())));
                (read, true)
            }
        };
        match read {
            Ok(Ok(bytes)) => {
                let bytes = self.passed(bytes, true);
                // A disk that is waited for reads on while this is sent.
                let after = self.piece(self.at, run_end).filter(|_| waited);
                self.reading = after.and_then(|range| self.begin_read(range));
                Ok(Some(bytes))
            }
            // They are not stored any more: the next step finds a gap.
            Ok(Err(error)) if error.is_damage() => Ok(None),
            // The disk fails or hangs: these bytes come from the origin.
            Ok(Err(_)) | Err(_) => {
                let lead = self.lead(&mut self.live.state(), range);
                self.order(range, lead, true)?;
                self.follow(range).await;
                Ok(None)
            }
        }
    }

    /// Waits for a transfer of its own that replaces what the disk does not give.
    async fn follow(&self, range: ByteRange) {
        let arrived = async {
            loop {
                let mut changed = std::pin::pin!(self.live.changed.notified());
                changed.as_mut().enable();
                if self.live.state().recent.at(range.start()).is_some() {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(self.terms.stall, arrived).await;
    }

    /// What one read takes: it ends where all reads end, so that most fall on whole cells.
    fn piece(&self, at: u64, run_end: u64) -> Option<ByteRange> {
        let size = self.service.read_size();
        ByteRange::new(at, run_end.min(self.end).min((at / size + 1) * size))
    }

    fn begin_read(&self, range: ByteRange) -> Option<(u64, JoinHandle<Result<Bytes, Error>>)> {
        match self.service.read(&self.live, self.seq, range) {
            Read::Waits(waits) => Some((range.start(), waits)),
            // In the page cache after all: it is read again, at once, when its turn comes.
            Read::Done(_) => None,
        }
    }

    fn passed(&mut self, mut bytes: Bytes, stored: bool) -> Bytes {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        bytes.truncate(left);
        let len = bytes.len() as u64;
        if let Some(passed) = ByteRange::from_len(self.at, len) {
            let sent = Sent::of(passed, stored, &self.fetched);
            self.viewing.passed(&self.service, passed, sent);
            self.sent += sent;
        }
        self.at += len;
        (self.tries, self.lack) = (0, None);
        self.pace.sent(len, Instant::now());
        bytes
    }
}
