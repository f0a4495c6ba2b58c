//! Everything is stored: how fast is it served?

use anyhow::{Result, ensure};

use super::{MIB, per_gigabyte, settle};
use crate::client::{self, Ask, Load, percentile};
use crate::sheet::Sheet;
use crate::subject::Subject;
use crate::{BEHIND, Bench, PLAIN, VIEWCACHE};

const CLIENTS: u64 = 16;

/// The file of the warm rows.
const LENGTH: u64 = 256 * MIB;

/// Stores a file everywhere; how often it is asked for until it is there is bounded.
async fn warm(bench: &mut Bench, name: &str, length: u64) -> Result<()> {
    let ask = Ask::whole(name, length);
    let origin = bench.origin.clone();
    for subject in bench.subjects() {
        let mut before;
        let mut tries = 0;
        loop {
            before = origin.file(name).sent;
            client::all(subject.address, vec![vec![ask.clone()]]).await?;
            settle().await;
            tries += 1;
            if subject.name == PLAIN || origin.file(name).sent == before {
                break;
            }
            ensure!(tries < 10, "{}: {name} does not become warm", subject.name);
        }
    }
    Ok(())
}

/// A number that looks random; the same at every run.
fn scattered(n: u64) -> u64 {
    let mixed = (n ^ (n >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

async fn load(subject: &mut Subject, sheet: &mut Sheet, lists: Vec<Vec<Ask>>) -> Result<Load> {
    let before = subject.usage();
    let load = client::all(subject.address, lists).await?;
    let cpu = subject.usage().cpu - before.cpu;
    let name = subject.name;
    sheet.add("MB/s", name, load.megabytes());
    sheet.add("requests/s", name, load.rate());
    sheet.add("p50 ms", name, percentile(&load.took, 50));
    sheet.add("p99 ms", name, percentile(&load.took, 99));
    sheet.add("CPU s/GB", name, per_gigabyte(cpu, load.bytes));
    sheet.add("CPU µs/request", name, cpu * 1e6 / load.took.len() as f64);
    Ok(load)
}

/// Random aligned ranges of one file.
pub(super) async fn ranges(bench: &mut Bench, len: u64) -> Result<Sheet> {
    warm(bench, "warm", LENGTH).await?;
    let (rounds, total) = (bench.rounds, if bench.quick { 96 } else { 640 } * MIB);
    let each = (total / len).min(16_000) / CLIENTS;
    let mut sheet = Sheet::default();
    for round in 0..rounds as u64 {
        for subject in bench.subjects() {
            let list = |client: u64| {
                let ask = |n: u64| {
                    let slot = scattered(round * 1_000_003 + client * 10_007 + n) % (LENGTH / len);
                    Ask::part("warm", LENGTH, slot * len, (slot + 1) * len)
                };
                (0..each).map(ask).collect()
            };
            load(subject, &mut sheet, (0..CLIENTS).map(list).collect()).await?;
        }
    }
    let large = MIB <= len;
    let (measure, least) = if large {
        ("MB/s", 0.95)
    } else {
        ("requests/s", 0.85)
    };
    judge(&mut sheet, measure, least);
    if large {
        let cpu = sheet.ratio("CPU s/GB", VIEWCACHE, BEHIND);
        sheet.at_most("CPU of Envoy → nginx", cpu, 0.9);
    } else {
        let worst = sheet
            .median("p99 ms", PLAIN)
            .max(sheet.median("p99 ms", BEHIND));
        let p99 = sheet.median("p99 ms", VIEWCACHE) / worst;
        sheet.at_most("p99 of the slower of both", p99, 1.0);
    }
    Ok(sheet)
}

fn judge(sheet: &mut Sheet, measure: &'static str, least: f64) {
    let (plain, behind) = (
        sheet.ratio(measure, VIEWCACHE, PLAIN),
        sheet.ratio(measure, VIEWCACHE, BEHIND),
    );
    sheet.at_least(format!("{measure} of plain Envoy"), plain, least);
    sheet.at_least(format!("{measure} of Envoy → nginx"), behind, 1.0);
}

/// One viewer of the whole file.
pub(super) async fn whole(bench: &mut Bench) -> Result<Sheet> {
    warm(bench, "warm", LENGTH).await?;
    let mut sheet = Sheet::default();
    for _ in 0..bench.rounds {
        for subject in bench.subjects() {
            load(subject, &mut sheet, vec![vec![Ask::whole("warm", LENGTH)]]).await?;
        }
    }
    judge(&mut sheet, "MB/s", 0.95);
    let cpu = sheet.ratio("CPU s/GB", VIEWCACHE, BEHIND);
    sheet.at_most("CPU of Envoy → nginx", cpu, 0.9);
    Ok(sheet)
}

/// Many entities of one small body: filled once, then asked for in another order.
pub(super) async fn small(bench: &mut Bench) -> Result<Sheet> {
    const LEN: u64 = 64 << 10;
    let entities = if bench.quick { 2_000 } else { 20_000 };
    let mut sheet = Sheet::default();
    for subject in bench.subjects() {
        let list = |client: u64, order: fn(u64) -> u64| {
            let mine = (0..entities).filter(move |n| n % CLIENTS == client);
            let asks = mine.map(|n| Ask::whole(&format!("small{}", order(n) % entities), LEN));
            asks.collect::<Vec<_>>()
        };
        let lists = (0..CLIENTS).map(|client| list(client, |n| n)).collect();
        let filled = client::all(subject.address, lists).await?;
        sheet.add("filled/s", subject.name, filled.rate());
        settle().await;
        let lists = (0..CLIENTS).map(|client| list(client, scattered)).collect();
        load(subject, &mut sheet, lists).await?;
        let rss = subject.usage().rss as f64 / MIB as f64;
        sheet.add("RSS MiB", subject.name, rss);
    }
    judge(&mut sheet, "requests/s", 0.85);
    Ok(sheet)
}
