//! Leads: who is fetching which bytes of one entity, and who may follow. Pure; time is passed in.

mod lead;
mod role;

use std::time::Duration;

use tokio::time::Instant;
use viewcache_protocol::{ByteRange, FillId};

use crate::terms::Terms;
pub use lead::Begun;
use lead::{Lead, Phase};
pub use role::Role;

/// A follower that has waited this long for a transfer that runs at somebody else's pace leads
/// ahead of it: a mirrored one runs at its own viewer's, the sidecar's own at that of the readers
/// behind its frontier. They may be slow, or pause.
pub const STARVED: Duration = Duration::from_millis(200);

/// How long the origin may take to begin its answer to a request of the sidecar's.
pub const ANSWER: Duration = Duration::from_secs(10);

/// How long a byte is waited for that its lead has passed, and the `begin` of one that has ended:
/// messages overtake each other.
pub const OVERTAKEN: Duration = Duration::from_millis(500);

/// A lead that has brought no byte for this long has lost its `end` message and is forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// The leads of one entity.
#[derive(Clone, Debug, Default)]
pub struct Leads(Vec<Lead>);

impl Leads {
    /// Grants a lead that lapses at `until` unless it begins.
    pub fn grant(&mut self, fill: FillId, until: Instant) {
        self.0.push(Lead {
            fill,
            phase: Phase::Tentative { until },
        });
    }

    /// The sidecar asks for `range` of generation `seq`.
    pub fn ask(&mut self, fill: FillId, seq: u64, range: ByteRange, now: Instant) {
        let phase = Phase::Running {
            role: Role::Own,
            answered: false,
            ignores_range: false,
            paused: false,
            paced: None,
            seq,
            start: range.start(),
            frontier: range.start(),
            end: range.end(),
            progressed: now,
        };
        self.0.push(Lead { fill, phase });
    }

    /// The lead's response has come and brings `range` of generation `seq`.
    pub fn begin(&mut self, begun: Begun, seq: u64, range: ByteRange, now: Instant) {
        let Begun {
            fill,
            role,
            ignores_range,
        } = begun;
        let over = |lead: &Lead| lead.fill == fill && matches!(lead.phase, Phase::Overtaken { .. });
        let over = self.0.iter().any(over);
        self.forget(fill);
        let (start, end) = (range.start(), range.end());
        let phase = if over {
            Phase::Landing {
                start,
                end,
                until: now + OVERTAKEN,
            }
        } else {
            Phase::Running {
                role,
                answered: true,
                ignores_range,
                paused: false,
                paced: None,
                seq,
                start,
                frontier: start,
                end,
                progressed: now,
            }
        };
        self.0.push(Lead { fill, phase });
    }

    /// Bytes up to `to` have come.
    pub fn advance(&mut self, fill: FillId, to: u64, now: Instant) {
        for lead in self.0.iter_mut().filter(|lead| lead.fill == fill) {
            match &mut lead.phase {
                Phase::Running {
                    frontier,
                    progressed,
                    paused,
                    ..
                } => {
                    *frontier = to.max(*frontier);
                    *progressed = now;
                    *paused = false;
                }
                Phase::Landing { until, .. } => *until = now + OVERTAKEN,
                Phase::Tentative { .. } | Phase::Overtaken { .. } | Phase::Draining => {}
            }
        }
    }

    /// The lead waits for its readers, or does so no more.
    pub fn pause(&mut self, fill: FillId, waits: bool, now: Instant) {
        for lead in self.0.iter_mut().filter(|lead| lead.fill == fill) {
            if let Phase::Running {
                paused,
                paced,
                progressed,
                ..
            } = &mut lead.phase
            {
                (*paused, *progressed) = (waits, now);
                *paced = Some(now);
            }
        }
    }

    /// The lead brings no more than has left already: up to `delivered`. Messages overtake each
    /// other, so its last chunks may still be on their way, and so may its `begin`, which must not
    /// make a lead that nobody ends.
    pub fn end(&mut self, fill: FillId, delivered: Option<u64>, now: Instant) {
        for lead in self.0.iter_mut().filter(|lead| lead.fill == fill) {
            lead.phase = match lead.phase {
                Phase::Tentative { until } => Phase::Overtaken {
                    until,
                    begins_by: delivered.map(|_| until.min(now + OVERTAKEN)),
                },
                Phase::Running {
                    start, frontier, ..
                } => {
                    let end = delivered.unwrap_or(frontier);
                    Phase::Landing {
                        start,
                        end,
                        until: now + OVERTAKEN,
                    }
                }
                Phase::Overtaken { .. } | Phase::Landing { .. } | Phase::Draining => continue,
            };
        }
    }

