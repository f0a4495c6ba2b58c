//! The threads of a schedule: of those that block, one runs at a time, up to the next place where
//! another may come in between; who goes on, and when, follows from the seed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::chance::Chance;
use super::origin::Origin;

/// A life of so many steps has no end.
const MOST_STEPS: u64 = 2_000_000;

/// How long a thread is held at the most, in milliseconds, where something is to come between its
/// write and what follows from it.
const HELD: u64 = 400;

thread_local! {
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
    /// Threads that have nothing to do, of the thread that runs schedules.
    static WORKERS: RefCell<Vec<mpsc::Sender<Job>>> = const { RefCell::new(Vec::new()) };
}

/// What a thread belongs to.
struct Here {
    scheduler: Arc<Scheduler>,
    /// How a thread that blocks waits for its turn; the runtime's own never does.
    turns: Option<Turns>,
}

struct Turns {
    given: mpsc::Receiver<()>,
    over: mpsc::Sender<()>,
}

/// A thread ends with the life that it belongs to, wherever it is.
struct Killed;

/// How long the work of threads takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    /// Milliseconds that a step takes at the most.
    pub(super) often: u64,
    /// The same for one in twenty.
    pub(super) seldom: u64,
    /// How often in a thousand stored bytes are not in the page cache.
    pub(super) cold: u64,
}

/// Says when which thread goes on, and what it finds.
pub(crate) struct Scheduler {
    chance: Mutex<Chance>,
    disk: Disk,
    /// Until when the disk hangs.
    hangs_until: Mutex<Option<Instant>>,
    /// Until when it fails.
    fails_until: Mutex<Option<Instant>>,
    /// The time of day at which this life began.
    dawn: SystemTime,
    began: Instant,
    /// How often the disk was asked to write.
    writes: watch::Sender<u64>,
    /// After which of these writes the thread is held.
    strikes: BTreeSet<u64>,
    held: AtomicBool,
    /// Jobs of threads that are not over.
    active: AtomicU64,
    steps: AtomicU64,
    /// Whether each step is told.
    tells: bool,
    /// What was done so far, as one number.
    trace: Mutex<u64>,
    /// What must not be.
    pub(super) violations: Mutex<Vec<String>>,
    /// Woken by the first of them: the life ends there.
    broken: Notify,
    origin: Arc<Origin>,
}

/// Locks what nobody holds for long.
pub(super) fn take<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who schedules this thread, if somebody does.
pub(crate) fn scheduler() -> Option<Arc<Scheduler>> {
    HERE.with_borrow(|here| Some(Arc::clone(&here.as_ref()?.scheduler)))
}

/// Lets others go on, on a thread that blocks.
pub(crate) fn between() {
    if thread::panicking() {
        return;
    }
    let killed = HERE.with_borrow(|here| {
        let Some(turns) = here.as_ref().and_then(|here| here.turns.as_ref()) else {
            return false;
        };
        turns.over.send(()).is_err() || turns.given.recv().is_err()
    });
    if killed {
        resume_unwind(Box::new(Killed));
    }
}

/// Locks what a thread may hold that waits for its turn.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
        let blocks =
            HERE.with_borrow(|here| here.as_ref().is_some_and(|here| here.turns.is_some()));
        assert!(blocks, "the runtime waits for what a thread holds");
        between();
        if thread::panicking() {
            thread::yield_now();
        }
    }
}

impl Scheduler {
    /// Of a life that begins now, at this time of day; this thread is its runtime's.
    pub(super) fn begin(
        seed: u64,
        disk: Disk,
        strikes: BTreeSet<u64>,
        dawn: SystemTime,
        origin: Arc<Origin>,
    ) -> Arc<Self> {
        let scheduler = Arc::new(Self {
            chance: Mutex::new(Chance::new(seed)),
            disk,
            hangs_until: Mutex::default(),
            fails_until: Mutex::default(),
            dawn,
            began: Instant::now(),
            writes: watch::Sender::new(0),
            strikes,
            held: AtomicBool::new(false),
            active: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            tells: std::env::var_os("TRACE").is_some(),
            trace: Mutex::new(0),
            violations: Mutex::default(),
            broken: Notify::new(),
            origin,
        });
        let here = Here {
            scheduler: Arc::clone(&scheduler),
            turns: None,
        };
        HERE.with_borrow_mut(|place| *place = Some(here));
        scheduler
    }

    /// The end of it: threads that still work are killed where they are. The runtime is gone.
    pub(super) fn end(&self) {
        HERE.with_borrow_mut(Option::take);
        while 0 < self.active.load(Ordering::Acquire) {
            thread::yield_now();
        }
    }

    pub(super) fn chance<T>(&self, choose: impl FnOnce(&mut Chance) -> T) -> T {
        choose(&mut take(&self.chance))
    }

    /// Notes that something was done: the same seed does the same.
    pub(super) fn trace(&self, what: u64) {
        if self.steps.fetch_add(1, Ordering::Relaxed) == MOST_STEPS {
            self.violation(format!("{MOST_STEPS} steps, and no end"));
        }
        let mut trace = take(&self.trace);
        let at = self.began.elapsed().as_millis() as u64;
        *trace = super::chance::mix(*trace ^ what ^ (at << 20));
    }

