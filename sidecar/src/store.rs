//! What survives: the RocksDB index and the segment files beside it.
//!
//! Bytes are written to a segment file first and indexed after, so a row in the index always has
//! its bytes (a crash in between leaves unindexed bytes, which nothing reads). Every function here
//! blocks; callers run them off the async runtime.

mod buffers;
mod handles;
mod index;
mod layout;
mod segments;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use thiserror::Error;
use viewcache_protocol::{ByteRange, EntityId};

use index::Index;
pub use layout::{EntityRecord, GenerationRecord, Row, Rows, millis};
pub use segments::Patience;
use segments::Segments;

/// Where a generation's bytes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The entity.
    pub entity: EntityId,
    /// The generation's number in this store; never used twice.
    pub seq: u64,
    /// Bytes in one segment file; a power of two, chosen when the generation was opened.
    pub segment_size: u64,
}

/// Why the store could not do its work.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has the data folder.
    #[error("data folder {0}: in use by another viewcache-sidecar")]
    Locked(PathBuf),
    /// The folder was written by a version with another layout.
    #[error("data folder {0}: format {1} is not format {FORMAT}, which this version reads")]
    Format(PathBuf, String),
    /// RocksDB failed.
    #[error("index: {0}")]
    Index(#[from] rocksdb::Error),
    /// A segment file could not be read or written.
    #[error("segment file: {0}")]
    Segment(#[from] io::Error),
    /// A value in the index cannot be decoded.
    #[error("index: {0}")]
    Value(#[from] layout::LayoutError),
    /// Stored bytes do not match their checksum, or are gone.
    #[error("bytes {0} are damaged")]
    Damaged(ByteRange),
}

impl StoreError {
    /// Whether a read that must not wait would have to.
    pub fn is_wait(&self) -> bool {
        matches!(self, Self::Segment(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// The layout's number, kept in the data folder.
pub const FORMAT: u32 = 1;

/// What was found of one entity.
#[derive(Debug)]
pub struct Loaded {
    /// The entity's record.
    pub record: EntityRecord,
    /// The rows of its living generation.
    pub rows: Rows,
}

/// An open data folder.
#[derive(Debug)]
pub struct Store {
    index: Index,
    segments: Segments,
    /// The number of the next generation. Its upper half counts openings, so that no number is
    /// used twice although only openings are written down.
    next_seq: AtomicU64,
    /// Held for its lock.
    _lock: File,
}

impl Store {
    /// Opens or creates the data folder, and removes what a crash left without an entity.
    ///
    /// # Errors
    /// When it is locked, of another format, or cannot be read.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir)?;
        let lock = lock(dir)?;
        check_format(dir)?;
        let segments = Segments::open(&dir.join("segments"))?;
        let index = Index::open(&dir.join("index"))?;
        let next_seq = AtomicU64::new(u64::from(index.count_opening()?) << 32);
        let living = |entity, seq| {
            let record = index.entity(entity)?;
            Ok(record
                .and_then(|r| r.generation)
                .is_some_and(|g| g.seq == seq))
        };
        let files = segments.sweep(living)?;
        let generations = index.sweep(living)?;
        if 0 < files || 0 < generations {
            tracing::info!(
                files,
                generations,
                "what a crash left of dead generations is removed"
            );
        }
        Ok(Self {
            index,
            segments,
            next_seq,
            _lock: lock,
        })
    }

    /// A number for a new generation.
    pub fn next_seq(&self) -> u64 {
        self.next_seq.fetch_add(1, Ordering::Relaxed)
    }

    /// The entity as it was stored.
    pub fn load(&self, entity: EntityId) -> Result<Option<Loaded>, StoreError> {
        let Some(record) = self.index.entity(entity)? else {
            return Ok(None);
        };
        let rows = match &record.generation {
            Some(generation) => self.index.rows(entity, generation.seq)?,
            None => Rows::default(),
        };
        Ok(Some(Loaded { record, rows }))
    }

    /// Stores the entity's record.
    pub fn put(&self, entity: EntityId, record: &EntityRecord) -> Result<(), StoreError> {
        self.index.put_entity(entity, record)
    }

    /// Every entity's record after `after`, in the order of ids, at most `limit`.
    pub fn page(
        &self,
        after: Option<EntityId>,
        limit: usize,
    ) -> Result<Vec<(EntityId, EntityRecord)>, StoreError> {
        self.index.page(after, limit)
    }

    /// Writes bytes that are not stored yet and then indexes them: what comes back is stored.
    pub fn write(
        &self,
        place: Place,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Vec<(u64, Row)>, StoreError> {
        let mut rows = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let start = offset + at as u64;
            let left = place.segment_size - start % place.segment_size;
            let len = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(bytes.len() - at);
            let part = &bytes[at..at + len];
            self.segments.write(place, start, part)?;
            rows.push((start, Row::of(start, part)));
            at += len;
        }
        self.index.put_rows(place.entity, place.seq, &rows)?;
        Ok(rows)
    }

    /// Reads stored bytes and checks every checksum that covers one of them.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names the row that is missing, short, or fails its checksum. A read
    /// that would have to wait and may not is [`StoreError::is_wait`].
    pub fn read(
        &self,
        place: Place,
        range: ByteRange,
        rows: &Rows,
        patience: Patience,
    ) -> Result<Bytes, StoreError> {
        self.segments.read(place, range, rows, patience)
    }

    /// Takes one row out: its bytes are no longer stored.
    pub fn remove_row(&self, place: Place, offset: u64) -> Result<(), StoreError> {
        self.index.remove_row(place.entity, place.seq, offset)
    }

    /// Takes one segment out and gives its space back.
    pub fn remove_segment(&self, place: Place, segment: u64) -> Result<(), StoreError> {
        let start = segment * place.segment_size;
        self.index
            .remove_rows(place.entity, place.seq, start..start + place.segment_size)?;
        self.segments.remove(place, segment)?;
        Ok(())
    }

    /// Takes a whole generation out of which `rows` are stored. They leave the index first, so that
    /// nothing points at a missing file.
    pub fn remove_generation(&self, place: Place, rows: &Rows) -> Result<(), StoreError> {
        self.index
            .remove_rows(place.entity, place.seq, 0..u64::MAX)?;
        let mut segments: Vec<u64> = rows
            .ranges()
            .map(|range| range.start() / place.segment_size)
            .collect();
        segments.dedup();
        for segment in segments {
            self.segments.remove(place, segment)?;
        }
        Ok(())
    }

    /// Takes an entity's record out.
    pub fn remove_entity(&self, entity: EntityId) -> Result<(), StoreError> {
        self.index.remove_entity(entity)
    }

    /// Bytes of disk that the segment files occupy.
    pub fn allocated(&self) -> Result<u64, StoreError> {
        Ok(self.segments.allocated()?)
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked(dir.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

fn check_format(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("format");
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim() == FORMAT.to_string() => Ok(()),
        Ok(text) => Err(StoreError::Format(
            dir.to_owned(),
            text.trim().chars().take(32).collect(),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // In one step: a crash must not leave an empty file, which would be refused.
            let new = dir.join("format.new");
            std::fs::write(&new, format!("{FORMAT}\n"))?;
            Ok(std::fs::rename(new, path)?)
        }
        Err(error) => Err(error.into()),
    }
}
