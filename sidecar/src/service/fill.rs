//! Filling: what the filter mirrors and what the sidecar fetches is stored the same way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use viewcache_protocol::{
    Begin, ByteRange, ChunkHead, End, FillId, MAX_COMPLETE_LENGTH, Outcome, Transfer,
};

use super::Service;
use super::spool::Spool;
use crate::error::{Error, Refusal};
use crate::fills::{Begun, Role};
use crate::journal;
use crate::live::Live;
use crate::metrics::CameFrom;
use crate::origin::Asker;
use crate::seam;

/// How long a chunk waits for its `begin`: they travel on different connections.
const BEGIN_PATIENCE: Duration = Duration::from_secs(2);

/// A run of stored bytes shorter than this is not worth telling the filter to skip.
const SKIP_MIN: u64 = 256 << 10;

/// The memory that one chunk occupies until it is stored.
#[derive(Debug)]
pub struct IngestPermit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl IngestPermit {
    pub(super) const fn new(memory: OwnedSemaphorePermit) -> Self {
        Self(memory)
    }
}

/// Where a chunk goes.
enum Target {
    /// To this generation of the entity.
    Generation(Arc<Live>, u64),
    /// To a body of unknown length.
    Spool(Arc<Spool>),
}

impl Service {
    /// Memory for `len` bytes on their way to the disk; `None` when there is none left.
    pub fn admit(&self, len: u64) -> Option<IngestPermit> {
        let kib = u32::try_from(len.div_ceil(1024)).ok()?;
        Semaphore::try_acquire_many_owned(Arc::clone(&self.ingest), kib)
            .ok()
            .map(IngestPermit)
    }

    /// Whether bytes on their way to the disk take more than half of the memory for them.
    pub(super) fn is_pressed(&self) -> bool {
        self.ingest_max / 2 < self.ingest_used()
    }

    /// How much of it is in use.
    pub(super) fn ingest_used(&self) -> u64 {
        let left = (self.ingest.available_permits() as u64) << 10;
        self.ingest_max.saturating_sub(left)
    }

    /// `begin`: the response of a granted fill has come.
    ///
    /// # Errors
    /// When the message makes no sense or the store fails.
    pub async fn begin(self: &Arc<Self>, fill: FillId, begin: Begin) -> Result<(), Error> {
        if begin.open_ended {
            return self.open_spool(fill, begin).await;
        }
        let Begin {
            key,
            generation,
            range,
            headers,
            selecting,
            origin,
            ..
        } = begin;
        let complete_length = generation.complete_length;
        if MAX_COMPLETE_LENGTH < complete_length || complete_length < range.end() {
            return Err(Error::Length(complete_length, range));
        }
        let live = self.live(&key).await?;
        self.answered(&live, fill, range);
        if let Some(asker) = origin.and_then(|origin| Asker::told(&origin, &selecting)) {
            self.learn(&live, asker);
        }
        self.open_generation(
            &live,
            Begun::mirrored(fill),
            Transfer {
                generation,
                range,
                headers,
                open_ended: false,
            },
            selecting,
        );
        Ok(())
    }

    /// The origin has begun to answer a viewer whose transfer was granted.
    pub(super) fn answered(&self, live: &Live, fill: FillId, range: ByteRange) {
        let mut state = live.state();
        let mut mirrors = state.mirrors.iter_mut();
        if let Some(mirrored) = mirrors.find(|mirrored| mirrored.fill == fill) {
            let waited = mirrored.granted.elapsed();
            mirrored.begun = Some((waited, range));
            let first_byte = &self.metrics.origin_first_byte;
            first_byte.observe(Role::Mirror, waited);
        }
    }

