//! Nothing, or only a part, is stored: what does the first viewer wait for, and what does the
//! origin send?

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{MIB, back_memory, per_gigabyte, settle};
use crate::client::{self, Ask, Client, percentile};
use crate::sheet::Sheet;
use crate::{BEHIND, Bench, NGINX, PLAIN, RELAY, VIEWCACHE};

/// A whole file that nobody has asked for.
pub(super) async fn whole(bench: &mut Bench, latency: u64) -> Result<Sheet> {
    let length = if bench.quick { 64 } else { 256 } * MIB;
    bench.origin.set_latency(Duration::from_millis(latency));
    let mut sheet = Sheet::default();
    for _ in 0..bench.rounds {
        let name = bench.fresh();
        let origin = bench.origin.clone();
        for subject in bench.subjects() {
            // One slice after another: a minute and more for what is known to be slow.
            let slow = 20 < latency && [NGINX, BEHIND].contains(&subject.name);
            let length = if slow { length / 16 } else { length };
            let name = format!("{name}-{}", subject.address.port());
            back_memory(2 * length)?;
            let before = subject.usage();
            let got = client::all(subject.address, vec![vec![Ask::whole(&name, length)]]).await?;
            sheet.add("MB/s", subject.name, got.megabytes());
            settle().await;
            let after = subject.usage();
            let cpu = per_gigabyte(after.cpu - before.cpu, length);
            sheet.add("CPU s/GB, storing included", subject.name, cpu);
            let sent = origin.file(&name).sent as f64;
            sheet.add("origin bytes per byte", subject.name, sent / length as f64);
        }
    }
    bench.origin.set_latency(Duration::ZERO);
    let least = if latency == 0 { 0.5 } else { 0.9 };
    let plain = sheet.ratio("MB/s", VIEWCACHE, PLAIN);
    sheet.at_least("MB/s of plain Envoy", plain, least);
    if latency == 0 {
        let behind = sheet.ratio("MB/s", VIEWCACHE, BEHIND);
        sheet.at_least("MB/s of Envoy → nginx", behind, 1.0);
    }
    for subject in [VIEWCACHE, RELAY] {
        let sent = sheet.median("origin bytes per byte", subject);
        sheet.at_most(format!("origin bytes per byte, {subject}"), sent, 1.02);
    }
    let mut written = 0.0;
    if let Some(name) = (latency == 0).then(|| bench.fresh()) {
        let before = bench.viewcache.usage().written;
        client::all(
            bench.viewcache.address,
            vec![vec![Ask::whole(&name, length)]],
        )
        .await?;
        // Until the kernel has written back what it holds.
        rustix::fs::sync();
        settle().await;
        written = (bench.viewcache.usage().written - before) as f64 / length as f64;
    }
    if 0.0 < written {
        sheet.at_most("bytes written per origin byte", written, 1.06);
    }
    Ok(sheet)
}

/// A range in the middle of a long file.
pub(super) async fn seek(bench: &mut Bench) -> Result<Sheet> {
    const LENGTH: u64 = 1 << 30;
    // One alone says more of what else the machine does at that moment.
    const SEEKS: usize = 10;
    bench.origin.set_latency(Duration::from_millis(20));
    let mut sheet = Sheet::default();
    for _ in 0..SEEKS * bench.rounds {
        let name = bench.fresh();
        let origin = bench.origin.clone();
        for subject in bench.subjects() {
            let name = format!("{name}-{}", subject.address.port());
            let ask = Ask::part(&name, LENGTH, 700_000_123, 701_000_123);
            let got = Client::new(subject.address).get(&ask).await?;
            sheet.add("TTFB ms", subject.name, got.ttfb.as_secs_f64() * 1e3);
            let sent = origin.file(&name).sent as f64 / got.bytes as f64;
            sheet.add("origin bytes per byte asked", subject.name, sent);
        }
    }
    bench.origin.set_latency(Duration::ZERO);
    let added = sheet.median("TTFB ms", VIEWCACHE) - sheet.median("TTFB ms", PLAIN);
    sheet.at_most("ms more than plain Envoy", added, 1.0);
    let sent = sheet.median("origin bytes per byte asked", VIEWCACHE);
    sheet.at_most("origin bytes per byte asked", sent, 1.02);
    Ok(sheet)
}

