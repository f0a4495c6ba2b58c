//! What must hold at every moment, and when all is over.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use tokio::time::Instant;
use viewcache_protocol::ByteRange;

use super::World;
use super::content;
use super::plan::Plan;
use super::threads::take;
use crate::extents::Extents;
use crate::seam;
use crate::service::evict_asked::Asked;
use crate::store::{self, Place, Problem};

/// The segment file that a byte is in.
fn file(dir: &Path, place: Place, offset: u64) -> PathBuf {
    let id = place.entity.to_string();
    let segment = offset / place.segment_size;
    let name = format!("{id}-{:x}-{segment:x}", place.seq);
    dir.join("segments").join(&id[..2]).join(name)
}

/// The segment files, and how much of the disk each takes.
pub(super) fn files(dir: &Path) -> BTreeMap<PathBuf, u64> {
    // Of 256 folders these are the only ones with files.
    let ids = (0..content::ENTITIES).map(|entity| Plan::key(entity).id().to_string());
    let folders = ids.map(|id| dir.join("segments").join(&id[..2]));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    let sized = files.flatten().filter_map(|file| {
        let blocks = file.metadata().ok()?.blocks();
        Some((file.path(), blocks * 512))
    });
    sized.collect()
}

impl World {
    /// At any moment: what the index has of an entity is in its files and of one generation, and
    /// memory says no more than the index; what is on the disk is counted.
    pub(super) fn audit(&self) {
        let on_disk: u64 = files(&self.dir).values().sum();
        let counted = self.service.room.used();
        // What is damaged may have been a hole.
        if counted < on_disk && take(&self.damaged).is_empty() {
            self.violation(format!(
                "{on_disk} bytes on the disk are counted as {counted}"
            ));
        }
        for entity in 0..self.plan.entities {
            self.audit_entity(entity);
        }
    }

    fn audit_entity(&self, entity: usize) {
        let id = Plan::key(entity).id();
        let loaded = match self.service.store.load(id) {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return,
            Err(error) => return self.violation(format!("the index cannot be read: {error}")),
        };
        let Some(generation) = &loaded.record.generation else {
            return;
        };
        let place = generation.place(id);
        let named = generation.identity.validator.as_ref();
        let mut candidates: Vec<usize> = match named {
            Some(tag) => self.origin.named(entity, tag.as_str()),
            None => (0..content::GENERATIONS).collect(),
        };
        let now = Instant::now();
        candidates.retain(|&generation| self.origin.allows(entity, generation, now));
        let mut indexed = Extents::default();
        let damaged = take(&self.damaged).clone();
        for range in loaded.rows.ranges() {
            indexed.insert(range);
            let path = file(&self.dir, place, range.start());
            if damaged.contains(&path) {
                continue;
            }
            let mut bytes = vec![0; range.len() as usize];
            let read = File::open(&path).and_then(|file| {
                file.read_exact_at(&mut bytes, range.start() % place.segment_size)
            });
            if let Err(error) = read {
                self.violation(format!(
                    "{range} of v{entity} is in the index alone: {error}"
                ));
                continue;
            }
            let twins = self.plan.twins;
            if !content::narrow(entity, &mut candidates, twins, range.start(), &bytes) {
                return self.violation(format!(
                    "{range} of v{entity} in the index is not of {named:?} in its file"
                ));
            }
        }
        let Some(live) = self.service.table.find(id) else {
            return;
        };
        let state = live.state();
        if state.place(place.seq).is_none() {
            return;
        }
        if let Some(both) = state.stored.iter().find(|&run| state.writing.touches(run)) {
            self.violation(format!("a part of {both} is stored and being written"));
        }
        // Damaged bytes go the other way: out of the index first.
        let alone = state.stored.iter().find(|&run| !indexed.covers(run));
        if let Some(run) = alone
            && damaged.is_empty()
        {
            self.violation(format!(
                "memory has {run} of v{entity}, and the index has not"
            ));
        }
    }

