//! What a stack is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::envoy_config::{EnvoyConfig, OriginUrl};

/// How URLs become entities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Any URL.
    #[default]
    Generic,
    /// `/videoplayback` and its parameters.
    Youtube,
}

/// Where the children's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// Into files, shown when a test fails.
    Kept,
    /// To stderr, at once.
    Stderr,
}

/// The choices.
#[derive(Clone, Debug)]
pub struct Options {
    /// The origin.
    pub origin: OriginUrl,
    /// The filter's profile.
    pub profile: Profile,
    /// Further fields of the filter's configuration, as JSON writes them: `"a": 1, "b": 2`.
    pub filter_fields: Option<String>,
    /// The number of sidecars.
    pub sidecars: usize,
    /// Whether Envoy has them from a file that it follows, so that they can come and go.
    pub nodes_file: bool,
    /// Whether they are started with the rest.
    pub start_sidecars: bool,
    /// Where viewers connect to; a free port otherwise.
    pub listen: Option<SocketAddr>,
    /// Where node 0 is managed; a free port otherwise.
    pub manage: Option<SocketAddr>,
    /// The data folder; a temporary one otherwise. Several nodes have a folder each in it.
    pub data: Option<PathBuf>,
    /// The limit of each node.
    pub max_bytes: Option<String>,
    /// A file of settings for every node.
    pub sidecar_config: Option<PathBuf>,
    /// What Envoy and the sidecars show each other.
    pub secret: Option<String>,
    /// A file of tokens for the management ports.
    pub tokens_file: Option<PathBuf>,
    /// Further variables in Envoy's environment.
    pub envoy_variables: Vec<(String, String)>,
    /// Further variables in every sidecar's environment.
    pub sidecar_variables: Vec<(String, String)>,
    /// Where to leave the Envoy configuration that is run.
    pub keep_envoy_config: Option<PathBuf>,
    /// What Envoy is started with instead of the shipped file. Its origin is set already.
    pub own: Option<EnvoyConfig>,
    /// Literals of the Envoy configuration, each there once, and what to put in their place.
    pub edits: Vec<(String, String)>,
    /// Envoy's workers; one for each core otherwise.
    pub concurrency: Option<usize>,
    /// Where the children's output goes.
    pub logs: Logs,
}

impl Options {
    /// One sidecar, free ports, a temporary folder, the shipped settings.
    pub fn new(origin: OriginUrl) -> Self {
        Self {
            origin,
            profile: Profile::Generic,
            filter_fields: None,
            sidecars: 1,
            nodes_file: false,
            start_sidecars: true,
            listen: None,
            manage: None,
            data: None,
            max_bytes: None,
            sidecar_config: None,
            secret: None,
            tokens_file: None,
            envoy_variables: Vec::new(),
            sidecar_variables: Vec::new(),
            keep_envoy_config: None,
            own: None,
            edits: Vec::new(),
            concurrency: None,
            logs: Logs::Kept,
        }
    }

    /// The filter's configuration.
    pub fn filter_json(&self) -> String {
        let profile = match self.profile {
            Profile::Generic => "generic",
            Profile::Youtube => "youtube",
        };
        let mut fields = vec![format!(r#""profile": "{profile}""#)];
        fields.extend(self.filter_fields.clone());
        fields.extend(
            self.secret
                .iter()
                .map(|text| format!(r#""secret": "{text}""#)),
        );
        format!("{{{}}}", fields.join(", "))
    }
}
