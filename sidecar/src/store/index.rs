//! The RocksDB side of the store: entities, rows and the ages of segments.

mod batch;
pub(super) mod notes;
mod options;
mod scans;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use rocksdb::{ColumnFamily, DB, ReadOptions, ReadTier};
use viewcache_protocol::EntityId;

use super::ages::{self, Aged, Rooms, SegmentId, SegmentRecord};
use super::layout::{self, EntityRecord};
use super::{Patience, StoreError};
use batch::Batch;
use options::{families, options};

/// One kind of what the index holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Entities,
    Rows,
    Segments,
    Ages,
    Meta,
}

impl Family {
    const ALL: [Self; 5] = [
        Self::Entities,
        Self::Rows,
        Self::Segments,
        Self::Ages,
        Self::Meta,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Entities => "entities",
            Self::Rows => "extents",
            Self::Segments => "segments",
            Self::Ages => "ages",
            Self::Meta => "meta",
        }
    }
}

const OPENINGS: &[u8] = b"openings";

/// The index: small, and written with every chunk.
pub(super) struct Index {
    db: DB,
    /// Whether something was written since the log was last synced.
    unsynced: AtomicBool,
    /// Whether a write has failed.
    failed: AtomicBool,
    /// The room of segments by class.
    rooms: Mutex<Rooms>,
    /// How many entities there are.
    entities: AtomicI64,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("path", &self.db.path())
            .finish()
    }
}

/// Those that read no file when that must not be waited for.
fn reading(patience: Patience) -> ReadOptions {
    let mut options = ReadOptions::default();
    if patience == Patience::AtOnce {
        options.set_read_tier(ReadTier::BlockCache);
    }
    options
}

