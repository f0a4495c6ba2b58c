//! The entities whose rests are fetched although no viewer has asked for them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use viewcache_protocol::EntityId;

use super::Service;
use crate::completion::{Kind, Retry, Task, Verdict, plan};
use crate::delivery::{Completer, Incomplete};
use crate::live::{Live, State};
use crate::origin::Asker;
use crate::pace::Speed;
use crate::policy::Keep;
use crate::rate::Rate;

/// How often is looked who may fetch.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A player pauses between its requests: for so long its viewer has not left.
const LINGER: Duration = Duration::from_millis(1500);

/// So many entities wait at the most for being completed because they are kept whole; others are
/// when they are watched again.
const MOST: usize = 1024;

/// An entity whose rest is wanted.
#[derive(Debug)]
struct Job {
    live: Arc<Live>,
    kind: Kind,
    /// Somebody was last seen to watch it.
    attended_at: Instant,
    /// Whether it goes on without viewers.
    insistent: bool,
    /// Once its turn has come.
    running: Option<Running>,
    /// What has gone wrong with it.
    retry: Retry<Incomplete>,
    /// The URL that was refused: another one is needed.
    refused: Option<String>,
    /// When the resolver is asked for one.
    renew_at: Option<Instant>,
    speed: Speed,
}

#[derive(Debug)]
struct Running {
    /// Tells it whether it may fetch; without it, it ends.
    go: watch::Sender<bool>,
    completer: JoinHandle<Result<(), Incomplete>>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether it is fetched just now.
    pub running: bool,
    /// What has gone wrong last, when it waits for being tried again.
    pub trouble: Option<Incomplete>,
    /// Bytes of it that are stored more each second.
    pub bytes_per_second: u64,
}

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Completions {
    jobs: Mutex<Vec<Job>>,
    kept: Arc<Rate>,
    downloads: Arc<Rate>,
    wake: Notify,
}

impl Completions {
    fn jobs(&self) -> MutexGuard<'_, Vec<Job>> {
        self.jobs
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn rate(&self, kind: Kind) -> Arc<Rate> {
        Arc::clone(match kind {
            Kind::Kept => &self.kept,
            Kind::Download => &self.downloads,
        })
    }
}

impl Service {
    /// Completes an entity that somebody watches, if the policy wants that.
    pub(super) fn tend(self: &Arc<Self>, live: &Arc<Live>) {
        let insistent = {
            let state = live.state();
            let rules = self.rules(&state);
            let wanted = rules.keep == Keep::Complete && state.record.admitted;
            let generation = state.record.generation.as_ref();
            let fits = generation.is_none_or(|g| self.fits(g.complete_length()));
            if !(wanted && fits && state.lacks()) {
                return;
            }
            rules.insistent
        };
        let mut jobs = self.completions.jobs();
        let full = MOST <= jobs.len();
        match jobs.iter_mut().find(|job| job.live.id == live.id) {
            Some(job) => {
                job.attended_at = Instant::now();
                job.insistent = insistent;
            }
            None if !full => {
                let job = Job::new(live, Kind::Kept, insistent);
                jobs.push(job);
                drop(jobs);
                self.completions.wake.notify_one();
            }
            None => {}
        }
    }

    /// Completes an entity for good, whether or not it is completed already for another reason.
    pub(super) fn enqueue(&self, live: &Arc<Live>, kind: Kind) {
        let mut jobs = self.completions.jobs();
        match jobs.iter_mut().find(|job| job.live.id == live.id) {
            Some(job) => {
                job.kind = kind;
                job.retry = Retry::default();
                job.refused = None;
            }
            None => jobs.push(Job::new(live, kind, true)),
        }
        drop(jobs);
        self.completions.wake.notify_one();
    }

    /// Completes an entity no more.
    pub(super) fn dequeue(&self, id: EntityId) {
        self.completions.jobs().retain(|job| job.live.id != id);
    }

