//! What is measured, row by row; each says what it is judged by.

mod cold;
mod crowd;
mod growth;
mod trouble;
mod warm;

use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;

use crate::Bench;
use crate::sheet::Sheet;

/// A row's figures to be.
type Measuring<'a> = Pin<Box<dyn Future<Output = Result<Sheet>> + 'a>>;

/// A row.
pub(crate) struct Row {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Measures it.
    pub(crate) measure: for<'a> fn(&'a mut Bench) -> Measuring<'a>,
}

macro_rules! row {
    ($name:literal, $measure:expr) => {
        Row {
            name: $name,
            measure: |bench| Box::pin($measure(bench)),
        }
    };
}

/// All of them.
pub(crate) const ROWS: [Row; 18] = [
    row!("warm 64 KiB ranges, 16 clients", |b| warm::ranges(
        b,
        64 << 10
    )),
    row!("warm 1 MiB ranges, 16 clients", |b| warm::ranges(
        b,
        1 << 20
    )),
    row!("warm 256 MiB", warm::whole),
    row!("warm small entities of 64 KiB", warm::small),
    row!("cold 256 MiB, origin 0 ms away", |b| cold::whole(b, 0)),
    row!("cold 256 MiB, origin 20 ms away", |b| cold::whole(b, 20)),
    row!("cold 256 MiB, origin 100 ms away", |b| cold::whole(b, 100)),
    row!("cold seek into 1 GiB, origin 20 ms away", cold::seek),
    row!("decision on a miss", cold::decision),
    row!("half cached, origin 20 ms away", cold::half),
    row!("50 viewers of one cold file", |b| crowd::viewers(b, false)),
    row!("50 viewers at 50 offsets", |b| crowd::viewers(b, true)),
    row!("seek-heavy player", crowd::player),
    row!("memory with 200 viewers", crowd::memory),
    row!("growth: decide with many entities", growth::decide),
    row!("growth: memory of extents", growth::extents),
    row!("origin resets after 600 KiB", trouble::reset),
    row!("entity changes while half cached", trouble::change),
];

const MIB: u64 = 1 << 20;

/// What is stored in the background is stored after this: nothing more is coming.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(700)).await;
}

/// Uses as much memory for a file as what is measured next will, and frees it. A virtual machine's
/// host may have taken back what was free, and the first to use it again pays ten times what writing
/// a file costs: that would be whoever is measured first.
fn back_memory(bytes: u64) -> Result<()> {
    let piece = vec![1; MIB as usize];
    let mut file = tempfile::tempfile()?;
    for _ in 0..bytes / MIB {
        file.write_all(&piece)?;
    }
    Ok(())
}

/// Seconds of CPU for each gigabyte.
fn per_gigabyte(cpu: f64, bytes: u64) -> f64 {
    cpu / (bytes as f64 / 1e9)
}
