//! The entities whose rests are fetched although no viewer has asked for them.

mod job;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use viewcache_protocol::EntityId;

use super::Service;
use crate::completion::{Kind, Retry, Task, Verdict, plan};
use crate::delivery::{Completer, Incomplete};
use crate::live::Live;
use crate::policy::Withheld;
use crate::rate::Rate;
pub(super) use job::attended;
use job::{Job, Running, watched};

/// How often is looked who may fetch.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long nothing more is fetched of what found no room, for the policy's sake.
const CRAMPED: Duration = Duration::from_secs(300);

/// A player pauses between its requests: for so long its viewer has not left.
pub(super) const LINGER: Duration = Duration::from_millis(1500);

/// So many entities wait at the most for being completed because they are kept whole; others are
/// when they are watched again.
const MOST: usize = 1024;

/// Whether it is a job's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Others come first.
    Queued,
    /// It is fetched.
    Running,
    /// Something has gone wrong; it is tried again.
    Waiting,
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
    /// Completes an entity because the policy wants that, also for as long as somebody watches what
    /// it is wanted for the sake of.
    pub(super) fn want(&self, live: &Arc<Live>, sake: Option<&Arc<Live>>, insistent: bool) {
        let mut jobs = self.completions.jobs();
        let full = MOST <= jobs.len();
        match jobs.iter_mut().find(|job| job.live.id == live.id) {
            Some(job) => {
                job.attended_at = Instant::now();
                job.insistent = insistent;
                if let Some(sake) = sake {
                    job.sake = Some(Arc::clone(sake));
                }
            }
            None if !full => {
                jobs.push(Job::new(live, Kind::Kept, sake, insistent));
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
            None => jobs.push(Job::new(live, kind, None, true)),
        }
        drop(jobs);
        self.completions.wake.notify_one();
    }

    /// Completes an entity no more.
    pub(super) fn dequeue(&self, id: EntityId) {
        self.completions.jobs().retain(|job| job.live.id != id);
    }

    /// Completes an entity no more if only the policy has wanted that.
    pub(super) fn unwant(&self, id: EntityId) {
        self.retain_wanted(|live| live.id != id);
    }

    /// Completes of what only the policy has wanted no more than this.
    pub(super) fn retain_wanted(&self, stays: impl Fn(&Live) -> bool) {
        let stays = |job: &Job| job.kind != Kind::Kept || stays(&job.live);
        self.completions.jobs().retain(stays);
    }

    /// How far the completion of an entity is; `None` when it is not being completed.
    pub(super) fn progress(&self, id: EntityId) -> Option<Progress> {
        let jobs = self.completions.jobs();
        let job = jobs.iter().find(|job| job.live.id == id)?;
        Some(Progress {
            running: job.is_running(),
            trouble: job.retry.trouble(),
            bytes_per_second: job.speed.get(),
        })
    }

    /// Of every job, why there is one and whether it is its turn.
    pub(super) fn turns(&self) -> Vec<(Kind, Turn)> {
        let turn = |job: &Job| match (job.is_running(), job.retry.trouble()) {
            (true, _) => Turn::Running,
            (false, Some(_)) => Turn::Waiting,
            (false, None) => Turn::Queued,
        };
        let jobs = self.completions.jobs();
        jobs.iter().map(|job| (job.kind, turn(job))).collect()
    }

    /// Lets the rests of entities be fetched, those whose turn it is; never ends.
    pub async fn complete(self: Arc<Self>) {
        loop {
            let idle = self.completions.jobs().is_empty() && self.quests.is_empty();
            if idle {
                self.completions.wake.notified().await;
            } else {
                let _ = tokio::time::timeout(LOOK_EVERY, self.completions.wake.notified()).await;
            }
            self.pursue();
            self.take_turns();
        }
    }

    /// Something has changed that may let a job go on.
    pub(super) fn wake_completions(&self) {
        self.completions.wake.notify_one();
    }

    /// Nothing more is fetched that no viewer has asked for.
    pub fn stop_completing(&self) {
        self.quests.clear();
        self.completions.jobs().clear();
    }

    fn take_turns(self: &Arc<Self>) {
        if self.completions.jobs().is_empty() {
            return;
        }
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
                job.renew_at = job.retry.ask_at(now);
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
            if verdict == Verdict::Ends
                && let Some(sake) = &job.sake
            {
                sake.state().settled = None;
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
        let had = running.had;
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
                if had < job.live.state().stored.bytes() {
                    job.retry = Retry::default();
                }
                job.retry.failed(failure, now);
                if expired {
                    let state = job.live.state();
                    job.refused = state.asker.as_ref().map(|asker| asker.path().to_owned());
                    job.renew_at = job.retry.ask_at(now);
                }
                true
            }
            (Kind::Download, failure) => {
                self.download_ended(&job.live, failure);
                false
            }
            (Kind::Kept, failure) => {
                if matches!(failure, Some(Incomplete::NoRoom | Incomplete::Displaced)) {
                    job.live.state().cramped_until = Some(now + CRAMPED);
                }
                false
            }
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
        let (service, live, kind) = (Arc::clone(self), Arc::clone(&job.live), job.kind);
        let completing = async move {
            if kind == Kind::Kept && service.is_outdone(&live).await {
                service.withhold(&live, Some(Withheld::BetterComplete));
                return Err(Incomplete::Outdone);
            }
            service.withhold(&live, None);
            completer.run().await
        };
        Running {
            go,
            had: job.live.state().stored.bytes(),
            completer: tokio::spawn(completing),
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
