//! What a seed chooses before anything happens.

use std::time::Duration;

use viewcache_protocol::{ByteRange, EntityKey, Generation, Profile, RangeSpec, Validator};

use super::chance::Chance;
use super::content::{ENTITIES, GENERATIONS, LONGEST};
use super::threads::Disk;
use crate::terms::{Miss, Terms};

/// How the origin and the ways to it behave: milliseconds at the most, or how often in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Climate {
    /// Until the head of an answer.
    pub(super) think: u64,
    /// It thinks for very long.
    pub(super) absent: u64,
    /// A status that brings no bytes, or none.
    pub(super) refuse: u64,
    /// All of the entity where a range was asked for.
    pub(super) whole: u64,
    /// A Content-Range that is not what was asked for.
    pub(super) lie: u64,
    /// The body breaks off.
    pub(super) reset: u64,
    /// The body stops for a while.
    pub(super) stall: u64,
    /// Bytes in a frame at the most.
    pub(super) frame: u64,
    /// Between two frames.
    pub(super) gap: u64,
    /// A message of the filter's is lost.
    pub(super) loss: u64,
    /// A chunk comes twice.
    pub(super) twice: u64,
    /// How late a message of the filter's is.
    pub(super) late: u64,
    /// A viewer leaves early.
    pub(super) leave: u64,
    /// A viewer pauses for long.
    pub(super) pause: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validators {
    Etag,
    Date,
    None,
}

/// What happens beside playing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Another generation at the origin.
    Change(usize),
    Purge(usize),
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
    pub(super) events: Vec<(Duration, Event)>,
    pub(super) death: Death,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Nothing fails, nothing goes and nothing changes.
    pub(super) is_calm: bool,
    pub(super) entities: usize,
    pub(super) lengths: [[u64; GENERATIONS]; ENTITIES],
    pub(super) validators: Validators,
    pub(super) max_age: u64,
    pub(super) terms: Terms,
    pub(super) max_bytes: u64,
    pub(super) ingest_memory: u64,
    pub(super) climate: Climate,
    pub(super) disk: Disk,
    pub(super) lives: Vec<Life>,
}

const KIB: u64 = 1 << 10;

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let chance = &mut Chance::new(seed);
        // A third of them: there is least to excuse in these.
        let is_calm = seed.is_multiple_of(3);
        let entities = 1 + (chance.of(0..3) / 2) as usize;
        let mut length = || chance.size(1..LONGEST - 1).max(1);
        let lengths: [[u64; GENERATIONS]; ENTITIES] =
            std::array::from_fn(|_| std::array::from_fn(|_| length()));
        let validators = match chance.of(0..10) {
            0 => Validators::None,
            1 => Validators::Date,
            _ => Validators::Etag,
        };
        let climate = match is_calm {
            true => Climate::calm(chance),
            false => Climate::rough(chance),
        };
        let disk = match is_calm {
            true => Disk {
                often: chance.pick(&[1, 5, 20]),
                seldom: 100,
                cold: chance.pick(&[0, 300, 1000]),
            },
            false => Disk {
                often: chance.pick(&[1, 5, 50]),
                seldom: chance.pick(&[10, 500, 3000]),
                cold: chance.pick(&[0, 300, 1000]),
            },
        };
        let terms = Terms {
            miss: chance.pick(&[Miss::Mirror, Miss::Relay]),
            // An origin that knows no ranges answers each small request with everything.
            window: match (
                chance.pick(&[64 * KIB, 256 * KIB, 1024 * KIB, 16 << 20]),
                climate.whole,
            ) {
                (_, 1000) => 16 << 20,
                (window, _) => window,
            },
            bridge: match is_calm {
                true => 0,
                false => chance.pick(&[0, 0, 64 * KIB]),
            },
            read_ahead: match is_calm {
                true => 0,
                false => chance.pick(&[0, 0, 512 * KIB]),
            },
            lease: chance.pick(&[128 * KIB, 512 * KIB, 8 << 20, 8 << 20]),
            ..Terms::default()
        };
        let lives = match is_calm {
            true => 1,
            false => 1 + chance.of(0..3),
        };
        let lives = (0..lives).map(|_| Life::new(chance, is_calm, entities, &lengths, climate));
        let lives: Vec<Life> = lives.collect();
        Self {
            is_calm,
            entities,
            lengths,
            validators,
            max_age: match is_calm {
                true => 100_000,
                false => chance.pick(&[100_000, 100_000, 5, 0]),
            },
            terms,
            max_bytes: match is_calm {
                true => 64 << 20,
                false => chance.pick(&[64 << 20, 64 << 20, 8 << 20, 1 << 20]),
            },
            ingest_memory: match is_calm {
                true => 64 << 20,
                false => chance.pick(&[64 << 20, 64 << 20, 512 << 10]),
            },
            climate,
            disk,
            lives,
        }
    }

    pub(super) fn key(entity: usize) -> EntityKey {
        EntityKey::new(Profile::Generic, &format!("http://a/v{entity}")).expect("a key")
    }

    pub(super) fn identity(&self, entity: usize, generation: usize) -> Generation {
        let validator = match self.validators {
            Validators::Etag => Some(Validator::Etag(format!("\"e{entity}g{generation}\""))),
            Validators::Date => {
                let day = 1_600_000_000 + 86_400 * generation as u64 + entity as u64;
                let at = std::time::UNIX_EPOCH + Duration::from_secs(day);
                Some(Validator::LastModified(httpdate::fmt_http_date(at)))
            }
            Validators::None => None,
        };
        Generation {
            validator,
            complete_length: self.lengths[entity][generation],
        }
    }

    /// Whether every byte comes through the sidecar, which asks for it itself.
    pub(super) fn is_exact(&self) -> bool {
        self.is_calm && self.terms.miss == Miss::Relay && self.validators != Validators::None
    }
}

