//! What the disk has, and what of it the index takes.

use std::io;
use std::os::unix::fs::MetadataExt;

use super::Store;

/// How much the file system holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its size in bytes.
    pub total: u64,
    /// What this process may still write.
    pub free: u64,
}

impl Store {
    /// What the file system says of the data folder's disk.
    pub fn disk(&self) -> io::Result<Disk> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        Ok(Disk {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    /// Bytes of disk that the index occupies.
    pub fn index_bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for file in std::fs::read_dir(self.dir.join("index"))? {
            match file?.metadata() {
                Ok(metadata) => bytes += metadata.blocks() * 512,
                // RocksDB has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}
