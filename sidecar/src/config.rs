//! Flags, environment and `viewcache.toml` → [`Config`]. Everything is checked here, before a port
//! is bound.

mod access;
mod listen;
mod peers;
mod private;
mod profiles;
mod resolver;
mod size;
mod span;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand};
use hyper::Uri;
use serde::Deserialize;
use thiserror::Error;
use viewcache_protocol::SecretError;

pub use access::{AccessTerms, TokensFile, TokensFileError, VARIABLES, WrittenTokens};
pub use listen::DataListen;
pub use peers::{PeersTerms, WrittenPeers};
pub use private::Hidden;
pub use profiles::{Profiles, WrittenProfiles, WrittenTerms};
pub use resolver::{Asks, ResolverTerms, WrittenResolver};
pub use size::{ByteSize, MinFree};
pub use span::Span;

use crate::roots::Roots;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The cache beside Envoy: decides, stores and serves.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "viewcache-sidecar",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Secrets have no flags, which every user of a machine can see, but variables: \
                  VIEWCACHE_SECRET, VIEWCACHE_READ_TOKEN, VIEWCACHE_ADMIN_TOKEN, \
                  VIEWCACHE_PEERS_TOKEN."
)]
pub struct Cli {
    /// How to run.
    #[command(flatten)]
    pub written: Written,
    /// What to do instead.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the sidecar, as without a command.
    Serve(Box<Written>),
    /// Look whether what is stored agrees with itself, while no sidecar runs.
    ///
    /// Exits with 0 when all of it does, with 1 when something does not (or did not, with
    /// --repair), and with 2 when it could not be looked at.
    Check {
        /// The data folder.
        #[arg(long, env = "VIEWCACHE_DATA_DIR", value_name = "DIR")]
        data: PathBuf,
        /// Mend it: drop what is damaged, remove what nothing leads to, list every segment.
        #[arg(long)]
        repair: bool,
    },
}

