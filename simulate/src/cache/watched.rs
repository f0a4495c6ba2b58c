//! The sidecar's policy: what is new is provisional, and is admitted once enough of it was watched.
//! What it decides is decided by the sidecar's code; how room is made follows its `service/evict`.

use viewcache_protocol::ByteRange;
use viewcache_sidecar::policy::{Excess, Policy, Pools, Reason};
use viewcache_sidecar::turnover::Turnover;
use viewcache_sidecar::watchers::{MAX_FADED, SEVERAL, Watchers};

use super::{Cache, Served};
use crate::catalogue::{Catalogue, PIECE};
use crate::links::{Links, List};
use crate::order::{Lru, Order, pieces};
use crate::viewing::{REQUEST, Request};

/// So many provisional segments that somebody watches are passed over in a row.
const PATIENCE: u32 = 32;

/// What the operator says.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) policy: Policy,
    /// Pieces that provisional bytes may take in memory; without it they go to the disk.
    pub(crate) stage: Option<u64>,
    /// Of how many entities it is remembered who watched them when nothing of them is stored.
    pub(crate) memory: usize,
}

/// What is known of an entity.
#[derive(Clone, Debug, Default)]
struct Known {
    admitted: bool,
    /// How many watch it now.
    viewers: u16,
    /// How many of its segments are stored.
    segments: u16,
    watchers: Option<Box<Watchers>>,
    /// Whether there is nothing but the watchers.
    remembered: bool,
}

#[derive(Debug)]
pub(crate) struct Watched<'a, O> {
    catalogue: &'a Catalogue,
    terms: Terms,
    /// Pieces that may be used of the disk.
    max: u64,
    provisional: u64,
    admitted: u64,
    /// Of each segment the stored pieces, as bits.
    held: Vec<u64>,
    known: Vec<Known>,
    turnover: Turnover,
    /// How many requests there were: the clock.
    requests: u32,
    /// The entities of which only the watchers are known, and how many these are.
    links: Links,
    memories: List,
    remembered: usize,
    /// The provisional segments.
    waiting: Lru,
    /// The admitted ones.
    order: O,
}

