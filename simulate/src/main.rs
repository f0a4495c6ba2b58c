//! Which cache policy is best: drives the sidecar's policy code with synthetic traces, without HTTP
//! and without a disk. Every figure follows from the seed.

mod cache;
mod catalogue;
mod links;
mod measure;
mod order;
mod plan;
mod plot;
mod report;
mod sheets;
mod trace;
mod viewing;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

use measure::Lab;
use trace::Trace;

/// Compares cache policies on synthetic traces.
#[derive(Debug, Parser)]
struct Options {
    /// Everything random comes from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many requests of a trace count; half as many come before them.
    #[arg(long, default_value_t = 10_000_000)]
    requests: usize,
    /// How many videos there are.
    #[arg(long, default_value_t = 1_000_000)]
    videos: u32,
    /// Only this trace.
    #[arg(long)]
    trace: Option<Trace>,
    /// How many policies are measured at a time; each takes up to 1 GiB.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Puts the figures into SIMULATION.md in this folder, and the plot beside it.
    #[arg(long, conflicts_with = "trace")]
    docs: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut sheets = sheets::all();
    sheets.retain(|sheet| options.trace.is_none_or(|trace| trace == sheet.trace));
    let mut figures = String::new();
    let mut drawing = None;
    let mut lab = Lab::new(options.videos, options.requests, options.seed)?;
    let facts = lab.facts();
    say(&facts);
    for sheet in &sheets {
        let rows = lab.measure(sheet, options.threads)?;
        let table = report::table(sheet, &rows)?;
        say(&table);
        figures = figures + "\n" + &table;
        if drawing.is_none() {
            drawing = Some(plot::draw(&rows)?);
        }
    }
    let (Some(folder), Some(drawing)) = (options.docs, drawing) else {
        return Ok(());
    };
    std::fs::write(folder.join("simulation.svg"), drawing).context("write the plot")?;
    let page = folder.join("SIMULATION.md");
    let text = std::fs::read_to_string(&page).context("read SIMULATION.md")?;
    let text = report::replace(&text, &(facts + &figures))?;
    std::fs::write(&page, text).context("write SIMULATION.md")
}

/// Prints at once: a run takes minutes.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever has closed the pipe does not want it.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
