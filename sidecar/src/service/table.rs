//! The entities in memory, and their way to and from the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use viewcache_protocol::{EntityId, EntityKey};

use super::Service;
use crate::error::Error;
use crate::live::Live;
use crate::store::{EntityRecord, Loaded, StoreError};

/// How many entities stay in memory although nobody uses them.
const IDLE_ENTITIES: usize = 10_000;

/// The entities in memory by their id.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<HashMap<EntityId, Arc<Live>>>);

impl Table {
    fn entries(&self) -> MutexGuard<'_, HashMap<EntityId, Arc<Live>>> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn find(&self, id: EntityId) -> Option<Arc<Live>> {
        self.entries().get(&id).cloned()
    }

    fn all(&self) -> Vec<Arc<Live>> {
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

    /// Lets go of entities that nobody uses.
    fn trim(&self) {
        let mut entries = self.entries();
        let mut excess = entries.len().saturating_sub(IDLE_ENTITIES);
        if 0 < excess {
            entries.retain(|_, live| {
                let goes = 0 < excess && Arc::strong_count(live) == 1 && live.state().idle();
                excess -= usize::from(goes);
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
    pub async fn live(&self, key: &EntityKey) -> Result<Arc<Live>, Error> {
        let id = key.id();
        if let Some(live) = self.table.find(id) {
            return Ok(live);
        }
        let store = Arc::clone(&self.store);
        let loaded = tokio::task::spawn_blocking(move || store.load(id)).await??;
        let terms = self.profiles.terms(key.profile());
        Ok(self
            .table
            .keep(Live::new(key, loaded, terms, SystemTime::now())))
    }

    /// The entity with this id, if there is one. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn known(&self, id: EntityId) -> Result<Option<Arc<Live>>, StoreError> {
        if let Some(live) = self.table.find(id) {
            return Ok(Some(live));
        }
        let loaded = self.store.load(id)?;
        Ok(loaded.map(|loaded| {
            let key = loaded.record.key.clone();
            let terms = self.profiles.terms(key.profile());
            self.table
                .keep(Live::new(&key, Some(loaded), terms, SystemTime::now()))
        }))
    }

    /// A page of entities with how many of their bytes are stored, in the order of their ids.
    /// Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn page(
        &self,
        after: Option<EntityId>,
        limit: usize,
    ) -> Result<Vec<(EntityId, EntityRecord, u64, bool)>, StoreError> {
        let stored = |id, record: EntityRecord| {
            if let Some(live) = self.table.find(id) {
                let state = live.state();
                let fetching = !state.leads.is_empty();
                return Ok((id, state.record.clone(), state.stored.bytes(), fetching));
            }
            let rows = self
                .store
                .load(id)?
                .map(|Loaded { rows, .. }| rows)
                .unwrap_or_default();
            Ok((
                id,
                record,
                rows.ranges().map(|range| range.len()).sum(),
                false,
            ))
        };
        let page = self.store.page(after, limit)?;
        page.into_iter()
            .map(|(id, record)| stored(id, record))
            .collect()
    }

    /// Waits until nothing is streamed, fetched or written any more.
    pub async fn quiesce(&self) {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        while self.table.all().iter().any(|live| live.state().active()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Writes changed records to the store and lets go of idle entities. Blocks.
    pub fn persist(&self) {
        for live in self.table.all() {
            let dirty = {
                let mut state = live.state();
                state.expire(Instant::now());
                state.dirty
            };
            if dirty && let Err(error) = self.record(&live) {
                tracing::error!(entity = %live.id, %error, "its record could not be stored");
            }
        }
        self.table.trim();
    }
}