impl Climate {
    fn calm(chance: &mut Chance) -> Self {
        Self {
            think: chance.pick(&[0, 20, 400]),
            frame: chance.pick(&[4 * KIB, 16 * KIB]),
            gap: chance.pick(&[0, 1, 10]),
            late: chance.pick(&[0, 10, 200]),
            leave: chance.pick(&[0, 100, 300]),
            pause: chance.pick(&[0, 20]),
            ..Self::default()
        }
    }

    fn rough(chance: &mut Chance) -> Self {
        let mut often = |all: &[u64]| chance.pick(all);
        Self {
            think: often(&[20, 400, 3000]),
            absent: often(&[0, 0, 50]),
            refuse: often(&[0, 50, 300]),
            whole: often(&[0, 50, 1000]),
            lie: often(&[0, 0, 100]),
            reset: often(&[0, 100, 500]),
            stall: often(&[0, 0, 100]),
            frame: often(&[KIB, 8 * KIB, 16 * KIB]),
            gap: often(&[0, 5, 60]),
            loss: often(&[0, 20, 200]),
            twice: often(&[0, 50]),
            late: often(&[0, 100, 900, 3000]),
            leave: often(&[50, 300]),
            pause: often(&[0, 20]),
        }
    }
}

impl Life {
    fn new(
        chance: &mut Chance,
        is_calm: bool,
        entities: usize,
        lengths: &[[u64; GENERATIONS]; ENTITIES],
        climate: Climate,
    ) -> Self {
        let viewers = chance.of(2..9);
        let spread = chance.pick(&[0, 50, 2000, 20_000]);
        let request = |chance: &mut Chance, first: bool| {
            let entity = chance.of(0..entities as u64) as usize;
            let length = lengths[entity][0];
            Request {
                after: match first {
                    true => chance.millis(spread),
                    false => chance.millis(500),
                },
                entity,
                range: range(chance, length),
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
        let events = match is_calm {
            true => Vec::new(),
            false => {
                let many = chance.of(0..7);
                (0..many).map(|_| event(chance, entities)).collect()
            }
        };
        let death = match is_calm || chance.per_mille(500) {
            true => Death::Stopped,
            false => Death::Killed(chance.millis(15_000)),
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

fn event(chance: &mut Chance, entities: usize) -> (Duration, Event) {
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
    (chance.millis(most), event)
}
