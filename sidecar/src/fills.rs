//! Leads: who is fetching which bytes of one entity, and who may follow. Pure; time is passed in.

use std::time::{Duration, Instant};

use viewcache_protocol::{ByteRange, FillId};

/// How far ahead of its frontier a lead keeps others from fetching: they follow instead
/// (DESIGN "Life of a request" 5). Beyond it, a reader leads on its own.
pub const LEASE: u64 = 8 << 20;

/// A lead that has brought no byte for this long is led past.
pub const STALL: Duration = Duration::from_secs(2);

/// How long a byte is waited for that its lead has passed: chunks overtake each other.
pub const OVERTAKEN: Duration = Duration::from_millis(200);

/// A lead that has brought no byte for this long has lost its `end` message and is forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// One transfer from the origin, granted or running.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lead {
    fill: FillId,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Granted; which bytes it will bring is not known before its `begin`.
    Tentative { until: Instant },
    /// Ended before its `begin`, which was overtaken and may still come.
    Overtaken { until: Instant },
    /// Ended, with chunks of `start..end` on their way until `until`.
    Landing {
        start: u64,
        end: u64,
        until: Instant,
    },
    /// Bringing bytes: it began at `start`, has come to `frontier`, and goes on to `end`.
    Running {
        seq: u64,
        start: u64,
        frontier: u64,
        end: u64,
        progressed: Instant,
    },
}

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

    /// The lead's response has come and brings `range` of generation `seq`.
    pub fn begin(&mut self, fill: FillId, seq: u64, range: ByteRange, now: Instant) {
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
                    ..
                } => {
                    *frontier = to.max(*frontier);
                    *progressed = now;
                }
                Phase::Landing { until, .. } => *until = now + OVERTAKEN,
                Phase::Tentative { .. } | Phase::Overtaken { .. } => {}
            }
        }
    }

    /// The lead brings no more than has left already: up to `delivered`. Messages overtake each
    /// other, so its last chunks may still be on their way, and so may its `begin`, which must not
    /// make a lead that nobody ends.
    pub fn end(&mut self, fill: FillId, delivered: Option<u64>, now: Instant) {
        for lead in self.0.iter_mut().filter(|lead| lead.fill == fill) {
            lead.phase = match lead.phase {
                Phase::Tentative { until } => Phase::Overtaken { until },
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
                Phase::Overtaken { .. } | Phase::Landing { .. } => continue,
            };
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
            Phase::Landing { .. } => false,
            Phase::Running { seq: running, .. } => running == seq,
        });
    }

    /// Forgets leads that lapsed or went silent.
    pub fn expire(&mut self, now: Instant) {
        self.0.retain(|lead| match lead.phase {
            Phase::Tentative { until }
            | Phase::Overtaken { until }
            | Phase::Landing { until, .. } => now < until,
            Phase::Running { progressed, .. } => now < progressed + IDLE,
        });
    }

    /// When the last grant lapses that has not begun; `None` when there is none.
    pub fn tentative_until(&self, now: Instant) -> Option<Instant> {
        let untils = self.0.iter().filter_map(|lead| match lead.phase {
            Phase::Tentative { until } if now < until => Some(until),
            _ => None,
        });
        untils.max()
    }

    /// Whether a lead, or a grant that may still begin, carries this name.
    pub fn holds(&self, fill: FillId) -> bool {
        self.0.iter().any(|lead| lead.fill == fill)
    }

    /// When to stop waiting for the byte at `offset`: the moment at which the lead that is to
    /// bring it counts as stalled. `None` when no lead will bring it soon.
    pub fn awaited(&self, offset: u64, now: Instant) -> Option<Instant> {
        let stalls = self.0.iter().filter_map(|lead| match lead.phase {
            Phase::Running {
                frontier,
                end,
                progressed,
                ..
            } => {
                let leased = frontier <= offset && offset < end.min(frontier + LEASE);
                leased.then_some(progressed + STALL)
            }
            _ => None,
        });
        stalls.filter(|&stall| now < stall).max()
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
    pub fn next_frontier(&self, offset: u64, now: Instant) -> Option<u64> {
        let frontiers = self.0.iter().filter_map(|lead| match lead.phase {
            Phase::Running {
                frontier,
                end,
                progressed,
                ..
            } => {
                let moving = now < progressed + STALL && frontier < end;
                (moving && offset < frontier).then_some(frontier)
            }
            _ => None,
        });
        frontiers.min()
    }

    /// Whether a running lead is to bring some of `range` soon.
    pub fn fetching(&self, range: ByteRange, now: Instant) -> bool {
        self.0.iter().any(|lead| match lead.phase {
            Phase::Running {
                frontier,
                end,
                progressed,
                ..
            } => {
                let leased = ByteRange::new(frontier, end.min(frontier + LEASE));
                now < progressed + STALL && leased.is_some_and(|l| l.intersect(range).is_some())
            }
            _ => false,
        })
    }

    /// How many are granted or running.
    pub fn len(&self) -> usize {
        let alive = |lead: &&Lead| match lead.phase {
            Phase::Tentative { .. } | Phase::Running { .. } => true,
            Phase::Overtaken { .. } | Phase::Landing { .. } => false,
        };
        self.0.iter().filter(alive).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILL: FillId = FillId(1);

    fn running(frontier: u64, end: u64, now: Instant) -> Leads {
        let mut leads = Leads::default();
        leads.begin(FILL, 1, ByteRange::new(frontier, end).unwrap(), now);
        leads
    }

    #[test]
    fn a_grant_lapses_unless_it_begins() {
        let now = Instant::now();
        let until = now + Duration::from_secs(5);
        let mut leads = Leads::default();
        leads.grant(FILL, until);
        assert_eq!(leads.tentative_until(now), Some(until));
        assert_eq!(leads.awaited(0, now), None);
        leads.expire(until);
        assert!(leads.is_empty());
    }

    #[test]
    fn a_reader_follows_within_the_lease_only() {
        let now = Instant::now();
        let mut leads = running(100, 100 << 20, now);
        assert_eq!(leads.awaited(100, now), Some(now + STALL));
        assert_eq!(leads.awaited(99, now), None);
        assert_eq!(leads.awaited(100 + LEASE, now), None);
        leads.advance(FILL, 200, now);
        assert_eq!(leads.awaited(100 + LEASE, now), Some(now + STALL));
        assert_eq!(leads.awaited(150, now), None);
        let overtaken = |offset| leads.overtaken(offset, now, now).is_some();
        assert!(overtaken(100) && overtaken(199) && !overtaken(99) && !overtaken(200));
    }

    #[test]
    fn a_stalled_lead_is_led_past_and_then_forgotten() {
        let now = Instant::now();
        let mut leads = running(0, 100, now);
        let whole = ByteRange::new(0, 100).unwrap();
        assert!(leads.fetching(whole, now));
        assert_eq!(leads.awaited(0, now + STALL), None);
        assert!(!leads.fetching(whole, now + STALL));
        leads.advance(FILL, 10, now + STALL);
        assert!(leads.awaited(10, now + STALL).is_some());
        leads.expire(now + STALL + IDLE);
        assert!(leads.is_empty());
    }

    #[test]
    fn a_fetch_stops_where_another_frontier_begins() {
        let now = Instant::now();
        let mut leads = running(50, 100, now);
        assert_eq!(leads.next_frontier(0, now), Some(50));
        assert_eq!(leads.next_frontier(50, now), None);
        leads.advance(FILL, 100, now);
        assert_eq!(leads.next_frontier(0, now), None);
    }

    #[test]
    fn a_begin_that_was_overtaken_by_its_end_starts_no_lead() {
        let now = Instant::now();
        let mut leads = Leads::default();
        leads.grant(FILL, now + STALL);
        leads.end(FILL, Some(10), now);
        assert!(leads.holds(FILL) && leads.is_empty());
        assert_eq!(leads.tentative_until(now), None);
        leads.begin(FILL, 1, ByteRange::new(0, 10).unwrap(), now);
        assert!(leads.is_empty());
        assert_eq!(leads.overtaken(0, now, now), Some(now + OVERTAKEN));
    }

    #[test]
    fn the_last_chunks_of_an_ended_lead_are_waited_for() {
        let now = Instant::now();
        let mut leads = running(0, 1000, now);
        leads.advance(FILL, 100, now);
        leads.end(FILL, Some(300), now);
        assert!(leads.is_empty());
        let long_ago = now - STALL;
        assert_eq!(leads.overtaken(250, long_ago, now), Some(now + OVERTAKEN));
        assert_eq!(leads.overtaken(300, long_ago, now), None);
        let later = now + OVERTAKEN / 2;
        leads.advance(FILL, 200, later);
        assert_eq!(
            leads.overtaken(250, long_ago, later),
            Some(later + OVERTAKEN)
        );
        leads.expire(later + OVERTAKEN);
        assert!(!leads.holds(FILL));
    }

    #[test]
    fn leads_of_a_dead_generation_end() {
        let now = Instant::now();
        let mut leads = running(0, 100, now);
        leads.grant(FillId(2), now + STALL);
        leads.keep_generation(2);
        assert!(!leads.holds(FILL) && leads.holds(FillId(2)));
    }
}
