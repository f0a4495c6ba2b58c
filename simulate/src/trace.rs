//! What is asked for, in which order: everything comes from the seed.

use clap::ValueEnum;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1, Zipf};
use rand_pcg::Pcg64;

use crate::catalogue::Catalogue;
use crate::viewing::{Manner, Request, Viewing};

/// The popularity of rank `k` goes as `k` to the power of minus this.
const EXPONENT: f64 = 0.8;

/// So many watch at a time.
const AUDIENCE: usize = 1000;

/// One place of the ranking changes hands after so many viewings, on the average.
const DRIFT: u32 = 500;

/// Between two new releases, in requests.
const RELEASE: usize = 10_000;

/// Of so many releases' age is the average viewing of a new one.
const NOVELTY: f64 = 30.0;

/// The traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Trace {
    /// Steady popularity; everybody watches all of it.
    Zipf,
    /// Steady popularity; people leave early.
    Leavers,
    /// The same, beside scanners.
    Scan,
    /// The same, beside new releases.
    Burst,
    /// All of it, with seekers and with a popularity that drifts.
    Mixed,
}

/// Who chooses what to watch, and how it is watched.
#[derive(Clone, Copy, Debug)]
enum Crowd {
    /// By popularity.
    Popular(Manner),
    /// What is new.
    New,
    /// One entity after the other.
    Scanner,
}

impl Trace {
    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Zipf => "zipf",
            Self::Leavers => "leavers",
            Self::Scan => "scan",
            Self::Burst => "burst",
            Self::Mixed => "mixed",
        }
    }

    /// Of a hundred requests, how many are whose.
    const fn crowds(self) -> &'static [(Crowd, usize)] {
        const LEAVES: Crowd = Crowd::Popular(Manner::Leaves);
        const SEEKS: Crowd = Crowd::Popular(Manner::Seeks);
        match self {
            Self::Zipf => &[(Crowd::Popular(Manner::Whole), 100)],
            Self::Leavers => &[(LEAVES, 100)],
            Self::Scan => &[(LEAVES, 70), (Crowd::Scanner, 30)],
            Self::Burst => &[(LEAVES, 50), (Crowd::New, 50)],
            Self::Mixed => &[
                (LEAVES, 55),
                (SEEKS, 15),
                (Crowd::New, 20),
                (Crowd::Scanner, 10),
            ],
        }
    }

    /// So many requests.
    pub(crate) fn requests(
        self,
        catalogue: &Catalogue,
        requests: usize,
        seed: u64,
    ) -> anyhow::Result<Vec<Request>> {
        let mut world = World::new(self, catalogue, seed)?;
        let mut crowds = Vec::new();
        for &(crowd, percent) in self.crowds() {
            crowds.resize(crowds.len() + AUDIENCE * percent / 100, crowd);
        }
        let mut audience: Vec<Viewing> = Vec::new();
        for &crowd in &crowds {
            audience.push(world.begin(crowd, 0));
        }
        let mut trace = Vec::with_capacity(requests);
        while trace.len() < requests {
            let seat = world.random.random_range(0..audience.len());
            let Some(request) = audience[seat].next() else {
                unreachable!("a viewing that has ended was replaced");
            };
            if request.last {
                audience[seat] = world.begin(crowds[seat], trace.len());
            }
            trace.push(request);
        }
        Ok(trace)
    }
}

/// What is popular and what is new.
struct World<'a> {
    catalogue: &'a Catalogue,
    random: Pcg64,
    zipf: Zipf<f64>,
    /// The entities by popularity; new ones come from its end.
    ranks: Vec<u32>,
    /// The entities in the order of the scanners.
    scan: Vec<u32>,
    scanned: usize,
    drifts: bool,
    viewers: u32,
}

impl<'a> World<'a> {
    fn new(trace: Trace, catalogue: &'a Catalogue, seed: u64) -> anyhow::Result<Self> {
        let mut random = Pcg64::seed_from_u64(seed);
        let entities = u32::try_from(catalogue.entities())?;
        let mut ranks: Vec<u32> = (0..entities).collect();
        ranks.shuffle(&mut random);
        let mut scan = ranks.clone();
        scan.shuffle(&mut random);
        Ok(Self {
            catalogue,
            random,
            zipf: Zipf::new(f64::from(entities), EXPONENT)?,
            ranks,
            scan,
            scanned: 0,
            drifts: trace == Trace::Mixed,
            viewers: 0,
        })
    }

    fn begin(&mut self, crowd: Crowd, now: usize) -> Viewing {
        let (entity, manner) = match crowd {
            Crowd::Popular(manner) => (self.popular(), manner),
            Crowd::New => (self.new_release(now), Manner::Leaves),
            Crowd::Scanner => {
                let entity = self.scan[self.scanned % self.scan.len()];
                self.scanned += 1;
                (entity, Manner::Scans)
            }
        };
        self.viewers += 1;
        let length = self.catalogue.pieces(entity);
        Viewing::new(manner, entity, self.viewers, length, &mut self.random)
    }

    fn popular(&mut self) -> u32 {
        let rank = self.rank();
        if self.drifts && self.random.random_ratio(1, DRIFT) {
            let other = self.random.random_range(0..self.ranks.len());
            let falls = self.rank();
            self.ranks.swap(falls, other);
        }
        self.ranks[rank]
    }

    fn rank(&mut self) -> usize {
        let rank = self.zipf.sample(&mut self.random) as usize;
        rank.clamp(1, self.ranks.len()) - 1
    }

    fn new_release(&mut self, now: usize) -> u32 {
        let age: f64 = Exp1.sample(&mut self.random);
        let newest = now / RELEASE + (5.0 * NOVELTY) as usize;
        let release = newest.saturating_sub((age * NOVELTY) as usize);
        let last = self.ranks.len() - 1;
        self.ranks[last - release % self.ranks.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_trace() {
        let catalogue = Catalogue::new(500, &mut Pcg64::seed_from_u64(1)).unwrap();
        let trace = |seed| Trace::Mixed.requests(&catalogue, 5000, seed).unwrap();
        assert_eq!(trace(1), trace(1));
        assert_ne!(trace(1), trace(2));
    }

    #[test]
    fn every_viewer_comes_once_and_stays_within_the_entity() {
        let catalogue = Catalogue::new(500, &mut Pcg64::seed_from_u64(1)).unwrap();
        for trace in Trace::value_variants() {
            let mut known = std::collections::BTreeSet::new();
            for request in trace.requests(&catalogue, 20_000, 3).unwrap() {
                assert_eq!(known.insert(request.viewer), request.first);
                let end = request.start + u32::from(request.pieces);
                assert!(0 < request.pieces && end <= catalogue.pieces(request.entity));
            }
        }
    }
}
