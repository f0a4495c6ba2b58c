//! Purging: what the operator wants gone is found by nobody from then on; that its files go too is
//! nobody's to wait for.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use schemars::JsonSchema;
use serde::Serialize;
use viewcache_protocol::{EntityId, EntityKey};

use super::listing::{Filter, Walk};
use super::variants::MAX_VARIANTS;
use super::{Service, TakenAway};
use crate::error::Error;
use crate::events::{Event, PurgedOne, Subject};
use crate::live::Live;
use crate::seam;
use crate::store::{SegmentId, StoreError};
use crate::watchers::Watchers;

/// So many entities are purged in one step.
const STEP: usize = 256;

/// So many of one purge are told one by one.
const TOLD: u64 = 1000;

/// So many files are removed before a purge is over: 256 MiB of an entity.
const FEW: usize = 64;

/// With so much to be removed, whoever purges removes it itself.
const BACKLOG: usize = 1024;

/// What a purge has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Purged {
    /// Entities of which anything was stored.
    pub entities: u64,
    /// Their stored bytes.
    pub bytes: u64,
}

/// A purge of many.
#[derive(Clone, Copy, Debug, Default)]
struct Purging {
    all: Purged,
    /// Those of them that were not told one by one.
    untold: Purged,
}

impl Purging {
    const fn tells(&self) -> bool {
        self.all.entities < TOLD
    }

    fn add(&mut self, bytes: Option<u64>) {
        if !self.tells() {
            self.untold.add(bytes);
        }
        self.all.add(bytes);
    }
}

/// Files of which the index says nothing any more.
#[derive(Debug)]
struct Remains {
    files: BTreeSet<SegmentId>,
    /// The room that they are counted with.
    room: u64,
}

/// What is still to be removed from the disk.
#[derive(Debug, Default)]
pub(super) struct Grave {
    remains: Mutex<VecDeque<Remains>>,
    /// Whether somebody removes it.
    digging: AtomicBool,
}

impl Grave {
    fn remains(&self) -> MutexGuard<'_, VecDeque<Remains>> {
        self.remains
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Purged {
    fn add(&mut self, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.entities += 1;
            self.bytes += bytes;
        }
    }
}

