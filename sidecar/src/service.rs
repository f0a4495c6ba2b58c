//! The use cases: the only place that joins the store, the fills and the policies.

mod evict;
mod fill;
mod room;
mod shares;
mod table;
mod throttle;
mod write;
mod writers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use viewcache_protocol::{
    ByteRange, DecideRequest, Decision, EntityId, FillId, Generation, Grant, PROTOCOL_VERSION,
    Transfer,
};

use crate::config::{Config, Profiles};
use crate::error::Error;
use crate::fills::Role;
use crate::live::{Judgement, Live, State};
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::store::{GenerationRecord, Patience, Store, StoreError, millis};
pub use fill::IngestPermit;
use room::Room;
use shares::Shares;
pub use shares::StreamShare;
use table::Table;
use throttle::Throttle;
use writers::Writers;

/// How long a grant waits for its `begin`: an origin's slowest first byte.
const GRANT_TTL: Duration = Duration::from_secs(5);

/// How long requests go straight to the origin after an answer that must not be stored, so that
/// followers of such a URL do not wait for each other.
const DECLINE_MEMORY: Duration = Duration::from_secs(2);

/// A read from the store.
#[derive(Debug)]
pub enum Read {
    /// Over already.
    Done(bytes::Bytes),
    /// Waiting for the disk.
    Waits(JoinHandle<Result<bytes::Bytes, Error>>),
}

