//! The use cases: the only place that joins the store, the fills and the policies.

mod admission;
mod alarms;
mod catalogue;
mod completion;
mod downloads;
mod evict;
mod evict_asked;
#[cfg(test)]
mod failing;
mod fill;
mod generations;
mod history;
mod imports;
mod levels;
mod listing;
mod lower;
mod memories;
mod pairs;
mod purge;
mod quality;
mod quests;
mod quotas;
mod resolving;
mod room;
#[cfg(test)]
pub(crate) mod schedules;
mod shares;
mod spool;
mod statistics;
mod table;
mod telling;
mod variants;
mod versions;
mod vouch;
mod write;
mod writers;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use viewcache_protocol::{Admission, ByteRange, DecideRequest, Decision, FillId, Grant, Profile};

use crate::catalogue::Channels;
use crate::config::{Config, Profiles};
use crate::error::Error;
use crate::events::Events;
use crate::journal;
use crate::live::{Ended, Judgement, Live, Mirrored, State};
use crate::metrics::{Decided, Metrics};
use crate::origin::Origin;
use crate::peers::Peers;
use crate::policy::Policy;
use crate::resolver::Resolver;
use crate::roots::Roots;
use crate::seam;
use crate::store::{Damage, Patience, Store, StoreError, millis};
use crate::turnover::Turnover;
pub use alarms::Alarms;
use completion::Completions;
pub use completion::Progress;
use downloads::Downloads;
pub use downloads::{Download, ORDER, Phase, Refused, Request};
pub use evict_asked::{Asked, Freed};
pub use fill::IngestPermit;
use history::Histories;
pub use history::{Evicted, History, Times};
use imports::Imports;
pub use imports::{Import, ImportPhase, ImportRefused, ImportReport};
pub use listing::{Filter, Totals, VideoFilter, VideoWalk, Walk};
use lower::Lower;
use memories::Memories;
use pairs::Sighted;
use purge::Grave;
pub use purge::Purged;
use quests::Quests;
use quotas::Quotas;
use room::Room;
use shares::Shares;
pub use shares::StreamShare;
use spool::Spools;
use statistics::Counted;
pub use statistics::Stats;
use table::Table;
pub use telling::{Activity, Doings, filling, reading};
use writers::Writers;

/// How long a grant waits for its `begin`: an origin's slowest first byte.
const GRANT_TTL: Duration = Duration::from_secs(5);

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
    /// What an operator has to know at once.
    pub alarms: Alarms,
    /// Memory for bytes on their way to the disk, in KiB.
    ingest: Arc<Semaphore>,
    /// How much that is in bytes when none are.
    ingest_max: u64,
    /// Bodies whose length is not known yet.
    spools: Spools,
    /// Memory for bytes on their way to viewers.
    shares: Arc<Shares>,
    /// By which rules each profile's entities are fetched.
    profiles: Profiles,
    /// What is worth keeping.
    policy: RwLock<Arc<Policy>>,
    /// The channels.
    channels: RwLock<Channels>,
    /// What is fetched although no viewer has asked for it.
    completions: Completions,
    /// Qualities that are sought in the place of those that are watched.
    quests: Quests,
    /// What viewers have just begun to get.
    sighted: Sighted,
    /// Videos of which a lower quality may have to go.
    lower: Lower,
    /// Why what went or was not stored.
    histories: Histories,
    /// Who has watched what is not stored any more.
    memories: Memories,
    /// How fast what is provisional may take the place of other bytes.
    turnover: Mutex<Turnover>,
    /// What that is counted from.
    began: Instant,
    /// Channels that may have outgrown their quotas.
    quotas: Quotas,
    /// What somebody wants whole.
    downloads: Downloads,
    /// Files that become entities.
    imports: Imports,
    /// Where those may be.
    roots: Roots,
    /// The data folder, which none of them is in.
    data_dir: PathBuf,
    /// Who gives new URLs for those that have expired.
    resolver: Option<Arc<Resolver>>,
    /// By whose rules a URL is an entity.
    filter: viewcache_filter::config::Config,
    /// Whether somebody evicts what is not known to be.
    bounding: AtomicBool,
    next_fill: AtomicU64,
    /// Held from reading what the operator may edit until it is changed.
    editing: Mutex<()>,
    /// What is to be removed from the disk.
    grave: Grave,
    /// Generations that have ended and could not be removed.
    left: Mutex<Vec<(Arc<Live>, Ended)>>,
    /// What was asked for and sent.
    counted: Counted,
    /// Who is told what happens.
    pub events: Arc<Events>,
    /// The threads that write.
    writers: Writers,
    /// The way to the origin.
    pub origin: Origin,
    /// The other cache nodes.
    pub peers: Peers,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What an entity had that was taken out of memory's state and the index.
