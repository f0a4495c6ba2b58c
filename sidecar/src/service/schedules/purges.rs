//! What is gone when the operator has purged an entity: nothing may be stored or sent any more that
//! the sidecar had, or was getting, when it was told to.

use std::time::Duration;

use tokio::time::Instant;

use super::content::GENERATIONS;
use super::origin::Origin;

/// How late the sidecar may be in reading the head of an answer that is over already.
const HEAD: Duration = Duration::from_millis(10);

/// One purge of an entity.
#[derive(Clone, Debug)]
pub(super) struct Purge {
    /// The generation that the origin had then.
    current: usize,
    /// Older ones of which an answer was on its way that the sidecar did not know yet: it cannot
    /// tell whether it is of before or after.
    unknown: [bool; GENERATIONS],
    /// When it was over; `None` when that was in an earlier life.
    pub(super) over: Option<Instant>,
}

impl Purge {
    /// Whether what is of this generation may be stored or sent after it.
    const fn allows(&self, generation: usize) -> bool {
        self.current <= generation || self.unknown[generation]
    }
}

impl Origin {
    /// A purge begins. It counts when it is over.
    pub(super) fn purging(&self, entity: usize) -> Purge {
        let state = self.state();
        let now = Instant::now();
        let mut unknown = [false; GENERATIONS];
        for transfer in state.transfers.iter().filter(|t| t.entity == entity) {
            let coming = match transfer.mirror {
                true => !transfer.settled,
                false => !transfer.over || now < transfer.progressed + HEAD,
            };
            if coming && !transfer.begun {
                unknown[transfer.generation] = true;
            }
        }
        Purge {
            current: state.current[entity],
            unknown,
            over: None,
        }
    }

    /// It is over.
    pub(super) fn purged(&self, entity: usize, mut purge: Purge) {
        purge.over = Some(Instant::now());
        self.state().purges[entity].push(purge);
    }

    /// Whether what began at `since` may have bytes of this generation.
    pub(super) fn allows(&self, entity: usize, generation: usize, since: Instant) -> bool {
        let state = self.state();
        let mut before = state.purges[entity]
            .iter()
            .filter(|purge| purge.over.is_none_or(|over| over < since));
        before.all(|purge| purge.allows(generation))
    }
}