/// The cache, without its listeners.
#[derive(Debug)]
pub struct Service {
    store: Arc<Store>,
    table: Arc<Table>,
    room: Room,
    /// The log lines of disks that fail.
    failures: Throttle,
    /// Those of bytes that differ from what is stored.
    conflicts: Throttle,
    /// Memory for bytes on their way to the disk, in KiB.
    ingest: Arc<Semaphore>,
    /// Memory for bytes on their way to viewers.
    shares: Arc<Shares>,
    /// By which rules each profile's entities are fetched.
    profiles: Profiles,
    next_fill: AtomicU64,
    /// The threads that write.
    writers: Writers,
    /// The way to the origin.
    pub origin: Origin,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Service {
    /// Opens the data folder. Blocks.
    ///
    /// # Errors
    /// When the folder is locked, of another format or cannot be read.
    pub fn open(config: &Config) -> Result<Arc<Self>, StoreError> {
        let writers = Writers::new()?;
        let store = Arc::new(Store::open(&config.data_dir)?);
        let room = Room::new(config.max_bytes.bytes(), config.min_free, store.used());
        room.look_at_index(&store);
        let kib = usize::try_from(config.ingest_memory.bytes() >> 10).unwrap_or(usize::MAX);
        Ok(Arc::new(Self {
            room,
            failures: Throttle::default(),
            conflicts: Throttle::default(),
            table: Arc::default(),
            ingest: Arc::new(Semaphore::new(kib.min(Semaphore::MAX_PERMITS))),
            shares: Arc::default(),
            profiles: config.profiles,
            // A restarted sidecar must not take its predecessor's fills for its own.
            next_fill: AtomicU64::new(millis(SystemTime::now()) << 20),
            origin: Origin::new(&config.egress),
            metrics: Arc::new(Metrics::default()),
            writers,
            store,
        }))
    }

    fn fill(&self) -> FillId {
        FillId(self.next_fill.fetch_add(1, Ordering::Relaxed))
    }

    /// Answers `decide`. From memory for an entity in use.
    ///
    /// # Errors
    /// When the filter's version is another or the store cannot be read; both are a miss without
    /// mirroring to the filter.
    pub async fn decide(&self, request: DecideRequest) -> Result<Decision, Error> {
        if request.version != PROTOCOL_VERSION {
            return Err(Error::Version(request.version));
        }
        let live = self.live(&request.wanted.key).await?;
        let (wall, now) = (SystemTime::now(), Instant::now());
        let mut state = live.state();
        state.expire(now);
        state.record.last_accessed = millis(wall);
        state.dirty = true;
        let decision = match state.judge(live.id, &request.wanted, wall, now) {
            Judgement::Hit => {
                let memory = state.memorable(wall);
                let remember_ms = memory.and_then(|memory| u64::try_from(memory.as_millis()).ok());
                Decision::Hit { remember_ms }
            }
            Judgement::Partial => Decision::Partial,
            Judgement::Miss { forward, grant } => {
                state.note(&request.wanted);
                let grant = grant.then(|| {
                    let fill = self.fill();
                    state.leads.grant(fill, now + GRANT_TTL);
                    let ttl_ms = u64::try_from(GRANT_TTL.as_millis()).unwrap_or(u64::MAX);
                    Grant { fill, ttl_ms }
                });
                Decision::Miss { forward, grant }
            }
        };
        drop(state);
        let label = match &decision {
            Decision::Hit { .. } => "hit",
            Decision::Partial => "partial",
            Decision::Miss { .. } => "miss",
        };
        self.metrics
            .decisions
            .get_or_create(&[("decision", label)])
            .inc();
        Ok(decision)
    }

    /// Makes the transfer's generation the living one, or refreshes it when it is that already,
    /// and starts the lead that brings its bytes. The generation's number comes back.
    ///
    /// Nothing here waits for the disk: the record is written before the first row is, and until
    /// then a viewer is served all the same.
    pub fn open_generation(
        self: &Arc<Self>,
        live: &Arc<Live>,
        fill: FillId,
        role: Role,
        transfer: Transfer,
    ) -> u64 {
        let Transfer {
            generation: identity,
            range,
            headers,
        } = transfer;
        let received_at = millis(SystemTime::now());
        let mut state = live.state();
        let profile = state.record.key.profile();
        let transfer = fill.to_string();
        let id = identity.id(profile, &transfer);
        let living = state
            .record
            .generation
            .as_mut()
            .filter(|g| g.id(profile) == id);
        let (seq, old) = match living {
            Some(living) => {
                update(&mut living.headers, headers);
                living.received_at = received_at;
                (living.seq, None)
            }
            None => {
                let seq = self.store.next_seq();
                let generation = GenerationRecord {
                    seq,
                    segment_size: segment_size(&identity, self.room.segment_max()),
                    identity,
                    transfer,
                    headers,
                    received_at,
                };
                (seq, state.open(generation))
            }
        };
        state.declined_until = None;
        state.record.url_expired = false;
        state.dirty = true;
        state.leads.begin(fill, role, seq, range, Instant::now());
        drop(state);
        live.changed.notify_waiters();
        if let Some(old) = old {
            tracing::info!(entity = %live.id, seq, "a new generation replaces the old one");
            let (service, live) = (Arc::clone(self), Arc::clone(live));
            self.writers
                .spawn(move || service.remove_ended(&live, &old));
        }
        seq
    }

    /// The origin's answer must not be stored: whoever waits for it asks the origin.
    pub fn decline(&self, live: &Live) {
        live.state().declined_until = Some(Instant::now() + DECLINE_MEMORY);
        live.changed.notify_waiters();
    }

    /// Reads stored bytes, at once when they are in the page cache; what turns out damaged is
    /// dropped, so that the caller finds a gap.
    pub fn read(self: &Arc<Self>, live: &Arc<Live>, seq: u64, range: ByteRange) -> Read {
        match self.try_read(live, seq, range, Patience::AtOnce) {
            Ok(bytes) => Read::Done(bytes),
            // To wait for the disk, or to take damaged bytes out of the index.
            Err(_) => {
                let (service, live) = (Arc::clone(self), Arc::clone(live));
                let read = move || service.read_and_heal(&live, seq, range);
                Read::Waits(tokio::task::spawn_blocking(read))
            }
        }
    }

    fn try_read(
        &self,
        live: &Arc<Live>,
        seq: u64,
        range: ByteRange,
        patience: Patience,
    ) -> Result<bytes::Bytes, StoreError> {
        let reading = live.reading(seq, range, millis(SystemTime::now()));
        let reading = reading.ok_or(StoreError::Damaged(range))?;
        self.store
            .read(reading.place, range, &reading.parts, patience)
    }

    /// Reads, and drops what is damaged. Blocks.
    fn read_and_heal(
        &self,
        live: &Arc<Live>,
        seq: u64,
        range: ByteRange,
    ) -> Result<bytes::Bytes, Error> {
        let result = self.try_read(live, seq, range, Patience::Wait);
        let place = live.state().place(seq);
        match (&result, place) {
            (Err(StoreError::Damaged(part)), Some(place)) => {
                let part = *part;
                if self.drop_pieces(live, place, part) {
                    tracing::warn!(entity = %live.id, %part, "damaged bytes are dropped");
                    self.metrics.healed.inc();
                    self.remove_husk(live, place, part.start() / place.segment_size);
                }
            }
            (Err(StoreError::Damaged(_)), None) | (Ok(_), _) => {}
            // The bytes may be good still.
            (Err(error), _) => tracing::error!(entity = %live.id, %range, %error, "not read"),
        }
        Ok(result?)
    }

    /// Removes an entity with everything that is stored of it, whoever uses it. The bytes that
    /// were stored come back; `None` when nothing was. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn purge(&self, id: EntityId) -> Result<Option<u64>, StoreError> {
        self.remove(id, |_| true)
    }