#[derive(Debug)]
struct TakenAway {
    /// How many bytes were stored, if any response had come.
    bytes: Option<u64>,
    /// What is to be removed when nobody writes it any more.
    old: Option<Ended>,
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
        room.look_at_index(&store)?;
        let policy = store.policy()?.unwrap_or_default();
        let kib = usize::try_from(config.ingest_memory.bytes() >> 10).unwrap_or(usize::MAX);
        let kib = kib.min(Semaphore::MAX_PERMITS);
        Ok(Arc::new(Self {
            room,
            alarms: Alarms::default(),
            table: Arc::default(),
            ingest: Arc::new(Semaphore::new(kib)),
            ingest_max: (kib as u64) << 10,
            spools: Spools::default(),
            shares: Arc::default(),
            profiles: config.profiles.clone(),
            policy: RwLock::new(Arc::new(policy)),
            channels: RwLock::new(store.channels()?),
            completions: Completions::default(),
            quests: Quests::default(),
            sighted: Sighted::default(),
            lower: Lower::default(),
            histories: Histories::default(),
            memories: Memories::default(),
            turnover: Mutex::default(),
            began: Instant::now(),
            quotas: Quotas::default(),
            downloads: store.downloads()?.into(),
            imports: store.imports()?.into(),
            roots: config.import_roots.clone(),
            data_dir: config.data_dir.clone(),
            resolver: config
                .resolver
                .clone()
                .map(|terms| Arc::new(Resolver::new(terms))),
            filter: config.filter.clone(),
            bounding: AtomicBool::new(false),
            // A restarted sidecar must not take its predecessor's fills for its own.
            next_fill: AtomicU64::new(millis(seam::wall()) << 20),
            editing: Mutex::default(),
            grave: Grave::default(),
            left: Mutex::default(),
            counted: Counted::default(),
            events: Arc::default(),
            origin: Origin::new(&config.egress, config.access.secret.as_ref()),
            peers: Peers::new(&config.peers),
            metrics: Arc::new(Metrics::default()),
            writers,
            store,
        }))
    }

    /// Which of a profile's responses are stored.
    pub fn admission(&self, profile: Profile) -> &Admission {
        self.profiles.admission(profile)
    }

    /// The right to edit what is said of the policy, a video or a channel; for blocking threads.
    pub fn editing(&self) -> MutexGuard<'_, ()> {
        self.editing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self) -> FillId {
        FillId(self.next_fill.fetch_add(1, Ordering::Relaxed))
    }

    /// Answers `decide`. From memory for an entity in use.
    ///
    /// # Errors
    /// When the store cannot be read; a miss without mirroring to the filter.
    pub async fn decide(self: &Arc<Self>, request: DecideRequest) -> Result<Decision, Error> {
        let began = Instant::now();
        let live = self
            .selected(&request.wanted.key, &request.selecting)
            .await?;
        if let Some(channel) = &request.channel {
            self.told_channel(&live, channel);
        }
        let (wall, now) = (seam::wall(), Instant::now());
        let mut state = live.state();
        state.expire(now);
        state.record.last_accessed = millis(wall);
        state.dirty = true;
        let decision = match state.judge(live.id, &request, wall, now) {
            Judgement::Hit => {
                let memory = state.memorable(wall);
                let remember_ms = memory.and_then(|memory| u64::try_from(memory.as_millis()).ok());
                Decision::Hit { remember_ms }
            }
            Judgement::Partial => Decision::Partial,
            Judgement::Miss { forward, grant } => {
                state.traffic.misses += 1;
                state.note(&request.wanted);
                let grant = grant.then(|| {
                    let fill = self.fill();
                    state.grant(fill, now + GRANT_TTL, &request.selecting);
                    state.mirrors.push(Mirrored {
                        fill,
                        viewer: request.wanted.viewer.clone(),
                        request_id: request.request_id.clone(),
                        granted: now,
                        begun: None,
                    });
                    let ttl_ms = u64::try_from(GRANT_TTL.as_millis()).unwrap_or(u64::MAX);
                    Grant {
                        fill,
                        ttl_ms,
                        admission: self.admission(request.wanted.key.profile()).clone(),
                        variant: state.record.key.number(),
                    }
                });
                Decision::Miss { forward, grant }
            }
        };
        drop(state);
        self.decided(&live, &request, &decision, began.elapsed());
        Ok(decision)
    }

    /// Counts, times and tells a decision.
    fn decided(
        &self,
        live: &Live,
        request: &DecideRequest,
        decision: &Decision,
        duration: Duration,
    ) {
        let (decided, grant) = match decision {
            Decision::Hit { .. } => (Decided::Hit, None),
            Decision::Partial => (Decided::Partial, None),
            Decision::Miss { grant, .. } => (Decided::Miss, grant.as_ref()),
        };
        self.metrics.decisions.inc(decided);
        self.metrics.decide.observe(duration);
        if journal::is_detailed() {
            let line = journal::Decision {
                entity: live.id,
                key: &request.wanted.key,
                range: request.wanted.range.map(|range| range.to_string()),
                decision: decided.as_str(),
                fill: grant.map(|grant| grant.fill),
                duration,
                request_id: request.request_id.as_deref(),
            };
            line.write();
        }
    }

    /// Reads stored bytes, at once when they are in the page cache; what turns out damaged is
    /// dropped, so that the caller finds a gap.
    pub fn read(self: &Arc<Self>, live: &Arc<Live>, seq: u64, range: ByteRange) -> Read {
        let cold = seam::is_cold();
        match self.try_read(live, seq, range, Patience::AtOnce) {
            Ok(bytes) if !cold => Read::Done(bytes),
            // To wait for the disk, or to take damaged bytes out of the index.
            Ok(_) | Err(_) => {
                let (service, live) = (Arc::clone(self), Arc::clone(live));
                let read = move || service.read_and_heal(&live, seq, range);
                Read::Waits(seam::spawn_blocking(read))
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
        let reading = live.reading(seq, range, millis(seam::wall()));
        let reading = reading.ok_or(StoreError::Damaged(Damage::Unindexed, range))?;
        seam::between();
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
        seam::between();
        let place = live.state().place(seq);
        match (&result, place) {
            (&Err(StoreError::Damaged(damage, part)), Some(place)) => {
                match self.drop_pieces(live, place, part) {
                    Ok(true) => {
                        self.alarms.damage(live.id, part, damage);
                        self.metrics.healed.inc(damage);
                        self.remove_husk(live, place, part.start() / place.segment_size);
                    }
                    Ok(false) => {}
                    // They would be read again and again.
                    Err(error) => {
                        self.trouble("damaged bytes stay indexed", &error);
                        return Err(error.into());
                    }
                }
            }
            (Err(StoreError::Damaged(..)), None) | (Ok(_), _) => {}
            // The bytes may be good still.
            (Err(error), _) => self.trouble("stored bytes could not be read", error),
        }
        Ok(result?)
    }

    /// Removes an entity unless `may_go`, asked under its lock, forbids it. Blocks.
    fn remove(
        &self,
        live: &Arc<Live>,
        may_go: impl FnOnce(&State) -> bool,
    ) -> Result<(), StoreError> {
        // Otherwise the last who still writes removes it.
        if let Some(TakenAway { old: Some(old), .. }) = self.take_away(live, may_go)? {
            self.remove_ended(live, old);
        }
        Ok(())
    }

    /// Takes an entity out of memory's state and the index, unless `may_go`, asked under its lock,
    /// forbids it. Blocks.
    fn take_away(
        &self,
        live: &Arc<Live>,
        may_go: impl FnOnce(&State) -> bool,
    ) -> Result<Option<TakenAway>, StoreError> {
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
        seam::between();
        if let Err(error) = self.store.remove_entity(live.id) {
            drop(indexing);
            if let Some(old) = old {
                self.leave(live, old);
            }
            live.changed.notify_waiters();
            return Err(error);
        }
        drop(indexing);
        seam::between();
        self.spools.purge(live.id);
        live.changed.notify_waiters();
        Ok(Some(TakenAway { bytes, old }))
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
        seam::between();
        let written = self.store.put(live.id, &record);
        seam::between();
        let mut state = live.state();
        match &written {
            Ok(()) => state.recorded = Some(generation.seq),
            Err(_) => state.dirty = true,
        }
        written
    }
}
