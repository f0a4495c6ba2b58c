//! Messages of filters whose version is not understood.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use viewcache_protocol::{UnknownVersion, version};

/// How many versions are told of. A fleet that is being upgraded has two.
const MOST: usize = 8;

/// The versions that have been told of.
#[derive(Debug, Default)]
pub(super) struct Foreign(Mutex<Vec<UnknownVersion>>);

impl Foreign {
    /// Says so in the log, once for each version: every request has one.
    pub(super) fn tell(&self, version: &UnknownVersion) {
        if self.is_new(version) {
            tracing::warn!(
                "{version}: its viewers get the origin's bytes and nothing is cached for them; \
                 upgrade sidecars before filters"
            );
        }
    }

    /// Before there was a header for it, a message said itself which version it is of. One that
    /// cannot be read is not understood anyway.
    pub(super) fn within(message: &[u8]) -> Result<(), UnknownVersion> {
        #[derive(Deserialize)]
        struct Said {
            version: Value,
        }
        match serde_json::from_slice::<Said>(message) {
            Ok(said) => version::understood(Some(&said.version.to_string())),
            Err(_) => Ok(()),
        }
    }

    fn is_new(&self, version: &UnknownVersion) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = told.len() < MOST && !told.contains(version);
        if new {
            told.push(version.clone());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use viewcache_protocol::version::understood;

    use super::*;

    #[test]
    fn a_message_may_say_it_itself() {
        let check = |message: &str, expect: bool| {
            let within = Foreign::within(message.as_bytes());
            assert_eq!(within.is_ok(), expect, "{message}");
        };
        check(r#"{"version":3,"wanted":{}}"#, true);
        check(r#"{"version":2,"wanted":{}}"#, false);
        check(r#"{"version":"3"}"#, false);
        check(r#"{"wanted":{}}"#, true);
        check("", true);
    }

    #[test]
    fn each_version_is_told_of_once_and_not_too_many() {
        let foreign = Foreign::default();
        let is_new = |version: &str| foreign.is_new(&understood(Some(version)).unwrap_err());
        assert!(is_new("5"));
        assert!(!is_new("5"));
        assert!(is_new("6"));
        assert!(!is_new("5"));
        let many = (100..200).filter(|version| is_new(&version.to_string()));
        assert_eq!(many.count(), MOST - 2);
    }
}
