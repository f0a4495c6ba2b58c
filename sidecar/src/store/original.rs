//! Files that did not come through here: how their bytes come into the store, without a copy where
//! the file system can do that.
//!
//! The operator's file is only ever read. A reflink is a segment file like any other, whose blocks
//! the file system shares until one of both is written. A hard link is one more name of the file
//! itself, `ID-G-link`: rows lead to its bytes, and nothing here writes to it while it has another
//! name.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{AtFlags, CWD, copy_file_range, ioctl_ficlone, linkat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray;
use viewcache_protocol::{ByteRange, EntityId};

use super::{Place, Store, StoreError};

/// How the bytes of an imported file are stored.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, VariantArray,
)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// In segment files that share the file's blocks.
    Reflink,
    /// In the file itself, by another name.
    Hardlink,
    /// In segment files of their own.
    Copy,
}

impl How {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reflink => "reflink",
            Self::Hardlink => "hardlink",
            Self::Copy => "copy",
        }
    }
}

/// What tells a file, and the state of its bytes, from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Its inode; the number of its device may be another after a restart.
    pub inode: u64,
    /// Its length in bytes.
    pub length: u64,
    /// When it was last written, in nanoseconds since the epoch.
    pub modified: i64,
}

impl Stamp {
    /// The stamp of an open file.
    ///
    /// # Errors
    /// When the file system does not tell.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(&file.metadata()?))
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        let nanos = metadata.mtime().saturating_mul(1_000_000_000);
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: nanos.saturating_add(metadata.mtime_nsec()),
        }
    }
}

/// The file that bytes of a generation came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Where it was.
    pub path: String,
    /// Which file it was.
    pub stamp: Stamp,
    /// How its bytes are stored.
    pub how: How,
    /// Whether they were compared with the origin's. Until then none of those may stand beside
    /// them.
    pub proven: bool,
}

impl Store {
    /// A file without a name that has the bytes of this one as they are now, and shares its blocks;
    /// `None` where the file system cannot do that.
    pub fn snapshot(&self, file: &File) -> Option<File> {
        let snapshot = tempfile::tempfile_in(&self.dir).ok()?;
        ioctl_ficlone(&snapshot, file).ok()?;
        Some(snapshot)
    }

    /// Lets the segment of a part share the part's blocks with a snapshot. It must begin and end
    /// with a block, or with the snapshot.
    ///
    /// # Errors
    /// When the file system does not.
    pub fn share(&self, place: Place, part: ByteRange, snapshot: &File) -> Result<(), StoreError> {
        let segment = self.segments.writable(place, part.start())?;
        let mut from = part.start();
        let mut to = part.start() % place.segment_size;
        while from < part.end() {
            let left = usize::try_from(part.end() - from).map_err(io::Error::other)?;
            let shared = copy_file_range(snapshot, Some(&mut from), &segment, Some(&mut to), left);
            if shared.map_err(io::Error::from)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(())
    }

    /// Gives a file one more name: that of the generation's link.
    ///
    /// # Errors
    /// When the file system, or the file's owner, does not allow that.
    pub fn link(&self, place: Place, file: &File) -> io::Result<()> {
        let link = self.segments.path(place.link());
        match std::fs::symlink_metadata(&link) {
            // What is stored of it already leads there.
            Ok(there) if Stamp::from(&there) == Stamp::of(file)? => return Ok(()),
            // What is left of another attempt.
            Ok(_) => self.segments.remove(place.link())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // The open file, whatever its name leads to by now.
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(linkat(CWD, open, CWD, link, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Removes the link of a generation. The file that it is a name of stays.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn unlink_link(&self, place: Place) -> Result<(), StoreError> {
        Ok(self.segments.remove(place.link())?)
    }

    /// Bytes of the link are led to no more: they give back their blocks if nobody else has them,
    /// and with the last of them (`all`) the link goes.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forsake_link(&self, place: Place, part: ByteRange, all: bool) -> Result<(), StoreError> {
        match all {
            true => self.unlink_link(place),
            false => Ok(self.segments.discard_link(place, part)?),
        }
    }

    /// Whether the disk gets nothing back when the bytes of a generation go, because the file that
    /// they were imported from has them too.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn is_shared(&self, entity: EntityId, seq: u64) -> Result<bool, StoreError> {
        let record = self.index()?.peek(entity)?;
        let generation = record.and_then(|record| record.generation);
        let Some(generation) = generation.filter(|generation| generation.seq == seq) else {
            return Ok(false);
        };
        let place = generation.place(entity);
        Ok(generation
            .original
            .is_some_and(|original| match original.how {
                How::Copy => false,
                How::Hardlink => {
                    let link = std::fs::metadata(self.segments.path(place.link()));
                    link.is_ok_and(|link| 1 < link.nlink())
                }
                How::Reflink => {
                    let there = std::fs::symlink_metadata(&original.path);
                    there.is_ok_and(|there| Stamp::from(&there) == original.stamp)
                }
            }))
    }
}
