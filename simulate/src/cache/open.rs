//! Admits everything, and evicts segments.

use super::{Cache, Served};
use crate::catalogue::Catalogue;
use crate::order::{Order, pieces};
use crate::viewing::Request;

#[derive(Debug)]
pub(crate) struct Open<'a, O> {
    catalogue: &'a Catalogue,
    /// Pieces that may be used.
    max: u64,
    used: u64,
    /// Of each segment the stored pieces, as bits.
    held: Vec<u64>,
    order: O,
}

impl<'a, O: Order<'a>> Open<'a, O> {
    pub(crate) fn new(catalogue: &'a Catalogue, max: u64) -> Self {
        Self {
            catalogue,
            max,
            used: 0,
            held: vec![0; catalogue.segments()],
            order: O::new(catalogue),
        }
    }

    fn make_room(&mut self, wanted: u32) {
        while self.max < self.used + u64::from(wanted)
            && let Some(segment) = self.order.victim(&self.held)
        {
            self.used -= u64::from(pieces(&self.held, segment));
            self.held[segment as usize] = 0;
        }
    }
}

impl<'a, O: Order<'a>> Cache for Open<'a, O> {
    fn serve(&mut self, request: &Request) -> Served {
        let mut served = Served::default();
        let end = request.start + u32::from(request.pieces);
        for (segment, wanted) in self.catalogue.spans(request.entity, request.start, end) {
            let hit = wanted & self.held[segment as usize];
            let missing = wanted & !hit;
            if hit != 0 {
                self.order.touch(segment);
                served.hit += u64::from(hit.count_ones());
            }
            if missing != 0 {
                let count = missing.count_ones();
                self.make_room(count);
                // It may have had to make room itself.
                match self.held[segment as usize] {
                    0 => self.order.enter(segment, count),
                    _ => self.order.grow(segment, count),
                }
                self.held[segment as usize] |= missing;
                self.used += u64::from(count);
                served.fetched += u64::from(count);
            }
        }
        served.written = served.fetched;
        served
    }

    fn used(&self) -> u64 {
        self.used
    }
}