/// Small cold requests one by one: what the decision adds. Each begins when what the one before it
/// left to be stored is over.
pub(super) async fn decision(bench: &mut Bench) -> Result<Sheet> {
    const REQUESTS: usize = 200;
    const APART: Duration = Duration::from_millis(5);
    let mut sheet = Sheet::default();
    for _ in 0..bench.rounds {
        let name = bench.fresh();
        for subject in bench.subjects() {
            let mut client = Client::new(subject.address);
            let mut ttfb = Vec::new();
            for n in 0..REQUESTS {
                let ask = Ask::whole(&format!("{name}-{n}-{}", subject.address.port()), 1000);
                ttfb.push(client.get(&ask).await?.ttfb);
                tokio::time::sleep(APART).await;
            }
            sheet.add("TTFB p50 ms", subject.name, percentile(&ttfb, 50));
        }
    }
    let added = sheet.median("TTFB p50 ms", VIEWCACHE) - sheet.median("TTFB p50 ms", PLAIN);
    sheet.at_most("ms added to the TTFB", added, 0.5);
    Ok(sheet)
}

/// The first half is stored, the whole is asked for.
pub(super) async fn half(bench: &mut Bench) -> Result<Sheet> {
    let length = if bench.quick { 64 } else { 256 } * MIB;
    let mut sheet = Sheet::default();
    for _ in 0..bench.rounds {
        let name = bench.fresh();
        let origin = bench.origin.clone();
        for subject in bench.subjects() {
            let name = format!("{name}-{}", subject.address.port());
            let mut client = Client::new(subject.address);
            back_memory(2 * length)?;
            if subject.name == PLAIN {
                origin.set_latency(Duration::from_millis(20));
                let rest = Ask::part(&name, length, length / 2, length);
                let got = client.get(&rest).await?;
                sheet.add(
                    "MB/s of the missing half",
                    PLAIN,
                    rate(length / 2, got.took),
                );
                origin.set_latency(Duration::ZERO);
                continue;
            }
            client.get(&Ask::part(&name, length, 0, length / 2)).await?;
            settle().await;
            back_memory(2 * length)?;
            let before = origin.file(&name).sent;
            origin.set_latency(Duration::from_millis(20));
            let got = client.get(&Ask::whole(&name, length)).await?;
            origin.set_latency(Duration::ZERO);
            ensure!(got.whole, "{}: cut", subject.name);
            sheet.add("TTFB ms", subject.name, got.ttfb.as_secs_f64() * 1e3);
            sheet.add("MB/s", subject.name, rate(length, got.took));
            sheet.add(
                "MB/s of the missing half",
                subject.name,
                rate(length / 2, got.took),
            );
            let sent = (origin.file(&name).sent - before) as f64;
            let missing = (length / 2) as f64;
            sheet.add(
                "origin bytes per missing byte",
                subject.name,
                sent / missing,
            );
        }
    }
    for subject in [VIEWCACHE, RELAY] {
        let ttfb = sheet.median("TTFB ms", subject);
        sheet.at_most(format!("TTFB ms, {subject}"), ttfb, 3.0);
        // The whole in the time that plain Envoy takes for the half would be 2.
        let rate = sheet.median("MB/s", subject) / sheet.median("MB/s of the missing half", PLAIN);
        sheet.at_least(format!("MB/s of plain Envoy's half, {subject}"), rate, 0.9);
        let sent = sheet.median("origin bytes per missing byte", subject);
        sheet.at_most(
            format!("origin bytes per missing byte, {subject}"),
            sent,
            1.0,
        );
    }
    Ok(sheet)
}

fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}
