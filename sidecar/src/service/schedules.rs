//! Fills, followers and evictions in every order: the real service and the real store, with a
//! clock that stands still until all have done what they can, threads that take turns, and an
//! origin in memory. What happens, and in which order, follows from a seed; `docs/SCHEDULES.md`.

mod audit;
mod chance;
mod content;
mod course;
mod life;
mod mirror;
mod origin;
mod plan;
mod purges;
pub(crate) mod threads;
mod transfers;
mod viewer;
mod wire;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use clap::Parser;

use super::Service;
use crate::config::{Config, Written};
use crate::terms::{Miss, Terms};
use course::{Death, Event, Life, Moment, Request};
use life::{Seen, World, live};
use origin::Origin;
use plan::{Climate, Plan, Validators};
use threads::{Disk, Scheduler, take};

/// What came of a schedule, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    violations: Vec<String>,
    steps: u64,
    trace: u64,
    lives: u64,
    complete: u64,
    cuts: u64,
    handed_back: u64,
    served: u64,
    asked: u64,
    brought: u64,
}

fn config(plan: &Plan, dir: &Path) -> Config {
    let terms = plan.terms;
    let miss = match terms.miss {
        Miss::Mirror => "mirror",
        Miss::Relay => "relay",
    };
    let text = format!(
        "[profiles.generic]\nmiss = \"{miss}\"\nwindow = \"{}\"\nlease = \"{}\"\n\
         bridge = \"{}\"\nread_ahead = \"{}\"\n",
        terms.window, terms.lease, terms.bridge, terms.read_ahead
    );
    let file = dir.join("viewcache.toml");
    std::fs::write(&file, text).expect("a file");
    let (data, max) = (dir.join("data"), plan.max_bytes.to_string());
    let args = [
        "x",
        "--config",
        file.to_str().expect("a path"),
        "--data-dir",
        data.to_str().expect("a path"),
        "--max-bytes",
        &max,
    ];
    let written = Written::try_parse_from(args).expect("flags");
    Config {
        ingest_memory: plan.ingest_memory.to_string().parse().expect("a size"),
        ..Config::new(written).expect("a configuration")
    }
}

/// Runs a seed's schedule.
fn run(seed: u64) -> Outcome {
    play(seed, Plan::new(seed))
}

