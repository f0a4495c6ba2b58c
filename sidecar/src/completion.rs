//! Fetching what no viewer has asked for: which entities' rests are fetched now, and which wait.
//! Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::policy::{Completion, Downloads};

/// Why the rest of an entity is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The policy keeps such entities whole.
    Kept,
    /// Somebody has asked for it.
    Download,
}

/// An entity whose rest is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Why.
    pub kind: Kind,
    /// Whether it can be fetched now, as far as is known.
    pub ready: bool,
    /// Whether somebody watches it, or has just done so.
    pub attended: bool,
    /// Whether it goes on when nobody watches it any more, whatever the policy says.
    pub insistent: bool,
    /// Whether viewers of other entities fetch from its origin.
    pub contended: bool,
}

/// The pause after the first failure; it doubles with each.
const BACK_OFF: Duration = Duration::from_secs(1);

/// And is never longer than this.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// The longest pause between two questions for another URL.
const ASK_MAX: Duration = Duration::from_secs(1800);

/// The pause after so many before it.
fn doubled(failures: u32, most: Duration) -> Duration {
    (BACK_OFF * 2u32.pow(failures.min(16))).min(most)
}

/// What has gone wrong with a task since it last ran well, and when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry<E>(Option<(E, u32, Instant)>);

impl<E> Default for Retry<E> {
    fn default() -> Self {
        Self(None)
    }
}

impl<E: Copy> Retry<E> {
    /// It failed.
    pub fn failed(&mut self, error: E, now: Instant) {
        let failures = self.0.map_or(0, |(_, failures, _)| failures);
        let at = now + doubled(failures, BACK_OFF_MAX);
        self.0 = Some((error, failures.saturating_add(1), at));
    }

    /// It is tried at once; if that fails too, the pause is the longer one still.
    pub fn hurry(&mut self, now: Instant) {
        if let Some((.., at)) = &mut self.0 {
            *at = now;
        }
    }

    /// Whether it may be tried.
    pub fn ready(&self, now: Instant) -> bool {
        self.0.is_none_or(|(_, _, at)| at <= now)
    }

    /// When somebody else is asked how to go on: that is not for all to be had.
    pub fn ask_at(&self, now: Instant) -> Option<Instant> {
        let pause = |failures: u32| doubled(failures.saturating_sub(1), ASK_MAX);
        self.0.map(|(_, failures, _)| now + pause(failures))
    }

    /// What has gone wrong last.
    pub fn trouble(&self) -> Option<E> {
        self.0.map(|(error, ..)| error)
    }
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

/// Whether what is wanted because the policy says so goes on being fetched.
pub const fn goes_on(attended: bool, insistent: bool, completion: &Completion) -> bool {
    attended || insistent || completion.without_viewers
}

/// What becomes of the tasks, in the order in which they came.
pub fn plan(tasks: &[Task], completion: &Completion, downloads: &Downloads) -> Vec<Verdict> {
    let mut free = usize::from(completion.parallel);
    let mut free_downloads = usize::from(downloads.parallel);
    let judge = |task: &Task| {
        if task.kind == Kind::Download {
            let runs = task.ready && 0 < free_downloads;
            free_downloads -= usize::from(runs);
            return if runs { Verdict::Runs } else { Verdict::Waits };
        }
        if !goes_on(task.attended, task.insistent, completion) {
            return Verdict::Ends;
        }
        if free == 0 || !task.ready || completion.yields && task.contended {
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
            kind: Kind::Kept,
            ready: true,
            attended,
            insistent: false,
            contended,
        }
    }

    #[test]
    fn who_is_asked_for_another_url_is_asked_ever_more_seldom() {
        let now = Instant::now();
        let mut retry = Retry::default();
        for secs in [1, 2, 4, 8] {
            retry.failed(0, now);
            assert_eq!(retry.ask_at(now), Some(now + Duration::from_secs(secs)));
            // The other one is tried at once.
            retry.hurry(now);
            assert!(retry.ready(now));
        }
        for _ in 0..100 {
            retry.failed(0, now);
        }
        assert_eq!(retry.ask_at(now), Some(now + ASK_MAX));
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        let now = Instant::now();
        let mut retry = Retry::default();
        assert!(retry.ready(now) && retry.trouble().is_none());
        let after = |retry: &Retry<u8>, secs| {
            let at = now + Duration::from_secs(secs);
            !retry.ready(at - Duration::from_millis(1)) && retry.ready(at)
        };
        retry.failed(1, now);
        assert!(after(&retry, 1) && retry.trouble() == Some(1));
        retry.failed(2, now);
        assert!(after(&retry, 2) && retry.trouble() == Some(2));
        for _ in 0..50 {
            retry.failed(3, now);
        }
        assert!(after(&retry, 60));
    }

    fn planned(tasks: &[Task], completion: &Completion) -> Vec<Verdict> {
        plan(tasks, completion, &Downloads::default())
    }

    #[test]
    fn who_came_first_runs_and_the_others_wait() {
        let tasks = [task(true, false), task(true, false), task(true, false)];
        let completion = Completion::default();
        assert_eq!(
            planned(&tasks, &completion),
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
        assert_eq!(
            planned(&tasks, &completion),
            [Verdict::Waits, Verdict::Runs]
        );
        let completion = Completion {
            yields: false,
            ..completion
        };
        assert_eq!(
            planned(&tasks, &completion),
            [Verdict::Runs, Verdict::Waits]
        );
    }

    #[test]
    fn what_nobody_watches_any_more_ends_unless_it_may_go_on() {
        let tasks = [task(false, false), task(true, false)];
        let completion = Completion {
            parallel: 1,
            ..Completion::default()
        };
        assert_eq!(planned(&tasks, &completion), [Verdict::Ends, Verdict::Runs]);
        let completion = Completion {
            without_viewers: true,
            ..completion
        };
        assert_eq!(
            planned(&tasks, &completion),
            [Verdict::Runs, Verdict::Waits]
        );
        let insistent = Task {
            insistent: true,
            ..task(false, false)
        };
        assert_eq!(
            planned(&[insistent], &Completion::default()),
            [Verdict::Runs]
        );
    }

    #[test]
    fn downloads_have_places_of_their_own_and_wait_for_nobody() {
        let download = |ready| Task {
            kind: Kind::Download,
            ready,
            ..task(false, true)
        };
        let tasks = [
            download(true),
            download(false),
            task(true, false),
            download(true),
        ];
        let one = Completion {
            parallel: 1,
            ..Completion::default()
        };
        assert_eq!(
            planned(&tasks, &one),
            [Verdict::Runs, Verdict::Waits, Verdict::Runs, Verdict::Runs]
        );
        let downloads = Downloads {
            parallel: 1,
            ..Downloads::default()
        };
        let verdicts = plan(&[download(true), download(true)], &one, &downloads);
        assert_eq!(verdicts, [Verdict::Runs, Verdict::Waits]);
    }
}