    /// Tells of a mirrored transfer that is over.
    fn tell(&self, live: &Live, fill: FillId, end: &End) {
        let state = live.state();
        let mut mirrors = state.mirrors.iter();
        let mirrored = mirrors.find(|mirrored| mirrored.fill == fill).cloned();
        drop(state);
        let duration = mirrored.as_ref().map(|mirrored| mirrored.granted.elapsed());
        let begun = mirrored.as_ref().and_then(|mirrored| mirrored.begun);
        if let (Some(_), Some(duration)) = (begun, duration) {
            self.metrics.origin.observe(Role::Mirror, duration);
        }
        let line = journal::Fill {
            entity: live.id,
            key: &end.key,
            fill,
            role: Role::Mirror,
            range: begun.map(|(_, range)| range),
            outcome: match end.outcome {
                Outcome::Complete => "complete",
                Outcome::Abandoned => "abandoned",
                Outcome::Declined(reason) => reason.as_str(),
            },
            origin_bytes: end.delivered.map_or(0, ByteRange::len),
            first_byte: begun.map(|(waited, _)| waited),
            duration,
            request_id: mirrored.as_ref().and_then(|m| m.request_id.as_deref()),
        };
        line.write();
    }

    /// A chunk: stored unless it is stored already. The answer is an offset before which
    /// everything is stored, when that is worth skipping to.
    ///
    /// # Errors
    /// Why it is not stored.
    pub async fn chunk(
        self: &Arc<Self>,
        fill: FillId,
        head: ChunkHead,
        bytes: Bytes,
        permit: IngestPermit,
    ) -> Result<Option<u64>, Refusal> {
        let range = ByteRange::from_len(head.offset, bytes.len() as u64).ok_or(Refusal::Dead)?;
        let target = self.target(fill, &head).await?;
        self.metrics.origin_bytes.inc_by(range.len());
        let (live, seq) = match target {
            Target::Generation(live, seq) => (live, seq),
            Target::Spool(spool) => {
                self.spool_chunk(spool, head.offset, bytes, permit).await?;
                return Ok(None);
            }
        };
        let worth = {
            let mut state = live.state();
            // Another generation may have come meanwhile, and none has a byte behind its end, whatever
            // is said of it.
            let living = state.record.generation.as_ref().filter(|g| g.seq == seq);
            if living.is_none_or(|g| g.identity.complete_length < range.end()) {
                return Err(Refusal::Dead);
            }
            state.leads.advance(fill, range.end(), Instant::now());
            state.record.bytes_from_origin += range.len();
            state.traffic.from_origin += range.len();
            // It went to its viewer as well.
            state.traffic.passed(range.len(), 0);
            state.trouble.over();
            if !state.readers.is_empty() {
                let (keep, bytes) = (self.ahead(), bytes.clone());
                state.publish(seq, fill, range.start(), bytes, keep, u64::MAX);
                live.changed.notify_waiters();
            }
            state.mirrored(fill, range)
        };
        if worth {
            self.consider(&live);
        }
        let stored = self.spawn_store(&live, seq, head.offset, bytes, permit)?;
        stored.await.map_err(|_| Refusal::Disk)??;
        let run_end = live.state().stored.run_end(range.end());
        Ok(run_end.filter(|&end| range.end() + SKIP_MIN <= end))
    }

    /// What a chunk belongs to. A chunk that overtook its `begin` waits.
    async fn target(self: &Arc<Self>, fill: FillId, head: &ChunkHead) -> Result<Target, Refusal> {
        // It is not in memory when this process began after the transfer did, or when nothing has
        // come of it for long because its viewer paused.
        let existing = self.existing(head.entity).await;
        let live = existing.map_err(|_| Refusal::Disk)?.ok_or(Refusal::Dead)?;
        let deadline = Instant::now() + BEGIN_PATIENCE;
        let seq = loop {
            let mut changed = std::pin::pin!(live.changed.notified());
            changed.as_mut().enable();
            let spool = self.spools.find(fill);
            if let Some(spool) = spool.filter(|spool| spool.takes(fill, head)) {
                return Ok(Target::Spool(spool));
            }
            {
                let state = live.state();
                // Under the same validator its entity may be there again, for other readers.
                let purged = state.purged_before.is_some_and(|first| fill.0 < first.0);
                if purged && !state.leads.holds(fill) {
                    return Err(Refusal::Dead);
                }
                let profile = state.record.key.profile();
                let living = state.record.generation.as_ref();
                if let Some(living) = living.filter(|g| g.id(profile) == head.generation) {
                    break living.seq;
                }
                if !state.leads.holds(fill) {
                    return Err(Refusal::Dead);
                }
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(Refusal::Dead);
            }
        };
        Ok(Target::Generation(live, seq))
    }

