//! What happens, told to whoever listens: a bounded number of subscribers, none of whom can make
//! anybody wait. While nobody listens it costs a look at one flag.

mod event;
mod hearing;

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::time::Instant;
use viewcache_protocol::{ByteRange, EntityId};

use crate::extents::Extents;
use crate::report::rfc3339;
use crate::store::millis;
pub use event::{
    Admitted, Appeared, Completed, DownloadDeleted, Edited, Event, Evicted, Expired, Kind, Pinned,
    PolicyChanged, PurgedOne, Reset, Stored, Subject,
};
pub use hearing::{Hearing, LastId};

/// So many listen at once.
pub const MAX_SUBSCRIBERS: usize = 64;

/// So many events can be asked for again.
const REMEMBERED: usize = 4096;

/// So many events a subscriber may be late; with one more it misses some and is told so.
const LATE: usize = 1024;

/// For so long after the last subscriber has left events are remembered: it may come back.
const LINGER: Duration = Duration::from_secs(60);

/// Of so many entities newly stored bytes wait to be told at once.
const MAX_GROWING: usize = 4096;

/// In so many runs the newly stored bytes of one entity are told; what would be one more is left
/// out.
const MAX_RUNS: usize = 64;

/// An event as it goes over the wire.
#[derive(Debug)]
pub struct Told {
    /// Its number; `None` for what tells the present only.
    number: Option<u64>,
    kind: Kind,
    /// As server-sent events write it.
    frame: Bytes,
}

/// All subscribers, and what was told of late.
#[derive(Debug)]
pub struct Events {
    heard: AtomicBool,
    shared: Mutex<Shared>,
    growing: Mutex<HashMap<EntityId, Extents>>,
    /// Tells the numbers of this process from those of another.
    epoch: u64,
}

#[derive(Debug)]
struct Shared {
    /// `None` when no more will be told.
    sender: Option<broadcast::Sender<Arc<Told>>>,
    /// The number of the next event.
    next: u64,
    remembered: VecDeque<Arc<Told>>,
    subscribers: usize,
    /// When the last subscriber left.
    left_at: Option<Instant>,
}

/// There are too many subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Default for Events {
    fn default() -> Self {
        Self {
            heard: AtomicBool::new(false),
            shared: Mutex::new(Shared {
                sender: Some(broadcast::Sender::new(LATE)),
                next: 1,
                remembered: VecDeque::new(),
                subscribers: 0,
                left_at: None,
            }),
            growing: Mutex::default(),
            epoch: millis(SystemTime::now()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Events {
    /// Whether somebody listens, or did a moment ago.
    pub fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Tells of an event, if somebody listens.
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        if self.heard() {
            let event = event();
            let data = data(&event);
            let mut shared = lock(&self.shared);
            let number = shared.next;
            shared.next += 1;
            let told = Told::new(Some((self.epoch, number)), event.kind(), &data);
            if REMEMBERED <= shared.remembered.len() {
                shared.remembered.pop_front();
            }
            shared.remembered.push_back(Arc::clone(&told));
            shared.send(told);
        }
    }

    /// Tells how something is now; it is not told again to one who comes back.
    pub fn show(&self, kind: Kind, present: &impl Serialize) {
        if self.heard() {
            let told = Told::new(None, kind, &data(present));
            lock(&self.shared).send(told);
        }
    }

    /// Bytes of an entity were stored: they are told with others, soon.
    pub fn stored(&self, id: EntityId, range: ByteRange) {
        if self.heard() {
            let mut growing = lock(&self.growing);
            if growing.len() < MAX_GROWING || growing.contains_key(&id) {
                let extents = growing.entry(id).or_default();
                extents.insert_bounded(range, MAX_RUNS);
            }
        }
    }

    /// What was stored since this was last asked.
    pub fn take_stored(&self) -> HashMap<EntityId, Extents> {
        std::mem::take(&mut *lock(&self.growing))
    }

    /// How many listen.
    pub fn subscribers(&self) -> usize {
        lock(&self.shared).subscribers
    }

    /// Listens from now on, and first to what has come since `last`.
    ///
    /// # Errors
    /// When too many do already, or nothing more will be told.
    pub fn subscribe(self: &Arc<Self>, last: Option<LastId>) -> Result<Hearing, Full> {
        let mut shared = lock(&self.shared);
        let receiver = shared.sender.as_ref().ok_or(Full)?.subscribe();
        if MAX_SUBSCRIBERS <= shared.subscribers {
            return Err(Full);
        }
        shared.subscribers += 1;
        self.heard.store(true, Ordering::Relaxed);
        let (missed, backlog) = match last {
            None => (false, VecDeque::new()),
            Some(last) => match shared.since(last, self.epoch) {
                Some(backlog) => (false, backlog),
                None => (true, VecDeque::new()),
            },
        };
        Ok(Hearing::new(self, receiver, missed, backlog))
    }

    fn left(&self) {
        let mut shared = lock(&self.shared);
        shared.subscribers -= 1;
        if shared.subscribers == 0 {
            shared.left_at = Some(Instant::now());
        }
    }

    /// Stops remembering when nobody has listened for long.
    pub fn rest(&self, now: Instant) {
        let mut shared = lock(&self.shared);
        let left = shared.left_at.is_some_and(|at| at + LINGER <= now);
        if self.heard() && left && shared.subscribers == 0 {
            self.heard.store(false, Ordering::Relaxed);
            shared.remembered.clear();
            shared.left_at = None;
            // What comes now is not numbered, and whoever comes back must learn that.
            shared.next += 1;
            lock(&self.growing).clear();
        }
    }

    /// Tells nothing more: all subscribers come to their ends.
    pub fn close(&self) {
        lock(&self.shared).sender = None;
    }
}

impl Shared {
    fn send(&self, told: Arc<Told>) {
        if let Some(sender) = &self.sender {
            // Nobody listens just now.
            let _ = sender.send(told);
        }
    }

    /// What came after `last`; `None` when that is not known any more.
    fn since(&self, last: LastId, epoch: u64) -> Option<VecDeque<Arc<Told>>> {
        let first = self.remembered.front().and_then(|told| told.number);
        let first = first.unwrap_or(self.next);
        let known = last.epoch == epoch && first <= last.number + 1 && last.number < self.next;
        known.then(|| {
            let after = |told: &&Arc<Told>| Some(last.number) < told.number;
            self.remembered.iter().filter(after).cloned().collect()
        })
    }
}

/// An object with the time.
fn data(event: &impl Serialize) -> Value {
    let mut data = serde_json::to_value(event).unwrap_or_default();
    if let Value::Object(members) = &mut data {
        let at = rfc3339(millis(SystemTime::now()));
        members.insert("at".to_owned(), at.into());
    }
    data
}

impl Told {
    fn new(number: Option<(u64, u64)>, kind: Kind, data: &Value) -> Arc<Self> {
        let mut frame = format!("event: {}\n", kind.as_str());
        if let Some((epoch, number)) = number {
            // Writing to a String cannot fail.
            let _ = writeln!(frame, "id: {epoch}-{number}");
        }
        let _ = write!(frame, "data: {data}\n\n");
        Arc::new(Self {
            number: number.map(|(_, number)| number),
            kind,
            frame: frame.into(),
        })
    }
}

#[cfg(test)]
mod tests;
