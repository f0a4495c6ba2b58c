//! Who may use the two ports: tokens, names of hosts, and the secret that is shared with Envoy.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use viewcache_protocol::Secret;

use super::private::{self, FileError, Hidden};
use super::{ConfigError, Written};
use crate::access::{self, Role, TokenError, Tokens};

/// The environment has these too, and no flag does: flags are seen by every user of a machine.
pub const VARIABLES: [&str; 4] = [
    "VIEWCACHE_SECRET",
    "VIEWCACHE_READ_TOKEN",
    "VIEWCACHE_ADMIN_TOKEN",
    "VIEWCACHE_PEERS_TOKEN",
];

/// The table `[tokens]` of the file, and what the environment adds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenTokens {
    read: List,
    admin: List,
}

/// Some texts, or one alone. Otherwise a forgotten bracket would end in a message with the token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "OneOrMany")]
struct List(Vec<Hidden>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Hidden),
    Many(Vec<Hidden>),
}

impl From<OneOrMany> for List {
    fn from(written: OneOrMany) -> Self {
        match written {
            OneOrMany::One(text) => Self(vec![text]),
            OneOrMany::Many(texts) => Self(texts),
        }
    }
}

/// Who may use the two ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessTerms {
    /// The tokens that stand in the environment and the TOML file.
    pub tokens: Tokens,
    /// The file of further ones, and what it had at the start.
    pub tokens_file: Option<(TokensFile, Tokens)>,
    /// Names under which the management port is reached.
    pub allowed_hosts: Vec<String>,
    /// What Envoy shows the data port, and the sidecar the egress listener.
    pub secret: Option<Secret>,
    /// What is not wrong but had better be otherwise.
    pub warnings: Vec<String>,
}

impl AccessTerms {
    /// All tokens, as of the start.
    pub fn all_tokens(&self) -> Tokens {
        match &self.tokens_file {
            Some((_, further)) => further.with(&self.tokens),
            None => self.tokens.clone(),
        }
    }

    pub(super) fn read(written: &Written, file: &Written) -> Result<Self, ConfigError> {
        let mut terms = Self::default();
        for tokens in [&written.tokens, &file.tokens] {
            for (role, list) in [(Role::Read, &tokens.read), (Role::Admin, &tokens.admin)] {
                for text in &list.0 {
                    let token = text.0.parse();
                    let field = format!("tokens.{role}");
                    let token = token.map_err(|error| ConfigError::Secret(field.into(), error))?;
                    terms.tokens.add(role, token);
                }
            }
        }
        let tokens_file = written.tokens_file.as_ref().or(file.tokens_file.as_ref());
        if let Some(path) = tokens_file {
            let source = TokensFile(path.clone());
            let (tokens, exposed) = source
                .read()
                .map_err(|error| ConfigError::Private(error.to_string()))?;
            terms.warn_of("tokens_file", path, exposed);
            terms.tokens_file = Some((source, tokens));
        }
        terms.secret = match terms.secret_of(written)? {
            Some(secret) => Some(secret),
            None => terms.secret_of(file)?,
        };
        let names = written.allowed_hosts.as_ref();
        let names = names.or(file.allowed_hosts.as_ref()).into_iter().flatten();
        // A variable without a text is a list of one name without letters.
        for name in names.filter(|name| !name.is_empty()) {
            let read = access::host_name(name).ok_or_else(|| {
                let expected = "is not the name of a host, without a port";
                ConfigError::Value("allowed_hosts".into(), name.clone(), expected)
            })?;
            terms.allowed_hosts.push(read);
        }
        let tells = !file.tokens.read.0.is_empty() || !file.tokens.admin.0.is_empty();
        if let Some(path) = &written.config
            && (tells || file.secret.is_some() || file.peers.token.is_some())
        {
            let exposed = private::exposed(path);
            let exposed = exposed.map_err(|error| unreadable("config", path, &error))?;
            terms.warn_of("config", path, exposed);
        }
        Ok(terms)
    }

    fn secret_of(&mut self, written: &Written) -> Result<Option<Secret>, ConfigError> {
        let text = match (&written.secret, &written.secret_file) {
            (None, None) => return Ok(None),
            (Some(Hidden(text)), None) => text.clone(),
            (None, Some(path)) => {
                let read = private::read(path);
                let read = read.map_err(|error| unreadable("secret_file", path, &error))?;
                self.warn_of("secret_file", path, read.exposed);
                read.text.trim().to_owned()
            }
            (Some(_), Some(path)) => {
                let expected = "stands beside the secret itself";
                let path = path.display().to_string();
                return Err(ConfigError::Value("secret_file".into(), path, expected));
            }
        };
        let secret = text.parse();
        let secret = secret.map_err(|error| ConfigError::Secret("secret".into(), error))?;
        Ok(Some(secret))
    }

    fn warn_of(&mut self, field: &'static str, path: &Path, exposed: bool) {
        if exposed {
            let path = path.display();
            self.warnings
                .push(format!("{field}: {path}: others can read it"));
        }
    }
}

pub(super) fn unreadable(field: &'static str, path: &Path, error: &FileError) -> ConfigError {
    ConfigError::Private(format!("{field}: {}: {error}", path.display()))
}

/// A file of tokens, which is read again while the sidecar runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensFile(PathBuf);

/// Why a file of tokens cannot be used.
#[derive(Debug, Error)]
pub enum TokensFileError {
    /// It is not read.
    #[error("tokens_file: {0}: {1}")]
    Unreadable(PathBuf, String),
    /// It says something else.
    #[error("tokens_file: {0}: {1}")]
    Malformed(PathBuf, TokenError),
}

impl TokensFile {
    /// What it has now, and whether others can read it. Blocks.
    ///
    /// # Errors
    /// When it cannot be used; the message has no token in it.
    pub fn read(&self) -> Result<(Tokens, bool), TokensFileError> {
        let read = private::read(&self.0);
        let read =
            read.map_err(|error| TokensFileError::Unreadable(self.0.clone(), error.to_string()))?;
        let tokens = Tokens::parse(&read.text);
        let tokens = tokens.map_err(|error| TokensFileError::Malformed(self.0.clone(), error))?;
        Ok((tokens, read.exposed))
    }
}

impl Written {
    /// With the secrets of the environment. A variable without a text is as if it were not there.
    pub fn with_variables(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let [secret, read, admin, peers] = VARIABLES.map(|name| {
            let text = variable(name).filter(|text| !text.is_empty());
            text.map(Hidden)
        });
        self.secret = secret.or(self.secret);
        self.tokens.read.0.extend(read);
        self.tokens.admin.0.extend(admin);
        self.peers.token = peers.or(self.peers.token);
        self
    }
}

#[cfg(test)]
mod tests;
