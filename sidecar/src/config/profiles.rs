//! The tables `[profiles.NAME]` of `viewcache.toml` → [`Terms`] and [`Admission`].

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hyper::header::HeaderName;
use serde::Deserialize;
use viewcache_protocol::{Admission, OwnProfile, Profile};

use super::{ByteSize, ConfigError, Span};
use crate::terms::{Miss, Terms};

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
    types: Vec<String>,
    min_size: Option<ByteSize>,
    max_size: Option<ByteSize>,
    targeted: Option<Vec<String>>,
}

/// The tables as written, by name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct WrittenProfiles(BTreeMap<String, WrittenTerms>);

/// What applies to one profile's entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    terms: Terms,
    admission: Admission,
}

/// The rules of each profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiles {
    by_name: HashMap<String, Rules>,
    /// What applies to a profile that has no table.
    other: Rules,
}

impl Profiles {
    fn rules(&self, profile: Profile) -> &Rules {
        self.by_name.get(profile.name()).unwrap_or(&self.other)
    }

    /// How a profile's entities are fetched.
    pub fn terms(&self, profile: Profile) -> Terms {
        self.rules(profile).terms
    }

    /// Which of its responses are stored.
    pub fn admission(&self, profile: Profile) -> &Admission {
        &self.rules(profile).admission
    }
}

impl WrittenProfiles {
    pub(super) fn read(&self) -> Result<Profiles, ConfigError> {
        let mut by_name = HashMap::new();
        for name in ["generic", "youtube"] {
            by_name.insert(name.to_owned(), WrittenTerms::default().read(name)?);
        }
        for (name, written) in &self.0 {
            if !by_name.contains_key(name) && OwnProfile::new(name, &[]).is_none() {
                let expected = "is not the name of a profile";
                return Err(ConfigError::Value(
                    "profiles".into(),
                    name.clone(),
                    expected,
                ));
            }
            by_name.insert(name.clone(), written.read(name)?);
        }
        Ok(Profiles {
            by_name,
            other: Rules::default(),
        })
    }
}

impl WrittenTerms {
    fn read(&self, profile: &str) -> Result<Rules, ConfigError> {
        let default = match profile {
            "youtube" => Terms::youtube(),
            _ => Terms::default(),
        };
        let error = |field: &str, value, expected| {
            ConfigError::Value(
                format!("profiles.{profile}.{field}").into(),
                value,
                expected,
            )
        };
        let lower = |names: &[String]| -> Vec<String> {
            names.iter().map(|name| name.to_ascii_lowercase()).collect()
        };
        let types = lower(&self.types);
        if let Some(odd) = types.iter().find(|t| !t.contains('/')) {
            let expected = "is not a media type such as \"video/mp4\", or the beginning of one such as \"video/\"";
            return Err(error("types", odd.clone(), expected));
        }
        let targeted = self.targeted.as_deref();
        let named = |name: &&String| HeaderName::try_from(*name).is_ok();
        let odd = targeted.and_then(|names| names.iter().find(|name| !named(name)));
        if let Some(odd) = odd {
            return Err(error("targeted", odd.clone(), "is not a field name"));
        }
        let size = |size: Option<ByteSize>| size.map_or(0, ByteSize::bytes);
        let (min_size, max_size) = (size(self.min_size), size(self.max_size));
        if self.max_size.is_some() && max_size < min_size.max(1) {
            let value = ByteSize(max_size).to_string();
            return Err(error(
                "max_size",
                value,
                "is less than min_size, or nothing",
            ));
        }
        Ok(Rules {
            terms: self.over(default, error)?,
            admission: Admission {
                types,
                min_size,
                max_size,
                targeted: targeted.map(lower),
            },
        })
    }

    fn over(
        &self,
        default: Terms,
        error: impl Fn(&str, String, &'static str) -> ConfigError,
    ) -> Result<Terms, ConfigError> {
        let size = |written: Option<ByteSize>, default| written.map_or(default, ByteSize::bytes);
        let terms = Terms {
            miss: self.miss.unwrap_or(default.miss),
            window: size(self.window, default.window),
            bridge: size(self.bridge, default.bridge),
            read_ahead: size(self.read_ahead, default.read_ahead),
            lease: size(self.lease, default.lease),
            stall: self.stall.map_or(default.stall, Span::get),
            tries: self.tries.unwrap_or(default.tries),
            patience: self.patience.map_or(default.patience, Span::get),
        };
        let least = |name, bytes: u64, least: u64, expected| {
            let enough = least <= bytes;
            let refused = || error(name, ByteSize(bytes).to_string(), expected);
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
                .ok_or_else(|| error(name, text(), expected))
        };
        time("stall", terms.stall)?;
        time("patience", terms.patience)?;
        if terms.tries == 0 {
            return Err(error("tries", "0".to_owned(), "is less than 1"));
        }
        Ok(terms)
    }
}

#[cfg(test)]
mod tests {
    use viewcache_protocol::Allowance;

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
        assert!(profiles.admission(Profile::Generic).is_open());
    }

    #[test]
    fn an_own_profile_has_rules_by_its_name() {
        let text = "[films]\nwindow = \"1MiB\"\ntypes = [\"Video/\"]\nmin_size = \"1KiB\"\n\
                    targeted = [\"Acme-Cache-Control\"]\n";
        let profiles = read(text).unwrap();
        let own = |name| Profile::Own(OwnProfile::new(name, &[Allowance::Immutable]).unwrap());
        assert_eq!(profiles.terms(own("films")).window, 1 << 20);
        let expected = Admission {
            types: vec!["video/".to_owned()],
            min_size: 1024,
            max_size: 0,
            targeted: Some(vec!["acme-cache-control".to_owned()]),
        };
        assert_eq!(*profiles.admission(own("films")), expected);
        assert_eq!(profiles.terms(own("others")), Terms::default());
        assert!(profiles.admission(own("others")).is_open());
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
            "[generic]\ntargeted = [\"a b\"]",
            "profiles.generic.targeted: \"a b\" is not a field name",
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
        check(
            "[Other]\n",
            "profiles: \"Other\" is not the name of a profile",
        );
        check(
            "[films]\ntypes = [\"video\"]",
            "profiles.films.types: \"video\" is not",
        );
        check(
            "[films]\nmin_size = \"2KiB\"\nmax_size = \"1KiB\"",
            "profiles.films.max_size: \"1KiB\" is less than min_size",
        );
        check("[films]\nmax_size = \"0\"", "profiles.films.max_size");
        check("[films]\nwindows = \"1MiB\"", "windows");
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
            "types",
            "min_size",
            "max_size",
        ] {
            assert!(readme.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
