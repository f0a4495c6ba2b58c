//! The entities in memory, and their way to and from the store.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;
use viewcache_protocol::{EntityId, EntityKey};

use super::Service;
use crate::error::Error;
use crate::live::{AGE_STEP, Live, State};
use crate::seam;
use crate::store::{Loaded, Patience, StoreError, millis};
use crate::terms::Terms;

/// How many entities stay in memory although nobody uses them.
const IDLE_ENTITIES: usize = 10_000;

/// How many entities can be loaded at once.
const LOADING: usize = 64;

/// How long an entity of which nothing is stored is remembered.
const HOLLOW: Duration = Duration::from_secs(60);

/// How much free disk the index needs to be opened again.
const REVIVAL: u64 = 4 << 20;

/// Ids are hashes, which nobody can choose: no secret has to take part, and without one the same
/// entities come in the same order.
type Entries = HashMap<EntityId, Arc<Live>, BuildHasherDefault<DefaultHasher>>;

/// The entities in memory by their id.
#[derive(Debug)]
pub(super) struct Table {
    entries: Mutex<Entries>,
    /// Held while an entity comes into memory, and while what is stored of one that is not there
    /// changes; each for the ids that share it.
    loading: [Mutex<()>; LOADING],
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            loading: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Table {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn find(&self, id: EntityId) -> Option<Arc<Live>> {
        self.entries().get(&id).cloned()
    }

    fn shard(id: EntityId) -> usize {
        usize::from(id.as_bytes()[0]) % LOADING
    }

    /// The right to take this entity into memory; for blocking threads.
    pub(super) fn loading(&self, id: EntityId) -> MutexGuard<'_, ()> {
        seam::lock(&self.loading[Self::shard(id)])
    }

    /// The same for two of them.
    pub(super) fn loading_both(
        &self,
        one: EntityId,
        other: EntityId,
    ) -> (MutexGuard<'_, ()>, Option<MutexGuard<'_, ()>>) {
        let (first, second) = (Self::shard(one), Self::shard(other));
        let lock = |shard: usize| {
            let shard: &Mutex<()> = &self.loading[shard];
            shard
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner())
        };
        // In one order, so that no two wait for each other.
        let lower = lock(first.min(second));
        let upper = (first != second).then(|| lock(first.max(second)));
        (lower, upper)
    }

    /// Takes an entity out of memory that nobody holds and of which `goes` is true; `Some(None)`
    /// when it stays there, `None` when it is not there.
    pub(super) fn take(
        &self,
        id: EntityId,
        goes: impl FnOnce(&State) -> bool,
    ) -> Option<Option<Arc<Live>>> {
        let mut entries = self.entries();
        let live = entries.get(&id)?;
        let goes = Arc::strong_count(live) == 1 && goes(&live.state());
        Some(goes.then(|| entries.remove(&id)).flatten())
    }

    /// The entity in memory, or what `load` makes of it.
    fn find_or_load(
        &self,
        id: EntityId,
        load: impl FnOnce() -> Result<Option<Live>, StoreError>,
    ) -> Result<Option<Arc<Live>>, StoreError> {
        let _loading = self.loading(id);
        if let Some(live) = self.find(id) {
            return Ok(Some(live));
        }
        Ok(load()?.map(|live| self.keep(live)))
    }

    /// The same for threads that must not wait, nor must `load`. `None` when that cannot be done.
    fn find_or_load_at_once(
        &self,
        id: EntityId,
        load: impl FnOnce() -> Option<Live>,
    ) -> Option<Arc<Live>> {
        let _loading = self.loading[Self::shard(id)].try_lock().ok()?;
        let found = self.find(id);
        found.or_else(|| load().map(|live| self.keep(live)))
    }

    pub(super) fn all(&self) -> Vec<Arc<Live>> {
        self.entries().values().cloned().collect()
    }

    /// The entity that is in memory by now, or else this one.
    fn keep(&self, live: Live) -> Arc<Live> {
        Arc::clone(
            self.entries()
                .entry(live.id)
                .or_insert_with(|| Arc::new(live)),
        )
    }

    /// Lets go of entities that nobody uses; `forget` is told of each.
    fn trim(&self, forget: impl Fn(&Live)) {
        let mut entries = self.entries();
        let mut excess = entries.len().saturating_sub(IDLE_ENTITIES);
        if 0 < excess {
            entries.retain(|_, live| {
                let goes = 0 < excess && Arc::strong_count(live) == 1 && live.state().idle();
                excess -= usize::from(goes);
                if goes {
                    forget(live);
                }
                !goes
            });
        }
    }
}

