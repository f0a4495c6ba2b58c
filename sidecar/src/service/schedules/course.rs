//! What a seed chooses to happen in one life of a sidecar's.

use std::collections::BTreeSet;
use std::time::Duration;

use viewcache_protocol::{ByteRange, RangeSpec};

use super::chance::Chance;
use super::content::{ENTITIES, GENERATIONS};
use super::plan::{Climate, Mood};

const KIB: u64 = 1 << 10;

/// What happens beside playing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Another generation at the origin.
    Change(usize),
    Purge(usize),
    /// Another generation at the origin, and the sidecar is told so at once: by a purge, or by an
    /// invalidation.
    Replace(usize, Told),
    /// So many bytes go.
    Evict(u64),
    Invalidate(usize),
    /// The disk takes nothing for so long.
    DiskFails(Duration),
    /// The disk does nothing for so long.
    DiskHangs(Duration),
    /// Stored bytes are damaged.
    Damage(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Purge,
    /// The same where the origin gives the new bytes the name of the old ones.
    PurgeTwin,
    Invalidate,
}

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// So long after the life began.
    At(Duration),
    /// When the disk is asked to write for the so many-th time; the thread that does so is held
    /// before what follows from its write.
    Write(u64),
}

/// How a life of the sidecar's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// Everything in flight ends first.
    Stopped,
    /// So long after it began.
    Killed(Duration),
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    /// After the one before, or after the viewer came.
    pub(super) after: Duration,
    pub(super) entity: usize,
    pub(super) range: Option<RangeSpec>,
    /// Milliseconds between two frames that it takes, at the most.
    pub(super) pace: u64,
    /// After so many bytes it leaves.
    pub(super) leaves: u64,
    /// Routed to the sidecar without asking, as a remembered hit.
    pub(super) remembered: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) viewers: Vec<Vec<Request>>,
    pub(super) events: Vec<(Moment, Event)>,
    pub(super) death: Death,
}

impl Life {
    /// After which writes something happens.
    pub(super) fn strikes(&self) -> BTreeSet<u64> {
        let moments = self.events.iter().filter_map(|(moment, _)| match moment {
            Moment::Write(times) => Some(*times),
            Moment::At(_) => None,
        });
        moments.collect()
    }

    pub(super) fn new(
        chance: &mut Chance,
        mood: Mood,
        entities: usize,
        lengths: &[[u64; GENERATIONS]; ENTITIES],
        climate: Climate,
    ) -> Self {
        let (viewers, spread) = match mood {
            Mood::Restless => (chance.of(4..10), chance.pick(&[50, 1000, 4000])),
            Mood::Calm | Mood::Rough => (chance.of(2..9), chance.pick(&[0, 50, 2000, 20_000])),
        };
        let request = |chance: &mut Chance, first: bool| {
            let entity = chance.of(0..entities as u64) as usize;
            let length = lengths[entity][0];
            let range = range(chance, length);
            Request {
                after: match first {
                    true => chance.millis(spread),
                    false => chance.millis(500),
                },
                entity,
                // Most are after the same bytes.
                range: range.filter(|_| mood != Mood::Restless || chance.per_mille(400)),
                pace: chance.pick(&[0, 0, 1, 5, 40]),
                leaves: match chance.per_mille(climate.leave) {
                    true => chance.size(0..length + 1),
                    false => u64::MAX,
                },
                remembered: chance.per_mille(50),
            }
        };
        let viewers = (0..viewers).map(|_| {
            let requests = chance.of(1..4);
            (0..requests).map(|n| request(chance, n == 0)).collect()
        });
        let viewers = viewers.collect();
        let many = match mood {
            Mood::Calm => 0,
            Mood::Restless => chance.of(3..11),
            Mood::Rough => chance.of(0..7),
        };
        let events = (0..many).map(|_| match mood {
            Mood::Restless => replacement(chance),
            Mood::Calm | Mood::Rough => event(chance, entities),
        });
        let events = events.collect();
        let death = match mood {
            Mood::Calm => Death::Stopped,
            Mood::Restless | Mood::Rough if chance.per_mille(500) => Death::Stopped,
            Mood::Restless | Mood::Rough => Death::Killed(chance.millis(15_000)),
        };
        Self {
            viewers,
            events,
            death,
        }
    }
}

fn range(chance: &mut Chance, length: u64) -> Option<RangeSpec> {
    let any = |chance: &mut Chance| match chance.of(0..4) {
        0 => 0,
        1 => chance.of(0..length),
        2 => chance.of(0..length) / (64 * KIB) * (64 * KIB),
        _ => chance.size(0..length),
    };
    let first = any(chance);
    match chance.of(0..8) {
        0..3 => None,
        3..5 => Some(RangeSpec::From { first }),
        5 => Some(RangeSpec::Suffix {
            len: chance.size(1..length + 2).max(1),
        }),
        _ => {
            let len = chance.size(1..length + 2).max(1);
            let range = ByteRange::from_len(first, len)?;
            Some(RangeSpec::Closed {
                first,
                last: range.end() - 1,
            })
        }
    }
}

fn event(chance: &mut Chance, entities: usize) -> (Moment, Event) {
    let entity = chance.of(0..entities as u64) as usize;
    let event = match chance.of(0..12) {
        0..3 => Event::Change(entity),
        3..5 => Event::Purge(entity),
        5..8 => Event::Evict(chance.size(1..4 << 20)),
        8 => Event::Invalidate(entity),
        9 => Event::DiskFails(chance.millis(3000)),
        10 => Event::DiskHangs(chance.millis(6000)),
        _ => Event::Damage(chance.next()),
    };
    let most = chance.pick(&[1000, 5000, 20_000]);
    (Moment::At(chance.millis(most)), event)
}

/// What happens to the one entity of a restless schedule.
fn replacement(chance: &mut Chance) -> (Moment, Event) {
    let event = match chance.of(0..16) {
        0..3 => Event::Change(0),
        3..6 => Event::Replace(0, Told::Purge),
        6..9 => Event::Replace(0, Told::PurgeTwin),
        9..12 => Event::Replace(0, Told::Invalidate),
        12..14 => Event::Purge(0),
        14 => Event::Evict(chance.size(1..1 << 20)),
        _ => Event::DiskHangs(chance.millis(1000)),
    };
    let moment = match chance.of(0..2) {
        0 => Moment::At(chance.millis(6000)),
        _ => Moment::Write(chance.size(1..200)),
    };
    (moment, event)
}
