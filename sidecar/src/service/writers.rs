//! The threads that write to the disk. They are few and their own: a slow or hanging disk fills
//! them up, and reads and decisions go on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::metrics::{By, Work};
use crate::seam;

/// More would not make a disk faster.
const THREADS: usize = 16;

/// A runtime of which only the blocking threads are used.
#[derive(Debug)]
pub(super) struct Writers {
    runtime: Option<Runtime>,
    load: Arc<Load>,
}

/// How much there is to do.
#[derive(Debug, Default)]
struct Load {
    queued: AtomicU64,
    running: AtomicU64,
}

/// Work that is being done.
struct Doing(Arc<Load>);

impl Doing {
    fn of(load: Arc<Load>) -> Self {
        load.queued.fetch_sub(1, Ordering::Relaxed);
        load.running.fetch_add(1, Ordering::Relaxed);
        Self(load)
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Writers {
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(1).max_blocking_threads(THREADS);
        let runtime = builder.thread_name("writer").build()?;
        Ok(Self {
            runtime: Some(runtime),
            load: Arc::default(),
        })
    }

    /// Runs blocking work; it is queued while all threads are busy.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let runtime = self
            .runtime
            .as_ref()
            .expect("the runtime is taken in drop() only");
        let load = Arc::clone(&self.load);
        load.queued.fetch_add(1, Ordering::Relaxed);
        let work = move || {
            let _doing = Doing::of(load);
            work()
        };
        seam::spawn_blocking_on(runtime, work)
    }

    /// How much there is to do.
    pub(super) fn work(&self) -> By<Work> {
        By::of(|work| match work {
            Work::Queued => self.load.queued.load(Ordering::Relaxed),
            Work::Running => self.load.running.load(Ordering::Relaxed),
        })
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        // A runtime must not be waited for inside another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