    /// Says what happens, if that is wanted.
    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            eprintln!("{:?}: {}", self.began.elapsed(), what());
        }
    }

    pub(super) fn traced(&self) -> (u64, u64) {
        (self.steps.load(Ordering::Relaxed), *take(&self.trace))
    }

    pub(super) fn violation(&self, what: String) {
        let at = self.began.elapsed();
        take(&self.violations).push(format!("after {at:?}: {what}"));
        self.broken.notify_one();
    }

    /// Waits for the first violation.
    pub(super) async fn breaks(&self) {
        self.broken.notified().await;
    }

    /// Waits until the disk has been asked to write so often.
    pub(super) async fn written(&self, times: u64) {
        let _ = self.writes.subscribe().wait_for(|&n| times <= n).await;
    }

    pub(super) fn hang(&self, time: Duration) {
        *take(&self.hangs_until) = Some(Instant::now() + time);
    }

    pub(super) fn fail(&self, time: Duration) {
        *take(&self.fails_until) = Some(Instant::now() + time);
    }

    /// How long the next step of a thread waits.
    fn pause(&self) -> Duration {
        let hangs = *take(&self.hangs_until);
        let hangs = hangs.map(|until| until.saturating_duration_since(Instant::now()));
        let Disk { often, seldom, .. } = self.disk;
        let own = self.chance(|chance| match chance.of(0..20) {
            0..8 => Duration::ZERO,
            8..19 => chance.millis(often),
            _ => chance.millis(seldom),
        });
        let held = match self.held.swap(false, Ordering::Relaxed) {
            true => self.chance(|chance| chance.millis(HELD)),
            false => Duration::ZERO,
        };
        hangs.unwrap_or_default() + own + held
    }

    async fn turn(&self) {
        match self.pause() {
            Duration::ZERO => tokio::task::yield_now().await,
            pause => tokio::time::sleep(pause).await,
        }
        self.trace(1);
    }

    pub(crate) fn wall(&self) -> SystemTime {
        self.dawn + self.began.elapsed()
    }

    pub(crate) fn disk(&self) -> io::Result<()> {
        let mut strikes = false;
        self.writes.send_modify(|writes| {
            *writes += 1;
            strikes = self.strikes.contains(writes);
        });
        // The thread whose turn it is goes on to the next place where others may come in between.
        self.held.fetch_or(strikes, Ordering::Relaxed);
        let until = *take(&self.fails_until);
        match until.is_some_and(|until| Instant::now() < until) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    /// Whether stored bytes are not in the page cache.
    pub(crate) fn cold(&self) -> bool {
        self.chance(|chance| chance.per_mille(self.disk.cold))
    }

    pub(crate) async fn egress(
        &self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.trace(2);
        self.origin.ask(request).await
    }

    /// Runs blocking work on a thread of its own, step by step.
    pub(crate) fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let runtime = Handle::current();
        let scheduler = Arc::clone(self);
        let entered = runtime.clone();
        runtime.spawn(async move {
            scheduler.turn().await;
            let (give, given) = mpsc::channel();
            let (over, is_over) = mpsc::channel();
            let result: Arc<Mutex<Option<thread::Result<T>>>> = Arc::default();
            let here = Here {
                scheduler: Arc::clone(&scheduler),
                turns: Some(Turns { given, over }),
            };
            let slot = Arc::clone(&result);
            let active = Active::new(&scheduler);
            let job = move || {
                let _active = active;
                let entered = entered.enter();
                HERE.with_borrow_mut(|place| *place = Some(here));
                let done = catch_unwind(AssertUnwindSafe(|| {
                    // A turn is given before the first step as well.
                    let begins = HERE.with_borrow(|here| {
                        let turns = here.as_ref().and_then(|here| here.turns.as_ref());
                        turns.is_some_and(|turns| turns.given.recv().is_ok())
                    });
                    if !begins {
                        resume_unwind(Box::new(Killed));
                    }
                    work()
                }));
                *take(&slot) = Some(done);
                drop((slot, entered));
                // With it goes the channel: the last turn is over.
                HERE.with_borrow_mut(Option::take);
            };
            let worker = WORKERS.with_borrow_mut(Vec::pop).unwrap_or_else(worker);
            let _ = worker.send(Box::new(job));
            loop {
                let _ = give.send(());
                if is_over.recv().is_err() {
                    break;
                }
                scheduler.turn().await;
            }
            WORKERS.with_borrow_mut(|workers| workers.push(worker));
            let done = take(&result).take().expect("a thread ends with a result");
            done.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that does one job after another, until nobody has this any more.
fn worker() -> mpsc::Sender<Job> {
    let (jobs, todo) = mpsc::channel::<Job>();
    let thread = thread::Builder::new().stack_size(512 << 10);
    let thread = thread.spawn(move || todo.into_iter().for_each(|job| job()));
    drop(thread.expect("a thread more"));
    jobs
}

/// A job that is not over yet.
struct Active(Arc<Scheduler>);

impl Active {
    fn new(scheduler: &Arc<Scheduler>) -> Self {
        scheduler.active.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(scheduler))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Release);
    }
}

/// Panics of a schedule's threads and tasks are violations of it, whoever waits for them.
pub(super) fn notice_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            match HERE.try_with(|here| {
                let here = here.try_borrow().ok()?;
                Some(Arc::clone(&here.as_ref()?.scheduler))
            }) {
                Ok(Some(scheduler)) => scheduler.violation(format!("panic: {info}")),
                _ => before(info),
            }
        }));
    });
}
