//! How one viewer watches one entity.

use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64;

use crate::catalogue::PIECE;

/// Bytes of a second of video.
const RATE: f64 = 300.0 * 1024.0;

/// After so many seconds, so many of those who began have left (Visible Measures, 2010: 20 % within
/// 10 s, 33 % within 30 s and 44 % within 60 s, of 7 billion views of clips below 5 minutes).
const LEFT: [(f64, f64); 4] = [(0.0, 0.0), (10.0, 0.20), (30.0, 0.33), (60.0, 0.44)];

/// Of those who began, so many see the end; this one is an assumption.
const FINISH: f64 = 0.25;

/// What a player asks for at once, in MiB.
const STEPS: [u32; 3] = [1, 2, 4];

/// Pieces in a MiB.
pub(crate) const MIB: u32 = (1 << 20) / PIECE as u32;

/// How somebody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// All of it.
    Whole,
    /// From the start until it bores.
    Leaves,
    /// The start, then a few stretches anywhere.
    Seeks,
    /// A little of the head, and of the tail.
    Scans,
}

/// What one viewer is going to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Viewing {
    pub(crate) entity: u32,
    pub(crate) viewer: u32,
    /// Stretches of pieces `start..end`, the next one last.
    stretches: Vec<(u32, u32)>,
    step: u32,
    begun: bool,
}

/// How long after a request the next one comes, of a thousand people who take some two MiB each at
/// a time, and watch them before they take more.
pub(crate) const REQUEST: Duration = Duration::from_millis(8);

/// One request of a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) entity: u32,
    pub(crate) viewer: u32,
    /// The first piece.
    pub(crate) start: u32,
    /// How many pieces.
    pub(crate) pieces: u16,
    /// Whether the viewer has just come.
    pub(crate) first: bool,
    /// Whether the viewer leaves after it.
    pub(crate) last: bool,
}

impl Viewing {
    pub(crate) fn new(
        manner: Manner,
        entity: u32,
        viewer: u32,
        length: u32,
        random: &mut Pcg64,
    ) -> Self {
        let mut stretches = match manner {
            Manner::Whole => vec![(0, length)],
            Manner::Leaves => vec![(0, until(length, random))],
            Manner::Seeks => seeks(length, random),
            Manner::Scans => {
                let head = length.min(2 * MIB);
                vec![(0, head), (length.saturating_sub(MIB).max(head), length)]
            }
        };
        stretches.retain(|&(start, end)| start < end);
        stretches.reverse();
        Self {
            entity,
            viewer,
            stretches,
            step: STEPS[random.random_range(0..STEPS.len())] * MIB,
            begun: false,
        }
    }

    /// The next request; there is one until one was the last.
    pub(crate) fn next(&mut self) -> Option<Request> {
        let (start, end) = self.stretches.pop()?;
        // Requests of a player begin at multiples of what it asks for.
        let stop = (start - start % self.step + self.step).min(end);
        if stop < end {
            self.stretches.push((stop, end));
        }
        Some(Request {
            entity: self.entity,
            viewer: self.viewer,
            start,
            pieces: u16::try_from(stop - start).ok()?,
            first: !std::mem::replace(&mut self.begun, true),
            last: self.stretches.is_empty(),
        })
    }
}

/// Where somebody leaves who began at the start.
fn until(length: u32, random: &mut Pcg64) -> u32 {
    let chance: f64 = random.random();
    let (last, left) = LEFT[LEFT.len() - 1];
    if 1.0 - FINISH <= chance {
        return length;
    }
    let early = (last * RATE / PIECE as f64) as u32;
    let pieces = if chance < left {
        let after = LEFT.partition_point(|&(_, left)| left <= chance);
        let ((from, low), (to, high)) = (LEFT[after - 1], LEFT[after]);
        let seconds = from + (to - from) * (chance - low) / (high - low);
        (seconds * RATE / PIECE as f64) as u32
    } else if early < length {
        random.random_range(early..length)
    } else {
        length
    };
    pieces.clamp(1, length)
}

fn seeks(length: u32, random: &mut Pcg64) -> Vec<(u32, u32)> {
    let mut stretches = vec![(0, length.min(2 * MIB))];
    for _ in 0..random.random_range(2..8) {
        let start = random.random_range(0..length);
        let stretch = random.random_range(MIB..8 * MIB);
        stretches.push((start, (start + stretch).min(length)));
    }
    stretches
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn one_request_follows_another() {
        let mut random = Pcg64::seed_from_u64(1);
        let mut viewing = Viewing::new(Manner::Whole, 7, 9, 100, &mut random);
        let mut at = 0;
        loop {
            let request = viewing.next().unwrap();
            assert_eq!((request.start, request.first), (at, at == 0));
            at += u32::from(request.pieces);
            if request.last {
                break;
            }
        }
        assert_eq!((at, viewing.next()), (100, None));
    }

    #[test]
    fn viewers_leave_as_was_measured() {
        let mut random = Pcg64::seed_from_u64(1);
        let length = 3000;
        let ends: Vec<u32> = (0..20_000).map(|_| until(length, &mut random)).collect();
        let share = |test: &dyn Fn(u32) -> bool| {
            ends.iter().filter(|&&end| test(end)).count() as f64 / ends.len() as f64
        };
        for (seconds, left) in &LEFT[1..] {
            let pieces = (seconds * RATE / PIECE as f64) as u32;
            assert!((share(&|end| end < pieces) - left).abs() < 0.02);
        }
        assert!((share(&|end| end == length) - FINISH).abs() < 0.02);
    }
}
