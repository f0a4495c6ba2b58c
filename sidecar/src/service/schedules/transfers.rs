//! What the origin was asked for, how far each transfer has come, and what must not be of them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::origin::{Origin, PIPE};
use super::plan::{Plan, Validators};
use super::threads;

/// The least that a transfer of the sidecar's may be ahead of its readers.
const AHEAD: u64 = 256 << 10;

/// When so much of a transfer of the sidecar's has left, it has read the head.
const SURE: u64 = 2 * PIPE as u64;

/// So much of a transfer may come when its generation has ended: what is on its way, and what is
/// being waited for.
const LAST: u64 = 4 * PIPE as u64;

/// One transfer that the origin was asked for.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub(super) entity: usize,
    pub(super) generation: usize,
    /// Whether a viewer asked, past the sidecar.
    pub(super) mirror: bool,
    /// The bytes that it was to bring, and how far it came.
    pub(super) range: Range<u64>,
    pub(super) at: u64,
    pub(super) progressed: Instant,
    pub(super) over: bool,
    /// Whether the sidecar knew the generation when it asked: else which bytes it gets is known
    /// when they come.
    pub(super) known: bool,
    /// Whether the sidecar has let it wait: it runs at the pace of readers.
    pub(super) paced: bool,
    /// Whether the sidecar knows for sure what it brings. A viewer's own: its `begin` has come.
    pub(super) begun: bool,
    /// Whether no message of it is on its way any more.
    pub(super) settled: bool,
    /// Under which number the sidecar takes its generation for the living one.
    seq: Option<u64>,
    /// How far it had come when that was so no more.
    ended: Option<u64>,
    /// When which bytes left.
    pub(super) left: Vec<(Range<u64>, Instant)>,
}

impl Origin {
    pub(super) fn transfers(&self) -> Vec<Transfer> {
        self.state().transfers.clone()
    }