    /// Removes an entity unless `may_go`, asked under its lock, forbids it.
    fn remove(
        &self,
        id: EntityId,
        may_go: impl FnOnce(&State) -> bool,
    ) -> Result<Option<u64>, StoreError> {
        let Some(live) = self.known(id)? else {
            return Ok(None);
        };
        let indexing = live.index_lock();
        let (bytes, old) = {
            let mut state = live.state();
            if !may_go(&state) {
                return Ok(None);
            }
            let bytes = state
                .record
                .generation
                .as_ref()
                .map(|_| state.stored.bytes());
            let old = state.close();
            state.dirty = false;
            state.record.pinned = false;
            (bytes, old)
        };
        self.store.remove_entity(id)?;
        drop(indexing);
        live.changed.notify_waiters();
        // Otherwise the last who still writes removes it.
        if let Some(old) = old {
            self.remove_ended(&live, &old);
        }
        Ok(bytes)
    }

    /// Writes the entity's record to the index, unless it has no generation. Blocks.
    fn record(&self, live: &Live) -> Result<(), StoreError> {
        let _indexing = live.index_lock();
        let record = {
            let mut state = live.state();
            state.dirty = false;
            state.record.clone()
        };
        let Some(generation) = &record.generation else {
            return Ok(());
        };
        let written = self.store.put(live.id, &record);
        let mut state = live.state();
        match &written {
            Ok(()) => state.recorded = Some(generation.seq),
            Err(_) => state.dirty = true,
        }
        written
    }
}

/// Replaces the stored header fields that a new response of the same generation has too
/// (RFC 9111 section 3.2): a 206 to If-Range leaves most of them out.
fn update(stored: &mut Vec<(String, String)>, new: Vec<(String, String)>) {
    // The age belongs to the response, not to the entity.
    stored.retain(|(name, _)| name != "age" && !new.iter().any(|(n, _)| n == name));
    stored.extend(new);
}

/// The segment size for an entity: 4 MiB, or less for a short one, so that its one file's offsets
/// stay small, and where all the room is not `most` times a few; a power of two.
fn segment_size(identity: &Generation, most: u64) -> u64 {
    const DEFAULT: u64 = 4 << 20;
    const SMALLEST: u64 = 64 << 10;
    let most = 1 << most.clamp(SMALLEST, DEFAULT).ilog2();
    identity
        .complete_length
        .max(SMALLEST)
        .checked_next_power_of_two()
        .unwrap_or(most)
        .min(most)
}
