//! A file that is to be an entity, and its bytes. It is only ever read.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};
use viewcache_protocol::{ByteRange, Generation};

use crate::imports::{Mode, Skip, SkipReason};
use crate::live::Offer;
use crate::store::{Checked, Stamp};

/// A file that is to be an entity.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: Arc<File>,
    pub(super) stamp: Stamp,
    /// Where it is.
    pub(super) path: String,
    /// What its bytes are, as far as is known.
    pub(super) identity: Generation,
    /// The header fields to store.
    pub(super) headers: Vec<(String, String)>,
    /// Whether the origin has said both.
    pub(super) vouched: bool,
    /// How it may be brought.
    pub(super) mode: Mode,
    /// Whether what was used least recently may go for it, and how much room those have that came
    /// by the same import.
    pub(super) evicts: Option<u64>,
}

impl Source {
    /// Whether it has the same bytes in the place of these pieces. Blocks.
    ///
    /// # Errors
    /// When it has others.
    pub(super) fn compare(&self, pieces: &[Checked]) -> Result<(), Skip> {
        for piece in pieces {
            let bytes = read(&self.file, piece.range)?;
            if crc32c::crc32c(&bytes) != piece.sum {
                let detail = format!("bytes {} are not those that are stored", piece.range);
                return Err(SkipReason::Differs.with(detail));
            }
        }
        Ok(())
    }

    /// Whether it was written since it was opened.
    pub(super) fn changed(&self) -> bool {
        Stamp::of(&self.file).ok() != Some(self.stamp)
    }

    /// It as what is stored is told of it.
    pub(super) fn offer(&self) -> Offer<'_> {
        Offer {
            identity: &self.identity,
            stamp: self.stamp,
            path: &self.path,
            vouched: self.vouched,
        }
    }
}

/// The first bytes of a file, as far as they can be read.
pub(super) fn beginning(file: &File, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(&mut bytes, 0).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// The bytes of a part.
pub(super) fn read(file: &File, part: ByteRange) -> Result<Vec<u8>, Skip> {
    let mut bytes = vec![0; part.len() as usize];
    let read = file.read_exact_at(&mut bytes, part.start());
    // It is not read again soon, and others need the memory.
    let length = NonZeroU64::new(part.len());
    let _ = fadvise(file, part.start(), length, Advice::DontNeed);
    match read {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(SkipReason::Changed.with("it has become shorter"))
        }
        Err(error) => Err(SkipReason::Unreadable.with(error)),
    }
}