    /// A new life knows nothing of the transfers of the one before, and all of its purges.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.transfers.clear();
        state.asked_before = state.asked;
        for purge in state.purges.iter_mut().flatten() {
            purge.over = None;
        }
    }

    /// When the byte at `offset` last left for the sidecar, by its own transfer.
    pub(super) fn left(&self, entity: usize, generation: usize, offset: u64) -> Option<Instant> {
        let state = self.state();
        let transfers = state.transfers.iter();
        let of =
            transfers.filter(|t| t.entity == entity && t.generation == generation && !t.mirror);
        let lefts = of.flat_map(|t| &t.left);
        let at = lefts.filter(|(range, _)| range.contains(&offset));
        at.map(|(_, at)| *at).min()
    }

    /// A transfer begins; its place among all comes back.
    pub(super) fn open(
        &self,
        entity: usize,
        generation: usize,
        range: Range<u64>,
        mirror: bool,
    ) -> usize {
        let mut state = self.state();
        let now = Instant::now();
        state.transfers.push(Transfer {
            entity,
            generation,
            mirror,
            at: range.start,
            range,
            progressed: now,
            over: false,
            known: true,
            paced: false,
            begun: false,
            settled: false,
            seq: None,
            ended: None,
            left: Vec::new(),
        });
        state.transfers.len() - 1
    }

    pub(super) fn came(&self, transfer: usize, to: u64) {
        {
            let mut state = self.state();
            let Some(transfer) = state.transfers.get_mut(transfer) else {
                return;
            };
            let now = Instant::now();
            transfer.left.push((transfer.at..to, now));
            (transfer.at, transfer.progressed) = (to, now);
            if !transfer.mirror && transfer.range.start + SURE < to {
                transfer.begun = true;
            }
        }
        self.judge_end(transfer);
    }

    /// The sidecar knows what a viewer's own transfer brings.
    pub(super) fn begun(&self, transfer: usize) {
        if let Some(transfer) = self.state().transfers.get_mut(transfer) {
            transfer.begun = true;
        }
    }

    /// All messages of a viewer's own transfer have come that ever will.
    pub(super) fn settled(&self, transfer: usize) {
        if let Some(transfer) = self.state().transfers.get_mut(transfer) {
            transfer.settled = true;
        }
    }

    /// A transfer of the sidecar's ends with the generation that it brings.
    fn judge_end(&self, place: usize) {
        let (entity, name, sidecar) = {
            let state = self.state();
            let transfer = &state.transfers[place];
            if transfer.mirror || !transfer.begun {
                return;
            }
            let identity = self.plan.identity(transfer.entity, transfer.generation);
            (transfer.entity, identity, state.sidecar.upgrade())
        };
        let (Some(sidecar), true) = (sidecar, name.validator.is_some()) else {
            return;
        };
        let Some(live) = sidecar.table.find(Plan::key(entity).id()) else {
            return;
        };
        let living = {
            let state = live.state();
            let living = state.record.generation.as_ref();
            living.map(|living| (living.seq, living.identity == name))
        };
        let mut state = self.state();
        let transfer = &mut state.transfers[place];
        match (transfer.seq, living) {
            (None, Some((seq, true))) => transfer.seq = Some(seq),
            (Some(known), living) if living.is_none_or(|(seq, _)| seq != known) => {
                let ended = *transfer.ended.get_or_insert(transfer.at);
                if ended + LAST < transfer.at {
                    let told = format!("it goes on after its generation has ended: {transfer:?}");
                    drop(state);
                    if let Some(scheduler) = threads::scheduler() {
                        scheduler.violation(told);
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn paced(&self, transfer: usize) {
        if let Some(transfer) = self.state().transfers.get_mut(transfer) {
            transfer.paced = true;
        }
    }

    pub(super) fn over(&self, transfer: usize) {
        if let Some(transfer) = self.state().transfers.get_mut(transfer) {
            transfer.over = true;
        }
    }

    /// One lead per gap: bytes that another transfer of the sidecar's is about to bring are not
    /// asked for, unless that has stalled or they are beyond its lease.
    pub(super) fn judge(self: &Arc<Self>, asked: usize) {
        if !self.plan.is_calm || self.plan.validators == Validators::None {
            return;
        }
        let lease = self.plan.terms.lease;
        let (new, suspects) = {
            let state = self.state();
            let new = state.transfers[asked].clone();
            let mut suspects = Vec::new();
            for (place, old) in state.transfers.iter().enumerate() {
                let of = (old.entity, old.generation) == (new.entity, new.generation);
                let unknown = !old.known && old.left.is_empty();
                if place == asked || !of || old.mirror || old.over || unknown {
                    continue;
                }
                let left = old.at.max(new.range.start)..old.range.end.min(new.range.end);
                let beyond = old.at.saturating_sub(2 * PIPE as u64) + lease <= new.range.start;
                // Ahead of one that runs at the pace of others a follower does not wait for long.
                // It may do so from the first stretch on that it is ahead of its readers.
                let paced = old.paced || AHEAD <= old.at - old.range.start;
                let starved = paced && old.at + 2 * (PIPE as u64) < new.range.start;
                if left.start < left.end && !beyond && !starved {
                    suspects.push((place, old.clone()));
                }
            }
            (new, suspects)
        };
        if suspects.is_empty() {
            return;
        }
        let Some(scheduler) = threads::scheduler() else {
            return;
        };
        let (origin, stall) = (Arc::clone(self), self.plan.terms.stall);
        let now = Instant::now();
        tokio::spawn(async move {
            // One that has just ended is so a moment later here.
            tokio::time::sleep(Duration::from_millis(2)).await;
            for (place, old) in suspects {
                if !origin.is_over(place) && now < old.progressed + stall {
                    scheduler.violation(format!("two leads for a gap: {old:?} and {new:?}"));
                }
            }
        });
    }

    /// Whether a transfer is over by now.
    fn is_over(&self, transfer: usize) -> bool {
        let state = self.state();
        state
            .transfers
            .get(transfer)
            .is_none_or(|transfer| transfer.over)
    }
}

/// Ends a transfer, however that comes.
pub(super) struct Over<'a>(pub(super) &'a Origin, pub(super) usize);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if let Some(scheduler) = threads::scheduler() {
            scheduler.tell(|| {
                let at = self
                    .0
                    .state()
                    .transfers
                    .get(self.1)
                    .map(|transfer| transfer.at);
                format!("origin: {} is over at {at:?}", self.1)
            });
        }
        self.0.over(self.1);
    }
}
