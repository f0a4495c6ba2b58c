//! The commands, each as some calls and what is printed of their answers.

mod download;
mod entities;
mod policy;
mod stats;

use anyhow::Result;
use clap::CommandFactory;

use crate::args::{Command, DownloadAction, Options};
use crate::client::Client;

pub(crate) fn run(options: Options) -> Result<()> {
    let client = Client::new(&options.url, options.token_file.as_deref())?;
    let json = options.json;
    match options.command {
        Command::Ls(which) => entities::list(&client, &which, json),
        Command::Show { id } => entities::show(&client, &id, json),
        Command::Rm(what) => entities::remove(&client, what, json),
        Command::Pin { ids } => entities::pin(&client, &ids, "PUT"),
        Command::Unpin { ids } => entities::pin(&client, &ids, "DELETE"),
        Command::Download { what, no_wait } => download::start(&client, &what, !no_wait, json),
        Command::Downloads { action } => match action {
            None => download::list(&client, json),
            Some(DownloadAction::Pause { id }) => download::act(&client, &id, "pause", json),
            Some(DownloadAction::Resume { id }) => download::act(&client, &id, "resume", json),
            Some(DownloadAction::Cancel { id }) => download::cancel(&client, &id),
        },
        Command::Policy { action } => policy::run(&client, action, json),
        Command::Stats { watch: false } => stats::show(&client, json),
        Command::Stats { watch: true } => stats::watch(&client, json),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Options::command(), "viewcachectl", &mut script);
            crate::output::say(&String::from_utf8_lossy(&script))
        }
    }
}