    /// How far the completion of an entity is; `None` when it is not being completed.
    pub(super) fn progress(&self, id: EntityId) -> Option<Progress> {
        let jobs = self.completions.jobs();
        let job = jobs.iter().find(|job| job.live.id == id)?;
        Some(Progress {
            running: job
                .running
                .as_ref()
                .is_some_and(|running| *running.go.borrow()),
            trouble: job.retry.trouble(),
            bytes_per_second: job.speed.get(),
        })
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

    /// Something has changed that may let a job go on.
    pub(super) fn wake_completions(&self) {
        self.completions.wake.notify_one();
    }

    /// Nothing more is fetched that no viewer has asked for.
    pub fn stop_completing(&self) {
        self.completions.jobs().clear();
    }

    fn take_turns(self: &Arc<Self>) {
        let policy = self.policy();
        self.completions
            .kept
            .set(policy.completion.bytes_per_second);
        self.completions
            .downloads
            .set(policy.downloads.bytes_per_second);
        let fetched_by = self.fetched_by();
        let now = Instant::now();
        let mut jobs = self.completions.jobs();
        jobs.retain_mut(|job| self.goes_on(job, now));
        for job in jobs.iter_mut() {
            if job.refused.is_some() && job.renew_at.is_some_and(|at| at <= now) {
                // The next time it waits twice as long.
                job.retry.failed(Incomplete::Expired, now);
                job.renew_at = job.retry.at();
                self.renew(&job.live);
            }
        }
        let tasks: Vec<Task> = jobs
            .iter_mut()
            .map(|job| job.task(&fetched_by, now))
            .collect();
        let verdicts = plan(&tasks, &policy.completion, &policy.downloads);
        let mut verdicts = verdicts.into_iter();
        jobs.retain_mut(|job| {
            let verdict = verdicts.next().unwrap_or(Verdict::Waits);
            let goes = verdict == Verdict::Runs;
            match &job.running {
                Some(running) => {
                    let change = |go: &mut bool| std::mem::replace(go, goes) != goes;
                    running.go.send_if_modified(change);
                }
                None if goes => job.running = Some(self.start(job)),
                None => {}
            }
            verdict != Verdict::Ends
        });
    }

    /// Looks whether a job has ended, and whether that is its end.
    fn goes_on(self: &Arc<Self>, job: &mut Job, now: Instant) -> bool {
        let Some(running) = &mut job.running else {
            return true;
        };
        let Some(ended) = (&mut running.completer).now_or_never() else {
            return true;
        };
        job.running = None;
        let failure = match ended {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(error) => {
                tracing::error!(entity = %job.live.id, %error, "a completion has died");
                Some(Incomplete::Unwanted)
            }
        };
        if let Some(failure) = failure {
            tracing::debug!(entity = %job.live.id, %failure, "not completed");
        }
        let expired = failure == Some(Incomplete::Expired);
        let renewable = expired && self.resolver.is_some();
        match (job.kind, failure) {
            (kind, Some(failure)) if renewable || kind == Kind::Download && !failure.is_final() => {
                job.retry.failed(failure, now);
                if expired {
                    let state = job.live.state();
                    job.refused = state.asker.as_ref().map(|asker| asker.path().to_owned());
                    job.renew_at = job.retry.at();
                }
                true
            }
            (Kind::Download, failure) => {
                self.download_ended(&job.live, failure);
                false
            }
            (Kind::Kept, _) => false,
        }
    }

    fn start(self: &Arc<Self>, job: &Job) -> Running {
        let (go, allowed) = watch::channel(true);
        let completer = Completer {
            service: Arc::clone(self),
            live: Arc::clone(&job.live),
            go: allowed,
            rate: self.completions.rate(job.kind),
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

impl Job {
    fn new(live: &Arc<Live>, kind: Kind, insistent: bool) -> Self {
        Self {
            live: Arc::clone(live),
            kind,
            attended_at: Instant::now(),
            insistent,
            running: None,
            retry: Retry::default(),
            refused: None,
            renew_at: None,
            speed: Speed::default(),
        }
    }

    fn task(&mut self, fetched_by: &HashSet<(EntityId, Vec<u8>)>, now: Instant) -> Task {
        let state = self.live.state();
        if attended(&state) {
            self.attended_at = now;
        }
        self.speed.observe(state.stored.bytes(), now);
        let others = |asker: &Asker| {
            let origin = asker.authority();
            fetched_by
                .iter()
                .any(|(id, authority)| *id != self.live.id && authority == origin)
        };
        let path = state.asker.as_ref().map(Asker::path);
        // A new URL is tried at once.
        let renewed = self.refused.is_some() && path != self.refused.as_deref();
        if renewed {
            self.refused = None;
            self.retry = Retry::default();
        }
        Task {
            kind: self.kind,
            ready: self.refused.is_none() && self.retry.ready(now),
            attended: now < self.attended_at + LINGER,
            insistent: self.insistent,
            contended: state.asker.as_ref().is_some_and(others),
        }
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
