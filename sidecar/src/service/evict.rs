//! What goes when there is no room: the segments used least recently, of entities that are not
//! admitted first, of pinned ones never.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use viewcache_protocol::EntityId;

use super::Service;
use super::history::Evicted;
use super::room::{Claim, Shortage, Take};
use crate::error::Refusal;
use crate::events::{Event, Pinned, Subject};
use crate::live::{Leaving, Live, State};
use crate::seam;
use crate::store::{Aged, Class, Gone, Place, SegmentId, Standing, Store, StoreError};

/// How long a writer waits for room that another thread makes.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long nobody looks again after nothing could be evicted.
const BARREN: Duration = Duration::from_millis(100);

/// How many of the oldest are looked up at once.
const PAGE: usize = 64;

/// What comes before all admitted segments and after all provisional ones.
pub(super) const FIRST_ADMITTED: Aged = Aged {
    class: Class::Admitted,
    used_at: 0,
    id: SegmentId {
        entity: EntityId::from_bytes([0; 16]),
        seq: 0,
        segment: 0,
    },
};

/// What becomes of one that is next to be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Goes,
    Stays,
    /// So do all after it.
    Ends,
}

/// Which entities share their blocks with the files that they were imported from, as far as was
/// looked.
#[derive(Debug, Default)]
struct Shared(HashMap<EntityId, bool>);

impl Shared {
    fn has(&mut self, store: &Store, id: SegmentId) -> bool {
        let look = || store.is_shared(id.entity, id.seq).unwrap_or(false);
        *self.0.entry(id.entity).or_insert_with(look)
    }
}

impl Service {
    /// Takes room for bytes before they are written. Blocks; for writer threads.
    pub(super) fn take_room(self: &Arc<Self>, bytes: u64) -> Result<(), Refusal> {
        self.take_room_for(Claim::written(bytes))
    }

