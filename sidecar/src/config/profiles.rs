//! The tables `[profiles.generic]` and `[profiles.youtube]` of `viewcache.toml` → [`Terms`].

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use viewcache_protocol::Profile;

use super::{ByteSize, ConfigError};
use crate::terms::{Miss, Terms};

/// A duration, written `2s` or `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = humantime::parse_duration(&text);
        parsed
            .map(Self)
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is not a time such as \"2s\"")))
    }
}

/// A profile's table as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenTerms {
    miss: Option<Miss>,
    window: Option<ByteSize>,
    bridge: Option<ByteSize>,
    read_ahead: Option<ByteSize>,
    lease: Option<ByteSize>,
    stall: Option<Span>,
    tries: Option<u32>,
    patience: Option<Span>,
}

/// Both tables as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenProfiles {
    generic: WrittenTerms,
    youtube: WrittenTerms,
}

/// The rules of each profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profiles {
    generic: Terms,
    youtube: Terms,
}

impl Profiles {
    /// What applies to a profile's entities.
    pub const fn terms(&self, profile: Profile) -> Terms {
        match profile {
            Profile::Generic => self.generic,
            Profile::Youtube => self.youtube,
        }
    }
}

impl WrittenProfiles {
    pub(super) fn read(&self) -> Result<Profiles, ConfigError> {
        Ok(Profiles {
            generic: self.generic.over(Terms::default())?,
            youtube: self.youtube.over(Terms::youtube())?,
        })
    }
}

impl WrittenTerms {
    fn over(&self, default: Terms) -> Result<Terms, ConfigError> {
        let size = |written: Option<ByteSize>, default| written.map_or(default, ByteSize::bytes);
        let terms = Terms {
            miss: self.miss.unwrap_or(default.miss),
            window: size(self.window, default.window),
            bridge: size(self.bridge, default.bridge),
            read_ahead: size(self.read_ahead, default.read_ahead),
            lease: size(self.lease, default.lease),
            stall: self.stall.map_or(default.stall, |span| span.0),
            tries: self.tries.unwrap_or(default.tries),
            patience: self.patience.map_or(default.patience, |span| span.0),
        };
        let least = |name, bytes: u64, least: u64, expected| {
            let enough = least <= bytes;
            let refused = || ConfigError::Value(name, ByteSize(bytes).to_string(), expected);
            enough.then_some(()).ok_or_else(refused)
        };
        least("window", terms.window, 64 << 10, "is less than 64KiB")?;
        least("lease", terms.lease, 64 << 10, "is less than 64KiB")?;
        let time = |name, span: Duration| {
            let text = || humantime::format_duration(span).to_string();
            let expected = "is less than 100ms";
            let enough = Duration::from_millis(100) <= span;
            enough
                .then_some(())
                .ok_or_else(|| ConfigError::Value(name, text(), expected))
        };
        time("stall", terms.stall)?;
        time("patience", terms.patience)?;
        if terms.tries == 0 {
            return Err(ConfigError::Value(
                "tries",
                "0".to_owned(),
                "is less than 1",
            ));
        }
        Ok(terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Profiles, String> {
        let written: WrittenProfiles = toml::from_str(text).map_err(|error| error.to_string())?;
        written.read().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        let profiles = read("[youtube]\nmiss = \"relay\"\nstall = \"500ms\"\n").unwrap();
        assert_eq!(profiles.terms(Profile::Generic), Terms::default());
        let expected = Terms {
            miss: Miss::Relay,
            stall: Duration::from_millis(500),
            ..Terms::youtube()
        };
        assert_eq!(profiles.terms(Profile::Youtube), expected);
    }

    #[test]
    fn a_wrong_value_is_named() {
        let check = |text: &str, expect: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check(
            "[generic]\nwindow = \"1KiB\"",
            "window: \"1KiB\" is less than 64KiB",
        );
        check(
            "[generic]\nstall = \"1ms\"",
            "stall: \"1ms\" is less than 100ms",
        );
        check(
            "[generic]\nstall = \"soon\"",
            "\"soon\" is not a time such as \"2s\"",
        );
        check("[generic]\ntries = 0", "tries: \"0\" is less than 1");
        check("[generic]\nmiss = \"never\"", "never");
        check("[other]\n", "other");
    }

    #[test]
    fn every_rule_is_in_the_readme() {
        let readme = include_str!("../../../README.md");
        for name in [
            "miss",
            "window",
            "bridge",
            "read_ahead",
            "lease",
            "stall",
            "tries",
            "patience",
        ] {
            assert!(readme.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
