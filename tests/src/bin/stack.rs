//! Runs sidecar(s) and Envoy in the foreground until interrupted.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use e2e::envoy_config::OriginUrl;
use e2e::interrupt::Interrupt;
use e2e::stack::{Logs, Options, Profile, Stack};

/// How often it is looked whether a child has died.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the cache: sidecars and Envoy with the shipped configuration.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start all; print one line when it is ready; stop all on SIGINT or SIGTERM.
    Up(Up),
}

#[derive(Debug, Parser)]
struct Up {
    /// The URL of the origin: http or https, a host, perhaps a port, no path.
    #[arg(long, value_name = "URL")]
    origin: OriginUrl,
    /// Where viewers connect to; port 0 is any free one.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Where node 0 is managed; port 0 is any free one. Other nodes have free ports.
    #[arg(long, value_name = "ADDR")]
    manage: SocketAddr,
    /// The data folder; with several sidecars, node N has DIR/N.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How URLs become entities.
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// The number of sidecars.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    sidecars: u8,
    /// The most disk that the stored bytes of each sidecar may take, such as 64MiB.
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<String>,
    /// A settings file for every sidecar.
    #[arg(long, value_name = "FILE")]
    sidecar_config: Option<PathBuf>,
    /// A file with what Envoy and the sidecars show each other; without it, whoever reaches the
    /// data port is taken for Envoy.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// A file with the management port's tokens, one a line: `read TOKEN` or `admin TOKEN`. Needed
    /// when it listens at another address than loopback.
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,
    /// Write the Envoy configuration that is run to this file.
    #[arg(long, value_name = "FILE")]
    keep_envoy_config: Option<PathBuf>,
    /// Envoy's worker threads [default: one for each core].
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
}

// One thread: the children are tied to the life of the thread that starts them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Command::Up(up) = Cli::parse().command;
    let mut interrupt = Interrupt::new()?;
    let secret = up.secret_file.map(|path| {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        anyhow::Ok(text.trim().to_owned())
    });
    let options = Options {
        secret: secret.transpose()?,
        tokens_file: up.tokens_file,
        profile: up.profile,
        sidecars: up.sidecars.into(),
        listen: Some(up.listen),
        manage: Some(up.manage),
        data: Some(up.data),
        max_bytes: up.max_bytes,
        sidecar_config: up.sidecar_config,
        keep_envoy_config: up.keep_envoy_config,
        concurrency: up.concurrency,
        logs: Logs::Stderr,
        ..Options::new(up.origin)
    };
    let mut stack = tokio::select! {
        stack = Stack::start(options) => stack?,
        () = interrupt.received() => return Ok(()),
    };
    writeln!(io::stdout(), "{}", stack.ready_line())?;
    loop {
        tokio::select! {
            () = interrupt.received() => return stack.stop().await,
            () = tokio::time::sleep(LOOK) => {
                for ended in stack.reap() {
                    eprintln!("stack: {ended}; the rest goes on");
                }
            }
        }
    }
}
