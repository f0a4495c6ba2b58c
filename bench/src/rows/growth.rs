//! Many entities, many extents: what do they cost?

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use e2e::management;
use viewcache_protocol::{EntityKey, Profile};
use viewcache_sidecar::store::{EntityRecord, Row, Rows, Store};

use super::crowd::rss;
use crate::client::{Ask, Client, percentile};
use crate::sheet::Sheet;
use crate::subject::Subject;
use crate::{Bench, VIEWCACHE};

const FEW: u64 = 1_000;

/// The path of an entity that a data folder is prepared with.
fn name(n: u64) -> String {
    format!("prepared-{n}")
}

/// A data folder that knows `entities`.
fn prepare(folder: &Path, entities: u64) -> Result<()> {
    let store = Store::open(folder)?;
    let now = SystemTime::now();
    for n in 0..entities {
        let url = format!("http://bench.test/{}", name(n));
        let key = EntityKey::new(Profile::Generic, &url).context("a key")?;
        store.put(key.id(), &EntityRecord::new(key, now))?;
    }
    Ok(store.sync()?)
}

/// Decisions while few and while many entities are known: of each, one in `stride` is asked for,
/// none twice, so that none is in memory.
pub(super) async fn decide(bench: &mut Bench) -> Result<Sheet> {
    let many = if bench.quick { 50_000 } else { 1_000_000 };
    let mut sheet = Sheet::default();
    for (entities, measure) in [
        (FEW, "TTFB p99 ms, 1,000 entities"),
        (many, "TTFB p99 ms, many entities"),
    ] {
        let folder = tempfile::tempdir()?;
        let path = folder.path().to_owned();
        tokio::task::spawn_blocking(move || prepare(&path, entities)).await??;
        let mut subject =
            Subject::viewcache_with(VIEWCACHE, bench.origin.address, "", folder.path()).await?;
        let mut client = Client::new(subject.address);
        let mut ttfb = Vec::new();
        for n in (0..entities).step_by((entities / FEW) as usize) {
            ttfb.push(client.get(&Ask::whole(&name(n), 100)).await?.ttfb);
        }
        sheet.add(measure, VIEWCACHE, percentile(&ttfb, 99));
        let stack = subject.stack().context("viewcache is a stack")?;
        let page = management::json(stack.manage(0), "/v1/entities?limit=1").await?;
        ensure!(page["items"][0]["id"].is_string(), "{page}");
        subject.stop().await?;
    }
    sheet.add("entities", VIEWCACHE, many as f64);
    let growth = sheet.median("TTFB p99 ms, many entities", VIEWCACHE)
        / sheet.median("TTFB p99 ms, 1,000 entities", VIEWCACHE);
    sheet.at_most("p99 with many of that with few", growth, 1.5);
    Ok(sheet)
}

/// What extents take that are all in memory at once, as those of entities in use are. It has no
/// target of its own: it comes on top of the sidecar's memory with 200 viewers.
pub(super) async fn extents(_: &mut Bench) -> Result<Sheet> {
    const EXTENTS: u64 = 1_000_000;
    const APART: u64 = 128 << 10;
    let mut sheet = Sheet::default();
    let me = i32::try_from(std::process::id())?;
    let before = rss(me);
    let row = Row::of(0, b"a byte or two");
    let mut rows = Rows::default();
    for n in 0..EXTENTS {
        rows.insert(n * APART, row.clone());
    }
    let mib = rss(me) - before;
    ensure!(rows.len() as u64 == EXTENTS, "extents were lost");
    sheet.add("MiB of 1,000,000 extents", VIEWCACHE, mib);
    Ok(sheet)
}
