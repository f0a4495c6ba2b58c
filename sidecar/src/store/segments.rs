//! Segment files: `segments/<2 hex digits>/<entity>-<generation>-<segment>`, sparse inside, and
//! links to imported files: `…/<entity>-<generation>-link`.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, ResolveFlags, fallocate, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use viewcache_protocol::ByteRange;

use super::ages::SegmentId;
use super::buffers::Buffers;
use super::handles::Handles;
use super::rows::Checked;
use super::{Damage, Place, StoreError};
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
    /// It must not: only what is in the page cache is read.
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
    let (entity, seq) = (entity.parse().ok()?, number(seq)?);
    match segment {
        "link" => Some(SegmentId::link(entity, seq)),
        _ => Some(SegmentId {
            entity,
            seq,
            segment: number(segment)?,
        }),
    }
}

/// Whether a piece begins where the other ends.
fn follows(one: Checked, next: Checked) -> bool {
    one.range.end() == next.range.start()
}

/// Whether two pieces that follow each other are in the same file.
fn in_one_file(one: Checked, next: Checked, segment_size: u64) -> bool {
    let segment = |piece: Checked| piece.range.start() / segment_size;
    match (one.linked, next.linked) {
        (true, true) => true,
        (false, false) => segment(one) == segment(next),
        _ => false,
    }
}

/// The parts of a range by their segments.
pub(super) fn by_segment(range: ByteRange, segment_size: u64) -> impl Iterator<Item = ByteRange> {
    let segments = range.start() / segment_size..=(range.end() - 1) / segment_size;
    segments.filter_map(move |segment| {
        let whole = ByteRange::from_len(segment * segment_size, segment_size)?;
        whole.intersect(range)
    })
}

/// What gives blocks back and leaves the file as long as it was.
const HOLE: FallocateFlags = FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE);

/// Opens a file whose path the kernel has in memory, so that no disk is waited for. Whatever else
/// is the matter is for a thread to find out that may wait; so is a kernel that cannot tell (before
/// 5.12).
fn open_at_once(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED)
        .ok()
        .map(File::from)
}

/// The whole blocks of a part.
fn blocks_in(part: ByteRange) -> Option<ByteRange> {
    let start = part.start().next_multiple_of(BLOCK);
    ByteRange::new(start, part.end() / BLOCK * BLOCK)
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
        let name = match id.is_link() {
            true => format!("{entity}-{:x}-link", id.seq),
            false => format!("{entity}-{:x}-{:x}", id.seq, id.segment),
        };
        self.dir.join(&entity[..2]).join(name)
    }

    fn path_at(&self, place: Place, offset: u64) -> PathBuf {
        self.path(place.segment(offset / place.segment_size))
    }

    /// The file of the segment that the byte at `offset` is in; made when there is none.
    pub(super) fn writable(&self, place: Place, offset: u64) -> io::Result<File> {
        File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(self.path_at(place, offset))
    }

    /// Writes bytes that lie in one segment.
    pub(super) fn write(&self, place: Place, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.writable(place, offset)?;
        file.write_all_at(bytes, offset % place.segment_size)
    }

    /// Gives back the whole blocks of a part in one segment. They come back, when there are any.
    pub(super) fn discard(&self, place: Place, part: ByteRange) -> io::Result<Option<ByteRange>> {
        let Some(inner) = blocks_in(part) else {
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
        fallocate(file, HOLE, inner.start() % place.segment_size, inner.len())?;
        Ok(Some(inner))
    }

    /// Gives back the whole blocks of a part of the link, if the link is the file's last name.
    pub(super) fn discard_link(&self, place: Place, part: ByteRange) -> io::Result<()> {
        let path = self.path(place.link());
        let others = match std::fs::metadata(&path) {
            Ok(metadata) => 1 < metadata.nlink(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        if let (false, Some(inner)) = (others, blocks_in(part)) {
            let file = File::options().write(true).open(path)?;
            fallocate(file, HOLE, inner.start(), inner.len())?;
        }
        Ok(())
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
            return Err(StoreError::Damaged(Damage::Unindexed, range));
        };
        let whole = ByteRange::new(first.range.start(), last.range.end());
        let Some(whole) = whole.filter(|whole| whole.covers(range)) else {
            return Err(StoreError::Damaged(Damage::Unindexed, range));
        };
        if let Some(pair) = parts.windows(2).find(|pair| !follows(pair[0], pair[1])) {
            return Err(StoreError::Damaged(Damage::Unindexed, pair[1].range));
        }
        let at = |offset: u64| (offset - whole.start()) as usize;
        let mut buffer = self.buffers.take(whole.len() as usize);
        let bytes = buffer.as_mut();
        for run in parts.chunk_by(|one, next| in_one_file(*one, *next, place.segment_size)) {
            let (first, last) = (run[0], run[run.len() - 1]);
            let slice = &mut bytes[at(first.range.start())..at(last.range.end())];
            match self.read_run(place, first, slice, patience) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // With it went everything that was in it.
                    let segment = place.segment_range(first.range.start());
                    return Err(StoreError::Damaged(Damage::Missing, segment));
                }
                // The file is short.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let run = ByteRange::new(first.range.start(), last.range.end());
                    return Err(StoreError::Damaged(Damage::Short, run.unwrap_or(range)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        for part in parts {
            let slice = &bytes[at(part.range.start())..at(part.range.end())];
            if crc32c::crc32c(slice) != part.sum {
                return Err(StoreError::Damaged(Damage::Checksum, part.range));
            }
        }
        Ok(buffer.freeze().slice(at(range.start())..at(range.end())))
    }

    /// Reads bytes that lie in one file and begin with this piece.
    fn read_run(
        &self,
        place: Place,
        first: Checked,
        run: &mut [u8],
        patience: Patience,
    ) -> io::Result<()> {
        let offset = first.range.start();
        let (id, offset) = match first.linked {
            true => (place.link(), offset),
            false => {
                let id = place.segment(offset / place.segment_size);
                (id, offset % place.segment_size)
            }
        };
        match patience {
            Patience::Wait => {
                let file = self.handles.get(id, || File::open(self.path(id)))?;
                file.read_exact_at(run, offset)
            }
            Patience::AtOnce => {
                let file = self.handles.at_once(id, || open_at_once(&self.path(id)));
                let file = file.ok_or(io::ErrorKind::WouldBlock)?;
                let len = run.len();
                let buffers = &mut [IoSliceMut::new(run)];
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
