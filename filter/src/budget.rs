//! The memory that the mirrored streams of one VM share. A stream leases its chunk buffer's size;
//! dropping the lease gives it back, however the stream ended.

use std::cell::Cell;
use std::rc::Rc;

use crate::config::MirrorLimits;

/// What the streams of one VM hold at the moment.
#[derive(Debug, Default)]
pub struct Budget {
    /// The sum of all leases in bytes.
    bytes: Cell<usize>,
    /// The number of leases.
    mirrors: Cell<usize>,
}

impl Budget {
    /// The bytes that are leased.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// The streams that hold a lease.
    pub fn mirrors(&self) -> usize {
        self.mirrors.get()
    }
}

/// One stream's share: the size of its chunks.
#[derive(Debug)]
pub struct Lease {
    /// Where the share was taken from.
    budget: Rc<Budget>,
    /// What may be used.
    limits: MirrorLimits,
    /// The size of the stream's next chunk, which is what is leased.
    bytes: usize,
}

impl Lease {
    /// The smallest share; `None` when even that does not fit.
    pub fn start(budget: &Rc<Budget>, limits: MirrorLimits) -> Option<Self> {
        let bytes = budget.bytes().checked_add(limits.chunk_min)?;
        if limits.budget < bytes || limits.max_mirrors <= budget.mirrors() {
            return None;
        }
        budget.bytes.set(bytes);
        budget.mirrors.set(budget.mirrors().saturating_add(1));
        Some(Self {
            budget: Rc::clone(budget),
            limits,
            bytes: limits.chunk_min,
        })
    }

    /// The size of the stream's next chunk.
    pub fn chunk(&self) -> usize {
        self.bytes
    }

    /// Doubles the share after a chunk, or halves it when memory is short. Growing leaves the last
    /// eighth of the budget to streams that begin.
    pub fn adapt(&mut self) {
        let MirrorLimits {
            chunk_min,
            chunk_max,
            budget: limit,
            ..
        } = self.limits;
        let roomy = limit.saturating_sub(limit / 8);
        let others = self.budget.bytes().saturating_sub(self.bytes);
        let doubled = self.bytes.saturating_mul(2).min(chunk_max);
        if others.saturating_add(doubled) <= roomy {
            self.bytes = doubled;
        } else if roomy < self.budget.bytes() {
            self.bytes = (self.bytes / 2).max(chunk_min);
        }
        self.budget.bytes.set(others.saturating_add(self.bytes));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget
            .bytes
            .set(self.budget.bytes().saturating_sub(self.bytes));
        self.budget
            .mirrors
            .set(self.budget.mirrors().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const LIMITS: MirrorLimits = MirrorLimits {
        chunk_min: 10,
        chunk_max: 40,
        budget: 160,
        max_mirrors: 100,
    };

    #[test]
    fn a_lone_stream_doubles_up_to_the_largest_chunk() {
        let budget = Rc::new(Budget::default());
        let mut lease = Lease::start(&budget, LIMITS).unwrap();
        let mut sizes = vec![lease.chunk()];
        for _ in 0..3 {
            lease.adapt();
            sizes.push(lease.chunk());
        }
        assert_eq!(sizes, [10, 20, 40, 40]);
        assert_eq!(budget.bytes(), 40);
        drop(lease);
        assert_eq!((budget.bytes(), budget.mirrors()), (0, 0));
    }

    #[test]
    fn streams_make_room_for_those_that_begin() {
        let budget = Rc::new(Budget::default());
        let mut leases = Vec::new();
        for _ in 0..16 {
            leases.push(Lease::start(&budget, LIMITS).unwrap());
            leases.iter_mut().for_each(Lease::adapt);
            assert!(budget.bytes() <= LIMITS.budget);
        }
        assert_eq!(budget.bytes(), 160);
        assert!(Lease::start(&budget, LIMITS).is_none());
        leases.pop();
        assert!(Lease::start(&budget, LIMITS).is_some());
    }

    #[test]
    fn the_number_of_streams_is_bounded_too() {
        let budget = Rc::new(Budget::default());
        let limits = MirrorLimits {
            max_mirrors: 1,
            ..LIMITS
        };
        let first = Lease::start(&budget, limits);
        assert!(first.is_some());
        assert!(Lease::start(&budget, limits).is_none());
        drop(first);
        assert!(Lease::start(&budget, limits).is_some());
    }
}
