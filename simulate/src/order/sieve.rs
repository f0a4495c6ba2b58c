//! SIEVE (Zhang et al., NSDI 2024): a queue that a hand goes round; what was read since it came by
//! stays where it is.

use super::Order;
use crate::catalogue::Catalogue;
use crate::links::{Links, List};

#[derive(Debug)]
pub(crate) struct Sieve {
    links: Links,
    list: List,
    hand: Option<u32>,
    visited: Vec<bool>,
}

impl Order<'_> for Sieve {
    fn new(catalogue: &Catalogue) -> Self {
        let segments = catalogue.segments();
        Self {
            links: Links::new(segments),
            list: List::default(),
            hand: None,
            visited: vec![false; segments],
        }
    }

    fn enter(&mut self, segment: u32, _: u32) {
        self.visited[segment as usize] = false;
        self.list.push(&mut self.links, segment);
    }

    // What the viewer that brought a segment does with it says nothing of the next one.
    fn grow(&mut self, _: u32, _: u32) {}

    fn touch(&mut self, segment: u32) {
        self.visited[segment as usize] = true;
    }

    fn victim(&mut self, _: &[u64]) -> Option<u32> {
        let mut at = self.hand.or_else(|| self.list.back())?;
        while std::mem::take(&mut self.visited[at as usize]) {
            at = self.links.before(at).or_else(|| self.list.back())?;
        }
        self.hand = self.links.before(at);
        self.list.remove(&mut self.links, at);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn what_was_read_is_passed_over_once() {
        let catalogue = Catalogue::new(9, &mut Pcg64::seed_from_u64(1)).unwrap();
        let mut sieve = Sieve::new(&catalogue);
        (0..4).for_each(|segment| sieve.enter(segment, 1));
        sieve.touch(0);
        sieve.touch(2);
        assert_eq!(sieve.victim(&[]), Some(1));
        sieve.enter(4, 1);
        let rest: Vec<u32> = std::iter::from_fn(|| sieve.victim(&[])).collect();
        assert_eq!(rest, [3, 4, 0, 2]);
    }
}
