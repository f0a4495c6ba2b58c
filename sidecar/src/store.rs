//! What survives: the RocksDB index and the segment files beside it.
//!
//! Bytes are written to a segment file first and indexed after, so a row in the index always has
//! its bytes (a crash in between leaves unindexed bytes, which nothing reads). Every function here
//! blocks; callers run them off the async runtime.

mod ages;
mod buffers;
mod check;
#[doc(hidden)]
pub mod codec;
mod fault;
mod folder;
mod handles;
mod index;
mod layout;
mod links;
mod migrate;
mod notes;
mod original;
mod removal;
mod rename;
mod rows;
mod segments;
mod space;
mod spool;
mod sweep;
mod update;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;
use viewcache_protocol::{ByteRange, EntityId};

pub use ages::{Aged, Class, Rooms, SegmentId, SegmentRecord};
pub use check::{Problem, Report, check};
pub use fault::{Damage, Fault};
use folder::{format, lock, write_format};
pub use handles::is_out_of_descriptors;
use index::Index;
pub use layout::{EntityRecord, GenerationRecord, Standing, millis};
pub use original::{How, Original, Stamp};
pub use removal::{Forgotten, Gone};
pub use rows::{Change, Checked, MAX_ROWS, Row, Rows};
pub use segments::Patience;
use segments::Segments;
pub use space::Disk;
pub use spool::SpoolFile;
pub use update::{SegmentChange, Update};

use crate::seam;

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

impl Place {
    /// One of its segments.
    pub const fn segment(self, segment: u64) -> SegmentId {
        SegmentId {
            entity: self.entity,
            seq: self.seq,
            segment,
        }
    }

    /// Its link to an imported file.
    const fn link(self) -> SegmentId {
        SegmentId::link(self.entity, self.seq)
    }

    /// The bytes of the segment that the byte at `offset` is in.
    pub fn segment_range(self, offset: u64) -> ByteRange {
        let start = offset / self.segment_size * self.segment_size;
        ByteRange::new(start, start.saturating_add(self.segment_size))
            .expect("a segment holds at least 64 KiB, and offsets end at 4 TiB")
    }

    /// The parts of a range by their segments.
    pub fn by_segment(self, range: ByteRange) -> impl Iterator<Item = ByteRange> {
        segments::by_segment(range, self.segment_size)
    }
}

/// Why the store could not do its work.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The index is closed after it failed.
    #[error("index: closed until it can be opened again")]
    Closed,
    /// Another process has the data folder.
    #[error("data folder {0}: in use by another viewcache-sidecar")]
    Locked(PathBuf),
    /// There is no data folder.
    #[error("{0}: not a data folder of viewcache-sidecar")]
    Absent(PathBuf),
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
    #[error("bytes {1} are damaged: {reason}", reason = .0.as_str())]
    Damaged(Damage, ByteRange),
}

impl StoreError {
    fn wait() -> Self {
        Self::Segment(io::ErrorKind::WouldBlock.into())
    }

    /// Whether a read that must not wait would have to.
    pub fn is_wait(&self) -> bool {
        match self {
            Self::Segment(error) => error.kind() == io::ErrorKind::WouldBlock,
            Self::Index(error) => error.kind() == rocksdb::ErrorKind::Incomplete,
            _ => false,
        }
    }
}

/// The layout's number, kept in the data folder.
pub const FORMAT: u32 = 3;

/// What was found of one entity.
#[derive(Debug)]
pub struct Loaded {
    /// The entity's record.
    pub record: EntityRecord,
    /// The rows of its living generation.
    pub rows: Rows,
    /// What the index says of its segments, by their numbers.
    pub segments: Vec<(u64, SegmentRecord)>,
}

/// An open data folder.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// None only while it is opened again, or could not be.
    index: RwLock<Option<Arc<Index>>>,
    /// What the index has counted, while it is opened again or cannot be; held by who does that.
    reviving: Mutex<(Rooms, u64)>,
    segments: Segments,
    /// The number of the next generation. Its upper half counts openings, so that no number is
    /// used twice although only openings are written down.
    next_seq: AtomicU64,
    /// Bytes of disk that the segments were counted with on opening.
    used: u64,
    /// Held for its lock.
    _lock: File,
}

