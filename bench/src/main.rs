//! Measures viewcache beside plain Envoy and nginx slice, in one run on one machine: what counts
//! are the ratios. Every byte is compared. A missed target is printed and is no failure, because
//! machines are noisy; a wrong byte is one.

mod client;
mod content;
mod origin;
mod rows;
mod sheet;
mod subject;

use anyhow::Result;
use clap::Parser;

use origin::Origin;
use rows::{ROWS, Row};
use subject::Subject;

/// Compares viewcache with plain Envoy and nginx slice.
#[derive(Debug, Parser)]
struct Options {
    /// Only rows whose name has one of these in it.
    rows: Vec<String>,
    /// How often each row is measured; medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Smaller files and fewer requests.
    #[arg(long)]
    quick: bool,
}

/// What is measured, and how much.
pub(crate) struct Bench {
    origin: Origin,
    plain: Subject,
    nginx: Subject,
    behind: Subject,
    viewcache: Subject,
    relay: Subject,
    rounds: usize,
    quick: bool,
    /// Numbers the files, so that none is cold twice.
    files: u64,
}

/// The subjects' names, in the order of the columns.
pub(crate) const PLAIN: &str = "plain Envoy";
/// nginx alone.
pub(crate) const NGINX: &str = "nginx slice";
/// nginx behind Envoy.
pub(crate) const BEHIND: &str = "Envoy → nginx";
/// This.
pub(crate) const VIEWCACHE: &str = "viewcache";
/// This, with `miss = "relay"`.
pub(crate) const RELAY: &str = "vc relay";

const COLUMNS: [&str; 5] = [PLAIN, NGINX, BEHIND, VIEWCACHE, RELAY];

impl Bench {
    async fn start(options: &Options) -> Result<Self> {
        let origin = Origin::start()?;
        let mut nginx = Subject::nginx(NGINX, origin.address).await?;
        let behind = Subject::plain_envoy(BEHIND, nginx.address).await?;
        Ok(Self {
            plain: Subject::plain_envoy(PLAIN, origin.address).await?,
            behind: behind.with(&mut nginx),
            viewcache: Subject::viewcache(VIEWCACHE, origin.address, "").await?,
            relay: Subject::viewcache(RELAY, origin.address, "miss = \"relay\"").await?,
            nginx,
            origin,
            rounds: options.rounds.max(1),
            quick: options.quick,
            files: 0,
        })
    }

    /// The subjects, plain Envoy first.
    fn subjects(&mut self) -> [&mut Subject; 5] {
        [
            &mut self.plain,
            &mut self.nginx,
            &mut self.behind,
            &mut self.viewcache,
            &mut self.relay,
        ]
    }

    /// A name that no file has had.
    fn fresh(&mut self) -> String {
        self.files += 1;
        format!("n{}", self.files)
    }
}

fn wanted(options: &Options, row: &Row) -> bool {
    options.rows.is_empty() || options.rows.iter().any(|part| row.name.contains(part))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let cores = std::thread::available_parallelism()?;
    let mut bench = Bench::start(&options).await?;
    let columns: String = COLUMNS.iter().map(|name| format!("{name:>16}")).collect();
    say(&format!(
        "{cores} cores, {} rounds\n{:<36}{columns}",
        bench.rounds, ""
    ));
    let measured = measure(&options, &mut bench).await;
    for subject in bench.subjects() {
        subject.stop().await?;
    }
    measured
}

async fn measure(options: &Options, bench: &mut Bench) -> Result<()> {
    for row in ROWS.iter().filter(|row| wanted(options, row)) {
        let sheet = (row.measure)(bench).await?;
        say(&format!("{}\n{}", row.name, sheet.render(&COLUMNS)));
    }
    Ok(())
}

/// Prints at once: a run takes minutes.
fn say(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // Whoever has closed the pipe does not want it.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
