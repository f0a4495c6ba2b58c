//! The policies that are compared.

use anyhow::bail;
use viewcache_sidecar::policy::{Admit, Enough, Policy};

use crate::cache::{Cache, Fetch, Open, Terms, Watched, Whole};
use crate::catalogue::{Catalogue, PIECE};
use crate::order::{Lru, S3Fifo, Sieve, Tails};
use crate::viewing::Request;

/// Of so many percent of the catalogue's entities the sidecar remembers who has watched them: it
/// does of 30,000, which is that of a million.
const REMEMBERED: u8 = 3;

/// In which order segments go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eviction {
    Lru,
    Sieve,
    S3Fifo,
    /// By entity, tails first.
    Tails,
}

impl Eviction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Lru => "segment LRU",
            Self::Sieve => "segment SIEVE",
            Self::S3Fifo => "segment S3-FIFO",
            Self::Tails => "entity LRU from the tail",
        }
    }
}

/// A policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Everything is stored as it is watched; entities go whole.
    Entities,
    /// Everything is fetched and stored to its end; entities go whole.
    WholeFiles,
    /// Everything is stored as it is watched; segments go.
    Segments(Eviction),
    /// The sidecar's.
    Watched(Rules),
}

/// What of the sidecar's policy differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) enough: Enough,
    pub(crate) viewers: u8,
    /// Percent of the room for what is provisional.
    pub(crate) share: u8,
    pub(crate) eviction: Eviction,
    /// Thousandths of the room for what is provisional, in memory instead of on the disk.
    pub(crate) stage: Option<u16>,
    /// Of how many percent of the entities it is remembered who watched them when nothing of them
    /// is stored.
    pub(crate) memory: u8,
    /// Whether a pool may have more than its share while there is room.
    pub(crate) lend: bool,
    /// Percent of the room that what only one viewer has begun may take in a day from what was
    /// stored before; 0 is no limit.
    pub(crate) turnover: u16,
    /// But never less than so many bytes.
    pub(crate) turnover_min: u64,
}

impl Default for Rules {
    /// The sidecar's defaults.
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            enough: policy.admit.watched_percent,
            viewers: policy.admit.viewers,
            share: policy.provisional_percent,
            eviction: Eviction::Lru,
            stage: None,
            memory: REMEMBERED,
            lend: policy.lend_room,
            turnover: policy.turnover_percent,
            turnover_min: policy.turnover_min_bytes,
        }
    }
}

impl Rules {
    fn terms(self, catalogue: &Catalogue, max: u64) -> Terms {
        let policy = Policy {
            admit: Admit {
                watched_percent: self.enough,
                viewers: self.viewers,
            },
            provisional_percent: self.share,
            lend_room: self.lend,
            turnover_percent: self.turnover,
            turnover_min_bytes: self.turnover_min,
            ..Policy::default()
        };
        Terms {
            policy,
            stage: self.stage.map(|part| max * u64::from(part) / 1000),
            memory: catalogue.entities() * usize::from(self.memory) / 100,
        }
    }

    fn name(self) -> String {
        let mut name = match (self.enough, self.viewers) {
            (Enough::Never, viewers) => format!("{viewers} viewers"),
            (Enough::Percent(percent), 0) => format!("watched {percent} %"),
            (Enough::Percent(percent), viewers) => {
                format!("watched {percent} % or {viewers} viewers")
            }
        };
        match self.stage {
            Some(part) => {
                let then = if self.lend { " when full" } else { "" };
                name += &format!(", {} % in memory{then}", f64::from(part) / 10.0);
            }
            None if self.lend => name += &format!(", at least {} % provisional", self.share),
            None => name += &format!(", {} % provisional", self.share),
        }
        if 0 < self.turnover {
            name += &format!(", {} % a day", self.turnover);
        }
        if 0 < self.memory {
            name += &format!(", {} % remembered", self.memory);
        }
        name + ", " + self.eviction.as_str()
    }
}

/// Of the requests that count, in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Requests that needed no origin.
    pub(crate) hits: u64,
    pub(crate) requested: u64,
    pub(crate) hit: u64,
    pub(crate) fetched: u64,
    pub(crate) written: u64,
    /// The most that was on the disk.
    pub(crate) peak: u64,
}

impl Counts {
    /// How much of what was requested the origin did not have to send.
    pub(crate) fn byte_ratio(&self) -> f64 {
        1.0 - self.fetched as f64 / self.requested as f64
    }

    pub(crate) fn request_ratio(&self) -> f64 {
        self.hits as f64 / self.requests as f64
    }
}

impl Plan {
    /// Its name.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Entities => "everything, whole entity LRU".into(),
            Self::WholeFiles => "whole files, whole entity LRU".into(),
            Self::Segments(eviction) => format!("everything, {}", eviction.as_str()),
            Self::Watched(rules) => rules.name(),
        }
    }

    /// Runs the trace; what comes before `warm` counts for nothing.
    pub(crate) fn run(
        self,
        catalogue: &Catalogue,
        max: u64,
        trace: &[Request],
        warm: usize,
    ) -> anyhow::Result<Counts> {
        let run = Run { max, trace, warm };
        match self {
            Self::Entities => run.drive(Whole::new(catalogue, max, Fetch::Asked)),
            Self::WholeFiles => run.drive(Whole::new(catalogue, max, Fetch::All)),
            Self::Segments(eviction) => match eviction {
                Eviction::Lru => run.drive(Open::<Lru>::new(catalogue, max)),
                Eviction::Sieve => run.drive(Open::<Sieve>::new(catalogue, max)),
                Eviction::S3Fifo => run.drive(Open::<S3Fifo>::new(catalogue, max)),
                Eviction::Tails => run.drive(Open::<Tails<'_>>::new(catalogue, max)),
            },
            Self::Watched(rules) => {
                let terms = rules.terms(catalogue, max);
                match rules.eviction {
                    Eviction::Lru => run.drive(Watched::<Lru>::new(catalogue, max, terms)),
                    Eviction::Sieve => run.drive(Watched::<Sieve>::new(catalogue, max, terms)),
                    Eviction::S3Fifo => run.drive(Watched::<S3Fifo>::new(catalogue, max, terms)),
                    Eviction::Tails => run.drive(Watched::<Tails<'_>>::new(catalogue, max, terms)),
                }
            }
        }
    }
}

struct Run<'a> {
    max: u64,
    trace: &'a [Request],
    warm: usize,
}

impl Run<'_> {
    fn drive(&self, mut cache: impl Cache) -> anyhow::Result<Counts> {
        let mut counts = Counts::default();
        for (at, request) in self.trace.iter().enumerate() {
            let served = cache.serve(request);
            counts.peak = counts.peak.max(cache.used());
            if at < self.warm {
                continue;
            }
            let requested = u64::from(request.pieces);
            counts.requests += 1;
            counts.hits += u64::from(served.hit == requested);
            counts.requested += requested;
            counts.hit += served.hit;
            counts.fetched += served.fetched;
            counts.written += served.written;
        }
        if self.max < counts.peak {
            let over = (counts.peak - self.max) * PIECE;
            bail!("{over} bytes more than the cache may have were stored");
        }
        Ok(counts)
    }
}
