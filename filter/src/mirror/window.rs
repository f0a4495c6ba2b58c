//! How much of a body may be on its way to the sidecar. What passes while that is too much is left
//! out: the viewer waits for nobody, and a gap can be filled later.

/// So many chunks may be unanswered. With chunks of 256 KiB that is 8 MiB: what a sidecar takes in
/// about 10 ms, and a burst that it may fall behind by.
const MAX_IN_FLIGHT: usize = 32;

/// Once that many were, no chunk begins until so few are left: gaps are few and long, because each
/// costs whoever fills it a request.
const LOW_IN_FLIGHT: usize = MAX_IN_FLIGHT / 4;

/// Bytes left out after a lost chunk. It doubles as long as losses go on.
const MIN_PAUSE: u64 = 1 << 20;

/// The most bytes left out before the next try.
const MAX_PAUSE: u64 = 64 << 20;

/// The chunks of one stream that are on their way.
#[derive(Debug)]
pub(super) struct Window {
    in_flight: usize,
    /// Whether it waits until few are on their way.
    draining: bool,
    /// Nothing before this offset is sent.
    resume_at: u64,
    /// How much the next loss leaves out.
    pause: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            in_flight: 0,
            draining: false,
            resume_at: 0,
            pause: MIN_PAUSE,
        }
    }
}

impl Window {
    /// Whether a chunk may begin at `offset`, and how many bytes from there must be left out before
    /// the question is worth asking again.
    pub(super) fn admits(&self, offset: u64) -> Result<(), u64> {
        match self.resume_at.checked_sub(offset) {
            Some(left @ 1..) => Err(left),
            _ if self.draining => Err(u64::MAX),
            _ => Ok(()),
        }
    }

    /// A chunk was sent; says whether that was the last one for now.
    pub(super) fn sent(&mut self) -> bool {
        self.in_flight = self.in_flight.saturating_add(1);
        let full = MAX_IN_FLIGHT <= self.in_flight;
        full && !std::mem::replace(&mut self.draining, full)
    }

    /// A chunk was taken.
    pub(super) fn taken(&mut self) {
        self.answered();
        self.pause = MIN_PAUSE;
    }

    /// A chunk was lost while the stream was at `position`; says whether a pause begins.
    pub(super) fn lost(&mut self, position: u64) -> bool {
        self.answered();
        if position < self.resume_at {
            return false;
        }
        self.resume_at = position.saturating_add(self.pause);
        self.pause = self.pause.saturating_mul(2).min(MAX_PAUSE);
        true
    }

    fn answered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.draining &= LOW_IN_FLIGHT < self.in_flight;
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn a_full_window_drains_before_the_next_chunk() {
        let mut window = Window::default();
        for n in 1..MAX_IN_FLIGHT {
            assert!(!window.sent(), "{n}");
            assert_eq!(window.admits(0), Ok(()));
        }
        assert!(window.sent());
        assert!(!window.sent(), "it is full already");
        for left in (LOW_IN_FLIGHT..=MAX_IN_FLIGHT).rev() {
            assert_eq!(window.admits(0), Err(u64::MAX), "{left}");
            window.taken();
        }
        assert_eq!(window.admits(0), Ok(()));
        assert!(!window.sent());
    }

    #[test]
    fn losses_leave_out_more_and_more_until_one_is_taken() {
        let mut window = Window::default();
        let mut at = 5;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            for _ in 0..3 {
                window.sent();
            }
            assert!(window.lost(at));
            // Those of the same burst.
            assert!(!window.lost(at) && !window.lost(at + 1));
            let left = window.admits(at).unwrap_err();
            pauses.push(left >> 20);
            at += left;
            assert_eq!(window.admits(at - 1), Err(1));
            assert_eq!(window.admits(at), Ok(()));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64]);
        window.sent();
        window.taken();
        window.sent();
        assert!(window.lost(at));
        assert_eq!(window.admits(at), Err(MIN_PAUSE));
    }

    #[test]
    fn nothing_overflows() {
        let mut window = Window::default();
        window.taken();
        assert!(window.lost(u64::MAX - 1));
        assert_eq!(window.admits(u64::MAX - 1), Err(1));
        assert_eq!(window.admits(u64::MAX), Ok(()));
    }
}
