//! Bodies whose length only their clean end tells (RFC 9112 section 7.1). Nobody is served from
//! them: they wait in a file of their own, and become a generation when the length is known. One
//! that is cut is dropped, because nobody could tell it from a whole one.

mod progress;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use viewcache_protocol::{
    Begin, ByteRange, ChunkHead, End, EntityId, FillId, Generation, Outcome, Transfer,
};

use super::Service;
use super::fill::IngestPermit;
use crate::error::{Error, Refusal};
use crate::extents::BLOCK;
use crate::fills::Begun;
use crate::live::Live;
use crate::store::{Class, SpoolFile, StoreError, millis};
use progress::{Next, Progress};

/// So many bodies wait at a time; of any more nothing is stored.
const MAX_SPOOLS: usize = 64;

/// So many ends are remembered that have overtaken their `begin`.
const MAX_OVERTAKEN: usize = 256;

/// How much is moved from a spool to the segments at once.
const PIECE: u64 = 256 << 10;

/// The bodies that wait.
#[derive(Debug, Default)]
pub(super) struct Spools(Mutex<Bodies>);

#[derive(Debug, Default)]
struct Bodies {
    waiting: HashMap<FillId, Arc<Spool>>,
    /// The lengths of those whose end has overtaken their `begin`, the last one last.
    overtaken: VecDeque<(FillId, u64)>,
}

/// A body that waits.
#[derive(Debug)]
pub(super) struct Spool {
    live: Arc<Live>,
    begin: Begin,
    begun_at: SystemTime,
    file: SpoolFile,
    progress: Mutex<Progress>,
    changed: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spools {
    /// How many wait.
    pub(super) fn len(&self) -> u64 {
        lock(&self.0).waiting.len() as u64
    }

    pub(super) fn find(&self, fill: FillId) -> Option<Arc<Spool>> {
        lock(&self.0).waiting.get(&fill).cloned()
    }

    /// False when too many wait, or one of the same entity does: its viewers' bodies are the same.
    /// A transfer has one body, too.
    fn open(&self, fill: FillId, spool: &Arc<Spool>) -> bool {
        let mut bodies = lock(&self.0);
        let mut waiting = bodies.waiting.values();
        let same = waiting.any(|other| other.live.id == spool.live.id);
        if same || bodies.waiting.contains_key(&fill) || MAX_SPOOLS <= bodies.waiting.len() {
            return false;
        }
        let known = bodies.overtaken.iter().find(|(ended, _)| *ended == fill);
        if let Some(&(_, length)) = known {
            lock(&spool.progress).ends(length, Instant::now());
        }
        bodies.waiting.insert(fill, Arc::clone(spool));
        true
    }

    fn close(&self, fill: FillId) {
        lock(&self.0).waiting.remove(&fill);
    }

    /// The body has ended; one that has not begun yet will have.
    pub(super) fn end(&self, fill: FillId, end: &End) {
        let length = match (end.outcome, end.delivered) {
            (Outcome::Complete, Some(range)) => Some(range.end()),
            _ => None,
        };
        match (self.find(fill), length) {
            (Some(spool), Some(length)) => spool.tell(|progress, now| progress.ends(length, now)),
            (Some(spool), None) => spool.tell(|progress, _| progress.cut()),
            (None, Some(length)) => {
                let mut bodies = lock(&self.0);
                bodies.overtaken.push_back((fill, length));
                if MAX_OVERTAKEN < bodies.overtaken.len() {
                    bodies.overtaken.pop_front();
                }
            }
            (None, None) => {}
        }
    }

    /// The entity is purged: what waits for it is dropped.
    pub(super) fn purge(&self, id: EntityId) {
        for spool in lock(&self.0).waiting.values() {
            if spool.live.id == id {
                spool.tell(|progress, _| progress.cut());
            }
        }
    }
}

impl Spool {
    /// Whether a chunk of this transfer is of its body.
    pub(super) fn takes(&self, fill: FillId, head: &ChunkHead) -> bool {
        let Begin {
            key, generation, ..
        } = &self.begin;
        key.id() == head.entity
            && generation.id(key.profile(), &fill.to_string()) == head.generation
    }

    fn tell(&self, change: impl FnOnce(&mut Progress, Instant)) {
        change(&mut lock(&self.progress), Instant::now());
        self.changed.notify_waiters();
    }
}

impl Service {
    /// `begin` of a body of unknown length. Until it is known nobody waits for this fill: who else
    /// wants the entity asks the origin.
    pub(super) async fn open_spool(
        self: &Arc<Self>,
        fill: FillId,
        begin: Begin,
    ) -> Result<(), Error> {
        let live = self.live(&begin.key).await?;
        let store = Arc::clone(&self.store);
        let file = self.writers.spawn(move || store.spool()).await?;
        let spool = Arc::new(Spool {
            live: Arc::clone(&live),
            begin,
            begun_at: SystemTime::now(),
            file: file.map_err(StoreError::from)?,
            progress: Mutex::new(Progress::new(Instant::now())),
            changed: Notify::new(),
        });
        if self.spools.open(fill, &spool) {
            tokio::spawn(Arc::clone(self).watch_spool(fill, spool));
        }
        live.state().leads.forget(fill);
        self.decline(&live);
        Ok(())
    }

