//! Attacks what viewcache promises, under play, and says what came of it.

mod films;
mod sample;

mod link;

mod crowd;

mod shim;
mod small_disk;

mod stage;

mod verdict;

mod faults;

mod slopes;

mod endurance;

mod table;

mod namespace;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Parser;
use e2e::interrupt::Interrupt;
use tokio::time::timeout;

use faults::{Act, Needs, Plan};
use stage::{Kind, Stage};
use table::Row;
use verdict::{Limits, broken};

/// What is no fault, but can be asked for like one.
const ENDURANCE: &str = "endurance";
/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(15 * 60);
const SHORT_LIMIT: Duration = Duration::from_secs(3 * 60);

/// So many times as long may everything take in the short form.
const SHORT_TIMES: u32 = 5;

/// Lets 100 viewers watch while one fault after the other happens, and measures what they notice.
#[derive(Debug, Parser)]
struct Cli {
    /// Only the faults that matter most, in at most 3 minutes; without it, all in at most 15.
    #[arg(long)]
    short: bool,
    /// What viewers do follows from it.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Endurance goes on for so long, however many requests that is.
    #[arg(long, value_name = "SECONDS")]
    lasts: Option<u64>,
    /// List the faults and what is promised under them.
    #[arg(long)]
    list: bool,
    /// Only these, or `endurance`.
    #[arg(value_name = "FAULT")]
    faults: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let plans = chosen(&cli)?;
    if cli.list {
        for plan in plans {
            writeln!(io::stdout(), "{:16} {}", plan.name, plan.what)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let own = namespace::enter()?;
    // The children are tied to the life of the thread that starts them, which is this one.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let lasts = cli.lasts.map(Duration::from_secs);
    let limit = if cli.short { SHORT_LIMIT } else { LIMIT } + lasts.unwrap_or_default();
    let code = runtime.block_on(async {
        let mut interrupt = Interrupt::new()?;
        tokio::select! {
            ran = timeout(limit, run(&cli, plans, own)) => match ran {
                Ok(code) => code,
                Err(_) => bail!("not over after {} s", limit.as_secs()),
            },
            () = interrupt.received() => bail!("interrupted"),
        }
    });
    faults::limits::clean();
    code
}

/// What is to be run.
fn chosen(cli: &Cli) -> Result<Vec<Plan>> {
    let all = faults::all();
    for name in &cli.faults {
        if name != ENDURANCE && !all.iter().any(|plan| plan.name == name) {
            bail!("{name}: no such fault; --list shows them");
        }
    }
    let wanted = |plan: &Plan| {
        let named = cli.faults.iter().any(|name| name == plan.name);
        if cli.faults.is_empty() {
            plan.short || !cli.short
        } else {
            named
        }
    };
    // The short form runs among other tests on machines that are busy: there the counts are judged,
    // and times only as far as something hangs.
    let limits = |mut plan: Plan| {
        if cli.short {
            let Limits {
                p99,
                worst,
                recovery,
            } = plan.limits;
            plan.limits = Limits {
                p99: p99 * SHORT_TIMES,
                worst: worst * SHORT_TIMES,
                recovery: recovery * SHORT_TIMES,
            };
        }
        plan
    };
    Ok(all.into_iter().filter(wanted).map(limits).collect())
}

async fn run(cli: &Cli, plans: Vec<Plan>, own: bool) -> Result<ExitCode> {
    let start = Instant::now();
    let mut rows = Vec::new();
    for kind in [Kind::Shipped, Kind::SmallDisk, Kind::Reloading] {
        let plans: Vec<_> = plans
            .iter()
            .filter(|plan| plan.kind == kind)
            .copied()
            .collect();
        let (can, cannot): (Vec<_>, Vec<_>) = plans
            .into_iter()
            .partition(|plan| lacks(plan, own).is_none());
        if !can.is_empty() {
            play(kind, can, cli.seed, start, &mut rows).await?;
        }
        let not_run = |plan: Plan| Some((plan, Row::NotRun(lacks(&plan, own)?)));
        rows.extend(cannot.into_iter().filter_map(not_run));
    }
    let mut failed = rows.iter().any(|(_, row)| row.fails());
    let mut out = io::stdout();
    if !rows.is_empty() {
        writeln!(out, "\n{}", table::table(&rows))?;
    }
    let named = cli.faults.iter().any(|name| name == ENDURANCE);
    if named || cli.faults.is_empty() && !cli.short {
        eprintln!("chaos: endurance");
        let report = endurance::run(cli.seed, cli.lasts.map(Duration::from_secs)).await?;
        writeln!(out, "{}", report.text)?;
        failed |= !report.broken.is_empty();
    }
    eprintln!("chaos: {:.0} s", start.elapsed().as_secs_f64());
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Why a fault cannot be made here.
fn lacks(plan: &Plan, own: bool) -> Option<&'static str> {
    match plan.needs {
        Needs::Root if !namespace::is_root() => Some("needs root"),
        Needs::Namespace if !own => Some("needs root, or user namespaces"),
        Needs::Namespace if matches!(plan.act, Act::Partition) => {
            (!faults::network::possible()).then_some("needs nft (Debian: nftables)")
        }
        _ => None,
    }
}

/// One fault after the other in front of one stack.
async fn play(
    kind: Kind,
    plans: Vec<Plan>,
    seed: u64,
    start: Instant,
    rows: &mut Vec<(Plan, Row)>,
) -> Result<()> {
    let mut stage = Stage::start(kind, seed, start).await?;
    let usual = stage.baseline;
    eprintln!(
        "chaos: {kind:?}: undisturbed: silences {:.1?} (median), {:.1?} (p95), {:.1?} (worst), {:.0} % hits",
        usual.median,
        usual.p95,
        usual.worst,
        usual.hits * 100.0,
    );
    for plan in plans {
        let row = match stage.suffer(&plan).await {
            Ok((figures, note)) => Row::Run {
                broken: broken(&figures, plan.limits),
                figures,
                note,
            },
            Err(error) => Row::Failed(format!("{error:#}")),
        };
        if row.fails() {
            eprintln!("chaos: {}: {row:#?}\n{}", plan.name, stage.stack.logs());
        } else {
            eprintln!("chaos: {}: {row:?}", plan.name);
        }
        let over = matches!(row, Row::Failed(_));
        rows.push((plan, row));
        if over {
            // What comes after would not be measured from the same state.
            stage.end().await?;
            stage = Stage::start(kind, seed, start).await?;
        }
    }
    stage.end().await
}
