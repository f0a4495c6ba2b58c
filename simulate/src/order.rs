//! In which order segments are evicted.

mod lru;
mod s3fifo;
mod sieve;
mod tails;

pub(crate) use lru::Lru;
pub(crate) use s3fifo::S3Fifo;
pub(crate) use sieve::Sieve;
pub(crate) use tails::Tails;

use crate::catalogue::Catalogue;

/// Which of its segments goes next. Sizes are in pieces.
pub(crate) trait Order<'a> {
    /// Empty.
    fn new(catalogue: &'a Catalogue) -> Self;

    /// A segment comes.
    fn enter(&mut self, segment: u32, pieces: u32);

    /// More of a segment is stored.
    fn grow(&mut self, segment: u32, pieces: u32);

    /// Stored bytes of a segment are read.
    fn touch(&mut self, segment: u32);

    /// Takes out the segment that goes next; `held` tells the stored pieces of each.
    fn victim(&mut self, held: &[u64]) -> Option<u32>;
}

/// How many pieces of a segment are stored.
pub(crate) fn pieces(held: &[u64], segment: u32) -> u32 {
    held[segment as usize].count_ones()
}
