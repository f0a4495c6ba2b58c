//! What the policies have in common.

mod open;
mod watched;
mod whole;

pub(crate) use open::Open;
pub(crate) use watched::{Terms, Watched};
pub(crate) use whole::{Fetch, Whole};

use crate::viewing::Request;

/// What became of a request, in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// From the cache.
    pub(crate) hit: u64,
    /// From the origin, wanted or not.
    pub(crate) fetched: u64,
    /// To the disk.
    pub(crate) written: u64,
}

/// A cache with its policy.
pub(crate) trait Cache {
    /// Serves a request and stores what it likes.
    fn serve(&mut self, request: &Request) -> Served;

    /// Pieces on the disk.
    fn used(&self) -> u64;
}
