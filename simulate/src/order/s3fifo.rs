//! S3-FIFO (Yang et al., SOSP 2023): a small queue that one reading lifts out of, a main one where
//! each reading buys a round, and the names of what the small one lost.

use std::collections::VecDeque;

use super::{Order, pieces};
use crate::catalogue::Catalogue;
use crate::links::{Links, List};

/// The small queue's part of all, in percent.
const SMALL: u64 = 10;

/// Readings are counted up to this.
const MOST: u8 = 3;

#[derive(Debug, Default)]
struct Queue {
    list: List,
    pieces: u64,
}

#[derive(Debug)]
pub(crate) struct S3Fifo {
    links: Links,
    small: Queue,
    main: Queue,
    /// Of each segment whether it is in the main queue, and how often it was read there.
    state: Vec<(bool, u8)>,
    /// What the small queue lost, with its pieces; as much as the main one holds.
    ghosts: VecDeque<(u32, u32, u32)>,
    ghosts_pieces: u64,
    /// Of each segment when it became a ghost; 0 is no ghost.
    died: Vec<u32>,
    deaths: u32,
}

impl S3Fifo {
    fn queue(&mut self, segment: u32) -> &mut Queue {
        match self.state[segment as usize].0 {
            true => &mut self.main,
            false => &mut self.small,
        }
    }

    fn remember(&mut self, segment: u32, pieces: u32) {
        self.deaths += 1;
        self.died[segment as usize] = self.deaths;
        self.ghosts.push_back((segment, pieces, self.deaths));
        self.ghosts_pieces += u64::from(pieces);
        while self.main.pieces < self.ghosts_pieces
            && let Some((segment, pieces, death)) = self.ghosts.pop_front()
        {
            self.ghosts_pieces -= u64::from(pieces);
            if self.died[segment as usize] == death {
                self.died[segment as usize] = 0;
            }
        }
    }
}

impl Order<'_> for S3Fifo {
    fn new(catalogue: &Catalogue) -> Self {
        let segments = catalogue.segments();
        Self {
            links: Links::new(segments),
            small: Queue::default(),
            main: Queue::default(),
            state: vec![(false, 0); segments],
            ghosts: VecDeque::new(),
            ghosts_pieces: 0,
            died: vec![0; segments],
            deaths: 0,
        }
    }

    fn enter(&mut self, segment: u32, pieces: u32) {
        let returns = 0 < std::mem::take(&mut self.died[segment as usize]);
        self.state[segment as usize] = (returns, 0);
        let queue = match returns {
            true => &mut self.main,
            false => &mut self.small,
        };
        queue.list.push(&mut self.links, segment);
        queue.pieces += u64::from(pieces);
    }

    fn grow(&mut self, segment: u32, pieces: u32) {
        self.queue(segment).pieces += u64::from(pieces);
    }

    fn touch(&mut self, segment: u32) {
        let (_, readings) = &mut self.state[segment as usize];
        *readings = (*readings + 1).min(MOST);
    }

    fn victim(&mut self, held: &[u64]) -> Option<u32> {
        loop {
            let all = self.small.pieces + self.main.pieces;
            let from_small =
                all * SMALL < self.small.pieces * 100 || self.main.list.back().is_none();
            let queue = match from_small {
                true => &mut self.small,
                false => &mut self.main,
            };
            let segment = queue.list.pop(&mut self.links)?;
            let size = pieces(held, segment);
            queue.pieces -= u64::from(size);
            let readings = self.state[segment as usize].1;
            match (from_small, readings) {
                (true, 0) => {
                    self.remember(segment, size);
                    return Some(segment);
                }
                (false, 0) => return Some(segment),
                _ => {
                    let left = if from_small { 0 } else { readings - 1 };
                    self.state[segment as usize] = (true, left);
                    self.main.list.push(&mut self.links, segment);
                    self.main.pieces += u64::from(size);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn what_is_read_or_comes_back_outlives_what_is_seen_once() {
        let catalogue = Catalogue::new(9, &mut Pcg64::seed_from_u64(1)).unwrap();
        let held = [1; 20];
        let mut order = S3Fifo::new(&catalogue);
        for segment in 0..10 {
            order.enter(segment, 1);
        }
        order.touch(0);
        // The first goes to the main queue, the next out.
        assert_eq!(order.victim(&held), Some(1));
        order.enter(1, 1);
        assert!(order.state[1].0, "what was a ghost is in the main queue");
        let gone: Vec<u32> = (0..7).filter_map(|_| order.victim(&held)).collect();
        assert_eq!(gone, [2, 3, 4, 5, 6, 7, 8]);
    }
}