/// The settings as they are written.
#[derive(Clone, Debug, Default, Parser, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    /// A TOML file with any of the settings below, written with underscores; flags and
    /// environment win over it.
    #[arg(long, env = "VIEWCACHE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Check the configuration, say what is wrong, and stop.
    #[arg(long)]
    #[serde(skip)]
    pub check_config: bool,

    /// The folder for everything that is kept [default: ./data].
    #[arg(long, env = "VIEWCACHE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Where Envoy reaches the cache; for Envoy alone, so loopback or `unix:/path`, or else a
    /// secret [default: 127.0.0.1:7071].
    #[arg(long, env = "VIEWCACHE_DATA_LISTEN", value_name = "ADDR")]
    pub data_listen: Option<DataListen>,

    /// Where people reach the REST API and the metrics; loopback, or else tokens
    /// [default: 127.0.0.1:7070].
    #[arg(long, env = "VIEWCACHE_MANAGE_LISTEN", value_name = "ADDR")]
    pub manage_listen: Option<SocketAddr>,

    /// A file with the bearer tokens of the management port, one a line: `read TOKEN` or
    /// `admin TOKEN`. It is read again when it changes.
    #[arg(long, env = "VIEWCACHE_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,

    /// Tokens in the file, and of the environment.
    #[arg(skip)]
    pub tokens: WrittenTokens,

    /// Names under which the management port is reached, beside localhost and its address.
    #[arg(
        long,
        env = "VIEWCACHE_ALLOWED_HOSTS",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub allowed_hosts: Option<Vec<String>>,

    /// A file with the secret that Envoy shows the data port, and the sidecar Envoy's egress
    /// listener.
    #[arg(long, env = "VIEWCACHE_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,

    /// The secret itself, in the file or of the environment.
    #[arg(skip)]
    pub secret: Option<Hidden>,

    /// Envoy's egress listener, the only way to the origin [default: http://127.0.0.1:10001].
    #[arg(long, env = "VIEWCACHE_EGRESS", value_name = "URL")]
    pub egress: Option<String>,

    /// The most disk that stored bytes may take [default: 10GiB].
    #[arg(long, env = "VIEWCACHE_MAX_BYTES", value_name = "SIZE")]
    pub max_bytes: Option<ByteSize>,

    /// What is left free of the disk, such as `1GiB` or `2%` [default: 1%].
    #[arg(long, env = "VIEWCACHE_MIN_FREE", value_name = "SIZE")]
    pub min_free: Option<MinFree>,

    /// Memory for bytes on their way to the disk; what does not fit is not stored
    /// [default: 64MiB].
    #[arg(long, env = "VIEWCACHE_INGEST_MEMORY", value_name = "SIZE")]
    pub ingest_memory: Option<ByteSize>,

    /// How long responses in flight may take to end when the sidecar is asked to stop
    /// [default: 5s].
    #[arg(long, env = "VIEWCACHE_GRACE", value_name = "TIME")]
    pub grace: Option<Span>,

    /// Management ports of the other cache nodes, such as `http://10.0.0.6:7070`, whose statistics
    /// are told beside and together with this node's [default: none].
    #[arg(
        long = "peers",
        env = "VIEWCACHE_PEERS",
        value_name = "URLS",
        value_delimiter = ','
    )]
    #[serde(skip)]
    pub peer_addresses: Option<Vec<String>>,

    /// They and what is shown to them, in the file.
    #[arg(skip)]
    pub peers: WrittenPeers,

    /// A file with the filter's configuration, as Envoy has it: by its rules the URLs of downloads
    /// are entities [default: the generic profile for all].
    #[arg(long, env = "VIEWCACHE_FILTER_CONFIG", value_name = "FILE")]
    pub filter_config: Option<PathBuf>,

    /// A folder that files may be imported from, with all that is in it; may be given more than
    /// once, or as several with colons between them [default: none].
    #[arg(
        long,
        env = "VIEWCACHE_IMPORT_ROOTS",
        value_name = "DIR",
        value_delimiter = ':'
    )]
    pub import_roots: Option<Vec<PathBuf>>,

    /// Which log lines are written, such as `info` or `viewcache_sidecar=debug`
    /// [default: info].
    #[arg(long, env = "VIEWCACHE_LOG", value_name = "FILTER")]
    pub log: Option<String>,

    /// How log lines are written [default: text].
    #[arg(long, env = "VIEWCACHE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// The rules of each profile; in the file only.
    #[arg(skip)]
    pub profiles: WrittenProfiles,

    /// Who gives new URLs for those that have expired; in the file only.
    #[arg(skip)]
    pub resolver: WrittenResolver,
}

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder for everything that is kept.
    pub data_dir: PathBuf,
    /// The data port.
    pub data_listen: DataListen,
    /// The management port.
    pub manage_listen: SocketAddr,
    /// Who may use the two ports.
    pub access: AccessTerms,
    /// Envoy's egress listener.
    pub egress: Uri,
    /// The most disk that stored bytes may take.
    pub max_bytes: ByteSize,
    /// What is left free of the disk.
    pub min_free: MinFree,
    /// Memory for bytes on their way to the disk.
    pub ingest_memory: ByteSize,
    /// How long responses in flight may take to end when the sidecar is asked to stop.
    pub grace: Duration,
    /// The other cache nodes.
    pub peers: PeersTerms,
    /// The filter's configuration.
    pub filter: viewcache_filter::config::Config,
    /// The folders that files may be imported from.
    pub import_roots: Roots,
    /// The log filter.
    pub log: String,
    /// The log format.
    pub log_format: LogFormat,
    /// By which rules each profile's entities are fetched.
    pub profiles: Profiles,
    /// Who gives new URLs for those that have expired.
    pub resolver: Option<ResolverTerms>,
}

/// What is wrong with the configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config: {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is not TOML with known keys. The line is not shown: it may have a secret in it.
    #[error("config: {0}: line {1}: {2}")]
    Malformed(PathBuf, usize, String),
    /// The filter's configuration is wrong.
    #[error("filter_config: {0}: {1}")]
    Filter(PathBuf, viewcache_filter::config::ConfigError),
    /// A secret or token is none. Its value is not told: messages end in logs.
    #[error("{0}: {1}")]
    Secret(Cow<'static, str>, SecretError),
    /// What the filter shows is not what is demanded.
    #[error("filter_config: its secret is another than the sidecar's")]
    OtherSecret,
    /// A file with secrets cannot be used.
    #[error("{0}")]
    Private(String),
    /// A setting has a value that cannot be used.
    #[error("{0}: {1:?} {2}")]
    Value(Cow<'static, str>, String, &'static str),
}

impl Config {
    /// The settings from what was written and, below it, its file.
    ///
    /// # Errors
    /// Names the setting and its value.
    pub fn new(written: Written) -> Result<Self, ConfigError> {
        let file = match &written.config {
            Some(path) => read(path)?,
            None => Written::default(),
        };
        Self::over(written, file)
    }