impl<'a, O: Order<'a>> Watched<'a, O> {
    pub(crate) fn new(catalogue: &'a Catalogue, max: u64, terms: Terms) -> Self {
        Self {
            catalogue,
            terms,
            max,
            provisional: 0,
            admitted: 0,
            held: vec![0; catalogue.segments()],
            known: vec![Known::default(); catalogue.entities()],
            turnover: Turnover::default(),
            requests: 0,
            links: Links::new(catalogue.entities()),
            memories: List::default(),
            remembered: 0,
            waiting: Lru::new(catalogue),
            order: O::new(catalogue),
        }
    }

    /// Kept ready for the next writes, as `service/room` does.
    const fn headroom(&self) -> u64 {
        const MOST: u64 = (64 << 20) / PIECE;
        let part = self.max / 64;
        if part < MOST { part } else { MOST }
    }

    /// What is on the disk, in bytes.
    fn pools(&self) -> Pools {
        let provisional = match self.terms.stage {
            Some(_) => 0,
            None => self.provisional,
        };
        let ample = self.max - self.max / 32;
        Pools {
            provisional: provisional * PIECE,
            admitted: self.admitted * PIECE,
            max: self.max * PIECE,
            ample: ample * PIECE,
        }
    }

    /// In pieces, by the sidecar's code.
    fn excess(&self) -> Excess {
        let over = self.terms.policy.excess(self.pools());
        Excess {
            provisional: over.provisional.div_ceil(PIECE),
            admitted: over.admitted.div_ceil(PIECE),
        }
    }

    /// Whether so many pieces may be stored, `admitted` or not, if others have to go for them, by the
    /// sidecar's code.
    fn may_displace(&mut self, entity: u32, admitted: bool, pieces: u64) -> bool {
        let policy = &self.terms.policy;
        let Some(per_day) = policy.turnover(self.max * PIECE) else {
            return true;
        };
        let known = &self.known[entity as usize];
        let several = known.watchers.as_deref().is_some_and(Watchers::several);
        if several || !policy.full(self.pools(), admitted) {
            return true;
        }
        let begun = 0 < known.segments;
        let now = REQUEST * self.requests;
        self.turnover.take(pieces * PIECE, begun, per_day, now)
    }

    /// Makes room on the disk, for what is written and for what comes after it.
    fn make_room(&mut self, wanted: u64) {
        let soon = self.used() + wanted + self.headroom();
        if soon <= self.max {
            return;
        }
        let ample = soon + self.headroom() - self.max;
        let over = self.excess().admitted.min(ample);
        let mut freed = self.evict_admitted(over);
        while freed < ample
            && self.terms.stage.is_none()
            && let Some(segment) = self.waiting.victim(&self.held)
        {
            freed += self.drop_provisional(segment);
        }
        self.evict_admitted(ample.saturating_sub(freed));
    }

    /// Keeps each pool to its share: so much less that it is not done for every write. Tells how many
    /// pieces went to the disk.
    fn bound(&mut self) -> u64 {
        let spare = self.max / 64;
        let over = self.excess();
        if 0 < over.admitted {
            self.evict_admitted(over.admitted + spare);
        }
        if 0 < over.provisional {
            self.evict_provisional(over.provisional + spare);
        }
        let limit = self.terms.stage.unwrap_or(u64::MAX);
        let mut written = 0;
        while limit < self.provisional
            && let Some(segment) = self.waiting.oldest()
        {
            // Not so full that something had to go.
            if self.terms.policy.lend_room && self.used() + self.max / 16 < self.max {
                written += self.admit(self.catalogue.owner(segment));
            } else {
                self.waiting.leave(segment);
                self.drop_provisional(segment);
            }
        }
        written
    }

    fn evict_admitted(&mut self, pieces: u64) -> u64 {
        let mut freed = 0;
        while freed < pieces
            && let Some(segment) = self.order.victim(&self.held)
        {
            let gone = self.drop_segment(segment);
            self.admitted -= gone;
            freed += gone;
        }
        freed
    }

    /// Evicts provisional segments, but none that somebody watches.
    fn evict_provisional(&mut self, pieces: u64) {
        let (mut freed, mut passed) = (0, 0);
        while freed < pieces
            && passed < PATIENCE
            && let Some(segment) = self.waiting.oldest()
        {
            let owner = self.catalogue.owner(segment);
            if 0 < self.known[owner as usize].viewers {
                self.waiting.touch(segment);
                passed += 1;
                continue;
            }
            self.waiting.leave(segment);
            freed += self.drop_provisional(segment);
            passed = 0;
        }
    }

    fn drop_provisional(&mut self, segment: u32) -> u64 {
        let gone = self.drop_segment(segment);
        self.provisional -= gone;
        gone
    }

    fn drop_segment(&mut self, segment: u32) -> u64 {
        let gone = std::mem::take(&mut self.held[segment as usize]).count_ones();
        let owner = self.catalogue.owner(segment);
        self.known[owner as usize].segments -= 1;
        self.forget(owner);
        u64::from(gone)
    }

    /// Forgets an entity of which nothing is stored and that nobody watches.
    fn forget(&mut self, entity: u32) {
        let known = &mut self.known[entity as usize];
        if 0 < known.segments || 0 < known.viewers || known.remembered {
            return;
        }
        if self.terms.memory == 0 {
            *known = Known::default();
            return;
        }
        *known = Known {
            watchers: known
                .watchers
                .take()
                .map(|watchers| Box::new(watchers.faded(MAX_FADED))),
            remembered: true,
            ..Known::default()
        };
        self.memories.push(&mut self.links, entity);
        self.remembered += 1;
        if self.terms.memory < self.remembered
            && let Some(oldest) = self.memories.pop(&mut self.links)
        {
            self.remembered -= 1;
            self.known[oldest as usize] = Known::default();
        }
    }

    /// Somebody comes to watch.
    fn begin(&mut self, entity: u32) {
        let known = &mut self.known[entity as usize];
        known.viewers += 1;
        if std::mem::take(&mut known.remembered) {
            self.memories.remove(&mut self.links, entity);
            self.remembered -= 1;
        }
    }

    /// A viewer begins. Tells how many pieces went to the disk because that was enough.
    fn came(&mut self, request: &Request) -> u64 {
        let known = &mut self.known[request.entity as usize];
        let watchers = known.watchers.get_or_insert_default();
        if known.admitted && watchers.several() {
            return 0;
        }
        watchers.came(&request.viewer.to_string());
        if known.admitted {
            0
        } else {
            self.judge(request.entity)
        }
    }

    /// Stores pieces of a segment that are not there, and tells how many went to the disk.
    fn store(&mut self, entity: u32, segment: u32, missing: u64) -> u64 {
        let count = missing.count_ones();
        let size = u64::from(count);
        let admitted = self.known[entity as usize].admitted;
        let to_disk = admitted || self.terms.stage.is_none();
        if to_disk && !self.may_displace(entity, admitted, size) {
            return 0;
        }
        if to_disk {
            self.make_room(size);
        }
        let new = self.held[segment as usize] == 0;
        self.known[entity as usize].segments += u16::from(new);
        self.held[segment as usize] |= missing;
        match (admitted, new) {
            (true, true) => self.order.enter(segment, count),
            (true, false) => self.order.grow(segment, count),
            (false, true) => self.waiting.enter(segment, count),
            (false, false) => self.waiting.grow(segment, count),
        }
        match admitted {
            true => self.admitted += size,
            false => self.provisional += size,
        }
        if to_disk { size } else { 0 }
    }

    /// These pieces went to a viewer. Tells how many went to the disk because that was enough.
    fn delivered(&mut self, request: &Request) -> u64 {
        let known = &mut self.known[request.entity as usize];
        let start = u64::from(request.start) * PIECE;
        let length = u64::from(request.pieces) * PIECE;
        let (false, Some(range)) = (known.admitted, ByteRange::from_len(start, length)) else {
            return 0;
        };
        let watchers = known.watchers.get_or_insert_default();
        watchers.watched(&request.viewer.to_string(), range);
        self.judge(request.entity)
    }

    fn judge(&mut self, entity: u32) -> u64 {
        let known = &self.known[entity as usize];
        let complete_length = u64::from(self.catalogue.pieces(entity)) * PIECE;
        let judge = |watchers| self.terms.policy.admit.judge(watchers, complete_length);
        let Some(reason) = known.watchers.as_deref().and_then(judge) else {
            return 0;
        };
        let stored = || {
            self.catalogue
                .of(entity)
                .map(|at| u64::from(pieces(&self.held, at)))
        };
        if reason == Reason::Watched && !self.may_displace(entity, true, stored().sum()) {
            return 0;
        }
        self.admit(entity)
    }

    fn admit(&mut self, entity: u32) -> u64 {
        let known = &mut self.known[entity as usize];
        known.admitted = true;
        if let Some(watchers) = &mut known.watchers {
            **watchers = watchers.faded(SEVERAL);
        }
        let mut written = 0;
        for segment in self.catalogue.of(entity) {
            let count = pieces(&self.held, segment);
            if count == 0 {
                continue;
            }
            let size = u64::from(count);
            self.waiting.leave(segment);
            self.provisional -= size;
            if self.terms.stage.is_some() {
                self.make_room(size);
                written += size;
            }
            self.order.enter(segment, count);
            self.admitted += size;
        }
        written
    }
}

impl<'a, O: Order<'a>> Cache for Watched<'a, O> {
    fn serve(&mut self, request: &Request) -> Served {
        let entity = request.entity;
        self.requests += 1;
        let mut served = Served::default();
        if request.first {
            self.begin(entity);
            served.written += self.came(request);
        }
        let end = request.start + u32::from(request.pieces);
        for (segment, wanted) in self.catalogue.spans(entity, request.start, end) {
            let hit = wanted & self.held[segment as usize];
            if hit != 0 {
                match self.known[entity as usize].admitted {
                    true => self.order.touch(segment),
                    false => self.waiting.touch(segment),
                }
                served.hit += u64::from(hit.count_ones());
            }
            let missing = wanted & !hit;
            if missing != 0 {
                served.fetched += u64::from(missing.count_ones());
                served.written += self.store(entity, segment, missing);
            }
        }
        served.written += self.delivered(request);
        served.written += self.bound();
        self.known[entity as usize].viewers -= u16::from(request.last);
        self.forget(entity);
        served
    }

    fn used(&self) -> u64 {
        match self.terms.stage {
            Some(_) => self.admitted,
            None => self.provisional + self.admitted,
        }
    }
}

#[cfg(test)]
mod tests;
