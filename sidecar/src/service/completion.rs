//! The entities whose rests are fetched although no viewer has asked for them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use viewcache_protocol::EntityId;

use super::Service;
use crate::completion::{Task, Verdict, plan};
use crate::delivery::{Completer, Incomplete};
use crate::live::{Live, State};
use crate::origin::Asker;
use crate::policy::Keep;
use crate::rate::Rate;

/// How often is looked who may fetch.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A player pauses between its requests: for so long its viewer has not left.
const LINGER: Duration = Duration::from_millis(1500);

/// So many entities wait at the most; others are completed when they are watched again.
const MOST: usize = 1024;

/// An entity whose rest is wanted.
#[derive(Debug)]
struct Job {
    live: Arc<Live>,
    /// Somebody was last seen to watch it.
    attended_at: Instant,
    /// Whether it goes on without viewers.
    insistent: bool,
    /// Once its turn has come.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// Tells it whether it may fetch; without it, it ends.
    go: watch::Sender<bool>,
    completer: JoinHandle<Result<(), Incomplete>>,
}

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Completions {
    jobs: Mutex<Vec<Job>>,
    rate: Arc<Rate>,
    wake: Notify,
}

impl Completions {
    fn jobs(&self) -> MutexGuard<'_, Vec<Job>> {
        self.jobs
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Service {
    /// Completes an entity that somebody watches, if the policy wants that.
    pub(super) fn tend(self: &Arc<Self>, live: &Arc<Live>) {
        let insistent = {
            let state = live.state();
            let rules = self.rules(&state);
            if rules.keep != Keep::Complete || !state.record.admitted || !state.lacks() {
                return;
            }
            rules.insistent
        };
        let mut jobs = self.completions.jobs();
        if let Some(job) = jobs.iter_mut().find(|job| job.live.id == live.id) {
            job.attended_at = Instant::now();
            job.insistent = insistent;
            return;
        }
        if MOST <= jobs.len() {
            return;
        }
        jobs.push(Job {
            live: Arc::clone(live),
            attended_at: Instant::now(),
            insistent,
            running: None,
        });
        drop(jobs);
        self.completions.wake.notify_one();
    }

    /// Lets the rests of entities be fetched, those whose turn it is; never ends.
    pub async fn complete(self: Arc<Self>) {
        loop {
            let idle = self.completions.jobs().is_empty();
            if idle {
                self.completions.wake.notified().await;
            } else {
                let _ = tokio::time::timeout(LOOK_EVERY, self.completions.wake.notified()).await;
            }
            self.take_turns();
        }
    }

    /// Nothing more is fetched that no viewer has asked for.
    pub fn stop_completing(&self) {
        self.completions.jobs().clear();
    }

    fn take_turns(self: &Arc<Self>) {
        let completion = self.policy().completion;
        self.completions.rate.set(completion.bytes_per_second);
        let fetched_by = self.fetched_by();
        let now = Instant::now();
        let mut jobs = self.completions.jobs();
        jobs.retain(|job| {
            let running = job.running.as_ref();
            running.is_none_or(|running| !running.completer.is_finished())
        });
        let task = |job: &mut Job| {
            let state = job.live.state();
            if attended(&state) {
                job.attended_at = now;
            }
            let others = |asker: &Asker| {
                let origin = asker.authority();
                fetched_by
                    .iter()
                    .any(|(id, authority)| *id != job.live.id && authority == origin)
            };
            Task {
                attended: now < job.attended_at + LINGER,
                insistent: job.insistent,
                contended: state.asker.as_ref().is_some_and(others),
            }
        };
        let tasks: Vec<Task> = jobs.iter_mut().map(task).collect();
        let mut verdicts = plan(&tasks, &completion).into_iter();
        jobs.retain_mut(|job| {
            let verdict = verdicts.next().unwrap_or(Verdict::Waits);
            let goes = verdict == Verdict::Runs;
            match &job.running {
                Some(running) => {
                    let change = |go: &mut bool| std::mem::replace(go, goes) != goes;
                    running.go.send_if_modified(change);
                }
                None if goes => job.running = Some(self.start(&job.live)),
                None => {}
            }
            verdict != Verdict::Ends
        });
    }

    fn start(self: &Arc<Self>, live: &Arc<Live>) -> Running {
        let (go, allowed) = watch::channel(true);
        let completer = Completer {
            service: Arc::clone(self),
            live: Arc::clone(live),
            go: allowed,
            rate: Arc::clone(&self.completions.rate),
        };
        Running {
            go,
            completer: tokio::spawn(completer.run()),
        }
    }

    /// Which entities viewers fetch just now, and from whom.
    fn fetched_by(&self) -> HashSet<(EntityId, Vec<u8>)> {
        let fetched = |live: Arc<Live>| {
            let state = live.state();
            let fetches = state.leads.mirrors() || watched(&state) && !state.leads.is_empty();
            let authority = state.asker.as_ref().filter(|_| fetches)?.authority();
            Some((live.id, authority.to_owned()))
        };
        self.table.all().into_iter().filter_map(fetched).collect()
    }
}

/// Whether a response from here is being streamed.
fn watched(state: &State) -> bool {
    0 < state.readers.viewers()
}

/// Whether somebody watches it, from here or from the origin.
fn attended(state: &State) -> bool {
    watched(state) || state.leads.mirrors()
}
