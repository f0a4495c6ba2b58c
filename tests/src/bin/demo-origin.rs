//! Serves the files of a folder like a distant video origin.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use e2e::demo_origin::DemoOrigin;
use e2e::interrupt::Interrupt;
use tokio::net::TcpListener;

/// Serves the files of a folder like a distant video origin.
#[derive(Debug, Parser)]
struct Cli {
    /// Where to listen.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The folder.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// How late the first byte of an answer comes, such as 30ms.
    #[arg(long, default_value = "30ms", value_parser = millis, value_name = "TIME")]
    latency: Duration,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    // The first process of a container is not ended by a signal that it does not catch.
    let mut interrupt = Interrupt::new()?;
    let listener = TcpListener::bind(cli.listen).await.context(cli.listen)?;
    let origin = Arc::new(DemoOrigin::new(cli.root, cli.latency));
    tokio::select! {
        served = origin.serve(listener) => served,
        () = interrupt.received() => Ok(()),
    }
}

fn millis(text: &str) -> Result<Duration, String> {
    let number = text
        .strip_suffix("ms")
        .and_then(|number| number.parse().ok());
    number
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a time such as 30ms"))
}
