//! The table `[peers]` of `viewcache.toml`: the management ports of the other cache nodes.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use serde::Deserialize;
use viewcache_protocol::Secret;

use super::access::unreadable;
use super::private::{self, Hidden};
use super::{ConfigError, Span};

/// As many as are asked at once.
const MOST: usize = 128;

/// The shortest and the longest time that one may be waited for.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(30));

/// The table as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenPeers {
    addresses: Vec<String>,
    /// The environment has it, too.
    pub(super) token: Option<Hidden>,
    token_file: Option<PathBuf>,
    timeout: Option<Span>,
}

/// The other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeersTerms {
    /// Where the management ports are, each as `http://host:port`.
    pub addresses: Vec<String>,
    /// What is shown to them.
    pub token: Option<Secret>,
    /// How long each may take to answer.
    pub timeout: Duration,
}

impl Default for PeersTerms {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            token: None,
            // Within it a node answers that lives: a page of figures from memory.
            timeout: Duration::from_secs(1),
        }
    }
}

impl WrittenPeers {
    /// The nodes that a flag or the environment names, or else the table; what had better be
    /// otherwise is added to `warnings`.
    ///
    /// # Errors
    /// Names the setting and its value, but for the token.
    pub(super) fn read(
        self,
        addresses: Option<Vec<String>>,
        token: Option<Hidden>,
        warnings: &mut Vec<String>,
    ) -> Result<PeersTerms, ConfigError> {
        let mut terms = PeersTerms::default();
        for text in addresses.unwrap_or(self.addresses) {
            // A variable without a text is a list of one without letters.
            if text.is_empty() {
                continue;
            }
            let address = address(&text).ok_or_else(|| {
                let expected = "is not http://host:port";
                ConfigError::Value("peers.addresses".into(), text, expected)
            })?;
            if !terms.addresses.contains(&address) {
                terms.addresses.push(address);
            }
        }
        if MOST < terms.addresses.len() {
            let count = terms.addresses.len().to_string();
            let expected = "are more than 128";
            return Err(ConfigError::Value(
                "peers.addresses".into(),
                count,
                expected,
            ));
        }
        if let Some(timeout) = self.timeout.map(Span::get) {
            if !(TIMEOUT.0..=TIMEOUT.1).contains(&timeout) {
                let text = format!("{timeout:?}");
                let expected = "is not from 10ms to 30s";
                return Err(ConfigError::Value("peers.timeout".into(), text, expected));
            }
            terms.timeout = timeout;
        }
        let token = match (token.or(self.token), self.token_file) {
            (None, None) => return Ok(terms),
            (Some(Hidden(text)), None) => text,
            (None, Some(path)) => {
                let read = private::read(&path);
                let read = read.map_err(|error| unreadable("peers.token_file", &path, &error))?;
                if read.exposed {
                    let path = path.display();
                    warnings.push(format!("peers.token_file: {path}: others can read it"));
                }
                read.text.trim().to_owned()
            }
            (Some(_), Some(path)) => {
                let path = path.display().to_string();
                let expected = "stands beside the token itself";
                return Err(ConfigError::Value(
                    "peers.token_file".into(),
                    path,
                    expected,
                ));
            }
        };
        let token = token.parse();
        let token = token.map_err(|error| ConfigError::Secret("peers.token".into(), error))?;
        terms.token = Some(token);
        Ok(terms)
    }
}

/// A base URL that names a host, perhaps a port, and nothing else.
fn address(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let bare = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
    let plain = uri.scheme_str() == Some("http") && !authority.host().is_empty();
    (bare && plain).then(|| format!("http://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, token: Option<&str>) -> Result<PeersTerms, String> {
        let written: WrittenPeers = toml::from_str(text).unwrap();
        let token = token.map(|text| Hidden(text.to_owned()));
        let read = written.read(None, token, &mut Vec::new());
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn they_are_named_by_their_management_ports() {
        let check = |address: &str, expect: bool| {
            let read = read(&format!("addresses = [{address:?}]"), None);
            assert_eq!(read.is_ok(), expect, "{address}: {read:?}");
        };
        check("http://10.0.0.6:7070", true);
        check("http://node-1.example:7070/", true);
        check("http://[2001:db8::1]:7070", true);
        check("http://node-1", true);
        check("", true);
        check("https://node-1:7070", false);
        check("node-1:7070", false);
        check("http://node-1:7070/v1", false);
        check("http://node-1:7070/?x", false);
        check("http://u:p@node-1:7070", false);
        check("unix:/run/x", false);
    }

    #[test]
    fn a_wrong_setting_is_named_and_a_token_is_not_shown() {
        let check = |text: &str, token: Option<&str>, expect: &str| {
            let error = read(text, token).unwrap_err();
            assert!(error.starts_with(expect), "{error}");
            assert!(!error.contains("short"), "{error}");
        };
        check("timeout = '5ms'", None, "peers.timeout: \"5ms\"");
        check("timeout = '31s'", None, "peers.timeout: \"31s\"");
        check("token = 'short'", None, "peers.token: ");
        check("", Some("short"), "peers.token: ");
        let beside = "peers.token_file: \"/t\" stands beside";
        check("token_file = '/t'", Some("0123456789abcdef"), beside);
        check("token_file = '/no/such'", None, "peers.token_file: ");
        let many: Vec<_> = (0..129).map(|n| format!("http://node-{n}:1")).collect();
        let many = format!("addresses = {many:?}");
        check(&many, None, "peers.addresses: \"129\" are more");
    }

    #[test]
    fn the_environment_wins_and_no_node_is_named_twice() {
        let text = "addresses = ['http://a:1', 'http://a:1/', 'http://b:1']\n\
                    token = 'of-the-file-itself'\ntimeout = '250ms'";
        let terms = read(text, Some("of-the-environment")).unwrap();
        assert_eq!(terms.addresses, ["http://a:1", "http://b:1"]);
        assert_eq!(terms.timeout, Duration::from_millis(250));
        let token = terms.token.unwrap();
        assert!(token.is(b"of-the-environment"));
        let written: WrittenPeers = toml::from_str(text).unwrap();
        let flag = Some(vec!["http://c:1".to_owned()]);
        let terms = written.read(flag, None, &mut Vec::new()).unwrap();
        assert_eq!(terms.addresses, ["http://c:1"]);
    }

    #[test]
    fn a_token_may_stand_in_a_file_of_its_own() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        for (mode, warned) in [(0o600, false), (0o644, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let text = format!("token_file = {:?}", path.display().to_string());
            let written: WrittenPeers = toml::from_str(&text).unwrap();
            let mut warnings = Vec::new();
            let terms = written.read(None, None, &mut warnings).unwrap();
            assert!(terms.token.unwrap().is(b"0123456789abcdef"));
            assert_eq!(warnings.len(), usize::from(warned), "{warnings:?}");
        }
    }
}
