//! Reads a transfer at its readers' pace: what arrives is published to them at once, from memory,
//! and goes to the store in chunks.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::Instant;
use viewcache_protocol::ByteRange;

use super::lead::Lead;
use super::source::{Source, SourceError};
use crate::error::Refusal;
use crate::events::{Event, Expired, Subject};
use crate::fills::ANSWER;
use crate::live::{Live, Snapshot};
use crate::origin::Asker;
use crate::readers::Demand;
use crate::service::Service;

/// Chunks grow from the first to the last of these: the first bytes are stored early, and in the
/// long run there are few writes.
const CHUNK: RangeInclusive<usize> = 64 << 10..=256 << 10;

/// A buffered chunk is stored after this long without another byte.
const LINGER: Duration = Duration::from_millis(50);

/// A transfer whose readers want nothing for this long gives its connection back.
const UNWANTED: Duration = Duration::from_secs(30);

/// What is stored already must be this long for a transfer to end there: a new request costs more.
const WORTH: u64 = 256 << 10;

/// What a transfer that is to be opened asks for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) lead: Lead,
    pub(super) snapshot: Snapshot,
    pub(super) gap: ByteRange,
    pub(super) asker: Asker,
    /// The stored bytes cannot be read; these replace them for whoever reads now.
    pub(super) despite_store: bool,
}

/// A running transfer and what of it is not stored yet.
#[derive(Debug)]
pub(super) struct Pump {
    service: Arc<Service>,
    live: Arc<Live>,
    source: Source,
    /// The first byte that was asked for.
    floor: u64,
    /// How long the origin may be silent inside the body.
    silence: Duration,
    /// Whether nobody can ask for these bytes again: they have no validator.
    only_once: bool,
    despite_store: bool,
    buffer: BytesMut,
    chunk: usize,
}

