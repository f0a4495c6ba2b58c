//! Many viewers, many seeks, many entities.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::{management, process};
use tokio::task::JoinSet;

use super::{MIB, back_memory, settle};
use crate::client::{self, Ask, Client, percentile};
use crate::sheet::Sheet;
use crate::subject::Subject;
use crate::{Bench, PLAIN, RELAY, VIEWCACHE};

const VIEWERS: u64 = 50;

/// What the origin has written.
const SENT: &str = "origin bytes per file byte";

/// What has reached the sidecar, by itself or by the filter.
const TAKEN: &str = "… taken by the sidecar";

/// Fifty viewers of one cold file: from its start, or each from another place on.
pub(super) async fn viewers(bench: &mut Bench, apart: bool) -> Result<Sheet> {
    let length = if bench.quick { 16 } else { 64 } * MIB;
    bench.origin.set_latency(Duration::from_millis(20));
    let mut sheet = Sheet::default();
    for _ in 0..bench.rounds {
        let name = bench.fresh();
        let origin = bench.origin.clone();
        for subject in bench.subjects() {
            let name = format!("{name}-{}", subject.address.port());
            let list = |viewer: u64| {
                let start = if apart { viewer * length / VIEWERS } else { 0 };
                vec![Ask::part(&name, length, start, length)]
            };
            back_memory(4 * length)?;
            let before = received(subject).await?;
            let load = client::all(subject.address, (0..VIEWERS).map(list).collect()).await?;
            settle().await;
            if let Some((after, before)) = received(subject).await?.zip(before) {
                let received = (after - before) as f64 / length as f64;
                sheet.add(TAKEN, subject.name, received);
            }
            let sent = origin.file(&name).sent as f64 / length as f64;
            sheet.add(SENT, subject.name, sent);
            sheet.add("TTFB p50 ms", subject.name, percentile(&load.ttfb, 50));
            sheet.add("TTFB max ms", subject.name, percentile(&load.ttfb, 100));
            sheet.add("MB/s", subject.name, load.megabytes());
        }
    }
    bench.origin.set_latency(Duration::ZERO);
    let most = if apart { [2.0, 1.02] } else { [1.02, 1.02] };
    for (subject, most) in [VIEWCACHE, RELAY].into_iter().zip(most) {
        // What is in flight of a transfer that ends where it meets another is nobody's fault.
        let measure = match (apart, subject) {
            (true, RELAY) => TAKEN,
            _ => SENT,
        };
        let sent = sheet.median(measure, subject);
        sheet.at_most(format!("{measure}, {subject}"), sent, most);
    }
    if apart {
        let worst = sheet.ratio("TTFB max ms", VIEWCACHE, PLAIN);
        sheet.at_most("worst TTFB of plain Envoy's", worst, 2.0);
    }
    Ok(sheet)
}

/// The bytes from the origin that the sidecar has read or was sent; not those in flight of a
/// transfer that it ended.
async fn received(subject: &mut Subject) -> Result<Option<u64>> {
    let Some(stack) = subject.stack() else {
        return Ok(None);
    };
    let text = management::get(stack.manage(0), "/metrics").await?;
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("viewcache_origin_bytes_total "));
    Ok(line.and_then(|count| count.trim().parse().ok()))
}

/// Where a player seeks to and how much it reads there, in MiB: watching, skipping, going back.
const TRACE: [(u64, u64); 20] = [
    (0, 6),
    (40, 3),
    (80, 2),
    (60, 4),
    (62, 5),
    (10, 3),
    (120, 6),
    (126, 4),
    (200, 2),
    (0, 4),
    (150, 5),
    (155, 6),
    (90, 3),
    (41, 4),
    (220, 8),
    (100, 2),
    (128, 4),
    (30, 6),
    (36, 6),
    (160, 5),
];

/// A player that asks for everything from somewhere on, reads a little and seeks; then the bytes
/// that it has read again; then the same requests again, which ask for more than is read.
pub(super) async fn player(bench: &mut Bench) -> Result<Sheet> {
    const LENGTH: u64 = 256 * MIB;
    // As a player on a good line reads: what is in flight when it leaves is not its pace's fault.
    const PACE: u64 = 60_000_000;
    let mut sheet = Sheet::default();
    bench.origin.set_latency(Duration::from_millis(20));
    let name = bench.fresh();
    let origin = bench.origin.clone();
    for subject in bench.subjects() {
        let name = format!("{name}-{}", subject.address.port());
        for (open_ended, sent_measure, worst_measure) in [
            (true, "origin bytes per delivered byte", "worst TTFB ms"),
            (false, "… in the replay", "… in the replay, worst TTFB ms"),
            (
                true,
                "… asked for open-ended again",
                "… again, worst TTFB ms",
            ),
        ] {
            let (mut delivered, mut worst, before) = (0, Duration::ZERO, origin.file(&name).sent);
            for (start, read) in TRACE {
                let (start, read) = (start * MIB, read * MIB);
                let end = if open_ended { LENGTH } else { start + read };
                let ask = Ask {
                    leave_after: read,
                    pace: PACE,
                    ..Ask::part(&name, LENGTH, start, end)
                };
                let got = Client::new(subject.address).get(&ask).await?;
                ensure!(read <= got.bytes, "{}: cut", subject.name);
                delivered += got.bytes;
                worst = worst.max(got.ttfb);
            }
            settle().await;
            let sent = (origin.file(&name).sent - before) as f64 / delivered as f64;
            sheet.add(sent_measure, subject.name, sent);
            sheet.add(worst_measure, subject.name, worst.as_secs_f64() * 1e3);
        }
    }
    bench.origin.set_latency(Duration::ZERO);
    let sent = sheet.ratio("origin bytes per delivered byte", VIEWCACHE, PLAIN);
    sheet.at_most("origin bytes of plain Envoy's", sent, 1.02);
    let replay = sheet.median("… in the replay", VIEWCACHE);
    sheet.at_most("origin bytes per byte of the replay", replay, 0.0);
    Ok(sheet)
}

