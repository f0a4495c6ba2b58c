//! Where the schedules of tests take the place of threads, disk, clock and origin
//! (`service/schedules.rs`). Everywhere else each of these is what it stands for, or nothing.
//!
//! Monotonic time needs no place here: it is tokio's throughout, which a test can let stand still.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

#[cfg(test)]
use crate::service::schedules::threads;
use crate::store::Patience;

/// Runs blocking work on a thread of the runtime's.
pub(crate) fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    #[cfg(test)]
    if let Some(scheduler) = threads::scheduler() {
        return scheduler.spawn(work);
    }
    tokio::task::spawn_blocking(work)
}

/// The same on a thread of another runtime.
pub(crate) fn spawn_blocking_on<T: Send + 'static>(
    runtime: &Runtime,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    #[cfg(test)]
    if let Some(scheduler) = threads::scheduler() {
        return scheduler.spawn(work);
    }
    runtime.spawn_blocking(work)
}

/// Another thread may come in between here; whoever counts on the opposite holds a lock. Not under
/// the lock of an entity's state.
pub(crate) fn between() {
    #[cfg(test)]
    threads::between();
}

/// Locks what may be held where another thread comes in between.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(test)]
    if threads::scheduler().is_some() {
        return threads::lock(mutex);
    }
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for what another thread does, if tests say how.
pub(crate) fn waits() -> bool {
    #[cfg(test)]
    if threads::scheduler().is_some() {
        threads::between();
        return true;
    }
    false
}

/// What the disk says before it writes.
///
/// # Errors
/// As a disk that fails.
pub(crate) fn disk() -> io::Result<()> {
    #[cfg(test)]
    if let Some(scheduler) = threads::scheduler() {
        return scheduler.disk();
    }
    Ok(())
}

/// Whether stored bytes are to be waited for although they are in the page cache.
pub(crate) fn is_cold() -> bool {
    #[cfg(test)]
    if let Some(scheduler) = threads::scheduler() {
        return scheduler.cold();
    }
    false
}

/// How what must not be waited for is read of the index. What its cache holds follows from what its
/// threads do: where tests take their place all of it is there.
pub(crate) fn at_once() -> Patience {
    #[cfg(test)]
    if threads::scheduler().is_some() {
        return Patience::Wait;
    }
    Patience::AtOnce
}

/// The time of day.
pub(crate) fn wall() -> SystemTime {
    #[cfg(test)]
    if let Some(scheduler) = threads::scheduler() {
        return scheduler.wall();
    }
    SystemTime::now()
}