/// Opens a transfer and pumps it; what goes wrong is told to `failures`.
pub(super) fn order(service: &Arc<Service>, order: Order, failures: mpsc::Sender<SourceError>) {
    let service = Arc::clone(service);
    tokio::spawn(async move {
        let live = Arc::clone(order.lead.live());
        let despite_store = order.despite_store;
        let pumped = match open(&service, order).await {
            Ok(Some((source, floor))) => {
                let mut pump = Pump::new(Arc::clone(&service), source, floor);
                pump.despite_store = despite_store;
                pump.run().await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = pumped {
            trouble(&service, &live, &error);
            // Nobody is told twice; the channel is full only when its reader has not looked for long.
            let _ = failures.try_send(error);
            live.changed.notify_waiters();
        }
    });
}

/// Pumps a transfer that is open already, for a response that begins at `floor`.
pub(super) fn start(
    service: &Arc<Service>,
    source: Source,
    floor: u64,
    failures: mpsc::Sender<SourceError>,
) {
    let service = Arc::clone(service);
    let pump = Pump::new(Arc::clone(&service), source, floor);
    tokio::spawn(async move {
        let live = Arc::clone(&pump.live);
        if let Err(error) = pump.run().await {
            trouble(&service, &live, &error);
            let _ = failures.try_send(error);
            live.changed.notify_waiters();
        }
    });
}

fn trouble(service: &Service, live: &Live, error: &SourceError) {
    tracing::debug!(entity = %live.id, %error, "a transfer failed");
    let mut state = live.state();
    if error.is_expiry() {
        state.record.url_expired = true;
        state.dirty = true;
        service.events.tell(|| {
            Event::Expired(Expired {
                subject: Subject::of(&state.record.key),
            })
        });
    }
    let now = Instant::now();
    if error.is_lack() {
        state.trouble.lacked(now);
    } else if !error.is_final() {
        state.trouble.failed(error.retry_after(), now);
    }
}

/// Opens it; `None` when its readers have left meanwhile.
async fn open(service: &Arc<Service>, order: Order) -> Result<Option<(Source, u64)>, SourceError> {
    let deadline = Instant::now() + ANSWER;
    let Order {
        lead,
        snapshot,
        gap,
        asker,
        ..
    } = order;
    let live = Arc::clone(lead.live());
    let mut opened = std::pin::pin!(Source::gap(service, lead, &snapshot, gap, &asker, deadline));
    loop {
        let mut demand = std::pin::pin!(live.demand.notified());
        demand.as_mut().enable();
        if !live.state().readers.want(gap) {
            return Ok(None);
        }
        tokio::select! {
            biased;
            opened = &mut opened => return Ok(Some((opened?, gap.start()))),
            () = demand => {}
        }
    }
}

impl Pump {
    fn new(service: Arc<Service>, source: Source, floor: u64) -> Self {
        let live = Arc::clone(source.lead().live());
        let (silence, only_once) = {
            let state = live.state();
            // What cannot be asked for again is waited for.
            match state.combinable() {
                true => (state.terms.stall, false),
                false => (state.terms.patience, true),
            }
        };
        Self {
            live,
            service,
            source,
            floor,
            silence,
            only_once,
            despite_store: false,
            buffer: BytesMut::new(),
            chunk: *CHUNK.start(),
        }
    }

    async fn run(mut self) -> Result<(), SourceError> {
        let _pumping = self.service.pumping();
        let result = self.pass().await;
        self.source.close(&result);
        self.flush();
        self.live.state().leads.drain(self.source.lead().fill());
        self.live.changed.notify_waiters();
        if result.is_err() {
            // Its readers look for another way at once, and have what has come before.
            tokio::spawn(self.drain());
        } else {
            self.drain().await;
        }
        result
    }

    /// Passes on what comes until the end, or until nobody wants more.
    async fn pass(&mut self) -> Result<(), SourceError> {
        while self.source.at() < self.source.end() && self.wanted().await {
            match self.frame().await? {
                Some(bytes) => self.publish(bytes),
                None => break,
            }
        }
        Ok(())
    }

    fn demand(&self) -> Demand {
        let state = self.live.state();
        let (at, end) = (self.source.at(), self.source.end());
        let worth = WORTH.max(state.terms.bridge + 1).min(end - at);
        // Its own bytes of another generation, and what another has brought, are of no use.
        let met = self.floor <= at
            && !self.despite_store
            && state.meets(self.source.lead().fill(), at, worth);
        if !state.lives(self.source.seq()) || met {
            return Demand::Over;
        }
        state.readers.demand(at, self.floor, self.service.ahead())
    }

    /// Waits until a reader wants more; false when none does any more.
    async fn wanted(&mut self) -> bool {
        let fill = self.source.lead().fill();
        let mut paused = false;
        loop {
            let live = Arc::clone(&self.live);
            let mut changed = std::pin::pin!(live.demand.notified());
            changed.as_mut().enable();
            match self.demand() {
                Demand::Until(_) => {
                    if paused {
                        live.state().leads.pause(fill, false, Instant::now());
                    }
                    return true;
                }
                Demand::Over => return false,
                Demand::Paused if !paused => {
                    paused = true;
                    live.state().leads.pause(fill, true, Instant::now());
                    self.flush();
                    // Whoever follows it far ahead of these readers looks for another way.
                    live.changed.notify_waiters();
                }
                Demand::Paused => {}
            }
            if tokio::time::timeout(UNWANTED, changed).await.is_err() {
                return false;
            }
        }
    }

    /// The next bytes; `None` when nobody wants them any more.
    async fn frame(&mut self) -> Result<Option<Bytes>, SourceError> {
        let silent_at = Instant::now() + self.silence;
        loop {
            let live = Arc::clone(&self.live);
            let mut changed = std::pin::pin!(live.demand.notified());
            changed.as_mut().enable();
            if self.demand() == Demand::Over {
                return Ok(None);
            }
            let until = match self.buffer.is_empty() {
                true => silent_at,
                false => silent_at.min(Instant::now() + LINGER),
            };
            tokio::select! {
                biased;
                frame = self.source.next() => return frame,
                () = changed => {}
                () = tokio::time::sleep_until(until) => {
                    if silent_at <= Instant::now() {
                        return Err(SourceError::Short(self.source.at()));
                    }
                    self.flush();
                }
            }
        }
    }

    fn publish(&mut self, bytes: Bytes) {
        let len = bytes.len() as u64;
        let offset = self.source.at() - len;
        let fill = self.source.lead().fill();
        self.service.metrics.origin_bytes.inc_by(len);
        {
            let mut state = self.live.state();
            state.record.bytes_from_origin += len;
            state.traffic.from_origin += len;
            state.trouble.over();
            let keep = self.service.ahead() + WORTH;
            let awaited = state.readers.fastest(offset).unwrap_or(u64::MAX);
            // Another generation may have come while this frame was waited for.
            let seq = self.source.seq();
            if !state.publish(seq, fill, offset, bytes.clone(), keep, awaited) {
                self.buffer.clear();
                return;
            }
            let now = Instant::now();
            state.leads.advance(fill, self.source.at(), now);
        }
        self.live.changed.notify_waiters();
        if self.buffer.is_empty() && self.chunk <= bytes.len() {
            self.store(offset, bytes);
            return;
        }
        self.buffer.extend_from_slice(&bytes);
        if self.chunk <= self.buffer.len() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let bytes = self.buffer.split().freeze();
        if !bytes.is_empty() {
            self.store(self.source.at() - bytes.len() as u64, bytes);
        }
    }

    /// Hands a chunk to the store; when that has no memory to spare, a gap is left.
    fn store(&mut self, offset: u64, bytes: Bytes) {
        let len = bytes.len() as u64;
        self.chunk = (self.chunk * 2).min(*CHUNK.end());
        let stored = match self.service.admit(len) {
            Some(permit) => self
                .service
                .spawn_store(&self.live, self.source.seq(), offset, bytes, permit)
                .map(drop),
            None => Err(Refusal::Busy),
        };
        if let Err(refusal) = stored {
            self.service.refuse(refusal, len);
        }
    }

    /// Keeps what is not stored, or could not be, for as long as a reader is coming to it; and what
    /// can be had only once also when it is stored, for it may be evicted before.
    async fn drain(self) {
        const LOOK_EVERY: Duration = Duration::from_secs(1);
        loop {
            let mut changed = std::pin::pin!(self.live.changed.notified());
            let mut demand = std::pin::pin!(self.live.demand.notified());
            changed.as_mut().enable();
            demand.as_mut().enable();
            let left = {
                let mut guard = self.live.state();
                let state = &mut *guard;
                let needed = |range: ByteRange| {
                    let trusted = !self.despite_store && !self.only_once;
                    let stored = trusted && state.stored.covers(range);
                    !stored && state.readers.want(range)
                };
                state.recent.retain(self.source.lead().fill(), needed)
            };
            if !left {
                return;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = demand => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}
