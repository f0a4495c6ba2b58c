//! Segment files: `segments/<2 hex digits>/<entity>-<generation>-<segment>`, sparse inside.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use viewcache_protocol::ByteRange;

use super::ages::SegmentId;
use super::buffers::Buffers;
use super::handles::Handles;
use super::rows::Checked;
use super::{Place, StoreError};
use crate::extents::BLOCK;

#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    /// The files that are open for reading.
    handles: Handles<SegmentId>,
    buffers: Buffers,
}

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It may.
    Wait,
    /// It must not: only an open file's bytes in the page cache are read.
    AtOnce,
}

/// A segment file that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: SegmentId,
    /// Bytes of disk that it occupies: what the file system says, holes left out.
    pub(super) allocated: u64,
}

/// The segment of a file's name.
fn parse_name(name: &str) -> Option<SegmentId> {
    let (entity, rest) = name.split_once('-')?;
    let (seq, segment) = rest.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some(SegmentId {
        entity: entity.parse().ok()?,
        seq: number(seq)?,
        segment: number(segment)?,
    })
}

/// The parts of a range by their segments.
pub(super) fn by_segment(range: ByteRange, segment_size: u64) -> impl Iterator<Item = ByteRange> {
    let segments = range.start() / segment_size..=(range.end() - 1) / segment_size;
    segments.filter_map(move |segment| {
        let whole = ByteRange::from_len(segment * segment_size, segment_size)?;
        whole.intersect(range)
    })
}

impl Segments {
    /// Folders by the id's first two digits keep each of them small; all are made at once so that
    /// no write has to.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        for first in 0..=u8::MAX {
            std::fs::create_dir_all(dir.join(format!("{first:02x}")))?;
        }
        Ok(Self::at(dir))
    }

    /// The same without making anything.
    pub(super) fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            handles: Handles::default(),
            buffers: Buffers::default(),
        }
    }

    pub(super) fn path(&self, id: SegmentId) -> PathBuf {
        let entity = id.entity.to_string();
        let name = format!("{entity}-{:x}-{:x}", id.seq, id.segment);
        self.dir.join(&entity[..2]).join(name)
    }

    fn path_at(&self, place: Place, offset: u64) -> PathBuf {
        self.path(place.segment(offset / place.segment_size))
    }

    /// Writes bytes that lie in one segment.
    pub(super) fn write(&self, place: Place, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(self.path_at(place, offset))?;
        file.write_all_at(bytes, offset % place.segment_size)
    }

    /// Gives back the whole blocks of a part in one segment. They come back, when there are any.
    pub(super) fn discard(&self, place: Place, part: ByteRange) -> io::Result<Option<ByteRange>> {
        let start = part.start().next_multiple_of(BLOCK);
        let Some(inner) = ByteRange::new(start, part.end() / BLOCK * BLOCK) else {
            return Ok(None);
        };
        let file = match File::options()
            .write(true)
            .open(self.path_at(place, part.start()))
        {
            Ok(file) => file,
            // Nothing was written: there is nothing to give back.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(inner)),
            Err(error) => return Err(error),
        };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(file, flags, start % place.segment_size, inner.len())?;
        Ok(Some(inner))
    }

    /// Reads `range`, of which `parts` are the checked pieces, ascending, and checks each.
    pub(super) fn read(
        &self,
        place: Place,
        range: ByteRange,
        parts: &[Checked],
        patience: Patience,
    ) -> Result<Bytes, StoreError> {
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return Err(StoreError::Damaged(range));
        };
        let whole = ByteRange::new(first.range.start(), last.range.end());
        let Some(whole) = whole.filter(|whole| whole.covers(range)) else {
            return Err(StoreError::Damaged(range));
        };
        let at = |offset: u64| (offset - whole.start()) as usize;
        let mut buffer = self.buffers.take(whole.len() as usize);
        let bytes = buffer.as_mut();
        for part in by_segment(whole, place.segment_size) {
            let slice = &mut bytes[at(part.start())..at(part.end())];
            match self.read_part(place, part.start(), slice, patience) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // With it went everything that was in it.
                    return Err(StoreError::Damaged(place.segment_range(part.start())));
                }
                // The file is short.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(StoreError::Damaged(part));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut expected = whole.start();
        for part in parts {
            let slice = &bytes[at(part.range.start())..at(part.range.end())];
            if part.range.start() != expected || crc32c::crc32c(slice) != part.sum {
                return Err(StoreError::Damaged(part.range));
            }
            expected = part.range.end();
        }
        Ok(buffer.freeze().slice(at(range.start())..at(range.end())))
    }

    /// Reads bytes that lie in one segment.
    fn read_part(
        &self,
        place: Place,
        offset: u64,
        part: &mut [u8],
        patience: Patience,
    ) -> io::Result<()> {
        let id = place.segment(offset / place.segment_size);
        let offset = offset % place.segment_size;
        match patience {
            Patience::Wait => {
                let file = self.handles.get(id, || File::open(self.path(id)))?;
                file.read_exact_at(part, offset)
            }
            Patience::AtOnce => {
                let file = self.handles.at_once(id).ok_or(io::ErrorKind::WouldBlock)?;
                let len = part.len();
                let buffers = &mut [IoSliceMut::new(part)];
                match preadv2(&file, buffers, offset, ReadWriteFlags::NOWAIT) {
                    Ok(read) if read == len => Ok(()),
                    // Not all in the page cache, or a file system that cannot tell.
                    Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP) => {
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    pub(super) fn remove(&self, id: SegmentId) -> io::Result<()> {
        let unlink = || std::fs::remove_file(self.path(id));
        match self.handles.remove(id, unlink) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The segment files of the entities whose ids begin with this byte; foreign files are passed
    /// over.
    pub(super) fn files(&self, first: u8) -> io::Result<Vec<Found>> {
        let mut files = Vec::new();
        for file in std::fs::read_dir(self.dir.join(format!("{first:02x}")))? {
            let file = file?;
            let Some(id) = file.file_name().to_str().and_then(parse_name) else {
                continue;
            };
            match file.metadata() {
                Ok(metadata) => files.push(Found {
                    id,
                    allocated: metadata.blocks() * 512,
                }),
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }
}