    /// `end`: no more of this fill will come.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn end(self: &Arc<Self>, fill: FillId, end: End) -> Result<(), Error> {
        let live = self.live(&end.key).await?;
        self.tell(&live, fill, &end);
        let delivered = end.delivered.map(ByteRange::end);
        {
            let mut state = live.state();
            // A fill that has not begun may be a body of unknown length.
            if !state.leads.brings(fill) {
                self.spools.end(fill, &end);
            }
            state.leads.end(fill, delivered, Instant::now());
        }
        if let Some(range) = end.delivered {
            self.metrics.viewer_bytes.add(CameFrom::Origin, range.len());
            self.delivered(&live, &end.viewer, range, 0);
        }
        if let Outcome::Declined(reason) = end.outcome {
            self.declined(live.id, reason);
            self.decline(&live);
        }
        live.changed.notify_waiters();
        live.state().dirty = true;
        Ok(())
    }

    /// Stores what is not stored yet of these bytes, off the runtime; the memory is freed when it
    /// is done. Nothing waits for the task unless it wants to.
    ///
    /// # Errors
    /// [`Refusal::Dead`] when `seq` is not the living generation.
    pub fn spawn_store(
        self: &Arc<Self>,
        live: &Arc<Live>,
        seq: u64,
        offset: u64,
        bytes: Bytes,
        permit: IngestPermit,
    ) -> Result<JoinHandle<Result<(), Refusal>>, Refusal> {
        let arrived = Instant::now();
        let range = ByteRange::from_len(offset, bytes.len() as u64).ok_or(Refusal::Dead)?;
        let slice = move |bytes: &Bytes, part: ByteRange| {
            bytes.slice((part.start() - offset) as usize..(part.end() - offset) as usize)
        };
        let (place, parts) = {
            let mut state = live.state();
            let (place, parts) = state.reserve(seq, range).ok_or(Refusal::Dead)?;
            for &part in &parts {
                state.unwritten.hold(part.start(), slice(&bytes, part));
            }
            (place, parts)
        };
        let (service, live) = (Arc::clone(self), Arc::clone(live));
        let stored = self.writers.spawn(move || {
            service.compare(&live, seq, offset, &bytes);
            let mut result = Ok(());
            for part in parts {
                let written = service.store_part(&live, place, part, &slice(&bytes, part));
                let ended = live.state().finish(place, part);
                if let Err(refusal) = written {
                    service.refuse(refusal, part.len());
                    service.remove_husk(&live, place, part.start() / place.segment_size);
                    result = Err(refusal);
                }
                if let Some(ended) = ended {
                    service.remove_ended(&live, ended);
                }
            }
            live.state().dirty = true;
            live.changed.notify_waiters();
            drop(permit);
            if result.is_ok() {
                service.metrics.ingest.observe(arrived.elapsed());
            }
            result
        });
        Ok(stored)
    }

    /// Counts bytes that are not stored.
    pub fn refuse(&self, refusal: Refusal, bytes: u64) {
        self.metrics.refused.add(refusal, bytes);
        if refusal == Refusal::Full {
            self.alarms.no_room(|| self.room.look(&self.store));
        }
    }

    /// Counts a request answered from the store alone.
    pub fn hit(&self, live: &Live) {
        let mut state = live.state();
        state.record.hits += 1;
        state.traffic.hits += 1;
        state.record.last_accessed = crate::store::millis(seam::wall());
        state.dirty = true;
    }

    /// The name of a lead of the sidecar's own.
    pub fn lead(&self) -> FillId {
        self.fill()
    }
}
