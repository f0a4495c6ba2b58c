//! The body of a response: what is stored from the disk, what another brings by following it,
//! and the rest from the origin, in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use viewcache_protocol::ByteRange;

use super::source::{Lead, Source, SourceError};
use super::{Cut, Viewing, open};
use crate::fills::STALL;
use crate::live::{Live, Next, Snapshot};
use crate::origin::{Asker, HEAD_DEADLINE};
use crate::service::Service;

/// How much is read from the disk at once: enough to keep the disk busy, little enough for a first
/// byte to be quick and for thousands of paused viewers to fit in memory.
const READ: u64 = 256 << 10;

/// How often the rest is asked for without a new byte before the viewer is cut.
const TRIES: u32 = 4;

/// The pause before the second try; it doubles with each.
const BACK_OFF: Duration = Duration::from_millis(200);

/// A response being streamed. Dropped at any await, it ends its lead and leaves what it stored.
pub(super) struct Stream {
    pub(super) service: Arc<Service>,
    pub(super) live: Arc<Live>,
    pub(super) snapshot: Snapshot,
    pub(super) asker: Asker,
    /// The generation's number now: after a purge it has another, with the same bytes.
    pub(super) seq: u64,
    /// Offset of the next byte to send.
    pub(super) at: u64,
    /// When the response came to that offset.
    pub(super) since: Instant,
    /// Where the response ends.
    pub(super) end: u64,
    /// How much one fetch asks for at the most.
    pub(super) window: u64,
    pub(super) sender: mpsc::Sender<Result<Bytes, Cut>>,
    pub(super) _viewing: Viewing,
}

/// Why a body ends early.
#[derive(Debug)]
enum Ended {
    /// The viewer is gone.
    Left,
    /// The origin does not give the rest, or what it gives is another entity by now.
    Failed(SourceError),
}

impl Stream {
    pub(super) async fn run(mut self, source: Option<Source>) {
        match self.deliver(source).await {
            Ok(()) | Err(Ended::Left) => {}
            Err(Ended::Failed(error)) => {
                tracing::warn!(entity = %self.live.id, at = self.at, %error, "a response is cut");
                self.service.metrics.cuts.inc();
                // When the viewer is gone too there is nobody to tell.
                let _ = self.sender.send(Err(Cut)).await;
            }
        }
    }

    async fn deliver(&mut self, mut source: Option<Source>) -> Result<(), Ended> {
        let mut tries = 0;
        while self.at < self.end {
            let before = self.at;
            let result = match source.take() {
                Some(source) => self.relay(source).await,
                None => self.step().await,
            };
            if before < self.at {
                tries = 0;
            }
            match result {
                Ok(()) => {}
                Err(Ended::Failed(SourceError::Changed | SourceError::NotCombinable)) => {
                    return result;
                }
                Err(Ended::Failed(error)) if tries + 1 < TRIES => {
                    tracing::debug!(entity = %self.live.id, at = self.at, %error, "asked again");
                    tokio::time::sleep(BACK_OFF * 2u32.pow(tries)).await;
                    tries += 1;
                }
                Err(ended) => return Err(ended),
            }
        }
        Ok(())
    }

    /// Goes on from the offset that the response has reached.
    async fn step(&mut self) -> Result<(), Ended> {
        let live = Arc::clone(&self.live);
        let mut changed = std::pin::pin!(live.changed.notified());
        changed.as_mut().enable();
        let (next, lead) = {
            let mut state = live.state();
            let now = Instant::now();
            let next = state.next(self.seq, self.at, self.end, self.window, self.since, now);
            // Taken under the same lock: of all who see the gap, one leads.
            let lead = match next {
                Next::Fetch(gap) => Some(Lead::take(
                    &self.service,
                    &self.live,
                    &mut state,
                    self.seq,
                    gap,
                )),
                _ => None,
            };
            (next, lead)
        };
        match next {
            Next::Stored(end) => self.send_stored(end).await,
            Next::Follow(until) => {
                let sender = self.sender.clone();
                tokio::select! {
                    _ = tokio::time::timeout_at(until.into(), changed) => Ok(()),
                    () = sender.closed() => Err(Ended::Left),
                }
            }
            Next::Fetch(gap) => self.fetch(gap, lead).await,
            // Purged, or replaced. Under its validator the origin tells which: the rest of the same
            // generation, or another one.
            Next::Gone => {
                let end = self.end.min(self.at.saturating_add(self.window));
                match ByteRange::new(self.at, end) {
                    Some(rest) => self.fetch(rest, None).await,
                    None => Ok(()),
                }
            }
        }
    }

    async fn fetch(&mut self, gap: ByteRange, lead: Option<Lead>) -> Result<(), Ended> {
        let lead = lead.unwrap_or_else(|| {
            let mut state = self.live.state();
            Lead::take(&self.service, &self.live, &mut state, self.seq, gap)
        });
        let deadline = Instant::now() + HEAD_DEADLINE;
        let opened = open(
            &self.service,
            lead,
            &self.snapshot,
            gap,
            &self.asker,
            deadline,
        );
        let sender = self.sender.clone();
        let source = tokio::select! {
            source = opened => source.map_err(Ended::Failed)?,
            () = sender.closed() => return Err(Ended::Left),
        };
        self.seq = source.seq();
        self.relay(source).await
    }

    async fn send_stored(&mut self, end: u64) -> Result<(), Ended> {
        let end = end.min((self.at / READ + 1) * READ);
        let Some(range) = ByteRange::new(self.at, end) else {
            return Ok(());
        };
        let read = self.service.read(&self.live, self.seq, range);
        match tokio::time::timeout(STALL, read).await {
            Ok(Ok(bytes)) => {
                self.service.sent_from_cache(&self.live, range.len());
                self.send(bytes).await
            }
            // Damaged, or the disk fails or hangs: these bytes come from the origin.
            Ok(Err(_)) | Err(_) => self.fetch(range, None).await,
        }
    }

    /// Passes on what a transfer brings, from the offset that the response has reached.
    async fn relay(&mut self, mut source: Source) -> Result<(), Ended> {
        let sender = self.sender.clone();
        while self.at < self.end {
            let next = tokio::select! {
                next = source.next() => next.map_err(Ended::Failed)?,
                () = sender.closed() => return Err(Ended::Left),
            };
            let Some((offset, mut bytes)) = next else {
                return Ok(());
            };
            let until = offset + bytes.len() as u64;
            if until <= self.at {
                continue;
            }
            // A transfer may begin before the response does and end after it.
            let skip = self.at.saturating_sub(offset);
            let keep = until.min(self.end) - offset;
            bytes = bytes.slice(skip as usize..keep as usize);
            self.send(bytes).await?;
        }
        Ok(())
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Ended> {
        self.at += bytes.len() as u64;
        self.since = Instant::now();
        self.sender.send(Ok(bytes)).await.map_err(|_| Ended::Left)
    }
}
