//! How much of a body is left out after a chunk was lost.

/// Bytes left out after a lost chunk. It doubles as long as losses go on.
const MIN_PAUSE: u64 = 1 << 20;

/// The most bytes left out before the next try.
const MAX_PAUSE: u64 = 64 << 20;

/// What a stream leaves out.
#[derive(Debug)]
pub(super) struct Pause {
    /// Nothing before this offset is sent.
    resume_at: u64,
    /// How much the next loss leaves out.
    next: u64,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            resume_at: 0,
            next: MIN_PAUSE,
        }
    }
}

impl Pause {
    /// The bytes from `offset` on that are left out; 0 when a chunk may begin there.
    pub(super) fn left(&self, offset: u64) -> u64 {
        self.resume_at.saturating_sub(offset)
    }

    /// A chunk was taken.
    pub(super) fn taken(&mut self) {
        self.next = MIN_PAUSE;
    }

    /// A chunk was lost while the stream was at `position`; says whether a pause begins.
    pub(super) fn lost(&mut self, position: u64) -> bool {
        if position < self.resume_at {
            return false;
        }
        self.resume_at = position.saturating_add(self.next);
        self.next = self.next.saturating_mul(2).min(MAX_PAUSE);
        true
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn losses_leave_out_more_and_more_until_one_is_taken() {
        let mut pause = Pause::default();
        let mut at = 5;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(pause.lost(at));
            // Those of the same burst.
            assert!(!pause.lost(at) && !pause.lost(at + 1));
            let left = pause.left(at);
            pauses.push(left >> 20);
            at += left;
            assert_eq!((pause.left(at - 1), pause.left(at)), (1, 0));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64]);
        pause.taken();
        assert!(pause.lost(at));
        assert_eq!(pause.left(at), MIN_PAUSE);
    }

    #[test]
    fn nothing_overflows() {
        let mut pause = Pause::default();
        assert!(pause.lost(u64::MAX - 1));
        assert_eq!((pause.left(u64::MAX - 1), pause.left(u64::MAX)), (1, 0));
    }
}
