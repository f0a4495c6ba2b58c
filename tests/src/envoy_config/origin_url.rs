//! Where an origin is.

use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// An origin: `http://host[:port]` or `https://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginUrl {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl OriginUrl {
    /// A plain HTTP origin.
    pub fn http(address: SocketAddr) -> Self {
        Self {
            tls: false,
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl FromStr for OriginUrl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => bail!("{text:?} is not http://host[:port] or https://host[:port]"),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (
                host,
                port.parse().with_context(|| format!("{text:?}: port"))?,
            ),
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        if host.is_empty() || !host.chars().all(allowed) {
            bail!("{text:?}: {host:?} is not a host; the URL must have no path");
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
        })
    }
}
