//! Least recently used first, as the sidecar does; to write to a segment is to use it.

use super::Order;
use crate::catalogue::Catalogue;
use crate::links::{Links, List};

#[derive(Debug)]
pub(crate) struct Lru {
    links: Links,
    list: List,
}

impl Lru {
    /// Takes one out that goes for another reason.
    pub(crate) fn leave(&mut self, segment: u32) {
        self.list.remove(&mut self.links, segment);
    }

    pub(crate) fn oldest(&self) -> Option<u32> {
        self.list.back()
    }
}

impl Order<'_> for Lru {
    fn new(catalogue: &Catalogue) -> Self {
        let segments = catalogue.segments();
        Self {
            links: Links::new(segments),
            list: List::default(),
        }
    }

    fn enter(&mut self, segment: u32, _: u32) {
        self.list.push(&mut self.links, segment);
    }

    fn grow(&mut self, segment: u32, _: u32) {
        self.touch(segment);
    }

    fn touch(&mut self, segment: u32) {
        self.list.raise(&mut self.links, segment);
    }

    fn victim(&mut self, _: &[u64]) -> Option<u32> {
        self.list.pop(&mut self.links)
    }
}
