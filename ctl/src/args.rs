//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Shows and changes what a viewcache sidecar keeps.
#[derive(Debug, Parser)]
#[command(name = "viewcachectl", version)]
pub(crate) struct Options {
    /// Where the sidecar's management port is.
    #[arg(
        long,
        global = true,
        env = "VIEWCACHE_URL",
        default_value = "http://127.0.0.1:7070",
        value_name = "URL"
    )]
    pub(crate) url: String,
    /// A file with the token in it; the environment's VIEWCACHE_TOKEN is the token itself.
    #[arg(long, global = true, env = "VIEWCACHE_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// JSON as the API answers it, instead of a table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What is cached.
    Ls(Ls),
    /// All about one entity, or a video and its entities.
    Show {
        /// The id of an entity or of a video.
        id: String,
    },
    /// Removes what is cached.
    Rm(Rm),
    /// Keeps entities whatever the room.
    Pin {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// No longer keeps entities whatever the room.
    Unpin {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Fetches all of an entity, and waits until it is there.
    Download {
        /// A URL as viewers use it, or the id of an entity.
        what: String,
        /// Only begins it.
        #[arg(long)]
        no_wait: bool,
    },
    /// The downloads, and what becomes of them.
    Downloads {
        #[command(subcommand)]
        action: Option<DownloadAction>,
    },
    /// What is worth keeping.
    Policy {
        #[command(subcommand)]
        action: Option<PolicyAction>,
    },
    /// How the cache does.
    Stats {
        /// Shows it again every second until interrupted.
        #[arg(long)]
        watch: bool,
    },
    /// Prints a script by which a shell completes these commands.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

/// Which entities are listed, and how.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Those of this video.
    #[arg(long)]
    pub(crate) video: Option<String>,
    /// Those whose video belongs to this channel.
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// Those of this quality.
    #[arg(long)]
    pub(crate) itag: Option<String>,
    /// Those that are downloading, partial, complete or stale.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Those that are pinned.
    #[arg(long)]
    pub(crate) pinned: bool,
    /// Those that are not known to be worth keeping.
    #[arg(long)]
    pub(crate) provisional: bool,
    /// Those whose key begins so.
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// By id, started_at, last_accessed, cached_bytes or hits; with - before it the largest first.
    #[arg(long, default_value = "-last_accessed", allow_hyphen_values = true)]
    pub(crate) sort: String,
    /// No more than so many; 0 is all.
    #[arg(short = 'n', long, default_value_t = 50)]
    pub(crate) limit: usize,
}

/// What is removed: exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Rm {
    /// An entity, by its id.
    pub(crate) entity: Option<String>,
    /// All of a video.
    #[arg(long, value_name = "ID")]
    pub(crate) video: Option<String>,
    /// All of a channel's videos.
    #[arg(long, value_name = "ID")]
    pub(crate) channel: Option<String>,
    /// All whose keys begin so.
    #[arg(long, value_name = "KEY")]
    pub(crate) prefix: Option<String>,
    /// Everything.
    #[arg(long)]
    pub(crate) all: bool,
}

/// What becomes of a download.
#[derive(Debug, Subcommand)]
pub(crate) enum DownloadAction {
    /// Lets it rest.
    Pause {
        /// Its id, which is its entity's.
        id: String,
    },
    /// Goes on with it.
    Resume {
        /// Its id, which is its entity's.
        id: String,
    },
    /// Ends it; what is stored stays.
    Cancel {
        /// Its id, which is its entity's.
        id: String,
    },
}

/// What becomes of the policy.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyAction {
    /// Changes some of it: `policy set admit.watched_percent=5 keep=complete`.
    Set {
        /// Names and values; a value is JSON, or else a word; `null` is the default again.
        #[arg(required = true, value_name = "NAME=VALUE")]
        changes: Vec<String>,
    },
    /// Replaces all of it by a file's JSON; `-` is standard input.
    Replace {
        /// The file.
        file: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn exactly_one_thing_is_removed() {
        let parses = |words: &[&str]| Options::try_parse_from(words).is_ok();
        assert!(parses(&["viewcachectl", "rm", "0123"]));
        assert!(parses(&["viewcachectl", "rm", "--video", "abc"]));
        assert!(!parses(&["viewcachectl", "rm"]));
        assert!(!parses(&["viewcachectl", "rm", "0123", "--all"]));
    }
}
