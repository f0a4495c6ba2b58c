//! Runs the policies of a sheet, several at a time.

use std::sync::Mutex;

use anyhow::Result;
use rand::SeedableRng;
use rand_pcg::Pcg64;

use crate::catalogue::Catalogue;
use crate::plan::{Counts, Plan};
use crate::report::{Row, tebibytes};
use crate::sheets::Sheet;
use crate::trace::Trace;
use crate::viewing::Request;

/// The catalogue, the trace that was needed last and what was measured on it.
#[derive(Debug)]
pub(crate) struct Lab {
    catalogue: Catalogue,
    seed: u64,
    /// Requests that count, and those before them, which fill the cache.
    requests: usize,
    warm: usize,
    trace: Option<(Trace, Vec<Request>)>,
    /// What was measured of any trace.
    known: Vec<(Trace, Row)>,
}

impl Lab {
    pub(crate) fn new(videos: u32, requests: usize, seed: u64) -> Result<Self> {
        Ok(Self {
            catalogue: Catalogue::new(videos, &mut Pcg64::seed_from_u64(seed))?,
            seed,
            requests,
            warm: requests / 2,
            trace: None,
            known: Vec::new(),
        })
    }

    /// What is simulated, in a sentence each line.
    pub(crate) fn facts(&self) -> String {
        format!(
            "Seed {}; {} videos of {} in {} segments; {} requests of each trace count, after {} that fill the cache.\n",
            self.seed,
            self.catalogue.entities(),
            tebibytes(self.catalogue.total()),
            self.catalogue.segments(),
            self.requests,
            self.warm,
        )
    }

    /// Measures what the sheet wants, one row after the other.
    pub(crate) fn measure(&mut self, sheet: &Sheet, threads: usize) -> Result<Vec<Row>> {
        let mut jobs = Vec::new();
        for &size in sheet.sizes {
            jobs.extend(sheet.plans.iter().map(|&plan| (size, plan)));
        }
        let mut missing = jobs.clone();
        missing.retain(|&job| self.find(sheet.trace, job).is_none());
        self.load(sheet.trace)?;
        let measured = self.run(&missing, threads)?;
        self.known
            .extend(measured.into_iter().map(|row| (sheet.trace, row)));
        let rows = jobs.iter().filter_map(|&job| self.find(sheet.trace, job));
        Ok(rows.collect())
    }

    fn find(&self, trace: Trace, (size, plan): (u16, Plan)) -> Option<Row> {
        let is = |&&(of, row): &&(Trace, Row)| of == trace && row.size == size && row.plan == plan;
        self.known.iter().find(is).map(|&(_, row)| row)
    }

    fn load(&mut self, trace: Trace) -> Result<()> {
        if self
            .trace
            .as_ref()
            .is_some_and(|&(loaded, _)| loaded == trace)
        {
            return Ok(());
        }
        // The one before goes first: two are much.
        self.trace = None;
        let all = self.requests + self.warm;
        let requests = trace.requests(&self.catalogue, all, self.seed)?;
        self.trace = Some((trace, requests));
        Ok(())
    }

