//! What the mirrored streams of one VM share: memory for the chunks that they gather, and the
//! number of chunks on their way. A stream leases its chunk buffer's size; dropping the lease gives
//! back all that it has, however the stream ended.

use std::cell::Cell;
use std::rc::Rc;

use strum::VariantArray;

use crate::config::MirrorLimits;

/// So many chunks of one VM may be on their way to the sidecar. It bounds how long a worker that has
/// many streams mirrors before it gets round to its other viewers: a chunk of 256 KiB takes it about
/// half a millisecond.
const MAX_IN_FLIGHT: usize = 32;

/// Once that many were, no chunk begins until so few are left: gaps are few and long, because each
/// costs whoever fills it a request.
const LOW_IN_FLIGHT: usize = MAX_IN_FLIGHT / 4;

/// What the streams of one VM hold at the moment.
#[derive(Debug, Default)]
pub struct Budget {
    /// The sum of all leases in bytes.
    bytes: Cell<usize>,
    /// The number of leases.
    mirrors: Cell<usize>,
    /// The chunks on their way.
    in_flight: Cell<usize>,
    /// Whether no chunk may begin until few are.
    draining: Cell<bool>,
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

    /// Says whether no more may be sent for now, from this one on.
    fn sent(&self) -> bool {
        let in_flight = self.in_flight.get().saturating_add(1);
        self.in_flight.set(in_flight);
        let full = MAX_IN_FLIGHT <= in_flight;
        full && !self.draining.replace(full)
    }

    fn answered(&self, chunks: usize) {
        let in_flight = self.in_flight.get().saturating_sub(chunks);
        self.in_flight.set(in_flight);
        if in_flight <= LOW_IN_FLIGHT {
            self.draining.set(false);
        }
    }
}

/// Why a response is not mirrored, or no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
pub enum Shed {
    /// The streams of its worker have all the memory that there is.
    Memory,
    /// So many of them are mirrored as may be.
    Streams,
    /// The sidecar did not hear of its beginning.
    Begin,
    /// Envoy did not give its bytes.
    Unreadable,
}

impl Shed {
    /// The token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Streams => "streams",
            Self::Begin => "begin",
            Self::Unreadable => "unreadable",
        }
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
    /// Its chunks on their way.
    in_flight: usize,
}

impl Lease {
    /// The smallest share.
    ///
    /// # Errors
    /// Why even that does not fit.
    pub fn start(budget: &Rc<Budget>, limits: MirrorLimits) -> Result<Self, Shed> {
        let bytes = budget.bytes().saturating_add(limits.chunk_min);
        if limits.budget < bytes {
            return Err(Shed::Memory);
        }
        if limits.max_mirrors <= budget.mirrors() {
            return Err(Shed::Streams);
        }
        budget.bytes.set(bytes);
        budget.mirrors.set(budget.mirrors().saturating_add(1));
        Ok(Self {
            budget: Rc::clone(budget),
            limits,
            bytes: limits.chunk_min,
            in_flight: 0,
        })
    }

    /// The size of the stream's next chunk.
    pub fn chunk(&self) -> usize {
        self.bytes
    }

    /// Whether a chunk may begin.
    pub fn may_send(&self) -> bool {
        !self.budget.draining.get()
    }

    /// A chunk was sent; says whether it was the last one for now, of all streams.
    pub fn sent(&mut self) -> bool {
        self.adapt();
        self.in_flight = self.in_flight.saturating_add(1);
        self.budget.sent()
    }

    /// A chunk is no longer on its way.
    pub fn answered(&mut self) {
        let counted = self.in_flight.min(1);
        self.in_flight = self.in_flight.saturating_sub(counted);
        self.budget.answered(counted);
    }

    /// Doubles the share after a chunk, or halves it when memory is short. Growing leaves the last
    /// eighth of the budget to streams that begin.
    fn adapt(&mut self) {
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
        self.budget.answered(self.in_flight);
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
        assert_eq!(Lease::start(&budget, LIMITS).err(), Some(Shed::Memory));
        leases.pop();
        assert!(Lease::start(&budget, LIMITS).is_ok());
    }

    #[test]
    fn when_too_many_chunks_are_on_their_way_all_streams_wait_for_most_of_them() {
        let budget = Rc::new(Budget::default());
        let mut one = Lease::start(&budget, LIMITS).unwrap();
        let mut other = Lease::start(&budget, LIMITS).unwrap();
        for n in 1..MAX_IN_FLIGHT {
            let last = if n % 2 == 0 { one.sent() } else { other.sent() };
            assert!(!last && one.may_send(), "{n}");
        }
        assert!(one.sent());
        assert!(!one.sent(), "they wait already");
        for left in (LOW_IN_FLIGHT..=MAX_IN_FLIGHT).rev() {
            assert!(!one.may_send() && !other.may_send(), "{left}");
            if left % 2 == 0 {
                one.answered()
            } else {
                other.answered()
            }
        }
        assert!(one.may_send() && other.may_send());
        // More answers than chunks change nothing.
        for _ in 0..MAX_IN_FLIGHT {
            other.answered();
        }
        while !one.sent() {}
        assert!(!other.may_send());
        drop(one);
        assert!(other.may_send());
    }

    #[test]
    fn the_number_of_streams_is_bounded_too() {
        let budget = Rc::new(Budget::default());
        let limits = MirrorLimits {
            max_mirrors: 1,
            ..LIMITS
        };
        let first = Lease::start(&budget, limits);
        assert!(first.is_ok());
        assert_eq!(Lease::start(&budget, limits).err(), Some(Shed::Streams));
        drop(first);
        assert!(Lease::start(&budget, limits).is_ok());
    }
}
