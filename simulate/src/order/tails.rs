//! The entity used least recently first, and of it the last segment: heads are watched most.

use super::Order;
use crate::catalogue::Catalogue;
use crate::links::{Links, List};

#[derive(Debug)]
pub(crate) struct Tails<'a> {
    catalogue: &'a Catalogue,
    links: Links,
    list: List,
    /// Of each segment whether it is here.
    here: Vec<bool>,
    /// Of each entity how many are here, and after which segment none is.
    entities: Vec<(u32, u32)>,
}

impl<'a> Order<'a> for Tails<'a> {
    fn new(catalogue: &'a Catalogue) -> Self {
        Self {
            catalogue,
            links: Links::new(catalogue.entities()),
            list: List::default(),
            here: vec![false; catalogue.segments()],
            entities: vec![(0, 0); catalogue.entities()],
        }
    }

    fn enter(&mut self, segment: u32, _: u32) {
        let owner = self.catalogue.owner(segment);
        let (count, last) = &mut self.entities[owner as usize];
        match *count {
            0 => self.list.push(&mut self.links, owner),
            _ => self.list.raise(&mut self.links, owner),
        }
        *count += 1;
        *last = segment.max(*last);
        self.here[segment as usize] = true;
    }

    fn grow(&mut self, segment: u32, _: u32) {
        self.touch(segment);
    }

    fn touch(&mut self, segment: u32) {
        let owner = self.catalogue.owner(segment);
        self.list.raise(&mut self.links, owner);
    }

    fn victim(&mut self, _: &[u64]) -> Option<u32> {
        let owner = self.list.back()?;
        let (count, last) = &mut self.entities[owner as usize];
        while !self.here[*last as usize] {
            *last -= 1;
        }
        let segment = *last;
        self.here[segment as usize] = false;
        *count -= 1;
        if *count == 0 {
            *last = 0;
            self.list.remove(&mut self.links, owner);
        }
        Some(segment)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn tails_go_before_heads_and_old_entities_before_new_ones() {
        let catalogue = Catalogue::new(3, &mut Pcg64::seed_from_u64(1)).unwrap();
        let (a, b) = (catalogue.of(0).start, catalogue.of(1).start);
        let mut order = Tails::new(&catalogue);
        for segment in [a + 2, a, b + 1, b] {
            order.enter(segment, 1);
        }
        assert_eq!(order.victim(&[]), Some(a + 2));
        order.touch(a);
        let rest: Vec<u32> = std::iter::from_fn(|| order.victim(&[])).collect();
        assert_eq!(rest, [b + 1, b, a]);
    }
}
