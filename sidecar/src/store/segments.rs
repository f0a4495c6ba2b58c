//! Segment files: `segments/<2 hex digits>/<entity>-<generation>-<segment>`, sparse inside.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use viewcache_protocol::{ByteRange, EntityId};

use super::buffers::Buffers;
use super::handles::Handles;
use super::layout::Rows;
use super::{Place, StoreError};

#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    /// The files that are open for reading.
    handles: Handles<(EntityId, u64, u64)>,
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

/// Entity and generation of a file's name.
fn parse_name(name: &str) -> Option<(EntityId, u64)> {
    let (entity, rest) = name.split_once('-')?;
    let (seq, _) = rest.split_once('-')?;
    Some((entity.parse().ok()?, u64::from_str_radix(seq, 16).ok()?))
}

impl Segments {
    /// Folders by the id's first two digits keep each of them small; all are made at once so that
    /// no write has to.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        for first in 0..=u8::MAX {
            std::fs::create_dir_all(dir.join(format!("{first:02x}")))?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            handles: Handles::default(),
            buffers: Buffers::default(),
        })
    }

    fn path(&self, place: Place, segment: u64) -> PathBuf {
        let entity = place.entity.to_string();
        let name = format!("{entity}-{:x}-{segment:x}", place.seq);
        self.dir.join(&entity[..2]).join(name)
    }

    /// Writes bytes that lie in one segment.
    pub(super) fn write(&self, place: Place, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(place, offset / place.segment_size);
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path)?;
        file.write_all_at(bytes, offset % place.segment_size)
    }

    /// Reads `range`, widened to whole checked parts, and checks each.
    pub(super) fn read(
        &self,
        place: Place,
        range: ByteRange,
        rows: &Rows,
        patience: Patience,
    ) -> Result<Bytes, StoreError> {
        let parts: Vec<_> = rows.checked(range).collect();
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return Err(StoreError::Damaged(range));
        };
        let (start, end) = (first.range.start(), last.range.end());
        if range.start() < start || end < range.end() {
            return Err(StoreError::Damaged(range));
        }
        let mut buffer = self.buffers.take((end - start) as usize);
        let bytes = buffer.as_mut();
        let mut at = start;
        while at < end {
            let segment = at / place.segment_size;
            let until = end.min((segment + 1) * place.segment_size);
            let part = &mut bytes[(at - start) as usize..(until - start) as usize];
            match self.read_part(place, segment, at % place.segment_size, part, patience) {
                Ok(()) => at = until,
                // The file is gone or short: so are the bytes.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
                    ) =>
                {
                    let row = parts
                        .iter()
                        .find(|p| p.range.end() > at)
                        .map_or(range, |p| p.row);
                    return Err(StoreError::Damaged(row));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut expected = start;
        for part in parts {
            let (from, to) = (part.range.start(), part.range.end());
            let slice = &bytes[(from - start) as usize..(to - start) as usize];
            if from != expected || crc32c::crc32c(slice) != part.sum {
                return Err(StoreError::Damaged(part.row));
            }
            expected = to;
        }
        let (from, to) = (
            (range.start() - start) as usize,
            (range.end() - start) as usize,
        );
        Ok(buffer.freeze().slice(from..to))
    }

    /// Reads bytes of one segment at an offset in it.
    fn read_part(
        &self,
        place: Place,
        segment: u64,
        offset: u64,
        part: &mut [u8],
        patience: Patience,
    ) -> io::Result<()> {
        let key = (place.entity, place.seq, segment);
        match patience {
            Patience::Wait => {
                let file = self
                    .handles
                    .get(key, || File::open(self.path(place, segment)))?;
                file.read_exact_at(part, offset)
            }
            Patience::AtOnce => {
                let file = self.handles.at_once(key).ok_or(io::ErrorKind::WouldBlock)?;
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

    pub(super) fn remove(&self, place: Place, segment: u64) -> io::Result<()> {
        let key = (place.entity, place.seq, segment);
        let unlink = || std::fs::remove_file(self.path(place, segment));
        match self.handles.remove(key, unlink) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes every file whose generation is not `living`, and foreign ones not at all. How many
    /// were removed comes back.
    pub(super) fn sweep(
        &self,
        mut living: impl FnMut(EntityId, u64) -> Result<bool, StoreError>,
    ) -> Result<usize, StoreError> {
        let mut removed = 0;
        for path in self.files()? {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some((entity, seq)) = name.and_then(parse_name) else {
                continue;
            };
            if !living(entity, seq)? {
                std::fs::remove_file(path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for first in 0..=u8::MAX {
            for file in std::fs::read_dir(self.dir.join(format!("{first:02x}")))? {
                files.push(file?.path());
            }
        }
        Ok(files)
    }

    /// Bytes of disk that the files occupy: what the file system says, holes left out.
    pub(super) fn allocated(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for path in self.files()? {
            match std::fs::metadata(path) {
                Ok(metadata) => bytes += metadata.blocks() * 512,
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}