    /// A chunk of such a body.
    pub(super) async fn spool_chunk(
        self: &Arc<Self>,
        spool: Arc<Spool>,
        offset: u64,
        bytes: Bytes,
        permit: IngestPermit,
    ) -> Result<(), Refusal> {
        {
            let mut state = spool.live.state();
            let len = bytes.len() as u64;
            state.record.bytes_from_origin += len;
            state.traffic.from_origin += len;
            state.traffic.passed(len, 0);
        }
        let service = Arc::clone(self);
        let written = self.writers.spawn(move || {
            let result = service.write_spool(&spool, offset, &bytes);
            if let Err(refusal) = result {
                service.refuse(refusal, bytes.len() as u64);
            }
            drop(permit);
            result
        });
        written.await.map_err(|_| Refusal::Disk)?
    }

    fn write_spool(
        self: &Arc<Self>,
        spool: &Spool,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let range = ByteRange::from_len(offset, bytes.len() as u64).ok_or(Refusal::Dead)?;
        self.admits_spool(spool, range).inspect_err(|_| {
            // A body with a gap is of no use, and nothing of it stays.
            spool.tell(|progress, _| progress.cut());
        })?;
        // It shares a block with each neighbour at the most.
        let room = range.len() + 2 * BLOCK;
        self.take_room(room)?;
        let written = spool.file.write(offset, bytes);
        self.room.settle(room);
        let kept = match written {
            Ok(()) => lock(&spool.progress).comes(range, room, Instant::now()),
            Err(error) => Err(self.dropped(&error.into())),
        };
        if kept.is_err() {
            self.room.release(room);
        }
        spool.changed.notify_waiters();
        kept
    }

    /// Whether a body that has come so far may go on, in the place of others if need be. It counts
    /// once more when it is an entity's.
    fn admits_spool(&self, spool: &Spool, range: ByteRange) -> Result<(), Refusal> {
        let profile = spool.begin.key.profile();
        if !self.admission(profile).admits_more(range.end()) || !self.fits(range.end()) {
            return Err(Refusal::Full);
        }
        self.may_displace(&spool.live, Class::Provisional, range.len())
    }

    /// Waits until a body is whole or will not be.
    async fn watch_spool(self: Arc<Self>, fill: FillId, spool: Arc<Spool>) {
        let length = loop {
            let mut changed = std::pin::pin!(spool.changed.notified());
            changed.as_mut().enable();
            let next = lock(&spool.progress).next(Instant::now());
            match next {
                Next::Wait { until } => {
                    // Late or not, the next look tells.
                    let _ = tokio::time::timeout_at(until, changed).await;
                }
                Next::Store { length } => break Some(length),
                Next::Drop => break None,
            }
        };
        self.spools.close(fill);
        if let Some(length) = length {
            self.adopt(fill, &spool, length).await;
        }
        let left = lock(&spool.progress).close();
        self.room.release(left);
    }

    /// Makes a generation of a body whose length is known now.
    async fn adopt(self: &Arc<Self>, fill: FillId, spool: &Arc<Spool>, length: u64) {
        let profile = spool.begin.key.profile();
        let Some(range) = ByteRange::new(0, length) else {
            return;
        };
        if !self.admission(profile).admits_size(length) {
            return;
        }
        let transfer = Transfer {
            generation: Generation {
                validator: spool.begin.generation.validator.clone(),
                complete_length: length,
            },
            range,
            headers: spool.begin.headers.clone(),
            open_ended: false,
        };
        let live = &spool.live;
        let selecting = spool.begin.selecting.clone();
        let seq = self.open_generation(live, Begun::mirrored(fill), transfer, selecting);
        if let Some(living) = live.state().record.generation.as_mut()
            && living.seq == seq
        {
            living.received_at = millis(spool.begun_at);
        }
        let pieces = lock(&spool.progress).pieces(range, PIECE);
        for piece in pieces {
            match self.adopt_piece(spool, seq, piece).await {
                Ok(()) => live
                    .state()
                    .leads
                    .advance(fill, piece.end(), Instant::now()),
                Err(Refusal::Dead) => break,
                // It leaves a gap.
                Err(_) => {}
            }
        }
        live.state().leads.end(fill, Some(length), Instant::now());
        live.changed.notify_waiters();
        tracing::info!(entity = %live.id, %fill, length, "a body of unknown length is stored");
    }

    async fn adopt_piece(
        self: &Arc<Self>,
        spool: &Arc<Spool>,
        seq: u64,
        piece: ByteRange,
    ) -> Result<(), Refusal> {
        let kib = u32::try_from(piece.len().div_ceil(1024)).map_err(|_| Refusal::Busy)?;
        let memory = Semaphore::acquire_many_owned(Arc::clone(&self.ingest), kib).await;
        let permit = IngestPermit::new(memory.map_err(|_| Refusal::Busy)?);
        let from = Arc::clone(spool);
        let taken = self.writers.spawn(move || from.file.take(piece)).await;
        let bytes = taken.map_err(|_| Refusal::Disk)?;
        let bytes = bytes.map_err(|error| self.dropped(&error.into()))?;
        let given_back = lock(&spool.progress).gives_back(piece.len());
        self.room.release(given_back);
        let stored = self.spawn_store(&spool.live, seq, piece.start(), bytes, permit)?;
        stored.await.map_err(|_| Refusal::Disk)?
    }
}
