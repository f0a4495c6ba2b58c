//! A file for bytes that cannot be stored yet. It has no name, so that it is gone with the process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate};
use viewcache_protocol::ByteRange;

use super::Store;

/// The file. All of it blocks.
#[derive(Debug)]
pub struct SpoolFile(File);

impl Store {
    /// A new one, on the disk of the segments.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn spool(&self) -> io::Result<SpoolFile> {
        tempfile::tempfile_in(&self.dir).map(SpoolFile)
    }
}

impl SpoolFile {
    /// Writes bytes at their offset.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    /// Reads bytes and gives their blocks back: they can be read once.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn take(&self, range: ByteRange) -> io::Result<Bytes> {
        let len = usize::try_from(range.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        self.0.read_exact_at(&mut bytes, range.start())?;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // A file system without holes gives them back with the file.
        let _ = fallocate(&self.0, hole, range.start(), range.len());
        Ok(bytes.into())
    }
}
