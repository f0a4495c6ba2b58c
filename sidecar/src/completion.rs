//! Fetching what no viewer has asked for: which entities' rests are fetched now, and which wait.
//! Pure.

use crate::policy::Completion;

/// An entity whose rest is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Whether somebody watches it, or has just done so.
    pub attended: bool,
    /// Whether it goes on when nobody watches it any more, whatever the policy says.
    pub insistent: bool,
    /// Whether viewers of other entities fetch from its origin.
    pub contended: bool,
}

/// What becomes of it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is fetched.
    Runs,
    /// It waits for others.
    Waits,
    /// It is not wanted any more.
    Ends,
}

/// What becomes of the tasks, in the order in which they came.
pub fn plan(tasks: &[Task], completion: &Completion) -> Vec<Verdict> {
    let mut free = usize::from(completion.parallel);
    let judge = |task: &Task| {
        if !(task.attended || task.insistent || completion.without_viewers) {
            return Verdict::Ends;
        }
        if free == 0 || completion.yields && task.contended {
            return Verdict::Waits;
        }
        free -= 1;
        Verdict::Runs
    };
    tasks.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(attended: bool, contended: bool) -> Task {
        Task {
            attended,
            insistent: false,
            contended,
        }
    }

    #[test]
    fn who_came_first_runs_and_the_others_wait() {
        let tasks = [task(true, false), task(true, false), task(true, false)];
        let completion = Completion::default();
        assert_eq!(
            plan(&tasks, &completion),
            [Verdict::Runs, Verdict::Runs, Verdict::Waits]
        );
    }

    #[test]
    fn viewers_of_others_come_first_and_take_no_place() {
        let tasks = [task(true, true), task(true, false)];
        let completion = Completion {
            parallel: 1,
            ..Completion::default()
        };
        assert_eq!(plan(&tasks, &completion), [Verdict::Waits, Verdict::Runs]);
        let completion = Completion {
            yields: false,
            ..completion
        };
        assert_eq!(plan(&tasks, &completion), [Verdict::Runs, Verdict::Waits]);
    }

    #[test]
    fn what_nobody_watches_any_more_ends_unless_it_may_go_on() {
        let tasks = [task(false, false), task(true, false)];
        let completion = Completion {
            parallel: 1,
            ..Completion::default()
        };
        assert_eq!(plan(&tasks, &completion), [Verdict::Ends, Verdict::Runs]);
        let completion = Completion {
            without_viewers: true,
            ..completion
        };
        assert_eq!(plan(&tasks, &completion), [Verdict::Runs, Verdict::Waits]);
        let insistent = Task {
            insistent: true,
            ..task(false, false)
        };
        assert_eq!(plan(&[insistent], &Completion::default()), [Verdict::Runs]);
    }
}
