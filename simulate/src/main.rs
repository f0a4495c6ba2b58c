//! Which cache policy is best: drives the sidecar's policy code with synthetic traces, without HTTP
//! and without a disk. Every figure follows from the seed.

mod cache;
mod catalogue;
mod links;
mod order;
mod plan;
mod trace;
mod viewing;

use std::io::Write;

use anyhow::Result;
use clap::Parser;
use rand::SeedableRng;
use rand_pcg::Pcg64;

use catalogue::{Catalogue, PIECE};
use plan::{Eviction, Plan, Rules};
use trace::Trace;

/// Compares cache policies on synthetic traces.
#[derive(Debug, Parser)]
struct Options {
    /// Everything random comes from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many requests count; half as many come before them.
    #[arg(long, default_value_t = 10_000_000)]
    requests: usize,
    /// How many videos there are.
    #[arg(long, default_value_t = 1_000_000)]
    videos: u32,
    /// Only this trace.
    #[arg(long)]
    trace: Option<Trace>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let catalogue = Catalogue::new(options.videos, &mut Pcg64::seed_from_u64(options.seed))?;
    say(&format!(
        "{} segments, {} bytes",
        catalogue.segments(),
        catalogue.total() * PIECE
    ));
    let warm = options.requests / 2;
    let started = std::time::Instant::now();
    let which = options.trace.unwrap_or(Trace::Mixed);
    let trace = which.requests(&catalogue, options.requests + warm, options.seed)?;
    let viewers = trace.iter().filter(|request| request.first).count();
    say(&format!(
        "{}: {viewers} viewings {:?}",
        which.as_str(),
        started.elapsed()
    ));
    let d = Rules::default();
    let plans = [
        Plan::Entities,
        Plan::WholeFiles,
        Plan::Segments(Eviction::Lru),
        Plan::Segments(Eviction::Sieve),
        Plan::Segments(Eviction::S3Fifo),
        Plan::Watched(d),
        Plan::Watched(Rules {
            eviction: Eviction::Sieve,
            ..d
        }),
        Plan::Watched(Rules {
            eviction: Eviction::S3Fifo,
            ..d
        }),
        Plan::Watched(Rules {
            stage: Some(10),
            share: 0,
            ..d
        }),
        Plan::Watched(Rules {
            stage: Some(10),
            share: 0,
            eviction: Eviction::S3Fifo,
            ..d
        }),
        Plan::Watched(Rules {
            percent: 100,
            viewers: 2,
            ..d
        }),
        Plan::Watched(Rules {
            percent: 100,
            viewers: 2,
            share: 30,
            ..d
        }),
        Plan::Watched(Rules {
            percent: 100,
            viewers: 2,
            share: 0,
            stage: Some(10),
            ..d
        }),
        Plan::Watched(Rules {
            percent: 0,
            share: 0,
            ..d
        }),
    ];
    for permille in [5, 20] {
        let max = catalogue.total() * permille / 1000;
        for plan in plans {
            let started = std::time::Instant::now();
            let counts = plan.run(&catalogue, max, &trace, warm)?;
            say(&format!(
                "{permille:3} {:60} {:6.2} {:6.2} {:8.2} {:8.2} {:?}",
                plan.name(),
                counts.byte_ratio() * 100.0,
                counts.request_ratio() * 100.0,
                (counts.fetched * PIECE) as f64 / 1e12,
                (counts.written * PIECE) as f64 / 1e12,
                started.elapsed()
            ));
        }
    }
    Ok(())
}

/// Prints at once: a run takes minutes.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever has closed the pipe does not want it.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
