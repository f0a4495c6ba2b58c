//! Flags, logs and signals; the rest is in the library.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tikv_jemallocator::Jemalloc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use viewcache_sidecar::config::{Cli, Command, Config, LogFormat};
use viewcache_sidecar::{Listener, store};

/// RocksDB's too. With glibc's the process kept what each of its threads had once needed, and grew
/// for hours; how this one behaves is said in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Bad usage, by the convention of sysexits.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let Cli { written, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done when even the usage cannot be printed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let written = match command {
        Some(Command::Check { data, repair }) => return check(&data, repair),
        Some(Command::Serve(written)) => *written,
        None => written,
    };
    let check_only = written.check_config;
    // One that is no text is no secret either, and is told so: it must not count as none.
    let variable = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    let written = written.with_variables(variable);
    let config = match Config::new(written) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("viewcache-sidecar: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let Ok(filter) = EnvFilter::try_new(&config.log) else {
        eprintln!(
            "viewcache-sidecar: log: {:?} is not a log filter",
            config.log
        );
        return ExitCode::from(USAGE);
    };
    if check_only {
        for warning in &config.access.warnings {
            eprintln!("viewcache-sidecar: warning: {warning}");
        }
        return ExitCode::SUCCESS;
    }
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => logs.with_ansi(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what does not agree in a data folder, and a summary.
fn check(data: &Path, repair: bool) -> ExitCode {
    /// It could not be looked at.
    const BLIND: u8 = 2;
    let mut out = io::stdout().lock();
    // Whoever closes our output has seen enough.
    let report = store::check(data, repair, |problem| drop(writeln!(out, "{problem}")));
    match report {
        Ok(report) => {
            let store::Report {
                entities,
                segments,
                rows,
                pieces,
                bytes,
                unindexed,
                problems,
            } = report;
            let _ = writeln!(
                out,
                "{entities} entities, {segments} segments, {rows} rows, {bytes} bytes: \
                 {pieces} checksums computed, {unindexed} bytes of disk not indexed"
            );
            let (done, code) = match (problems, repair) {
                (0, _) => ("", ExitCode::SUCCESS),
                (_, true) => (", mended", ExitCode::FAILURE),
                (_, false) => ("; --repair mends them", ExitCode::FAILURE),
            };
            let _ = writeln!(out, "{problems} problems{done}");
            code
        }
        Err(error) => {
            eprintln!("viewcache-sidecar: {error}");
            ExitCode::from(BLIND)
        }
    }
}

#[tokio::main]
async fn start(config: Config) -> anyhow::Result<()> {
    let data = Listener::bind(&config.data_listen).await;
    let data = data.with_context(|| format!("data_listen: {}", config.data_listen))?;
    let manage = TcpListener::bind(config.manage_listen).await;
    let manage = manage.with_context(|| format!("manage_listen: {}", config.manage_listen))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    viewcache_sidecar::run(data, manage, config, shutdown).await
}
