//! One subscriber.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::{Events, Kind, Reset, Told};

/// After so much silence a comment is sent, so that whoever is between does not give up.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The id of an event, as `Last-Event-ID` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastId {
    pub(super) epoch: u64,
    pub(super) number: u64,
}

impl LastId {
    /// One that no event has.
    pub const UNKNOWN: Self = Self {
        epoch: 0,
        number: 0,
    };
}

/// Not the id of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownId;

impl FromStr for LastId {
    type Err = UnknownId;

    fn from_str(text: &str) -> Result<Self, UnknownId> {
        let (epoch, number) = text.split_once('-').ok_or(UnknownId)?;
        let read = |text: &str| text.parse().map_err(|_| UnknownId);
        Ok(Self {
            epoch: read(epoch)?,
            number: read(number)?,
        })
    }
}

/// A subscriber, until it is dropped.
#[derive(Debug)]
pub struct Hearing {
    events: Arc<Events>,
    receiver: Receiver<Arc<Told>>,
    /// Whether it has missed something that it does not know of yet.
    missed: bool,
    backlog: VecDeque<Arc<Told>>,
    /// What it wants to hear of; all when that is none.
    kinds: Vec<Kind>,
    /// Whether it has been told anything.
    greeted: bool,
}

impl Hearing {
    pub(super) fn new(
        events: &Arc<Events>,
        receiver: Receiver<Arc<Told>>,
        missed: bool,
        backlog: VecDeque<Arc<Told>>,
    ) -> Self {
        Self {
            events: Arc::clone(events),
            receiver,
            missed,
            backlog,
            kinds: Vec::new(),
            greeted: false,
        }
    }

    /// Of these kinds only; of all when that is none. What was missed is told in any case.
    #[must_use]
    pub fn only(mut self, kinds: Vec<Kind>) -> Self {
        self.kinds = kinds;
        self
    }

    fn wants(&self, told: &Told) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&told.kind)
    }

    /// The next bytes; `None` when nothing more will come.
    pub async fn frame(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            // So that the head goes out at once.
            return Some(Bytes::from_static(b": viewcache\n\n"));
        }
        loop {
            if std::mem::take(&mut self.missed) {
                let reset = Told::new(None, Kind::Reset, &super::data(&Reset {}));
                return Some(reset.frame.clone());
            }
            if let Some(told) = self.backlog.pop_front() {
                if self.wants(&told) {
                    return Some(told.frame.clone());
                }
                continue;
            }
            match tokio::time::timeout(HEARTBEAT, self.receiver.recv()).await {
                Ok(Ok(told)) if self.wants(&told) => return Some(told.frame.clone()),
                Ok(Ok(_)) => {}
                Ok(Err(RecvError::Lagged(_))) => self.missed = true,
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => return Some(Bytes::from_static(b": \n\n")),
            }
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.events.left();
    }
}
