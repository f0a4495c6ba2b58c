//! The entities that there are, and how their bytes are numbered.

use rand_distr::{Distribution, LogNormal};
use rand_pcg::Pcg64;

/// Bytes are counted in pieces of this size: a segment's stored ones fit a word.
pub(crate) const PIECE: u64 = 64 << 10;

/// Pieces in a segment, which the sidecar stores and evicts as one file.
pub(crate) const SEGMENT: u32 = 64;

const MIB: f64 = (1 << 20) as f64;

/// The median complete length, and the spread of its logarithm.
const MEDIAN: f64 = 50.0 * MIB;
const SPREAD: f64 = 1.0;

/// The shortest and the longest that there are.
const LENGTHS: (f64, f64) = (2.0 * MIB, 4096.0 * MIB);

/// All entities; segments are numbered through all of them.
#[derive(Debug)]
pub(crate) struct Catalogue {
    /// Of each entity its first segment, and one more for the end.
    first: Vec<u32>,
    /// Of each entity its complete length in pieces.
    pieces: Vec<u32>,
    /// Of each segment its entity.
    owner: Vec<u32>,
}

impl Catalogue {
    /// So many entities of random length.
    pub(crate) fn new(entities: u32, random: &mut Pcg64) -> anyhow::Result<Self> {
        let lengths = LogNormal::new(MEDIAN.ln(), SPREAD)?;
        let mut catalogue = Self {
            first: vec![0],
            pieces: Vec::new(),
            owner: Vec::new(),
        };
        for entity in 0..entities {
            let length: f64 = lengths.sample(random);
            let length = length.clamp(LENGTHS.0, LENGTHS.1);
            let pieces = (length / PIECE as f64).ceil() as u32;
            let segments = pieces.div_ceil(SEGMENT) as usize;
            catalogue.pieces.push(pieces);
            let end = catalogue.owner.len() + segments;
            catalogue.owner.resize(end, entity);
            catalogue.first.push(u32::try_from(end)?);
        }
        Ok(catalogue)
    }

    /// How many entities there are.
    pub(crate) const fn entities(&self) -> usize {
        self.pieces.len()
    }

    /// How many segments there are.
    pub(crate) const fn segments(&self) -> usize {
        self.owner.len()
    }

    /// An entity's complete length in pieces.
    pub(crate) fn pieces(&self, entity: u32) -> u32 {
        self.pieces[entity as usize]
    }

    /// All entities' pieces.
    pub(crate) fn total(&self) -> u64 {
        self.pieces.iter().map(|&pieces| u64::from(pieces)).sum()
    }

    /// The segments of an entity.
    pub(crate) fn of(&self, entity: u32) -> std::ops::Range<u32> {
        self.first[entity as usize]..self.first[entity as usize + 1]
    }

    /// The entity of a segment.
    pub(crate) fn owner(&self, segment: u32) -> u32 {
        self.owner[segment as usize]
    }

    /// The segments that pieces `start..end` of an entity lie in, each with those pieces as bits.
    pub(crate) fn spans(
        &self,
        entity: u32,
        start: u32,
        end: u32,
    ) -> impl Iterator<Item = (u32, u64)> + use<> {
        let first = self.first[entity as usize];
        (start / SEGMENT..end.div_ceil(SEGMENT)).map(move |index| {
            let base = index * SEGMENT;
            let from = start.max(base) - base;
            let to = end.min(base + SEGMENT) - base;
            (first + index, (u64::MAX >> (SEGMENT - (to - from))) << from)
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_range_is_each_of_its_pieces_once() {
        let catalogue = Catalogue::new(3, &mut Pcg64::seed_from_u64(1)).unwrap();
        let first = catalogue.of(1).start;
        let spans = |start, end| catalogue.spans(1, start, end).collect::<Vec<_>>();
        assert_eq!(spans(0, 1), [(first, 1)]);
        assert_eq!(spans(63, 66), [(first, 1 << 63), (first + 1, 3)]);
        assert_eq!(spans(64, 128), [(first + 1, u64::MAX)]);
    }

    #[test]
    fn a_segment_knows_its_entity() {
        let catalogue = Catalogue::new(9, &mut Pcg64::seed_from_u64(1)).unwrap();
        for entity in 0..9 {
            assert!(catalogue.of(entity).all(|at| catalogue.owner(at) == entity));
        }
        assert_eq!(catalogue.of(8).end as usize, catalogue.segments());
    }
}
