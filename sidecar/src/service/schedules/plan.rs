//! What a seed chooses before anything happens.

use std::time::Duration;

use viewcache_protocol::{EntityKey, Generation, Profile, Validator};

use super::chance::Chance;
use super::content::{ENTITIES, GENERATIONS, LONGEST};
use super::course::Life;
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
    /// For how long at the most.
    pub(super) stalled: u64,
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

/// What kind of schedule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Nothing fails, nothing goes and nothing changes.
    Calm,
    /// One entity is watched by many while it changes and is purged again and again.
    Restless,
    /// Everything goes wrong at times.
    Rough,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) is_calm: bool,
    /// Two generations after another have one name and one length: the first of each pair is
    /// replaced by the second when it is purged.
    pub(super) twins: bool,
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
        // There is least to excuse in the calm ones.
        let mood = match seed % 3 {
            0 => Mood::Calm,
            1 => Mood::Restless,
            _ => Mood::Rough,
        };
        let is_calm = mood == Mood::Calm;
        let entities = match mood {
            Mood::Restless => 1,
            Mood::Calm | Mood::Rough => 1 + (chance.of(0..3) / 2) as usize,
        };
        let twins = mood == Mood::Restless && chance.per_mille(500);
        let lengths = lengths(chance, mood, twins);
        let validators = match (mood, chance.of(0..10)) {
            (Mood::Calm | Mood::Rough, 0) => Validators::None,
            (_, 0..2) => Validators::Date,
            _ => Validators::Etag,
        };
        let climate = match mood {
            Mood::Calm => Climate::calm(chance),
            Mood::Restless => Climate::restless(chance),
            Mood::Rough => Climate::rough(chance),
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
            window: chance.pick(&[64 * KIB, 256 * KIB, 1024 * KIB, 16 << 20]),
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
        let lives = match mood {
            Mood::Calm => 1,
            Mood::Restless => 1 + chance.of(0..2),
            Mood::Rough => 1 + chance.of(0..3),
        };
        let lives = (0..lives).map(|_| Life::new(chance, mood, entities, &lengths, climate));
        let lives: Vec<Life> = lives.collect();
        Self {
            is_calm,
            twins,
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
        let name = match self.twins {
            true => generation / 2 * 2,
            false => generation,
        };
        let validator = match self.validators {
            Validators::Etag => Some(Validator::Etag(format!("\"e{entity}g{name}\""))),
            Validators::Date => {
                let day = 1_600_000_000 + 86_400 * name as u64 + entity as u64;
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

    fn restless(chance: &mut Chance) -> Self {
        let mut often = |all: &[u64]| chance.pick(all);
        Self {
            think: often(&[0, 20, 200]),
            refuse: often(&[0, 0, 50]),
            whole: often(&[0, 0, 50]),
            reset: often(&[0, 0, 50]),
            stall: often(&[0, 300, 700]),
            stalled: 3000,
            frame: often(&[4 * KIB, 16 * KIB]),
            gap: often(&[1, 5, 20]),
            loss: often(&[0, 0, 20]),
            twice: often(&[0, 50]),
            late: often(&[0, 100, 900]),
            leave: often(&[0, 100]),
            pause: often(&[0, 20]),
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
            stalled: 90_000,
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

/// How long each generation of each entity is.
fn lengths(chance: &mut Chance, mood: Mood, twins: bool) -> [[u64; GENERATIONS]; ENTITIES] {
    let mut length = || match mood {
        Mood::Restless => chance.of(128 * KIB..1536 * KIB),
        Mood::Calm | Mood::Rough => chance.size(1..LONGEST - 1).max(1),
    };
    let mut lengths: [[u64; GENERATIONS]; ENTITIES] =
        std::array::from_fn(|_| std::array::from_fn(|_| length()));
    // As long as the one before, bytes of one lie where those of the other do.
    let alike = mood == Mood::Restless && chance.per_mille(700);
    for lengths in &mut lengths {
        for generation in 1..GENERATIONS {
            if alike || twins && generation % 2 == 1 {
                lengths[generation] = lengths[generation - 1];
            }
        }
    }
    lengths
}