    /// The lead brings no more, but not all that it brought is stored yet.
    pub fn drain(&mut self, fill: FillId) {
        for lead in self.0.iter_mut().filter(|lead| lead.fill == fill) {
            lead.phase = Phase::Draining;
        }
    }

    /// The lead is gone without a word more to come.
    pub fn forget(&mut self, fill: FillId) {
        self.0.retain(|lead| lead.fill != fill);
    }

    /// Ends the leads of every generation but `seq`; granted ones may still begin.
    pub fn keep_generation(&mut self, seq: u64) {
        self.0.retain(|lead| match lead.phase {
            Phase::Tentative { .. } | Phase::Overtaken { .. } => true,
            Phase::Landing { .. } | Phase::Draining => false,
            Phase::Running { seq: running, .. } => running == seq,
        });
    }

    /// Forgets leads that lapsed or went silent.
    pub fn expire(&mut self, now: Instant) {
        self.0.retain(|lead| match lead.phase {
            Phase::Tentative { until }
            | Phase::Overtaken { until, .. }
            | Phase::Landing { until, .. } => now < until,
            Phase::Running {
                paused, progressed, ..
            } => paused || now < progressed + IDLE,
            Phase::Draining => true,
        });
    }

    /// When the last grant lapses that has not begun; `None` when there is none.
    pub fn tentative_until(&self, now: Instant) -> Option<Instant> {
        let untils = self.0.iter().filter_map(|lead| match lead.phase {
            Phase::Tentative { until } => Some(until),
            Phase::Overtaken { begins_by, .. } => begins_by,
            _ => None,
        });
        untils.filter(|&until| now < until).max()
    }

    /// Whether a lead, or a grant that may still begin, carries this name.
    pub fn holds(&self, fill: FillId) -> bool {
        self.0.iter().any(|lead| lead.fill == fill)
    }

    /// Whether the lead's response has come.
    pub fn brings(&self, fill: FillId) -> bool {
        self.0.iter().any(|lead| {
            lead.fill == fill
                && !matches!(
                    lead.phase,
                    Phase::Tentative { .. } | Phase::Overtaken { .. }
                )
        })
    }

    /// When to stop waiting for the byte at `offset`, which the reader came to at `since`: the
    /// moment at which the lead that is to bring it counts as stalled, or the reader as starved.
    /// `None` when no lead will bring it soon.
    pub fn awaited(
        &self,
        offset: u64,
        since: Instant,
        now: Instant,
        terms: &Terms,
    ) -> Option<Instant> {
        let untils = self.0.iter().filter_map(|lead| match lead.phase {
            Phase::Running {
                role,
                ignores_range,
                paused,
                paced,
                start,
                frontier,
                end,
                ..
            } if frontier <= offset
                && offset < end
                && (ignores_range || offset < frontier + terms.lease) =>
            {
                let stalls = lead.stalls(now, terms)?;
                Some(match role {
                    // Before its first chunk it is not the viewer that is slow.
                    Role::Mirror if start < frontier => stalls.min(since + STARVED),
                    Role::Mirror => stalls,
                    // At its frontier it is this reader that it runs for.
                    Role::Own if frontier < offset => {
                        let waited = paused || paced.is_some_and(|at| since <= at);
                        match waited {
                            true => stalls.min(since + STARVED),
                            false => stalls,
                        }
                    }
                    Role::Own => stalls,
                })
            }
            _ => None,
        });
        untils.filter(|&until| now < until).max()
    }

    /// Until when to wait for the byte at `offset`, which its lead has passed: it is in a chunk
    /// that was overtaken, or lost. The reader came to it at `since`.
    pub fn overtaken(&self, offset: u64, since: Instant, now: Instant) -> Option<Instant> {
        let untils = self.0.iter().filter_map(|lead| match lead.phase {
            Phase::Running {
                start, frontier, ..
            } => (start <= offset && offset < frontier).then_some(since + OVERTAKEN),
            Phase::Landing { start, end, until } => {
                (start <= offset && offset < end).then_some(until)
            }
            _ => None,
        });
        untils.filter(|&until| now < until).max()
    }

    /// The nearest frontier after `offset` that is still moving: what lies behind it is another's
    /// to fetch.
    pub fn next_frontier(&self, offset: u64, now: Instant, terms: &Terms) -> Option<u64> {
        let frontiers = self.moving(now, terms).map(|(_, frontier, _)| frontier);
        frontiers.filter(|&frontier| offset < frontier).min()
    }