    /// The settings from what was written and what stands in its file.
    ///
    /// # Errors
    /// Names the setting and its value.
    pub fn over(written: Written, file: Written) -> Result<Self, ConfigError> {
        let mut access = AccessTerms::read(&written, &file)?;
        let (addresses, token) = (written.peer_addresses, written.peers.token);
        let peers = file.peers.read(addresses, token, &mut access.warnings)?;
        let egress_text = written
            .egress
            .or(file.egress)
            .unwrap_or_else(|| "http://127.0.0.1:10001".to_owned());
        let egress: Uri = egress_text.parse().map_err(|_| {
            ConfigError::Value("egress".into(), egress_text.clone(), "is not a URL")
        })?;
        if egress.scheme_str() != Some("http")
            || egress.authority().is_none()
            || egress.path() != "/"
        {
            let expected = "is not http://host:port";
            return Err(ConfigError::Value("egress".into(), egress_text, expected));
        }
        let config = Self {
            data_dir: written
                .data_dir
                .or(file.data_dir)
                .unwrap_or_else(|| "data".into()),
            data_listen: written
                .data_listen
                .or(file.data_listen)
                .unwrap_or(DataListen::Tcp(SocketAddr::from(([127, 0, 0, 1], 7071)))),
            manage_listen: written
                .manage_listen
                .or(file.manage_listen)
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7070))),
            access,
            egress,
            max_bytes: written
                .max_bytes
                .or(file.max_bytes)
                .unwrap_or(ByteSize(10 << 30)),
            min_free: written
                .min_free
                .or(file.min_free)
                .unwrap_or(MinFree::Part(100)),
            ingest_memory: written
                .ingest_memory
                .or(file.ingest_memory)
                .unwrap_or(ByteSize(64 << 20)),
            grace: written
                .grace
                .or(file.grace)
                .map_or(Duration::from_secs(5), Span::get),
            peers,
            filter: match written.filter_config.or(file.filter_config) {
                Some(path) => filter(path)?,
                None => Default::default(),
            },
            import_roots: Roots::new(
                written
                    .import_roots
                    .or(file.import_roots)
                    .unwrap_or_default(),
            ),
            log: written
                .log
                .or(file.log)
                .unwrap_or_else(|| "info".to_owned()),
            log_format: written.log_format.or(file.log_format).unwrap_or_default(),
            profiles: file.profiles.read()?,
            resolver: file.resolver.read()?,
        };
        config.check()
    }

    fn check(self) -> Result<Self, ConfigError> {
        let at_least = |name: &'static str, size: ByteSize, least: u64, expected| {
            let enough = least <= size.bytes();
            enough
                .then_some(())
                .ok_or_else(|| ConfigError::Value(name.into(), size.to_string(), expected))
        };
        at_least("max_bytes", self.max_bytes, 1 << 20, "is less than 1MiB")?;
        at_least(
            "ingest_memory",
            self.ingest_memory,
            1 << 20,
            "is less than 1MiB",
        )?;
        if let Some((root, fault)) = self.import_roots.fault(&self.data_dir) {
            return Err(ConfigError::Value("import_roots".into(), root, fault));
        }
        self.check_access()?;
        Ok(self)
    }

    /// Each port is where nobody but this machine's users reaches it, or knows who calls.
    fn check_access(&self) -> Result<(), ConfigError> {
        let here = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
        let error = |name: &'static str, address: &SocketAddr, expected| {
            ConfigError::Value(name.into(), address.to_string(), expected)
        };
        if let DataListen::Tcp(address) = &self.data_listen
            && !here(address)
            && self.access.secret.is_none()
        {
            let expected = "is not a loopback address, and there is no secret to know Envoy by";
            return Err(error("data_listen", address, expected));
        }
        if !here(&self.manage_listen) && self.access.all_tokens().is_empty() {
            let expected = "is not a loopback address, and there are no tokens to know people by";
            return Err(error("manage_listen", &self.manage_listen, expected));
        }
        match (&self.filter.secret, &self.access.secret) {
            (Some(filter), Some(secret)) if filter != secret => Err(ConfigError::OtherSecret),
            _ => Ok(()),
        }
    }
}

/// Reads the filter's configuration.
fn filter(path: PathBuf) -> Result<viewcache_filter::config::Config, ConfigError> {
    let text = std::fs::read(&path);
    let text = text.map_err(|error| ConfigError::Unreadable(path.clone(), error))?;
    viewcache_filter::config::Config::parse(&text).map_err(|error| ConfigError::Filter(path, error))
}

fn read(path: &Path) -> Result<Written, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable(path.to_owned(), error))?;
    Written::parse(path, &text)
}

impl Written {
    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// Names the line, and does not show it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = 1 + before.unwrap_or_default().matches('\n').count();
            ConfigError::Malformed(path.to_owned(), line, without_text(error.message()))
        })
    }
}

/// A message without the text that stands where none may: a token behind `tokens =`, perhaps.
fn without_text(message: &str) -> String {
    let kinds = ["invalid type: string ", "invalid value: string "];
    let text = kinds.iter().find_map(|kind| message.strip_prefix(kind));
    match text.and_then(|text| text.rsplit_once(", expected ")) {
        Some((_, expected)) => format!("a text, expected {expected}"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