/// Plays what was planned; the rest follows from the seed.
fn play(seed: u64, plan: Plan) -> Outcome {
    threads::notice_panics();
    let plan = Arc::new(plan);
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let dir = dir.expect("a folder");
    let config = config(&plan, dir.path());
    if std::env::var_os("TRACE").is_some() {
        eprintln!("{plan:#?}");
    }
    let origin = Origin::new(Arc::clone(&plan));
    let mut outcome = Outcome::default();
    let mut damaged = BTreeSet::new();
    for number in 0..plan.lives.len() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let dawn = UNIX_EPOCH + Duration::from_secs(1_800_000_000 + 86_400 * number as u64);
        origin.forget();
        let entered = runtime.enter();
        let scheduler = Scheduler::begin(
            seed ^ (number as u64) << 56,
            plan.disk,
            plan.lives[number].strikes(),
            dawn,
            Arc::clone(&origin),
        );
        drop(entered);
        let lived = runtime.block_on(async {
            let service = match Service::open(&config) {
                Ok(service) => service,
                Err(error) => {
                    scheduler.violation(format!("it cannot be opened: {error}"));
                    return None;
                }
            };
            origin.state().sidecar = Arc::downgrade(&service);
            let world = Arc::new(World {
                plan: Arc::clone(&plan),
                origin: Arc::clone(&origin),
                scheduler: Arc::clone(&scheduler),
                service,
                dir: config.data_dir.clone(),
                wanted: Mutex::default(),
                damaged: Mutex::new(std::mem::take(&mut damaged)),
                seen: Seen::default(),
            });
            live(&world, number).await;
            Some(world)
        });
        drop(runtime);
        scheduler.end();
        let (steps, trace) = scheduler.traced();
        outcome.steps += steps;
        outcome.trace = chance::mix(outcome.trace ^ trace);
        outcome.lives += 1;
        outcome.violations.append(&mut take(&scheduler.violations));
        let Some(world) = lived else {
            break;
        };
        outcome.complete += world.seen.complete.load(Ordering::Relaxed);
        outcome.cuts += world.seen.cuts.load(Ordering::Relaxed);
        outcome.handed_back += world.seen.handed_back.load(Ordering::Relaxed);
        outcome.served += world.seen.served.load(Ordering::Relaxed);
        outcome.brought += world.service.metrics.origin_bytes.get();
        damaged = take(&world.damaged).clone();
        let broken = !outcome.violations.is_empty();
        if !broken
            && let Some(world) = Arc::into_inner(world)
            && 1 < Arc::strong_count(&world.service)
        {
            outcome
                .violations
                .push("somebody holds the service".to_owned());
        }
        if !outcome.violations.is_empty() {
            break;
        }
        let killed = plan.lives[number].death != Death::Stopped;
        let found = audit::folder(&config.data_dir, killed, !damaged.is_empty());
        outcome.violations.extend(found);
    }
    outcome.asked = origin.asked();
    if !outcome.violations.is_empty() {
        outcome.violations.truncate(8);
        outcome
            .violations
            .insert(0, format!("SEED={seed} breaks a rule:"));
    }
    outcome
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs many on as many threads as there are processors, and tells what came of them.
fn run_all(seeds: std::ops::Range<u64>) -> Outcome {
    let began = std::time::Instant::now();
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new(Outcome::default());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    let outcome = run(seed);
                    let mut sum = take(&sum);
                    sum.violations.extend(outcome.violations);
                    sum.steps += outcome.steps;
                    sum.lives += outcome.lives;
                    sum.complete += outcome.complete;
                    sum.cuts += outcome.cuts;
                    sum.handed_back += outcome.handed_back;
                    sum.served += outcome.served;
                    sum.asked += outcome.asked;
                    sum.brought += outcome.brought;
                }
            });
        }
    });
    let mut sum = sum.into_inner().expect("nobody panics");
    let violations = std::mem::take(&mut sum.violations);
    let many = seeds.end - seeds.start;
    eprintln!("{many} schedules in {:?}: {sum:?}", began.elapsed());
    Outcome { violations, ..sum }
}

/// `SEED=7` runs one, `SCHEDULES=100000` many, from `FIRST` on.
#[test]
fn every_schedule_keeps_the_rules() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("FIRST").unwrap_or(0);
            first..first + number("SCHEDULES").unwrap_or(300)
        }
    };
    let outcome = run_all(seeds);
    assert!(
        outcome.violations.is_empty(),
        "{}",
        outcome.violations.join("\n")
    );
}

#[test]
fn a_seed_does_the_same_again() {
    for seed in [3, 4, 5, 100, 101, 102] {
        assert_eq!(run(seed), run(seed), "SEED={seed}");
    }
}

#[test]
fn a_disk_that_hangs_costs_a_viewer_no_request_to_the_origin() {
    let request = |after| Request {
        after: Duration::from_secs(after),
        entity: 0,
        range: None,
        pace: 0,
        leaves: u64::MAX,
        remembered: false,
    };
    let life = Life {
        // The second comes when what the first has had is on its way to the disk alone.
        viewers: vec![vec![request(0)], vec![request(1)]],
        events: vec![(Moment::Write(1), Event::DiskHangs(Duration::from_secs(10)))],
        death: Death::Stopped,
    };
    let outcome = play(
        0,
        Plan {
            is_calm: false,
            twins: false,
            entities: 1,
            lengths: [[100_000; content::GENERATIONS]; content::ENTITIES],
            validators: Validators::Etag,
            max_age: 100_000,
            terms: Terms {
                miss: Miss::Relay,
                ..Terms::default()
            },
            max_bytes: 64 << 20,
            ingest_memory: 64 << 20,
            climate: Climate {
                frame: 16 << 10,
                ..Climate::default()
            },
            disk: Disk {
                often: 1,
                seldom: 1,
                cold: 0,
            },
            lives: vec![life],
        },
    );
    assert_eq!(outcome.violations, Vec::<String>::new());
    assert_eq!((outcome.complete, outcome.cuts, outcome.asked), (2, 0, 1));
}
