//! All of it on one host.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use e2e::envoy_config::OriginUrl;
use e2e::interrupt::Interrupt;
use e2e::stack::{Logs, Options, Profile, Stack};

use crate::secret;

/// How often it is looked whether a child has died.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Parser)]
pub(crate) struct Up {
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

impl Up {
    pub(crate) async fn run(self, mut interrupt: Interrupt) -> Result<ExitCode> {
        let options = Options {
            secret: secret(self.secret_file.as_deref())?,
            tokens_file: self.tokens_file,
            profile: self.profile,
            sidecars: self.sidecars.into(),
            listen: Some(self.listen),
            manage: Some(self.manage),
            data: Some(self.data),
            max_bytes: self.max_bytes,
            sidecar_config: self.sidecar_config,
            keep_envoy_config: self.keep_envoy_config,
            concurrency: self.concurrency,
            logs: Logs::Stderr,
            ..Options::new(self.origin)
        };
        let mut stack = tokio::select! {
            stack = Stack::start(options) => stack?,
            () = interrupt.received() => return Ok(ExitCode::SUCCESS),
        };
        writeln!(io::stdout(), "{}", stack.ready_line())?;
        loop {
            tokio::select! {
                () = interrupt.received() => {
                    stack.stop().await?;
                    return Ok(ExitCode::SUCCESS);
                }
                () = tokio::time::sleep(LOOK) => {
                    for ended in stack.reap() {
                        eprintln!("stack: {ended}; the rest goes on");
                    }
                }
            }
        }
    }
}