impl Index {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        Ok(Self {
            db: DB::open_cf_descriptors(&options, path, families())?,
            unsynced: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            rooms: Mutex::default(),
            entities: AtomicI64::new(0),
        })
    }

    /// To look only: nothing is written, not even what opening would tidy up.
    pub(super) fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            db: DB::open_cf_descriptors_read_only(&options(), path, families(), false)?,
            unsynced: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            rooms: Mutex::default(),
            entities: AtomicI64::new(0),
        })
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db
            .cf_handle(family.name())
            .expect("every family is opened in open()")
    }

    pub(super) fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }

    /// Brings what was written to the disk, when something was.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        if self.unsynced.swap(false, Ordering::Relaxed) {
            self.db
                .flush_wal(true)
                .inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    }

    /// The room of segments by class.
    pub(super) fn rooms(&self) -> Rooms {
        *self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room of segments is so much more, or less.
    pub(super) fn count_rooms(&self, more: Rooms) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        *rooms = *rooms + more;
    }

    /// How many entities there are.
    pub(super) fn entities(&self) -> u64 {
        u64::try_from(self.entities.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// There are so many more, or less.
    pub(super) fn count_entities(&self, more: i64) {
        self.entities.fetch_add(more, Ordering::Relaxed);
    }

    /// Counts the entities that there are.
    pub(super) fn recount_entities(&self) -> Result<(), StoreError> {
        let mut keys = self.db.raw_iterator_cf(self.family(Family::Entities));
        let mut entities = 0;
        keys.seek_to_first();
        while keys.valid() {
            entities += 1;
            keys.next();
        }
        keys.status()?;
        self.entities.store(entities, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a write has failed: RocksDB takes no others from then on.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// As if a write had failed.
    #[cfg(test)]
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whatever a test wants to find.
    #[cfg(test)]
    pub(super) fn put_raw(&self, family: Family, key: &[u8], value: &[u8]) {
        self.db.put_cf(self.family(family), key, value).unwrap();
    }

    /// How often the folder has been opened, this time included.
    pub(super) fn count_opening(&self) -> Result<u32, StoreError> {
        let value = self.db.get_cf(self.family(Family::Meta), OPENINGS)?;
        let before = value
            .and_then(|v| v.try_into().ok())
            .map_or(0, u32::from_be_bytes);
        let now = before.saturating_add(1);
        self.db
            .put_cf(self.family(Family::Meta), OPENINGS, now.to_be_bytes())?;
        Ok(now)
    }

    /// An entity's record. One that cannot be decoded is removed: its bytes come from the origin
    /// again.
    pub(super) fn entity(
        &self,
        entity: EntityId,
        patience: Patience,
    ) -> Result<Option<EntityRecord>, StoreError> {
        let value = self.db.get_pinned_cf_opt(
            self.family(Family::Entities),
            entity.as_bytes(),
            &reading(patience),
        )?;
        match value.map(|value| layout::decode_entity(&value)).transpose() {
            Ok(record) => Ok(record),
            Err(_) if patience == Patience::AtOnce => Err(StoreError::wait()),
            Err(error) => {
                tracing::error!(%entity, %error, "a record is removed");
                self.remove_entity(entity)?;
                Ok(None)
            }
        }
    }

    /// Whether there certainly is no record of an entity. Waits for no disk; of the entities that
    /// there are none of, about one in a hundred is not known to be one.
    pub(super) fn lacks(&self, entity: EntityId) -> bool {
        let family = self.family(Family::Entities);
        !self.db.key_may_exist_cf(family, entity.as_bytes())
    }

    /// The record, and nothing is removed.
    pub(super) fn peek(&self, entity: EntityId) -> Result<Option<EntityRecord>, StoreError> {
        let family = self.family(Family::Entities);
        let value = self.db.get_pinned_cf(family, entity.as_bytes())?;
        Ok(value.and_then(|value| layout::decode_entity(&value).ok()))
    }

    /// Whether the index has an age that leads to this segment.
    pub(super) fn has_age(&self, id: SegmentId, record: SegmentRecord) -> Result<bool, StoreError> {
        let key = ages::age_key(Aged {
            class: record.class,
            used_at: record.used_at,
            id,
        });
        Ok(self
            .db
            .get_pinned_cf(self.family(Family::Ages), key)?
            .is_some())
    }

    pub(super) fn put_entity(
        &self,
        entity: EntityId,
        record: &EntityRecord,
    ) -> Result<(), StoreError> {
        let mut batch = self.batch();
        batch.put_entity(entity, record)?;
        batch.write()
    }

    pub(super) fn remove_entity(&self, entity: EntityId) -> Result<(), StoreError> {
        let mut batch = self.batch();
        let record = self.peek(entity)?;
        batch.remove_entity(entity, record.as_ref().map(|record| &record.key))?;
        batch.write()
    }

    /// Whether there is a record of an entity.
    fn holds(&self, entity: EntityId) -> Result<bool, StoreError> {
        let family = self.family(Family::Entities);
        Ok(self.db.get_pinned_cf(family, entity.as_bytes())?.is_some())
    }

    pub(super) fn segment(&self, id: SegmentId) -> Result<Option<SegmentRecord>, StoreError> {
        let key = ages::segment_key(id);
        let value = self.db.get_cf(self.family(Family::Segments), key)?;
        Ok(value
            .map(|value| ages::decode_segment(&value))
            .transpose()?)
    }

    /// Takes everything out that is known of a generation but its entity's record. The numbers of
    /// its segments come back.
    pub(super) fn remove_generation(
        &self,
        entity: EntityId,
        seq: u64,
    ) -> Result<Vec<u64>, StoreError> {
        let segments = self.segments(&layout::generation_key(entity, seq), Patience::Wait)?;
        let mut batch = self.batch();
        batch.remove_rows(entity, seq)?;
        for (id, record) in &segments {
            batch.change_segment(*id, Some(*record), None);
        }
        batch.write()?;
        Ok(segments.into_iter().map(|(id, _)| id.segment).collect())
    }
}