    /// Where the transfer ends that is to bring the byte at `offset`, however far away it still
    /// is; `None` when there is none.
    pub fn promised(&self, offset: u64, now: Instant, terms: &Terms) -> Option<u64> {
        let ends = self.0.iter().filter_map(|lead| match lead.phase {
            // Behind its frontier, and at its end, chunks may be on their way that it overtook.
            Phase::Running { start, end, .. } if lead.stalls(now, terms).is_some() => {
                Some((start, end))
            }
            Phase::Landing { start, end, until } if now < until => Some((start, end)),
            _ => None,
        });
        ends.filter(|&(start, end)| start <= offset && offset < end)
            .map(|(_, end)| end)
            .max()
    }

    /// Whether a transfer other than `fill` has passed `offset` and goes on for `worth` bytes more.
    pub fn passed(&self, fill: FillId, offset: u64, worth: u64) -> bool {
        self.0.iter().any(|lead| match lead.phase {
            Phase::Running {
                start,
                frontier,
                end,
                ..
            } => {
                let passed = start <= offset && offset < frontier;
                lead.fill != fill && passed && worth <= end - offset
            }
            _ => false,
        })
    }

    /// Start, frontier and end of the leads that bring bytes.
    fn moving(&self, now: Instant, terms: &Terms) -> impl Iterator<Item = (u64, u64, u64)> {
        self.0.iter().filter_map(move |lead| match lead.phase {
            Phase::Running {
                start,
                frontier,
                end,
                ..
            } => {
                let moving = frontier < end && lead.stalls(now, terms).is_some();
                moving.then_some((start, frontier, end))
            }
            _ => None,
        })
    }

    /// What the leads that bring bytes are still to bring.
    pub fn filling(&self, now: Instant, terms: &Terms) -> impl Iterator<Item = ByteRange> {
        let moving = self.moving(now, terms);
        moving.filter_map(|(_, frontier, end)| ByteRange::new(frontier, end))
    }

    /// Where the viewers are whose own transfers bring bytes.
    pub fn mirrored(&self, now: Instant, terms: &Terms) -> impl Iterator<Item = u64> {
        self.0.iter().filter_map(move |lead| match lead.phase {
            Phase::Running {
                role: Role::Mirror,
                frontier,
                ..
            } => lead.stalls(now, terms).map(|_| frontier),
            _ => None,
        })
    }

    /// Whether a running lead is to bring some of `range` soon.
    pub fn fetching(&self, range: ByteRange, now: Instant, terms: &Terms) -> bool {
        self.moving(now, terms).any(|(_, frontier, end)| {
            let leased = ByteRange::new(frontier, end.min(frontier + terms.lease));
            leased.is_some_and(|leased| leased.intersect(range).is_some())
        })
    }

    /// How many are granted or bring bytes. One that has stalled may have lost its `end`, or its
    /// viewer reads no more for now.
    pub fn underway(&self, now: Instant, terms: &Terms) -> usize {
        let alive = |lead: &&Lead| match lead.phase {
            Phase::Tentative { .. } => true,
            Phase::Running { .. } => lead.stalls(now, terms).is_some(),
            Phase::Overtaken { .. } | Phase::Landing { .. } | Phase::Draining => false,
        };
        self.0.iter().filter(alive).count()
    }

    /// How many of this kind run, be they stalled.
    pub fn running(&self, kind: Role) -> u64 {
        let runs = |lead: &&Lead| matches!(lead.phase, Phase::Running { role, .. } if role == kind);
        self.0.iter().filter(runs).count() as u64
    }

    /// Whether a viewer's own transfer is granted or runs, be it stalled.
    pub fn mirrors(&self) -> bool {
        self.0.iter().any(|lead| match lead.phase {
            Phase::Tentative { .. } => true,
            Phase::Running { role, .. } => role == Role::Mirror,
            Phase::Overtaken { .. } | Phase::Landing { .. } | Phase::Draining => false,
        })
    }

    /// Whether none is granted or runs, be it stalled.
    pub fn is_empty(&self) -> bool {
        let over = |lead: &Lead| match lead.phase {
            Phase::Tentative { .. } | Phase::Running { .. } => false,
            Phase::Overtaken { .. } | Phase::Landing { .. } | Phase::Draining => true,
        };
        self.0.iter().all(over)
    }
}

#[cfg(test)]
mod tests;
