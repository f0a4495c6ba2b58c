//! Shows the cache at work on two real videos: a scenario with a table, or a page to play them on.

mod scenario;
mod table;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use e2e::checkout::Checkout;
use e2e::demo_origin::DemoOrigin;
use e2e::envoy_config::OriginUrl;
use e2e::interrupt::Interrupt;
use e2e::stack::{Logs, Options, Stack};

/// That of an origin on the same continent.
const LATENCY: Duration = Duration::from_millis(30);

/// Plays videos through Envoy from an origin 30 ms away, and shows where the bytes came from.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the scenario and print its table (the default).
    Run,
    /// Run until interrupted, for a browser.
    Up(Up),
}

#[derive(Debug, Parser)]
struct Up {
    /// Where viewers connect to.
    #[arg(long, default_value = "127.0.0.1:10000", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where the sidecar is managed.
    #[arg(long, default_value = "127.0.0.1:7070", value_name = "ADDR")]
    manage: SocketAddr,
    /// The data folder [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

// One thread: the children are tied to the life of the thread that starts them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut interrupt = Interrupt::new()?;
    let root = Checkout::find()?.path("demo");
    let origin = Arc::new(DemoOrigin::new(root.clone(), LATENCY));
    let address = origin.start().await?;
    let options = Options::new(OriginUrl::http(address));
    match Cli::parse().command.unwrap_or(Command::Run) {
        Command::Run => {
            let rows = tokio::select! {
                rows = scenario::run(&origin, &root, options) => rows?,
                () = interrupt.received() => return Ok(ExitCode::FAILURE),
            };
            table::print(&rows)?;
            let wrong = rows.iter().any(|row| row.wrong.is_some());
            Ok(ExitCode::from(u8::from(wrong)))
        }
        Command::Up(up) => {
            show(up, options, interrupt).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn show(up: Up, options: Options, mut interrupt: Interrupt) -> Result<()> {
    let start = Stack::start(Options {
        listen: Some(up.listen),
        manage: Some(up.manage),
        data: up.data,
        logs: Logs::Stderr,
        ..options
    });
    let mut stack = tokio::select! {
        stack = start => stack?,
        () = interrupt.received() => return Ok(()),
    };
    let (ingress, manage) = (stack.ingress(), stack.manage(0));
    writeln!(
        io::stdout(),
        "\n  watch:   http://{ingress}/\n  cached:  http://{manage}/v1/entities\n  \
         metrics: http://{manage}/metrics\n\nCtrl-C stops it.\n"
    )?;
    loop {
        tokio::select! {
            () = interrupt.received() => return stack.stop().await,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                for ended in stack.reap() {
                    eprintln!("{ended}; the rest goes on");
                }
            }
        }
    }
}