impl Service {
    /// The entity of a key: in memory, stored, or new.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn live(self: &Arc<Self>, key: &EntityKey) -> Result<Arc<Live>, Error> {
        let id = key.id();
        let found = match self.table.find(id) {
            Some(live) => self.is_settled(key, &live).then_some(live),
            None => {
                let load = || self.load_at_once(key);
                self.table.find_or_load_at_once(id, load)
            }
        };
        if let Some(found) = found {
            return Ok(found);
        }
        let (service, key) = (Arc::clone(self), key.clone());
        let load = move || service.known_or_new(&key);
        Ok(seam::spawn_blocking(load).await??)
    }

    /// The entity with this id, if there is one. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn known(&self, id: EntityId) -> Result<Option<Arc<Live>>, StoreError> {
        if let Some(live) = self.table.find(id) {
            return Ok(Some(live));
        }
        self.table.find_or_load(id, || {
            let Some(loaded) = self.store.load(id)? else {
                return Ok(None);
            };
            let key = loaded.record.key.clone();
            Ok(Some(self.brought(&key, Some(loaded), Patience::Wait)?))
        })
    }

    /// The entity of a key: in memory, stored, or new. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn known_or_new(&self, key: &EntityKey) -> Result<Arc<Live>, StoreError> {
        let id = key.id();
        if let Some(live) = self.table.find(id)
            && self.is_settled(key, &live)
        {
            return Ok(live);
        }
        if let Err(error) = self.give_version(key) {
            self.trouble("what was imported could not be given its version", &error);
        }
        let loaded = self.table.find_or_load(id, || {
            let loaded = self.store.load(id)?;
            seam::between();
            Ok(Some(self.brought(key, loaded, Patience::Wait)?))
        })?;
        Ok(loaded.expect("an entity that is not stored is a new one"))
    }

    /// An entity that comes into memory, when what is stored of it can be had without waiting.
    fn load_at_once(&self, key: &EntityKey) -> Option<Live> {
        if seam::is_cold() || !self.lacks_versionless(key) {
            return None;
        }
        let patience = seam::at_once();
        let loaded = self.store.load_with(key.id(), patience).ok()?;
        self.brought(key, loaded, patience).ok()
    }

    /// An entity that comes into memory, with what is known of its video.
    fn brought(
        &self,
        key: &EntityKey,
        loaded: Option<Loaded>,
        patience: Patience,
    ) -> Result<Live, StoreError> {
        let terms = self.profiles.terms(key.profile());
        let live = self.appearing(key, loaded, terms);
        let channel = self.channel_of(key, patience)?;
        {
            let mut state = live.state();
            state.channel = channel;
            state.grace = self.rules(&state).min_keep_millis;
        }
        Ok(live)
    }

    /// An entity as it was stored, or one of which only is remembered who has watched it.
    fn appearing(&self, key: &EntityKey, loaded: Option<Loaded>, terms: Terms) -> Live {
        let new = loaded.is_none();
        let live = Live::new(key, loaded, terms, seam::wall());
        if new {
            live.state().record.watchers = self.memories.recall(live.id);
        }
        live
    }

    /// Waits until nothing is streamed, fetched or written any more.
    pub async fn quiesce(&self) {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        while self.table.all().iter().any(|live| live.state().active()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Writes changed records and ages to the store, brings them to the disk, and lets go of idle
    /// entities. Blocks.
    pub fn persist(self: &Arc<Self>) {
        let wall = seam::wall();
        let (now, long_ago) = (millis(wall), millis(wall - HOLLOW));
        for live in self.table.all() {
            let hollow = |state: &State| {
                let kept = state.busy() || state.record.pinned || !state.stored.is_empty();
                !kept && state.record.last_accessed < long_ago
            };
            let (dirty, touched, empty) = {
                let mut state = live.state();
                state.expire(Instant::now());
                let empty = state.record.generation.is_some() && hollow(&state);
                (state.dirty, !state.touched.is_empty(), empty)
            };
            if dirty && let Err(error) = self.record(&live) {
                self.trouble("a record could not be stored", &error);
            }
            if touched {
                self.age(&live, now.saturating_sub(AGE_STEP));
            }
            if empty && let Err(error) = self.remove(&live, hollow) {
                self.trouble("an empty record stays", &error);
            }
        }
        self.keep_quotas();
        self.drop_lower();
        self.table.trim(|live| {
            let state = live.state();
            if state.stored.is_empty() {
                self.memories.keep(live.id, &state.record.watchers);
            }
        });
        if let Err(error) = self.store.sync() {
            self.trouble("the index could not be brought to the disk", &error);
        }
        self.revive();
        self.remove_left();
        if let Err(error) = self.room.look_at_index(&self.store) {
            self.trouble("the index cannot be measured", &error.into());
        }
    }

    /// Opens the index again when it has failed and the disk has room.
    fn revive(&self) {
        if self.store.disk().is_ok_and(|disk| disk.free < REVIVAL) {
            return;
        }
        match self.store.revive() {
            Ok(false) => {}
            Ok(true) => tracing::info!("the index is open again after a failure"),
            Err(error) => self.trouble("the index could not be opened again", &error),
        }
    }

    /// Work of the store's has failed.
    pub(super) fn trouble(&self, what: &'static str, error: &StoreError) {
        self.metrics.store_failures.inc(error.fault());
        self.alarms.store(what, error);
    }
}
