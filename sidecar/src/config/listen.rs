//! Where Envoy reaches the sidecar: a TCP address or a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// An address of the data port, written `127.0.0.1:7071` or `unix:/run/viewcache.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataListen {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl FromStr for DataListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(format!("{text:?} has no absolute path")),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!("{text:?} is not an address such as \"127.0.0.1:7071\" or \"unix:/run/viewcache.sock\"")
            }),
        }
    }
}

impl fmt::Display for DataListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for DataListen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_tcp_or_a_unix_socket() {
        let check =
            |text: &str, expect: Result<&str, &str>| match (text.parse::<DataListen>(), expect) {
                (Ok(listen), Ok(expect)) => assert_eq!(listen.to_string(), expect),
                (Err(error), Err(expect)) => assert!(error.contains(expect), "{error}"),
                (other, _) => panic!("{text}: {other:?}"),
            };
        check("127.0.0.1:7071", Ok("127.0.0.1:7071"));
        check("unix:/run/v.sock", Ok("unix:/run/v.sock"));
        check("unix:v.sock", Err("\"unix:v.sock\" has no absolute path"));
        check("localhost", Err("\"localhost\" is not an address"));
    }
}