impl Service {
    /// Removes an entity with everything that is stored of it, whoever uses it, and the first of
    /// several with the others, which would answer again as soon as there is a first. `None` when
    /// nothing was stored. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn purge(self: &Arc<Self>, id: EntityId) -> Result<Option<Purged>, StoreError> {
        let key = match self.table.find(id) {
            Some(live) => Some(live.state().record.key.clone()),
            None => self.store.record(id)?.map(|record| record.key),
        };
        let Some(key) = key else {
            return Ok(None);
        };
        let numbers = match key.number() {
            0 => 0..=MAX_VARIANTS,
            number => number..=number,
        };
        let mut purged = Purged::default();
        for number in numbers {
            purged.add(self.purge_one(key.variant(number).id(), true)?);
        }
        Ok(Some(purged).filter(|purged| 0 < purged.entities))
    }

    /// Removes all entities that a filter names by video, channel or key. It goes on although
    /// nobody waits for it any more.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub async fn purge_all(self: Arc<Self>, filter: Filter) -> Result<Purged, Error> {
        let purging = tokio::spawn(async move {
            let (service, named) = (Arc::clone(&self), filter.clone());
            let step = move || service.purge_live(&named);
            let mut purging = tokio::task::spawn_blocking(step).await??;
            let mut walk = Walk::default();
            while !walk.over {
                let (service, named) = (Arc::clone(&self), filter.clone());
                let step = move || {
                    service.purge_step(&named, &mut walk, &mut purging)?;
                    Ok::<_, StoreError>((walk, purging))
                };
                (walk, purging) = tokio::task::spawn_blocking(step).await??;
            }
            let Purging { all, untold } = purging;
            if 0 < untold.entities {
                self.events.tell(|| Event::PurgedMany(untold));
            }
            let Purged { entities, bytes } = all;
            tracing::info!(?filter, entities, bytes, "purged");
            Ok(all)
        });
        purging.await?
    }

    /// Those in memory, of some of which the index knows nothing yet.
    fn purge_live(self: &Arc<Self>, filter: &Filter) -> Result<Purging, StoreError> {
        let mut purging = Purging::default();
        for live in self.table.all() {
            let meant = {
                let state = live.state();
                let channel = filter.channel.is_none() || filter.channel == state.channel;
                channel && filter.names(&state.record.key)
            };
            if meant {
                purging.add(self.purge_one(live.id, purging.tells())?);
            }
        }
        Ok(purging)
    }

    fn purge_step(
        self: &Arc<Self>,
        filter: &Filter,
        walk: &mut Walk,
        purging: &mut Purging,
    ) -> Result<(), StoreError> {
        for (_, id) in self.meant(filter, Default::default(), walk, STEP)? {
            purging.add(self.purge_one(id, purging.tells())?);
        }
        Ok(())
    }

    /// Removes one entity. The bytes that were stored come back; `None` when nothing was.
    fn purge_one(self: &Arc<Self>, id: EntityId, told: bool) -> Result<Option<u64>, StoreError> {
        let live = match self.table.find(id) {
            Some(live) => live,
            None => {
                // Until it is gone, nobody takes it into memory.
                let loading = self.table.loading(id);
                match self.table.find(id) {
                    Some(live) => {
                        drop(loading);
                        live
                    }
                    None => {
                        let Some(forgotten) = self.store.forget(id)? else {
                            return Ok(None);
                        };
                        drop(loading);
                        self.bury(Remains {
                            files: forgotten.files.into_iter().collect(),
                            room: forgotten.room,
                        });
                        return Ok(self.purged(&forgotten.key, forgotten.bytes, told));
                    }
                }
            }
        };
        let bytes = self.purge_known(&live)?;
        let key = {
            let mut state = live.state();
            // Who has watched it is gone with it.
            state.record.watchers = Watchers::default();
            state.record.key.clone()
        };
        Ok(self.purged(&key, bytes, told))
    }

    fn purge_known(self: &Arc<Self>, live: &Arc<Live>) -> Result<Option<u64>, StoreError> {
        live.state().purged_before = Some(self.fill());
        let Some(TakenAway { bytes, old }) = self.take_away(live, |_| true)? else {
            return Ok(None);
        };
        // Otherwise the last who still writes removes it.
        if let Some(old) = old {
            let files = {
                let _indexing = live.index_lock();
                self.store.forget_generation(old.place, &old.segments)
            };
            let files = match files {
                Ok(files) => files,
                Err(error) => {
                    self.leave(live, old);
                    return Err(error);
                }
            };
            self.bury(Remains {
                files,
                room: old.room,
            });
        }
        Ok(bytes)
    }

    fn purged(&self, key: &EntityKey, bytes: Option<u64>, told: bool) -> Option<u64> {
        if let Some(bytes) = bytes.filter(|_| told) {
            let subject = || Subject::of(key);
            self.events.tell(|| {
                Event::Purged(PurgedOne {
                    subject: subject(),
                    bytes,
                })
            });
        }
        bytes
    }

    /// Removes files: few at once, so that their room is there when the purge is over, and many
    /// soon, for which nobody waits.
    fn bury(self: &Arc<Self>, remains: Remains) {
        if remains.files.len() <= FEW {
            return self.clear_away(remains);
        }
        let full = {
            let mut all = self.grave.remains();
            all.push_back(remains);
            BACKLOG < all.len()
        };
        if full {
            return self.dig();
        }
        if !self.grave.digging.swap(true, Ordering::AcqRel) {
            let service = Arc::clone(self);
            seam::spawn_blocking(move || {
                service.dig();
                service.grave.digging.store(false, Ordering::Release);
                // What came between the last look and the word that nobody looks any more.
                service.dig();
            });
        }
    }

    fn dig(&self) {
        loop {
            let Some(remains) = self.grave.remains().pop_front() else {
                return;
            };
            self.clear_away(remains);
        }
    }

    fn clear_away(&self, remains: Remains) {
        for file in remains.files {
            seam::between();
            // The next start removes it, too.
            if let Err(error) = self.store.unlink(file) {
                self.trouble("the file of a purged segment stays", &error);
            }
        }
        self.room.release(remains.room);
    }
}
