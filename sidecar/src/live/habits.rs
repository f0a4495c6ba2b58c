//! Which viewers read on where they have stopped: the evidence without which nothing is read
//! ahead. Pure.

use std::collections::VecDeque;

use viewcache_protocol::ByteRange;

/// How many viewers of one entity are remembered.
const MAX: usize = 32;

/// How many ranges in a row make a habit.
const EVIDENCE: u32 = 2;

/// The last ranges of the last viewers.
#[derive(Clone, Debug, Default)]
pub struct Habits(VecDeque<Habit>);

#[derive(Clone, Debug)]
struct Habit {
    viewer: String,
    end: u64,
    /// How many ranges in a row began where the one before had ended.
    run: u32,
}

impl Habits {
    /// A viewer asks for a range.
    pub fn note(&mut self, viewer: &str, range: ByteRange) {
        let known = self.0.iter().position(|habit| habit.viewer == viewer);
        let run = match known.and_then(|index| self.0.remove(index)) {
            Some(habit) if habit.end == range.start() => habit.run.saturating_add(1),
            // The same range once more says nothing new.
            Some(habit) if habit.end == range.end() => habit.run,
            _ => 0,
        };
        self.0.truncate(MAX - 1);
        self.0.push_front(Habit {
            viewer: viewer.to_owned(),
            end: range.end(),
            run,
        });
    }

    /// Whether this range goes on where the viewer's others have ended, or is the last of them.
    pub fn sequential(&self, viewer: &str, range: ByteRange) -> bool {
        self.0.iter().any(|habit| {
            let goes_on = habit.end == range.start() && EVIDENCE <= habit.run + 1;
            let is_last = habit.end == range.end() && EVIDENCE <= habit.run;
            habit.viewer == viewer && (goes_on || is_last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    #[test]
    fn the_third_range_in_a_row_is_a_habit() {
        let mut habits = Habits::default();
        habits.note("a", range(0, 10));
        assert!(!habits.sequential("a", range(10, 20)));
        habits.note("a", range(10, 20));
        assert!(habits.sequential("a", range(20, 30)));
        assert!(!habits.sequential("b", range(20, 30)));
        assert!(!habits.sequential("a", range(40, 50)));
        habits.note("a", range(20, 30));
        assert!(habits.sequential("a", range(20, 30)));
        habits.note("a", range(50, 60));
        assert!(!habits.sequential("a", range(60, 70)));
    }

    #[test]
    fn many_viewers_push_out_the_oldest() {
        let mut habits = Habits::default();
        for start in [0, 10, 20] {
            habits.note("a", range(start, start + 10));
        }
        for n in 0..MAX {
            habits.note(&n.to_string(), range(0, 10));
        }
        assert!(!habits.sequential("a", range(30, 40)));
        assert_eq!(habits.0.len(), MAX);
    }
}
