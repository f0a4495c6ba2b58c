//! A cache node as Envoy is told of it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// A sidecar's data port, and the name by which its entities find it again wherever it runs:
/// `node-0=sidecar:7071`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Node {
    /// The nodes of one host are told apart by their number.
    pub(super) fn numbered(number: usize, address: SocketAddr) -> Self {
        Self {
            name: format!("node-{number}"),
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl FromStr for Node {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let form = || format!("{text:?} is not NAME=HOST:PORT");
        let (name, address) = text.split_once('=').with_context(form)?;
        let (host, port) = address.rsplit_once(':').with_context(form)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // What is written into the configuration must not change its structure.
        let plain = |text: &str, allowed: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || allowed.contains(c);
            !text.is_empty() && text.chars().all(fits)
        };
        if !plain(name, "-_.") || !plain(host, "-_.:") {
            bail!(form());
        }
        Ok(Self {
            name: name.to_owned(),
            host: host.to_owned(),
            port: port.parse().with_context(form)?,
        })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes() {
        let check = |text: &str, expect: Option<(&str, &str, u16)>| {
            let parsed = text.parse::<Node>().ok();
            let expect = expect.map(|(name, host, port)| Node {
                name: name.into(),
                host: host.into(),
                port,
            });
            assert_eq!(parsed, expect, "{text}");
        };
        check("node-0=sidecar:7071", Some(("node-0", "sidecar", 7071)));
        check("a=10.0.0.5:1", Some(("a", "10.0.0.5", 1)));
        check("a=[::1]:1", Some(("a", "::1", 1)));
        check("sidecar:7071", None);
        check("a=sidecar", None);
        check("a=sidecar:x", None);
        check("=sidecar:1", None);
        check("a=:1", None);
        check("a}=b:1", None);
    }
}