    /// Takes room before it is used. When there is none, one writer makes some and the others wait
    /// for it. Blocks; for writer threads.
    pub(super) fn take_room_for(self: &Arc<Self>, claim: Claim) -> Result<(), Refusal> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let round = self.room.round();
            match self.room.take(&self.store, claim) {
                Take::Plenty => return Ok(()),
                Take::Scarce => {
                    self.evict_ahead();
                    return Ok(());
                }
                Take::Short => {}
            }
            if deadline <= Instant::now() {
                return Err(Refusal::Full);
            }
            match self.room.make() {
                Some(mut barren) => {
                    if barren.is_some_and(|until| Instant::now() < until) {
                        return Err(Refusal::Full);
                    }
                    let made = self.make_room(claim);
                    *barren = (!made).then(|| Instant::now() + BARREN);
                    drop(barren);
                    self.room.tell();
                }
                None => self.room.wait(round, deadline),
            }
        }
    }

    /// Makes room before it is needed, unless somebody does already.
    fn evict_ahead(self: &Arc<Self>) {
        if self.room.evicting.swap(true, Ordering::Relaxed) {
            return;
        }
        let service = Arc::clone(self);
        self.writers.spawn(move || {
            if let Some(mut barren) = service.room.make()
                && barren.is_none_or(|until| until <= Instant::now())
            {
                let made = service.make_room(Claim::written(0));
                *barren = (!made).then(|| Instant::now() + BARREN);
                drop(barren);
                service.room.tell();
            }
            service.room.evicting.store(false, Ordering::Relaxed);
        });
    }

    /// Evicts until a claim fits and some more. False when nothing could be.
    fn make_room(&self, claim: Claim) -> bool {
        let Shortage {
            needed,
            over,
            under,
        } = self.room.shortage(&self.store, claim);
        if over == 0 && under == 0 {
            return true;
        }
        // What was used since the index was last told is not the oldest any more.
        self.age_all();
        // Where the disk is short, what shares its blocks with somebody else's file gives nothing
        // back.
        let mut shared = Shared::default();
        let mut freed = self.evict_oldest(under, |aged| match shared.has(&self.store, aged.id) {
            true => Fate::Stays,
            false => Fate::Goes,
        });
        freed += self.evict_oldest(over.saturating_sub(freed), |_| Fate::Goes);
        tracing::debug!(freed, needed, over, under, "room is made");
        0 < freed
    }

    /// Evicts what was used least recently until so much has gone. What has gone comes back.
    fn evict_oldest(&self, bytes: u64, mut fate: impl FnMut(&Aged) -> Fate) -> u64 {
        // What is provisional keeps its share of the room, or nothing new would ever be admitted.
        let over = self.excess().admitted.min(bytes);
        let freed = self.evict_admitted(over, Evicted::Room, &mut fate);
        let left = bytes.saturating_sub(freed);
        freed + self.evict_those(None, left, Evicted::Room, fate)
    }

    pub(super) fn age_all(&self) {
        let all = self.table.all();
        all.iter().for_each(|live| self.age(live, u64::MAX));
    }

    /// Evicts what was used least recently of one pool, and of the other, until each has less than
    /// its share: so much less that it is not done for every write.
    pub(super) fn evict_excess(&self) {
        self.age_all();
        let ample = |over: u64, spare: u64| if over == 0 { 0 } else { over + spare };
        let spare = self.room.max() / 64;
        let admitted = ample(self.excess().admitted, spare);
        self.evict_admitted(admitted, Evicted::Share, |_| Fate::Goes);
        self.evict_provisional(ample(self.excess().provisional, spare));
    }

    /// Evicts admitted segments until so much has gone. What has gone comes back.
    fn evict_admitted(&self, bytes: u64, why: Evicted, fate: impl FnMut(&Aged) -> Fate) -> u64 {
        self.evict_those(Some(FIRST_ADMITTED), bytes, why, fate)
    }

    /// Evicts provisional segments, but none that somebody watches: what comes next may make it
    /// worth keeping.
    fn evict_provisional(&self, bytes: u64) -> u64 {
        let watched = |aged: &Aged| {
            let live = self.table.find(aged.id.entity);
            live.is_some_and(|live| live.state().busy())
        };
        self.evict_those(None, bytes, Evicted::Share, |aged| match aged.class {
            Class::Provisional if watched(aged) => Fate::Stays,
            Class::Provisional => Fate::Goes,
            Class::Admitted | Class::Pinned => Fate::Ends,
        })
    }

    /// Evicts what was used least recently, after `after`, until so much has gone. What has gone
    /// comes back.
    fn evict_those(
        &self,
        mut after: Option<Aged>,
        bytes: u64,
        why: Evicted,
        mut fate: impl FnMut(&Aged) -> Fate,
    ) -> u64 {
        let mut freed = 0;
        while freed < bytes {
            let oldest = match self.store.oldest(after, PAGE) {
                Ok(oldest) => oldest,
                Err(error) => {
                    self.trouble("what to evict is not known", &error);
                    break;
                }
            };
            after = oldest.last().copied();
            for aged in oldest {
                if bytes <= freed {
                    break;
                }
                match fate(&aged) {
                    Fate::Ends => return freed,
                    Fate::Stays => continue,
                    Fate::Goes => {}
                }
                match self.evict_segment(aged, why) {
                    Ok(gone) => freed += gone,
                    Err(error) => self.trouble("a segment could not be evicted", &error),
                }
            }
            if after.is_none() {
                break;
            }
        }
        freed
    }

    /// Evicts one segment unless it is in use. The room that it had comes back.
    pub(super) fn evict_segment(&self, aged: Aged, why: Evicted) -> Result<u64, StoreError> {
        let entity = aged.id.entity;
        let live = self.table.find(entity);
        let gone = match live {
            Some(live) => self.evict_live(&live, aged)?,
            None => {
                // Until it is gone, nobody takes its entity into memory.
                let loading = self.table.loading(entity);
                match self.table.find(entity) {
                    Some(live) => {
                        drop(loading);
                        self.evict_live(&live, aged)?
                    }
                    None => {
                        seam::between();
                        let gone = self.store.evict(aged)?;
                        self.memories.keep(entity, &gone.watchers);
                        self.room.release(gone.room);
                        gone
                    }
                }
            }
        };
        let freed = gone.room;
        if 0 < freed {
            self.evicted(entity, why, gone);
            tracing::debug!(%entity, segment = aged.id.segment, freed, "evicted");
        }
        Ok(freed)
    }

    fn evict_live(&self, live: &Arc<Live>, aged: Aged) -> Result<Gone, StoreError> {
        let (seq, segment) = (aged.id.seq, aged.id.segment);
        let was = {
            let state = live.state();
            let range = |place: Place| place.segment_range(segment * place.segment_size);
            let place = state.place(seq).filter(|_| self.events.heard());
            place.map(|place| (state.record.key.clone(), range(place)))
        };
        let leave = |state: &mut State| state.leave(seq, segment, aged.used_at);
        let freed = self.take_out(live, seq, segment, leave)?;
        let forsaken = |state: &State| state.stored.is_empty() && !state.busy();
        if 0 < freed && forsaken(&live.state()) {
            self.remove(live, forsaken)?;
        }
        Ok(Gone {
            room: freed,
            was,
            ..Gone::default()
        })
    }

    /// Removes the file of a segment of which nothing is stored.
    pub(super) fn remove_husk(&self, live: &Arc<Live>, place: Place, segment: u64) {
        let leave = |state: &mut State| state.leave_husk(place.seq, segment);
        if let Err(error) = self.take_out(live, place.seq, segment, leave) {
            self.trouble("an empty segment stays", &error);
        }
    }

    /// Takes a segment out of the state, then the index, then the disk, and only then is its room
    /// another's: at each step, what is left says no more than there is.
    fn take_out(
        &self,
        live: &Arc<Live>,
        seq: u64,
        segment: u64,
        leave: impl FnOnce(&mut State) -> Option<Leaving>,
    ) -> Result<u64, StoreError> {
        let _indexing = live.index_lock();
        let Some(leaving) = leave(&mut live.state()) else {
            return Ok(0);
        };
        let place = leaving.place;
        seam::between();
        let told = match leaving.update.is_empty() {
            true => Ok(()),
            false => self.store.update(place, &leaving.update),
        };
        if let Err(error) = told {
            live.state().stay(seq, segment, leaving);
            return Err(error);
        }
        seam::between();
        // Should it stay, its room is not given back, and the next start removes it.
        let unlinked = self.store.unlink(place.segment(segment));
        let whole = place.segment_range(segment * place.segment_size);
        let forsaken = match leaving.forsakes_link {
            Some(all) => self.store.forsake_link(place, whole, all),
            None => Ok(()),
        };
        seam::between();
        let freed = live.state().left(seq, segment);
        live.changed.notify_waiters();
        unlinked.and(forsaken)?;
        self.room.release(freed);
        Ok(freed)
    }

    /// Tells the index which segments of an entity were used, but not what it was told after
    /// `stale`.
    pub(super) fn age(&self, live: &Live, stale: u64) {
        let _indexing = live.index_lock();
        let Some((place, update)) = live.state().aging(stale) else {
            return;
        };
        seam::between();
        match self.store.update(place, &update) {
            Ok(()) => live.state().apply(place.seq, None, update),
            Err(error) => {
                self.trouble("an age could not be stored", &error);
                live.state().not_aged(&update);
            }
        }
    }

    /// Keeps an entity whatever the room, or no longer. False when nothing is stored of it. Blocks.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub fn pin(&self, id: EntityId, pinned: bool) -> Result<bool, StoreError> {
        let Some(live) = self.known(id)? else {
            return Ok(false);
        };
        let known = self.reclass(&live, Standing::Pinned(pinned))?;
        if !pinned {
            self.look_for_lower(&live);
        }
        if known {
            self.events.tell(|| {
                Event::Pinned(Pinned {
                    subject: Subject::of(&live.state().record.key),
                    pinned,
                })
            });
        }
        Ok(known)
    }
}
