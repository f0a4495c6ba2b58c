//! Admits everything, and evicts the entity used least recently, all of it.

use super::{Cache, Served};
use crate::catalogue::Catalogue;
use crate::links::{Links, List};
use crate::viewing::Request;

/// What is fetched of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// What is asked for and not stored.
    Asked,
    /// All of it when it is asked for first.
    All,
}

#[derive(Debug)]
pub(crate) struct Whole<'a> {
    catalogue: &'a Catalogue,
    fetch: Fetch,
    /// Pieces that may be used.
    max: u64,
    used: u64,
    /// Of each segment the stored pieces, as bits.
    held: Vec<u64>,
    /// Of each entity how many there are.
    pieces: Vec<u32>,
    links: Links,
    list: List,
}

impl<'a> Whole<'a> {
    pub(crate) fn new(catalogue: &'a Catalogue, max: u64, fetch: Fetch) -> Self {
        let entities = catalogue.entities();
        Self {
            catalogue,
            fetch,
            max,
            used: 0,
            held: vec![0; catalogue.segments()],
            pieces: vec![0; entities],
            links: Links::new(entities),
            list: List::default(),
        }
    }

    fn make_room(&mut self, wanted: u64) {
        while self.max < self.used + wanted
            && let Some(entity) = self.list.pop(&mut self.links)
        {
            let pieces = std::mem::take(&mut self.pieces[entity as usize]);
            self.used -= u64::from(pieces);
            let segments = self.catalogue.of(entity);
            self.held[segments.start as usize..segments.end as usize].fill(0);
        }
    }

    /// Stores what is not there of `start..end`, and tells how much that was.
    fn store(&mut self, entity: u32, start: u32, end: u32) -> u64 {
        let missing = self.missing(entity, start, end);
        if missing == 0 {
            return 0;
        }
        self.make_room(u64::from(missing));
        // It may have had to go itself.
        let count = self.missing(entity, start, end);
        if self.pieces[entity as usize] == 0 {
            self.list.push(&mut self.links, entity);
        }
        for (segment, wanted) in self.catalogue.spans(entity, start, end) {
            self.held[segment as usize] |= wanted;
        }
        self.pieces[entity as usize] += count;
        self.used += u64::from(count);
        u64::from(missing)
    }

    fn missing(&self, entity: u32, start: u32, end: u32) -> u32 {
        let spans = self.catalogue.spans(entity, start, end);
        spans
            .map(|(segment, wanted)| (wanted & !self.held[segment as usize]).count_ones())
            .sum()
    }
}

impl Cache for Whole<'_> {
    fn serve(&mut self, request: &Request) -> Served {
        let (entity, start) = (request.entity, request.start);
        let end = start + u32::from(request.pieces);
        let known = 0 < self.pieces[entity as usize];
        if known {
            self.list.raise(&mut self.links, entity);
        }
        let hit = u32::from(request.pieces) - self.missing(entity, start, end);
        let length = self.catalogue.pieces(entity);
        let (start, end) = match self.fetch {
            Fetch::All if !known && u64::from(length) <= self.max => (0, length),
            Fetch::All | Fetch::Asked => (start, end),
        };
        let fetched = self.store(entity, start, end);
        Served {
            hit: u64::from(hit),
            fetched,
            written: fetched,
        }
    }

    fn used(&self) -> u64 {
        self.used
    }
}
