//! What is worth keeping: the policy, what is admitted by it, and the bound of what is not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use viewcache_protocol::ByteRange;

use super::Service;
use crate::error::Refusal;
use crate::events::{Event, PolicyChanged};
use crate::live::Live;
use crate::origin::Asker;
use crate::policy::{Excess, Policy, Pools, Reason, Shares};
use crate::seam;
use crate::store::{Class, Standing, StoreError};

impl Service {
    /// The policy as it is now.
    pub fn policy(&self) -> Arc<Policy> {
        let policy = self.policy.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&policy)
    }

    /// Stores another policy, and follows it from now on. What was admitted stays so. Blocks.
    ///
    /// # Errors
    /// When it cannot be stored; the old one is followed then.
    pub fn set_policy(self: &Arc<Self>, policy: Policy) -> Result<(), StoreError> {
        self.store.put_policy(&policy)?;
        tracing::info!(?policy, "the policy is another");
        let mut place = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(policy);
        let drop_lower = place.drop_lower;
        drop(place);
        if drop_lower {
            self.lower.look_at_all();
        }
        self.give_up_unwanted();
        self.events.tell(|| {
            Event::Policy(PolicyChanged {
                policy: (*self.policy()).clone(),
            })
        });
        self.bound();
        Ok(())
    }

    /// These bytes went to a viewer, so many of them from the store. An entity of which enough was
    /// watched is admitted.
    pub fn delivered(
        self: &Arc<Self>,
        live: &Arc<Live>,
        viewer: &str,
        range: ByteRange,
        cached: u64,
    ) {
        let worth = {
            let mut state = live.state();
            state.delivered(range, cached);
            state.watch(viewer, range)
        };
        if worth {
            self.consider(live);
        }
    }

    /// A viewer begins to get bytes of it, whoever had them. An entity that enough have begun is
    /// admitted before they are stored.
    pub fn came(self: &Arc<Self>, live: &Arc<Live>, viewer: &str) {
        if live.state().came(viewer) {
            self.consider(live);
        }
        self.sighted(live, viewer);
    }

    /// A request has come by which the origin can be asked for more of an entity.
    pub fn learn(self: &Arc<Self>, live: &Arc<Live>, asker: Asker) {
        live.state().learn(asker.nameless());
        self.offered(live);
        self.tend(live);
    }

    /// Admits an entity if it is worth keeping by now.
    pub(super) fn consider(self: &Arc<Self>, live: &Arc<Live>) {
        let proven = {
            let mut state = live.state();
            let rules = self.rules(&state);
            state.prove(rules.admit, self.downloads.want(live.id))
        };
        let Some(reason) = proven else {
            return;
        };
        if reason == Reason::Watched {
            let stored = live.state().stored.bytes();
            if self.may_displace(live, Class::Admitted, stored).is_err() {
                live.state().proven = false;
                return;
            }
        }
        let (service, live) = (Arc::clone(self), Arc::clone(live));
        self.writers.spawn(move || {
            match service.reclass(&live, Standing::Admitted) {
                Ok(true) => {
                    service.admitted(&live, reason);
                    service.tend(&live);
                }
                Ok(false) => {}
                Err(error) => service.trouble("an admission could not be stored", &error),
            }
            // If it was not admitted, the next bytes that are watched try again.
            live.state().proven = false;
        });
    }

    /// Lets an entity stand otherwise, in the index first: its record and the class of all its
    /// segments change as one. False when nothing is stored of it. Blocks.
    pub(super) fn reclass(&self, live: &Live, standing: Standing) -> Result<bool, StoreError> {
        let _indexing = live.index_lock();
        let Some((place, update)) = live.state().classing(standing) else {
            return Ok(false);
        };
        seam::between();
        self.store.update(place, &update)?;
        seam::between();
        let mut state = live.state();
        state.record.stand(standing);
        state.dirty = true;
        state.apply(place.seq, None, update);
        Ok(true)
    }

    /// Makes each of the two pools keep to its share, unless somebody does already: what is not
    /// known to be worth keeping cannot drive out what is, nor the other way round.
    pub(super) fn bound(self: &Arc<Self>) {
        let excess = self.excess();
        let within = excess.provisional == 0 && excess.admitted == 0;
        if within || self.bounding.swap(true, Ordering::Relaxed) {
            return;
        }
        let service = Arc::clone(self);
        self.writers.spawn(move || {
            service.evict_excess();
            service.bounding.store(false, Ordering::Relaxed);
        });
    }

    /// Whether so much of an entity may be stored as `class` if something else has to go for it. What
    /// only one viewer has begun takes the place of others only so fast, unless the operator wants
    /// it; an entity of which something is stored goes before a new one.
    pub(super) fn may_displace(
        &self,
        live: &Live,
        class: Class,
        bytes: u64,
    ) -> Result<(), Refusal> {
        let policy = self.policy();
        let Some(per_day) = policy.turnover(self.room.max()) else {
            return Ok(());
        };
        let begun = {
            let state = live.state();
            if state.record.watchers.several() || self.rules(&state).at_once() {
                return Ok(());
            }
            !state.stored.is_empty()
        };
        if class == Class::Pinned || self.downloads.want(live.id) {
            return Ok(());
        }
        let full = policy.full(self.pools(), class == Class::Admitted);
        if !full && !self.room.tight(&self.store) {
            return Ok(());
        }
        let mut turnover = self.turnover.lock().unwrap_or_else(PoisonError::into_inner);
        match turnover.take(bytes, begun, per_day, self.began.elapsed()) {
            true => Ok(()),
            false => {
                drop(turnover);
                self.passed_over(live.id, Refusal::Turnover);
                Err(Refusal::Turnover)
            }
        }
    }

    /// Whether an entity of this length can be stored as a whole.
    pub fn fits(&self, complete_length: u64) -> bool {
        let (max, ample) = (self.room.max(), self.room.ample());
        self.policy().fits(complete_length, max, ample)
    }

    /// How much each of the two pools may take.
    pub(super) fn shares_of_room(&self) -> Shares {
        self.policy().shares(self.room.max(), self.room.ample())
    }

    /// By how many bytes each pool of segments has more than its share.
    pub(super) fn excess(&self) -> Excess {
        self.policy().excess(self.pools())
    }

    /// How many bytes more can be worth keeping without anything going for them.
    pub(super) fn spare(&self) -> u64 {
        self.policy().spare(self.pools())
    }

    /// The most bytes that can be worth keeping at all.
    pub(super) fn share(&self) -> u64 {
        let nothing = Pools {
            provisional: 0,
            admitted: 0,
            ..self.pools()
        };
        self.policy().spare(nothing)
    }

    fn pools(&self) -> Pools {
        let provisional = self.store.rooms().get(Class::Provisional);
        Pools {
            provisional,
            admitted: self.room.used().saturating_sub(provisional),
            max: self.room.max(),
            ample: self.room.ample(),
        }
    }
}