    fn run(&self, jobs: &[(u16, Plan)], threads: usize) -> Result<Vec<Row>> {
        let requests = self
            .trace
            .as_ref()
            .map_or(&[][..], |(_, requests)| requests);
        let queue = Mutex::new(jobs.iter());
        let next = || queue.lock().ok()?.next();
        let work = || {
            let mut rows = Vec::new();
            while let Some(&(size, plan)) = next() {
                let counts = self.count(size, plan, requests)?;
                rows.push(Row { size, plan, counts });
            }
            Ok(rows)
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mut rows = Vec::new();
            for worker in workers {
                let done: Result<Vec<Row>> = worker.join().expect("a policy does not panic");
                rows.extend(done?);
            }
            Ok(rows)
        })
    }

    fn count(&self, size: u16, plan: Plan, requests: &[Request]) -> Result<Counts> {
        let max = self.catalogue.total() * u64::from(size) / 1000;
        plan.run(&self.catalogue, max, requests, self.warm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Eviction, Rules};
    use crate::sheets;

    /// A hundredth of what `make simulate` does.
    fn lab() -> Lab {
        Lab::new(10_000, 100_000, 1).unwrap()
    }

    #[test]
    fn no_policy_loses_or_invents_a_byte() {
        let mut lab = lab();
        for sheet in sheets::all() {
            for row in lab.measure(&sheet, 2).unwrap() {
                let counts = row.counts;
                let name = format!("{}: {}", sheet.trace.as_str(), row.plan.name());
                assert_eq!(counts.requests, 100_000, "{name}");
                if row.plan != Plan::WholeFiles {
                    assert_eq!(counts.hit + counts.fetched, counts.requested, "{name}");
                }
                // What is on the disk has been written; what the cache may have is checked by it.
                match row.plan {
                    Plan::Watched(Rules { stage: Some(_), .. }) => {}
                    Plan::Watched(Rules { turnover: 1.., .. }) => {
                        assert!(counts.written <= counts.fetched, "{name}");
                    }
                    _ => assert_eq!(counts.written, counts.fetched, "{name}"),
                }
                assert!(0 < counts.peak, "{name}");
            }
        }
    }

    #[test]
    fn a_seed_is_a_result() {
        let sheet = Sheet {
            title: "",
            trace: Trace::Mixed,
            sizes: &[20],
            plans: vec![
                sheets::OTHERS,
                Plan::Watched(Rules::default()),
                Plan::Segments(Eviction::S3Fifo),
            ],
        };
        let counts = |threads| -> Vec<Counts> {
            let rows = lab().measure(&sheet, threads).unwrap();
            rows.iter().map(|row| row.counts).collect()
        };
        assert_eq!(counts(1), counts(3));
    }

    #[test]
    fn the_default_writes_less_for_as_many_hits() {
        // A tenth of the requests takes a tenth of the time, and there is a tenth of the room.
        let default = Plan::Watched(Rules {
            turnover: 10 * Rules::default().turnover,
            turnover_min: 0,
            ..Rules::default()
        });
        let sheet = Sheet {
            title: "",
            trace: Trace::Mixed,
            sizes: &[10],
            plans: vec![sheets::OTHERS, default],
        };
        for seed in 1..3 {
            let mut lab = Lab::new(100_000, 1_000_000, seed).unwrap();
            lab.measure(&sheet, 2).unwrap();
            let counts = |plan| lab.find(Trace::Mixed, (10, plan)).unwrap().counts;
            let (others, default) = (counts(sheets::OTHERS), counts(default));
            assert!(others.byte_ratio() < default.byte_ratio(), "{seed}");
            // The aim is 70 %.
            assert!(default.written * 10 < others.written * 4, "{seed}");
        }
    }

    #[test]
    fn the_second_viewer_and_s3_fifo_write_less_for_no_fewer_hits() {
        for seed in 1..4 {
            let sheet = Sheet {
                title: "",
                trace: Trace::Mixed,
                sizes: &[10, 20],
                plans: vec![
                    sheets::OTHERS,
                    sheets::best(),
                    Plan::Segments(Eviction::Lru),
                    Plan::Segments(Eviction::S3Fifo),
                ],
            };
            let mut lab = Lab::new(20_000, 200_000, seed).unwrap();
            lab.measure(&sheet, 2).unwrap();
            let find = |size, plan| lab.find(Trace::Mixed, (size, plan)).unwrap().counts;
            for &size in sheet.sizes {
                let others = find(size, sheets::OTHERS);
                let best = find(size, sheets::best());
                assert!(others.byte_ratio() < best.byte_ratio(), "{seed} {size}");
                assert!(best.written * 10 < others.written * 7, "{seed} {size}");
                let lru = find(size, Plan::Segments(Eviction::Lru));
                let s3_fifo = find(size, Plan::Segments(Eviction::S3Fifo));
                assert!(lru.byte_ratio() < s3_fifo.byte_ratio(), "{seed} {size}");
            }
        }
    }
}