    /// When everybody has left and idle times have passed: nothing is left behind.
    pub(super) fn leaks(&self) {
        for live in self.service.table.all() {
            let state = live.state();
            let leads = format!("{:?}", state.leads);
            if leads != "Leads([])" {
                self.violation(format!("leads are left: {leads}"));
            }
            if !state.readers.is_empty() {
                self.violation(format!("readers are left: {:?}", state.readers));
            }
            if 0 < state.recent.bytes() {
                let bytes = state.recent.bytes();
                self.violation(format!("{bytes} bytes are left in the ring"));
            }
            if !state.writing.is_empty() || !state.unwritten.is_empty() || !state.ended.is_empty() {
                self.violation(format!(
                    "writers are left: {:?} {:?}",
                    state.writing, state.ended
                ));
            }
            if !state.mirrors.is_empty() {
                self.violation(format!("mirrors are left: {:?}", state.mirrors));
            }
        }
        let memory = self.service.ingest_used();
        if 0 < memory {
            self.violation(format!("{memory} bytes of memory for chunks are left"));
        }
        let shares = std::sync::Arc::strong_count(&self.service.shares);
        if 1 < shares {
            self.violation(format!("{} shares of memory are left", shares - 1));
        }
    }

    /// The origin was asked for every byte once, and for none that nobody wanted: what has come is
    /// what is stored, and was wanted.
    pub(super) fn exact(&self) {
        let came = self.service.metrics.origin_bytes.get();
        let mut stored = 0;
        for entity in 0..self.plan.entities {
            if let Some(live) = self.service.table.find(Plan::key(entity).id()) {
                stored += live.state().stored.bytes();
            }
        }
        // A lead that comes to where another has begun, beyond its lease, brings up to so much more
        // rather than a new request.
        let most = match self.plan.terms.lease < content::LONGEST {
            true => stored + self.origin.asked() * (256 << 10),
            false => stored,
        };
        if came < stored || most < came {
            self.violation(format!(
                "{came} bytes came from the origin, and {stored} are stored"
            ));
        }
        let wanted = take(&self.wanted);
        for transfer in self.origin.transfers() {
            let Some(range) = ByteRange::new(transfer.range.start, transfer.range.end) else {
                continue;
            };
            let wanted = &wanted[transfer.entity][transfer.generation];
            if !wanted.covers(range) {
                self.violation(format!("{range} was asked for, and {wanted:?} wanted"));
            }
        }
    }

    /// Everything may go, and then nothing is left.
    pub(super) async fn evict_all(&self) {
        let service = std::sync::Arc::clone(&self.service);
        let evicting = seam::spawn_blocking(move || {
            service.prepare_evictions();
            let mut asked = Asked::new(None, None);
            while !asked.over {
                service.evict_asked(&mut asked)?;
            }
            Ok::<_, store::StoreError>(())
        });
        match evicting.await {
            Ok(Ok(())) => {}
            other => return self.violation(format!("nothing could be evicted: {other:?}")),
        }
        let files = files(&self.dir);
        if !files.is_empty() {
            self.violation(format!("files stay after all was evicted: {files:?}"));
        }
        let used = self.service.room.used();
        if 0 < used {
            self.violation(format!("{used} bytes stay counted after all was evicted"));
        }
    }
}

/// What the store's own check finds of a folder that nobody has open.
pub(super) fn folder(dir: &Path, killed: bool, damaged: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut tell = |problem: &Problem| {
        let excused = match problem {
            Problem::Damaged(..) => damaged,
            // The next start sweeps what a crash leaves.
            Problem::Dead(..) | Problem::Orphan(_) => killed,
            _ => false,
        };
        if !excused {
            problems.push(format!("check: {problem}"));
        }
    };
    if let Err(error) = store::check(dir, false, &mut tell) {
        problems.push(format!("check: {error}"));
    }
    problems
}
