//! How the bytes of one file come to be an entity's. The file is read once, for its checksums, and
//! only ever read; where the file system lets two files share blocks, or a file have two names, no
//! byte is written.

use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use viewcache_protocol::{ByteRange, Selecting};

use super::source::{Source, read};
use crate::error::Refusal;
use crate::extents::BLOCK;
use crate::imports::{Mode, Skip, SkipReason};
use crate::live::{Course, Live};
use crate::service::Service;
use crate::service::generations::segment_size;
use crate::service::write::{Medium, Supply};
use crate::store::{Checked, GenerationRecord, How, Original, Place, Standing, StoreError, millis};

/// One that is on its way.
#[derive(Debug)]
pub(super) struct Bringing {
    pub(super) source: Source,
    pub(super) live: Arc<Live>,
    place: Place,
    how: How,
    /// What the file was when it was begun, where such a thing can be had.
    snapshot: Option<File>,
    /// What is missing.
    pub(super) parts: Vec<ByteRange>,
    /// Whether the generation is this import's own.
    opened: bool,
}

/// What is to be done for a file.
#[derive(Debug)]
pub(super) enum Task {
    /// Nothing: all of it is stored.
    Known,
    /// It is compared first with these pieces of this generation.
    Compare(Source, u64, Vec<Checked>),
    /// Its parts are brought.
    Bring(Box<Bringing>),
}

fn skip(error: &StoreError) -> Skip {
    SkipReason::Disk.with(error)
}

impl Service {
    /// Finds out what is to be done for a file that was found to be the same as what is stored of
    /// the generation `compared`, and begins with it. Blocks.
    pub(super) fn begin_import(
        self: &Arc<Self>,
        source: Source,
        live: Arc<Live>,
        compared: Option<u64>,
    ) -> Result<Task, Skip> {
        let course = {
            let state = live.state();
            state.course(source.offer(), compared)
        };
        let continued = match course {
            Course::Known => {
                self.keep_imported(&live)?;
                return Ok(Task::Known);
            }
            Course::Compare(seq, pieces) => return Ok(Task::Compare(source, seq, pieces)),
            Course::InUse => {
                let detail = "somebody watches or fetches what it would replace";
                return Err(SkipReason::InUse.with(detail));
            }
            Course::Differs => {
                let detail = "what is stored came from the origin and has another length";
                return Err(SkipReason::Differs.with(detail));
            }
            Course::Continue(seq) => Some(seq),
            Course::Open => None,
        };
        self.has_room(&source, &live, continued)?;
        let place = match continued {
            Some(seq) => live.state().place(seq),
            None => Some(Place {
                entity: live.id,
                seq: self.store.next_seq(),
                segment_size: segment_size(&source.identity, self.room.segment_max()),
            }),
        };
        let place = place.ok_or_else(|| SkipReason::InUse.with("it was replaced"))?;
        let (how, snapshot) = self.take_hold(&source, place)?;
        let mut bringing = Bringing {
            source,
            live,
            place,
            how,
            snapshot,
            parts: Vec::new(),
            opened: continued.is_none(),
        };
        let begun = match continued {
            Some(seq) => self.continue_import(&bringing, seq),
            None => self.open_import(&bringing, compared),
        };
        if let Err(skip) = begun {
            let linked = bringing.live.state().rows.any_linked();
            if how == How::Hardlink
                && (bringing.opened || !linked)
                && let Err(error) = self.store.unlink_link(place)
            {
                self.trouble("a link that leads nowhere stays", &error);
            }
            return Err(skip);
        }
        bringing.parts = bringing.live.state().missing(place.seq);
        Ok(Task::Bring(Box::new(bringing)))
    }

    /// Whether a file fits beside what is stored, or beside what came with it.
    fn has_room(&self, source: &Source, live: &Live, continued: Option<u64>) -> Result<(), Skip> {
        let stored = continued.map_or(0, |_| live.state().stored.bytes());
        let missing = source.stamp.length.saturating_sub(stored);
        let missing = missing.next_multiple_of(BLOCK);
        let (room, of) = match source.evicts {
            None => (self.spare(), "left"),
            Some(taken) => (
                self.share().saturating_sub(taken),
                "left beside what came before it",
            ),
        };
        match missing <= room {
            true => Ok(()),
            false => Err(SkipReason::NoRoom.with(format!(
                "{missing} bytes are needed, and {room} are {of} of max_bytes"
            ))),
        }
    }

    /// Gets hold of the file's bytes as the mode and the file system allow.
    fn take_hold(&self, source: &Source, place: Place) -> Result<(How, Option<File>), Skip> {
        let Source { file, mode, .. } = source;
        if matches!(mode, Mode::Auto | Mode::Reflink) {
            if let Some(snapshot) = self.store.snapshot(file) {
                if source.changed() {
                    return Err(SkipReason::Changed.with("it was written meanwhile"));
                }
                return Ok((How::Reflink, Some(snapshot)));
            }
            if *mode == Mode::Reflink {
                let detail = "the file system does not let it share blocks with the data folder";
                return Err(SkipReason::Unsupported.with(detail));
            }
        }
        if matches!(mode, Mode::Auto | Mode::Hardlink) {
            match self.store.link(place, file) {
                Ok(()) => return Ok((How::Hardlink, None)),
                Err(error) if *mode == Mode::Hardlink => {
                    return Err(SkipReason::Unsupported.with(error));
                }
                Err(error) => {
                    tracing::debug!(path = source.path, %error, "not linked, but copied");
                }
            }
        }
        Ok((How::Copy, None))
    }

