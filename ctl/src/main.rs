//! viewcachectl: what is cached, and what is to become of it, from a terminal. It does nothing that
//! the REST API of the sidecar does not.

mod args;
mod client;
mod commands;
mod figures;
mod output;

use std::process::ExitCode;

use clap::Parser;

use args::Options;

/// What sysexits.h calls a usage error, as the sidecar has it.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            // Help and version are no errors.
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match commands::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("viewcachectl: {error:#}");
            ExitCode::FAILURE
        }
    }
}
