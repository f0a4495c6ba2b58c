//! What has come of a body of unknown length, and what is to be done about it. Pure.

use std::time::Duration;

use tokio::time::Instant;
use viewcache_protocol::ByteRange;

use crate::error::Refusal;
use crate::extents::Extents;

/// How long a body may bring nothing.
const IDLE: Duration = Duration::from_secs(60);

/// How long chunks may come behind the end that has overtaken them.
const LATE: Duration = Duration::from_secs(5);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Look again when something changes, and at this moment.
    Wait {
        /// When.
        until: Instant,
    },
    /// No more will come; its complete length is this.
    Store {
        /// In bytes.
        length: u64,
    },
    /// It is of no use.
    Drop,
}

/// What has come.
#[derive(Debug)]
pub(super) struct Progress {
    runs: Extents,
    /// Bytes of room that are taken for it.
    room: u64,
    /// When something last came.
    at: Instant,
    /// The complete length, once the end has come.
    length: Option<u64>,
    /// Whether it was cut.
    cut: bool,
    /// Whether nothing is taken any more.
    closed: bool,
}

impl Progress {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            runs: Extents::default(),
            room: 0,
            at: now,
            length: None,
            cut: false,
            closed: false,
        }
    }

    /// Bytes have come, for which `room` was taken.
    ///
    /// # Errors
    /// When it is too late; the room is the caller's then.
    pub(super) fn comes(
        &mut self,
        range: ByteRange,
        room: u64,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.closed || self.cut {
            return Err(Refusal::Dead);
        }
        self.runs.insert(range);
        self.room += room;
        self.at = now;
        Ok(())
    }

    /// The clean end has come.
    pub(super) fn ends(&mut self, length: u64, now: Instant) {
        self.length = Some(length);
        self.at = now;
    }

    /// It will never be whole.
    pub(super) const fn cut(&mut self) {
        self.cut = true;
    }

    pub(super) fn next(&self, now: Instant) -> Next {
        let Some(length) = self.length.filter(|_| !self.cut) else {
            let until = self.at + IDLE;
            return match self.cut || until <= now {
                true => Next::Drop,
                false => Next::Wait { until },
            };
        };
        let until = self.at + LATE;
        match ByteRange::new(0, length) {
            None => Next::Drop,
            Some(whole) if self.runs.covers(whole) => Next::Store { length },
            Some(_) if now < until => Next::Wait { until },
            // What is missing was dropped on the way.
            Some(whole) if self.runs.touches(whole) => Next::Store { length },
            Some(_) => Next::Drop,
        }
    }

    /// What has come of `range`, in order, in pieces of `most` bytes.
    pub(super) fn pieces(&self, range: ByteRange, most: u64) -> Vec<ByteRange> {
        let runs = self.runs.within(range);
        runs.flat_map(|run| {
            (run.start()..run.end())
                .step_by(usize::try_from(most).unwrap_or(usize::MAX))
                .filter_map(move |at| ByteRange::new(at, run.end().min(at + most)))
        })
        .collect()
    }

    /// So many bytes are elsewhere now; says how much room that frees.
    pub(super) fn gives_back(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.min(self.room);
        self.room -= bytes;
        bytes
    }

    /// Takes nothing more; says how much room that frees.
    pub(super) fn close(&mut self) -> u64 {
        self.closed = true;
        std::mem::take(&mut self.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    fn progress(runs: &[(u64, u64)]) -> (Progress, Instant) {
        let now = Instant::now();
        let mut progress = Progress::new(now);
        for &(start, end) in runs {
            progress.comes(range(start, end), end - start, now).unwrap();
        }
        (progress, now)
    }

    #[test]
    fn it_is_stored_once_the_end_and_all_before_it_have_come() {
        let (mut progress, now) = progress(&[(0, 10), (20, 30)]);
        let idle = Next::Wait { until: now + IDLE };
        assert_eq!(progress.next(now), idle);
        progress.ends(30, now);
        assert_eq!(progress.next(now), Next::Wait { until: now + LATE });
        progress.comes(range(10, 20), 10, now).unwrap();
        assert_eq!(progress.next(now), Next::Store { length: 30 });
    }

    #[test]
    fn what_was_dropped_on_the_way_is_a_gap() {
        let (mut one, now) = progress(&[(0, 10), (20, 30)]);
        one.ends(40, now);
        assert_eq!(one.next(now + LATE), Next::Store { length: 40 });
        assert_eq!(
            one.pieces(range(0, 40), 6),
            [range(0, 6), range(6, 10), range(20, 26), range(26, 30)]
        );
        let (mut nothing, now) = progress(&[]);
        nothing.ends(40, now);
        assert_eq!(nothing.next(now + LATE), Next::Drop);
    }

    #[test]
    fn what_is_cut_empty_or_silent_is_dropped() {
        let (silent, now) = progress(&[(0, 10)]);
        assert_eq!(silent.next(now + IDLE), Next::Drop);
        let (mut cut, now) = progress(&[(0, 10)]);
        cut.cut();
        assert_eq!(cut.next(now), Next::Drop);
        cut.ends(10, now);
        assert_eq!(cut.next(now), Next::Drop);
        let (mut empty, now) = progress(&[]);
        empty.ends(0, now);
        assert_eq!(empty.next(now), Next::Drop);
    }

    #[test]
    fn room_is_given_back_once() {
        let (mut progress, now) = progress(&[(0, 10)]);
        assert_eq!(progress.gives_back(4), 4);
        assert_eq!(progress.close(), 6);
        assert_eq!((progress.gives_back(4), progress.close()), (0, 0));
        assert_eq!(progress.comes(range(10, 20), 10, now), Err(Refusal::Dead));
    }
}