impl Store {
    /// Opens or creates the data folder, brings an older format up to date, and removes what a
    /// crash left without an entity.
    ///
    /// # Errors
    /// When it is locked, of another format, or cannot be read.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir)?;
        let lock = lock(dir)?;
        let format = format(dir)?;
        let segments = Segments::open(&dir.join("segments"))?;
        let index = Index::open(&dir.join("index"))?;
        if format == Some(1) {
            tracing::info!("the index is brought from format 1 to format {FORMAT}");
            migrate::migrate(&index)?;
            index.sync()?;
        }
        if format != Some(FORMAT) {
            write_format(dir)?;
        }
        let next_seq = AtomicU64::new(u64::from(index.count_opening()?) << 32);
        links::link(&index)?;
        let swept = sweep::sweep(&index, &segments)?;
        if 0 < swept.files || 0 < swept.generations {
            let sweep::Swept {
                files, generations, ..
            } = swept;
            tracing::info!(files, generations, "what a crash left is removed");
        }
        Ok(Self {
            dir: dir.to_owned(),
            index: RwLock::new(Some(Arc::new(index))),
            reviving: Mutex::default(),
            segments,
            next_seq,
            used: swept.used,
            _lock: lock,
        })
    }

    fn index(&self) -> Result<Arc<Index>, StoreError> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.clone().ok_or(StoreError::Closed)
    }

    /// As if it had failed and could not be opened again.
    #[cfg(test)]
    pub fn close_index(&self) {
        let index = self.index.write().unwrap().take();
        let index = index.unwrap();
        *self.reviving.lock().unwrap() = (index.rooms(), index.entities());
    }

    /// Opens the index again after a write to it has failed: RocksDB takes no more writes then,
    /// also when the disk has room again. False when there is nothing to mend.
    pub fn revive(&self) -> Result<bool, StoreError> {
        const PATIENCE: Duration = Duration::from_secs(1);
        if self.index().is_ok_and(|index| !index.failed()) {
            return Ok(false);
        }
        let mut counts = self.reviving.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = || self.index.write().unwrap_or_else(PoisonError::into_inner);
        // Nobody waits for it meanwhile: it is closed to all who come.
        let taken = slot().take();
        if let Some(index) = taken {
            let patience = Instant::now() + PATIENCE;
            // Whoever uses it ends soon, unless the disk hangs.
            while 1 < Arc::strong_count(&index) {
                if patience <= Instant::now() {
                    *slot() = Some(index);
                    return Ok(false);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            *counts = (index.rooms(), index.entities());
        }
        let index = Index::open(&self.dir.join("index"))?;
        let (rooms, entities) = *counts;
        index.count_rooms(rooms);
        index.count_entities(i64::try_from(entities).unwrap_or(i64::MAX));
        *slot() = Some(Arc::new(index));
        Ok(true)
    }

    /// A number for a new generation.
    pub fn next_seq(&self) -> u64 {
        self.next_seq.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether nothing is stored of an entity for certain; waits for no disk.
    pub fn lacks(&self, entity: EntityId) -> bool {
        self.index().is_ok_and(|index| index.lacks(entity))
    }

    /// The entity as it was stored.
    pub fn load(&self, entity: EntityId) -> Result<Option<Loaded>, StoreError> {
        self.load_with(entity, Patience::Wait)
    }

    /// The same; an error that [is a wait](StoreError::is_wait) when it must not be waited for and
    /// would have to.
    pub fn load_with(
        &self,
        entity: EntityId,
        patience: Patience,
    ) -> Result<Option<Loaded>, StoreError> {
        let index = self.index()?;
        let Some(record) = index.entity(entity, patience)? else {
            return Ok(None);
        };
        let (rows, segments) = match &record.generation {
            Some(generation) => {
                let key = layout::generation_key(entity, generation.seq);
                let segments = index.segments(&key, patience)?;
                (index.rows(entity, generation.seq, patience)?, segments)
            }
            None => (Rows::default(), Vec::new()),
        };
        let segments = segments.into_iter();
        Ok(Some(Loaded {
            record,
            rows,
            segments: segments
                .map(|(id, segment)| (id.segment, segment))
                .collect(),
        }))
    }

    /// Stores the entity's record.
    pub fn put(&self, entity: EntityId, record: &EntityRecord) -> Result<(), StoreError> {
        seam::disk()?;
        self.index()?.put_entity(entity, record)
    }

    /// Every entity's record after `after`, in the order of ids, at most `limit`.
    pub fn page(
        &self,
        after: Option<EntityId>,
        limit: usize,
    ) -> Result<Vec<(EntityId, EntityRecord)>, StoreError> {
        self.index()?.page(after, limit)
    }

    /// Writes bytes that lie in one segment and are not stored yet. They are stored when they are
    /// indexed too.
    pub fn write(&self, place: Place, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        seam::disk()?;
        Ok(self.segments.write(place, offset, bytes)?)
    }

    /// Brings the file of a segment to the disk.
    pub fn sync_segment(&self, place: Place, offset: u64) -> Result<(), StoreError> {
        Ok(self.segments.writable(place, offset)?.sync_data()?)
    }

    /// Makes a change of the index.
    pub fn update(&self, place: Place, update: &Update) -> Result<(), StoreError> {
        seam::disk()?;
        let index = self.index()?;
        let mut batch = index.batch();
        batch.update(place.entity, place.seq, update)?;
        batch.write()
    }

    /// Reads stored bytes, of which `parts` are the checked pieces, and checks them.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names what is missing, short, or fails its checksum. A read that would
    /// have to wait and must not is [`StoreError::is_wait`].
    pub fn read(
        &self,
        place: Place,
        range: ByteRange,
        parts: &[Checked],
        patience: Patience,
    ) -> Result<Bytes, StoreError> {
        self.segments.read(place, range, parts, patience)
    }

    /// Gives back the whole blocks of bytes in one segment that no row holds. They come back.
    pub fn discard(&self, place: Place, part: ByteRange) -> Result<Option<ByteRange>, StoreError> {
        Ok(self.segments.discard(place, part)?)
    }

    /// Removes a segment's file, of which the index says nothing any more.
    pub fn unlink(&self, id: SegmentId) -> Result<(), StoreError> {
        Ok(self.segments.remove(id)?)
    }

    /// The segments that are next to be evicted, after `after`, at most `limit`; never pinned ones.
    pub fn oldest(&self, after: Option<Aged>, limit: usize) -> Result<Vec<Aged>, StoreError> {
        self.index()?.oldest(after, limit)
    }

    /// Brings the index to the disk, so that a power loss takes no more than what came since.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.index()?.sync()
    }

    /// Bytes of disk that the segments were counted with when the folder was opened.
    pub const fn used(&self) -> u64 {
        self.used
    }
}