    /// Makes the file a generation, in the place of the one that there is.
    fn open_import(&self, bringing: &Bringing, compared: Option<u64>) -> Result<(), Skip> {
        let Bringing {
            source,
            live,
            place,
            ..
        } = bringing;
        let profile = live.state().record.key.profile();
        let generation = GenerationRecord {
            seq: place.seq,
            segment_size: place.segment_size,
            identity: source.identity.clone(),
            transfer: format!("import {}", place.seq),
            headers: source.headers.clone(),
            received_at: millis(SystemTime::now()),
            selecting: Selecting::default(),
            governing: self.governing(profile, &source.headers),
            original: Some(bringing.original()),
        };
        let old = {
            let mut state = live.state();
            if state.course(source.offer(), compared) != Course::Open {
                return Err(SkipReason::InUse.with("something else has come meanwhile"));
            }
            let old = state.open(generation);
            state.record.stand(Standing::Admitted);
            state.record.url_expired = false;
            state.record.invalidated = false;
            state.declined_until = None;
            old
        };
        live.changed.notify_waiters();
        let key = live.state().record.key.clone();
        self.appeared(&key, source.identity.complete_length);
        if let Some(old) = old {
            self.remove_ended(live, old);
        }
        self.record(live).map_err(|error| skip(&error))
    }

    /// Lets the file give what is missing of a generation.
    fn continue_import(&self, bringing: &Bringing, seq: u64) -> Result<(), Skip> {
        let live = &bringing.live;
        {
            let mut state = live.state();
            let linked = state.rows.any_linked();
            let living = state.record.generation.as_mut().filter(|g| g.seq == seq);
            let living = living.ok_or_else(|| SkipReason::InUse.with("it was replaced"))?;
            let mut original = bringing.original();
            // Its link goes when nothing leads to it any more.
            if linked {
                original.how = How::Hardlink;
            }
            // What was found out stays so.
            let known = living.original.as_ref();
            original.proven |= known.is_some_and(|known| known.proven);
            living.original = Some(original);
            state.dirty = true;
        }
        self.record(live).map_err(|error| skip(&error))?;
        self.keep_imported(live)
    }

    /// What somebody imports is worth keeping.
    fn keep_imported(&self, live: &Live) -> Result<(), Skip> {
        if !live.state().record.admitted {
            self.reclass(live, Standing::Admitted)
                .map_err(|error| skip(&error))?;
        }
        Ok(())
    }

    /// Brings a part. Blocks.
    pub(super) fn bring(
        self: &Arc<Self>,
        bringing: &Bringing,
        part: ByteRange,
    ) -> Result<(), Skip> {
        let Bringing { live, place, .. } = bringing;
        let reserved = live.state().reserve(place.seq, part);
        let (_, parts) = reserved.ok_or_else(|| SkipReason::InUse.with("it was replaced"))?;
        let mut result = Ok(());
        for part in parts {
            if result.is_ok() {
                result = self.bring_reserved(bringing, part);
            }
            let ended = live.state().finish(*place, part);
            if result.is_err() {
                self.remove_husk(live, *place, part.start() / place.segment_size);
            }
            if let Some(ended) = ended {
                self.remove_ended(live, ended);
            }
        }
        live.state().dirty = true;
        live.changed.notify_waiters();
        result
    }

    fn bring_reserved(self: &Arc<Self>, bringing: &Bringing, part: ByteRange) -> Result<(), Skip> {
        let Bringing {
            source,
            live,
            place,
            snapshot,
            ..
        } = bringing;
        let bytes = read(snapshot.as_ref().unwrap_or(&*source.file), part)?;
        // What was read before it changed is good.
        if snapshot.is_none() && source.changed() {
            return Err(SkipReason::Changed.with("it was written meanwhile"));
        }
        let medium = match (bringing.how, snapshot) {
            (How::Hardlink, _) => Medium::Linked,
            (How::Reflink, Some(snapshot)) if bringing.in_blocks(part) => Medium::Shared(snapshot),
            _ => Medium::Written,
        };
        let written = matches!(medium, Medium::Written);
        let supply = Supply {
            bytes: &bytes,
            medium,
            evicts: source.evicts.is_some(),
        };
        let stored = self.supply_part(live, *place, part, supply);
        stored.map_err(|refusal| match refusal {
            Refusal::Full => SkipReason::NoRoom.with("there is none left"),
            Refusal::Dead => SkipReason::InUse.with("it was replaced"),
            Refusal::Busy | Refusal::Disk | Refusal::Fragments | Refusal::Turnover => {
                SkipReason::Disk.with(format!("bytes {part} could not be stored"))
            }
        })?;
        // At the disk's own pace, so that what viewers bring does not queue behind it.
        match written.then(|| self.store.sync_segment(*place, part.start())) {
            Some(Err(error)) => Err(skip(&error)),
            _ => Ok(()),
        }
    }

    /// A file has changed while it was brought: a generation of its own does not stay half of it.
    pub(super) fn abandon_import(&self, bringing: &Bringing) {
        let seq = bringing.place.seq;
        if bringing.opened
            && let Err(error) = self.remove(&bringing.live, |state| state.lives(seq))
        {
            self.trouble("an abandoned import stays", &error);
        }
    }
}

impl Bringing {
    fn original(&self) -> Original {
        Original {
            path: self.source.path.clone(),
            stamp: self.source.stamp,
            how: self.how,
            proven: self.source.vouched,
        }
    }

    /// Whether a part can share its blocks: it ends with one, or with the file.
    const fn in_blocks(&self, part: ByteRange) -> bool {
        let ends = part.end() == self.source.stamp.length || part.end().is_multiple_of(BLOCK);
        part.start().is_multiple_of(BLOCK) && ends
    }

    pub(super) const fn how(&self) -> How {
        self.how
    }
}
