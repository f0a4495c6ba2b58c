//! Runs the cache in the foreground until interrupted: all of it, or Envoy alone.

mod envoy;
mod up;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use e2e::interrupt::Interrupt;

/// Runs the cache: sidecars and Envoy with the shipped configuration.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start all; print one line when it is ready; stop all on SIGINT or SIGTERM.
    Up(up::Up),
    /// Run Envoy alone, for sidecars that run elsewhere; on SIGINT or SIGTERM let what viewers
    /// are receiving end first.
    Envoy(envoy::Alone),
}

// One thread: the children are tied to the life of the thread that starts them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let command = Cli::parse().command;
    let interrupt = Interrupt::new()?;
    match command {
        Command::Up(up) => up.run(interrupt).await,
        Command::Envoy(alone) => alone.run(interrupt).await,
    }
}

/// The secret in a file, when there is one. It becomes a part of Envoy's configuration.
fn secret(file: Option<&Path>) -> Result<Option<String>> {
    let Some(path) = file else { return Ok(None) };
    let name = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(name)?;
    let secret = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if secret.is_empty() || !secret.chars().all(plain) {
        bail!("{}: not a secret", name());
    }
    Ok(Some(secret.to_owned()))
}
