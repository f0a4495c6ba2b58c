//! A long time at a high rate: what grows, and what gets slower?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use e2e::content::Content;
use e2e::envoy_config::OriginUrl;
use e2e::origin::{Origin, Script};
use e2e::process::rss;
use e2e::stack::{Options, Stack};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::films::Film;
use crate::link::{Link, Wanted};
use crate::sample::{Outcome, quantile};
use crate::slopes::{Look, growth, quarters};
use crate::table::aligned;

/// It is over after so many requests, or this long, unless it is told how long.
const REQUESTS: u64 = 1_000_000;
const LASTS: Duration = Duration::from_secs(440);
const LINKS: u64 = 16;
/// Films that stay, and films that come and go, because there is no room for them.
const STAYING: u64 = 40;
const PASSING: u64 = 600;
/// One request in so many is for one of the latter.
const PASSES: u32 = 12;
const MAX_BYTES: &str = "192MiB";
const KIB: u64 = 1024;
const LOOK: Duration = Duration::from_secs(1);

/// The most that anything may grow with a million of requests.
const GROWTH: f64 = 0.02;
/// So many standard errors of it may be chance.
const SURE: f64 = 2.0;
/// The most that the last quarter's p99 may be of the second's.
const SLOWER: f64 = 1.2;

/// What is looked at.
const VALUES: [&str; 6] = [
    "sidecar memory",
    "Envoy memory",
    "sidecar descriptors",
    "Envoy descriptors",
    "segments on disk",
    "RocksDB on disk",
];

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) text: String,
    pub(crate) broken: Vec<String>,
}

#[derive(Debug, Default)]
struct Counts {
    times: Vec<Duration>,
    hits: u64,
    failures: Vec<String>,
}

/// Runs it.
pub(crate) async fn run(seed: u64, lasts: Option<Duration>) -> Result<Report> {
    let most = lasts.map_or(REQUESTS, |_| u64::MAX);
    let lasts = lasts.unwrap_or(LASTS);
    let origin = Arc::new(Origin::start().await?);
    let mut options = Options::new(OriginUrl::http(origin.address()));
    options.concurrency = Some(2);
    options.max_bytes = Some(MAX_BYTES.to_owned());
    let films: Vec<Film> = (0..STAYING + PASSING)
        .map(|index| Film::new(&format!("/films/{index}"), (512 + index % 512) * KIB, false))
        .collect();
    for film in &films {
        origin.script(film.path(), script(film));
    }
    let mut stack = Stack::start(options).await?;
    let counts = Arc::<Mutex<Counts>>::default();
    let films = Arc::new(films);
    let began = Instant::now();
    let mut links = JoinSet::new();
    for number in 0..LINKS {
        let mut link = Link::new(stack.ingress(), format!("link-{number}"));
        let mut random = Pcg64::seed_from_u64(seed ^ (number << 32));
        let (films, counts) = (Arc::clone(&films), Arc::clone(&counts));
        links.spawn(async move {
            while began.elapsed() < lasts && answered(&counts) < most {
                request(&mut link, &films, &mut random, &counts).await;
            }
        });
    }
    let mut looks = Vec::new();
    let pids = [stack.sidecar(0).pid(), stack.envoy().pid()];
    let data = stack.data(0);
    while !links.is_empty() {
        sleep(LOOK).await;
        while links.try_join_next().is_some() {}
        looks.push(look(answered(&counts), pids, &data));
    }
    let ended = stack.reap();
    if !ended.is_empty() {
        bail!("{}\n{}", ended.join(", "), stack.logs());
    }
    stack.stop().await?;
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(report(&looks, &counts, began.elapsed()))
}

fn script(film: &Film) -> Script {
    let content: Content = film.content(1);
    Script::new(content)
}

fn answered(counts: &Mutex<Counts>) -> u64 {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts.times.len() as u64
}

async fn request(link: &mut Link, films: &[Film], random: &mut Pcg64, counts: &Mutex<Counts>) {
    let passes = random.random_ratio(1, PASSES);
    let index = if passes {
        random.random_range(STAYING..STAYING + PASSING)
    } else {
        random.random_range(0..STAYING)
    };
    let film = &films[index as usize];
    // Who comes to one that passes watches a third of it, which makes it worth keeping.
    let length = if passes {
        film.length() / 3
    } else {
        random.random_range(4..32) * KIB
    };
    let from = random.random_range(0..film.length() - length);
    let range = (from, from + length);
    let (query, read, pace) = ("", length, None);
    let began = Instant::now();
    let got = link
        .get(&Wanted {
            film,
            query,
            range,
            read,
            pace,
        })
        .await;
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts.times.push(began.elapsed());
    counts.hits += u64::from(got.hit);
    if got.outcome != Outcome::Right {
        counts.failures.push(format!("{:?}", got.outcome));
    }
}

fn look(requests: u64, pids: [i32; 2], data: &Path) -> Look {
    let memory = pids.map(|pid| rss(pid).unwrap_or(0));
    let descriptors = pids.map(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd"));
        open.map_or(0, |open| open.count() as u64)
    });
    let disk = ["segments", "index"].map(|name| allocated(&data.join(name)));
    let values = [memory, descriptors, disk].concat();
    Look { requests, values }
}

/// Bytes of disk that the files below a folder occupy.
fn allocated(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        // Removed meanwhile.
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

fn report(looks: &[Look], counts: &Counts, took: Duration) -> Report {
    let mut broken = Vec::new();
    let mut rows = vec![["what", "is", "limit", ""].map(str::to_owned)];
    let mut row = |what: &str, is: String, limit: String, holds: bool| {
        if !holds {
            broken.push(format!("{what}: {is}, limit {limit}"));
        }
        let holds = if holds { "holds" } else { "BROKEN" };
        rows.push([what.to_owned(), is, limit, holds.to_owned()]);
    };
    let failures = &counts.failures;
    let first = failures.first().map(|first| format!(": {first}"));
    let failed = format!("{}{}", failures.len(), first.unwrap_or_default());
    row(
        "failed or wrong",
        failed,
        "0".to_owned(),
        failures.is_empty(),
    );
    for (index, what) in VALUES.iter().enumerate() {
        let growth = growth(looks, index);
        let count = what.contains("descriptors");
        let unit = if count { 1.0 } else { f64::from(1 << 20) };
        let means = growth.quarters.map(|mean| format!("{:.1}", mean / unit));
        let mean = means.join(", ") + if count { "" } else { " MiB" };
        let percent = |part: f64| part * 100.0;
        let is = format!(
            "{mean}: {:+.1} % a million, give or take {:.1}",
            percent(growth.per_million),
            percent(growth.error),
        );
        let limit = format!("{:+.0} % a million", percent(GROWTH));
        // What cannot be told from nothing is no growth.
        let surely = growth.per_million - SURE * growth.error;
        row(what, is, limit, surely <= GROWTH);
    }
    let quarters = quarters(&counts.times);
    let p99 = |quarter: usize| {
        quarters
            .get(quarter)
            .map_or(Duration::ZERO, |q| quantile(q, 0.99))
    };
    let (second, last) = (p99(1), p99(3));
    row(
        "p99, last quarter beside the second",
        format!("{last:.1?} beside {second:.1?}"),
        format!("{SLOWER} times"),
        last <= second.mul_f64(SLOWER),
    );
    let requests = counts.times.len();
    let text = format!(
        "{requests} requests in {:.0} s, {:.0} % of them hits\n\n{}",
        took.as_secs_f64(),
        100.0 * counts.hits as f64 / requests.max(1) as f64,
        aligned(rows),
    );
    Report { text, broken }
}
