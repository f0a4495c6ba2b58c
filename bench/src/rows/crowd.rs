//! Many viewers, many seeks, many entities.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::process;

use super::{MIB, settle};
use crate::client::{self, Ask, Client, percentile};
use crate::sheet::Sheet;
use crate::{Bench, PLAIN, RELAY, VIEWCACHE};

const VIEWERS: u64 = 50;

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
            let load = client::all(subject.address, (0..VIEWERS).map(list).collect()).await?;
            let sent = origin.file(&name).sent as f64 / length as f64;
            sheet.add("origin bytes per file byte", subject.name, sent);
            sheet.add("TTFB p50 ms", subject.name, percentile(&load.ttfb, 50));
            sheet.add("TTFB max ms", subject.name, percentile(&load.ttfb, 100));
            sheet.add("MB/s", subject.name, load.megabytes());
        }
    }
    bench.origin.set_latency(Duration::ZERO);
    let most = if apart { [2.0, 1.02] } else { [1.02, 1.02] };
    for (subject, most) in [VIEWCACHE, RELAY].into_iter().zip(most) {
        let sent = sheet.median("origin bytes per file byte", subject);
        sheet.at_most(format!("origin bytes per file byte, {subject}"), sent, most);
    }
    if apart {
        let worst = sheet.ratio("TTFB max ms", VIEWCACHE, PLAIN);
        sheet.at_most("worst TTFB of plain Envoy's", worst, 2.0);
    }
    Ok(sheet)
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
            leave_after: 2 * MIB,
            pace: 500_000,
            ..Ask::part(&name, LENGTH, start, LENGTH)
        }]
    };
    let lists = (0..200).map(|viewer| slow(name.clone(), viewer)).collect();
    let watching = tokio::spawn(client::all(address, lists));
    let stack = bench.viewcache.stack().context("viewcache is a stack")?;
    let (sidecar, envoy) = (stack.sidecar(0).pid(), stack.envoy().pid());
    let peak = peak_rss(sidecar, Duration::from_secs(3)).await;
    watching.await??;
    sheet.add("sidecar RSS MiB, 200 viewers", VIEWCACHE, peak);
    sheet.at_most("sidecar RSS MiB", peak, 256.0);

    let before = rss(envoy);
    let name = bench.fresh();
    let lists = (0..500).map(|n| slow(format!("{name}-{n}"), n)).collect();
    let watching = tokio::spawn(client::all(address, lists));
    let peak = peak_rss(envoy, Duration::from_secs(3)).await;
    watching.await??;
    sheet.add("Envoy RSS MiB more, 500 mirrors", VIEWCACHE, peak - before);
    sheet.at_most(
        "Envoy RSS MiB more (two VMs, buffers included)",
        peak - before,
        2.0 * 64.0 + 128.0,
    );
    Ok(sheet)
}

/// In MiB.
pub(super) fn rss(pid: i32) -> f64 {
    process::rss(pid).map_or(f64::NAN, |bytes| bytes as f64 / MIB as f64)
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
