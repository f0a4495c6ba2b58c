//! The RocksDB side of the store: entities and rows.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode, Options, WriteBatch,
};
use viewcache_protocol::EntityId;

use super::StoreError;
use super::layout::{self, EntityRecord, Row, Rows};

const ENTITIES: &str = "entities";
const ROWS: &str = "extents";
const META: &str = "meta";
const OPENINGS: &[u8] = b"openings";

/// The index: small, and written with every chunk.
pub(super) struct Index {
    db: DB,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("path", &self.db.path())
            .finish()
    }
}

impl Index {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // The data folder has to stay near `max_bytes`: small buffers, a small log, few old files.
        options.set_write_buffer_size(4 << 20);
        options.set_max_total_wal_size(8 << 20);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(1 << 20);
        options.set_recycle_log_file_num(0);
        options.set_manifest_preallocation_size(64 << 10);
        let families = [ENTITIES, ROWS, META].map(|name| {
            let mut family = Options::default();
            family.set_write_buffer_size(4 << 20);
            ColumnFamilyDescriptor::new(name, family)
        });
        Ok(Self {
            db: DB::open_cf_descriptors(&options, path, families)?,
        })
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db
            .cf_handle(name)
            .expect("every family is opened in open()")
    }

    /// How often the folder has been opened, this time included.
    pub(super) fn count_opening(&self) -> Result<u32, StoreError> {
        let value = self.db.get_cf(self.family(META), OPENINGS)?;
        let before = value
            .and_then(|v| v.try_into().ok())
            .map_or(0, u32::from_be_bytes);
        let now = before.saturating_add(1);
        self.db
            .put_cf(self.family(META), OPENINGS, now.to_be_bytes())?;
        Ok(now)
    }

    /// An entity's record. One that cannot be decoded is removed: its bytes come from the origin
    /// again.
    pub(super) fn entity(&self, entity: EntityId) -> Result<Option<EntityRecord>, StoreError> {
        let value = self
            .db
            .get_pinned_cf(self.family(ENTITIES), entity.as_bytes())?;
        match value.map(|value| layout::decode_entity(&value)).transpose() {
            Ok(record) => Ok(record),
            Err(error) => {
                tracing::error!(%entity, %error, "a record is removed");
                self.remove_entity(entity)?;
                Ok(None)
            }
        }
    }

    pub(super) fn put_entity(
        &self,
        entity: EntityId,
        record: &EntityRecord,
    ) -> Result<(), StoreError> {
        let value = layout::encode_entity(record);
        Ok(self
            .db
            .put_cf(self.family(ENTITIES), entity.as_bytes(), value)?)
    }

    pub(super) fn remove_entity(&self, entity: EntityId) -> Result<(), StoreError> {
        Ok(self
            .db
            .delete_cf(self.family(ENTITIES), entity.as_bytes())?)
    }

    pub(super) fn page(
        &self,
        after: Option<EntityId>,
        limit: usize,
    ) -> Result<Vec<(EntityId, EntityRecord)>, StoreError> {
        let start = after.map_or([0; 16], |id| *id.as_bytes());
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut page = Vec::new();
        for entry in self.db.iterator_cf(self.family(ENTITIES), mode) {
            let (key, value) = entry?;
            let malformed = |_| layout::LayoutError::Malformed("entity key");
            let id = EntityId::from_bytes(key[..].try_into().map_err(malformed)?);
            if Some(id) == after {
                continue;
            }
            if page.len() == limit {
                break;
            }
            match layout::decode_entity(&value) {
                Ok(record) => page.push((id, record)),
                Err(error) => tracing::error!(entity = %id, %error, "a record is passed over"),
            }
        }
        Ok(page)
    }

    pub(super) fn rows(&self, entity: EntityId, seq: u64) -> Result<Rows, StoreError> {
        let start = layout::row_key(entity, seq, 0);
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut rows = Rows::default();
        for entry in self.db.iterator_cf(self.family(ROWS), mode) {
            let (key, value) = entry?;
            if key[..24] != start[..24] {
                break;
            }
            match layout::decode_row(&key, &value) {
                Ok((offset, row)) => rows.insert(offset, row),
                Err(error) => tracing::error!(%entity, %error, "an extent is passed over"),
            }
        }
        Ok(rows)
    }

    /// Removes the rows of generations that are not `living`; how many generations had some comes
    /// back.
    pub(super) fn sweep(
        &self,
        living: impl Fn(EntityId, u64) -> Result<bool, StoreError>,
    ) -> Result<usize, StoreError> {
        let mut removed = 0;
        let mut rows = self.db.raw_iterator_cf(self.family(ROWS));
        rows.seek_to_first();
        while let Some((entity, seq)) = rows.key().and_then(layout::generation_of) {
            if !living(entity, seq)? {
                self.remove_rows(entity, seq, 0..u64::MAX)?;
                removed += 1;
            }
            // Past the generation's last row.
            rows.seek(layout::row_key(entity, seq, u64::MAX));
        }
        rows.status()?;
        Ok(removed)
    }

    pub(super) fn remove_row(
        &self,
        entity: EntityId,
        seq: u64,
        offset: u64,
    ) -> Result<(), StoreError> {
        Ok(self
            .db
            .delete_cf(self.family(ROWS), layout::row_key(entity, seq, offset))?)
    }

    pub(super) fn put_rows(
        &self,
        entity: EntityId,
        seq: u64,
        rows: &[(u64, Row)],
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (offset, row) in rows {
            let key = layout::row_key(entity, seq, *offset);
            batch.put_cf(self.family(ROWS), key, layout::encode_row(row));
        }
        Ok(self.db.write(batch)?)
    }

    pub(super) fn remove_rows(
        &self,
        entity: EntityId,
        seq: u64,
        offsets: Range<u64>,
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let key = |offset| layout::row_key(entity, seq, offset);
        batch.delete_range_cf(self.family(ROWS), key(offsets.start), key(offsets.end));
        Ok(self.db.write(batch)?)
    }
}
