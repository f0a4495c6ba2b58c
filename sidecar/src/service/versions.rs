//! Videos of which nobody knows the version: a file that was downloaded before tells id, quality
//! and length of a video, but not its `lmt`. It is an entity without one, until a viewer's URL tells
//! it: then it gets that key, for good.

use viewcache_filter::profile::versionless;
use viewcache_protocol::{ByteRange, EntityKey};

use super::Service;
use crate::catalogue::video_of;
use crate::live::{Live, State};
use crate::store::StoreError;

/// Whether all of it is stored.
fn is_complete(state: &State) -> bool {
    let living = state.record.generation.as_ref();
    let whole = living.and_then(|living| ByteRange::new(0, living.complete_length()));
    whole.is_some_and(|whole| state.stored.covers(whole))
}

impl Service {
    /// Whether an entity in memory is what it will be: false when nothing is known of it, and
    /// something was imported that it could be.
    pub(super) fn is_settled(&self, key: &EntityKey, live: &Live) -> bool {
        let hollow = live.state().record.generation.is_none();
        !hollow || self.lacks_versionless(key)
    }

    /// Whether nothing was imported that an entity with this key could be. Waits for no disk.
    pub(super) fn lacks_versionless(&self, key: &EntityKey) -> bool {
        versionless(key).is_none_or(|old| self.store.lacks(old.id()))
    }

    /// Gives this key, of which nothing is known yet, to what was imported as the same video in the
    /// same quality and of the same length. Blocks.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn give_version(&self, key: &EntityKey) -> Result<(), StoreError> {
        let Some(old) = versionless(key).filter(|old| !self.store.lacks(old.id())) else {
            return Ok(());
        };
        let _loading = self.table.loading_both(old.id(), key.id());
        if self.store.record(key.id())?.is_some() {
            return Ok(());
        }
        let hollow = |state: &State| state.record.generation.is_none() && !state.busy();
        if let Some(None) = self.table.take(key.id(), hollow) {
            // Somebody is finding out about it already.
            return Ok(());
        }
        match self
            .table
            .take(old.id(), |state| is_complete(state) && !state.busy())
        {
            // It is in use, or not complete: so it stays what it is.
            Some(None) => return Ok(()),
            Some(Some(live)) => {
                self.record(&live)?;
                self.age(&live, u64::MAX);
            }
            None => {}
        }
        let Some(loaded) = self.store.load(old.id())? else {
            return Ok(());
        };
        let stored: u64 = loaded.rows.ranges().map(ByteRange::len).sum();
        let length = loaded.record.generation.as_ref();
        if length.is_none_or(|generation| stored < generation.complete_length()) {
            return Ok(());
        }
        self.store.rename(&loaded, key)?;
        tracing::info!(from = %old, to = %key, "the version of what was imported is known");
        Ok(())
    }

    /// The key, with a version, of what is stored of a video of which no version was told; the one
    /// that was used last. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn version_of(&self, key: &EntityKey) -> Result<Option<EntityKey>, StoreError> {
        let mut newest: Option<(u64, EntityKey)> = None;
        for id in self.store.entities_of(&video_of(key), None, usize::MAX)? {
            let live = self.table.find(id);
            let record = match live {
                Some(live) => Some(live.state().record.clone()),
                None => self.store.record(id)?,
            };
            let Some(record) = record.filter(|record| record.generation.is_some()) else {
                continue;
            };
            let newer = newest
                .as_ref()
                .is_none_or(|(used_at, _)| *used_at < record.last_accessed);
            if newer && versionless(&record.key).as_ref() == Some(key) {
                newest = Some((record.last_accessed, record.key));
            }
        }
        Ok(newest.map(|(_, key)| key))
    }
}
