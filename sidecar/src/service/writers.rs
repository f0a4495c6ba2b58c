//! The threads that write to the disk. They are few and their own: a slow or hanging disk fills
//! them up, and reads and decisions go on.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// More would not make a disk faster.
const THREADS: usize = 16;

/// A runtime of which only the blocking threads are used.
#[derive(Debug)]
pub(super) struct Writers(Option<Runtime>);

impl Writers {
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(1).max_blocking_threads(THREADS);
        let runtime = builder.thread_name("writer").build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs blocking work; it is queued while all threads are busy.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let runtime = self
            .0
            .as_ref()
            .expect("the runtime is taken in drop() only");
        runtime.spawn_blocking(work)
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        // A runtime must not be waited for inside another.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