/// Slow viewers: of stored bytes for the sidecar's memory, of misses for the filter's.
pub(super) async fn memory(bench: &mut Bench) -> Result<Sheet> {
    const LENGTH: u64 = 64 * MIB;
    let mut sheet = Sheet::default();
    let name = bench.fresh();
    let address = bench.viewcache.address;
    Client::new(address).get(&Ask::whole(&name, LENGTH)).await?;
    settle().await;
    let slow = |name: String, viewer: u64| {
        let start = viewer % 200 * LENGTH / 300;
        vec![Ask {
            leave_after: 4 * MIB,
            pace: 500_000,
            ..Ask::part(&name, LENGTH, start, LENGTH)
        }]
    };
    let lists = (0..200).map(|viewer| slow(name.clone(), viewer)).collect();
    let watching = tokio::spawn(client::all(address, lists));
    let stack = bench.viewcache.stack().context("viewcache is a stack")?;
    let (sidecar, envoy) = (stack.sidecar(0).pid(), stack.envoy().pid());
    let admin = stack.admin();
    let peak = peak_rss(sidecar, Duration::from_secs(3)).await;
    watching.await??;
    sheet.add("sidecar RSS MiB, 200 viewers", VIEWCACHE, peak);
    sheet.at_most("sidecar RSS MiB", peak, 256.0);

    let before = rss(envoy);
    let name = bench.fresh();
    // Not all at once: a worker that is busy with the first bytes of hundreds decides too late, and
    // leaves most of them unmirrored.
    let mut watching = JoinSet::new();
    for batch in 0..20 {
        let viewers = batch * 25..(batch + 1) * 25;
        let lists = viewers.map(|n| slow(format!("{name}-{n}"), n)).collect();
        watching.spawn(client::all(address, lists));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let peak = peak_rss(envoy, Duration::from_secs(1)).await;
    let heap = wasm_heap(envoy)?;
    let mirrors = management::envoy_stat(admin, "wasmcustom.viewcache.mirrors").await?;
    while let Some(watched) = watching.join_next().await {
        watched??;
    }
    sheet.add("mirrors of 500", VIEWCACHE, mirrors as f64);
    sheet.add("largest wasm heap MiB", VIEWCACHE, heap);
    sheet.at_most("wasm heap of a VM MiB, with its half of them", heap, 64.0);
    sheet.add("Envoy RSS MiB more, 500 mirrors", VIEWCACHE, peak - before);
    Ok(sheet)
}

/// In MiB.
pub(super) fn rss(pid: i32) -> f64 {
    process::rss(pid).map_or(f64::NAN, |bytes| bytes as f64 / MIB as f64)
}

/// The largest memory that a VM of this Envoy has, in MiB. V8 maps the memory of a module in front
/// of some gigabytes that nobody may touch, so that it need not check addresses.
fn wasm_heap(pid: i32) -> Result<f64> {
    const GUARD: u64 = 4 << 30;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let regions: Vec<(u64, u64, &str)> = maps.lines().filter_map(region).collect();
    let heaps = regions.windows(2).filter_map(|pair| match pair {
        [(start, end, mode), (next, guard_end, guard)]
            if end == next
                && GUARD < guard_end - next
                && mode.starts_with("rw")
                && guard.starts_with("---") =>
        {
            Some(end - start)
        }
        _ => None,
    });
    let largest = heaps.max().context("no VM in the Envoy")?;
    Ok(largest as f64 / MIB as f64)
}

/// The bounds and the mode of a line of `/proc/PID/maps`.
fn region(line: &str) -> Option<(u64, u64, &str)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((address(start)?, address(end)?, fields.next()?))
}

async fn peak_rss(pid: i32, time: Duration) -> f64 {
    let until = Instant::now() + time;
    let mut peak: f64 = 0.0;
    while Instant::now() < until {
        peak = peak.max(rss(pid));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    peak
}
