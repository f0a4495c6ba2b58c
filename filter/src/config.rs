//! The plugin's configuration: JSON text to [`Config`]. Conversion is the only validation, and
//! every error names the field and the value, because `envoy --mode validate` prints it.

mod profiles;
mod values;

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use viewcache_protocol::{Profile, Secret, SecretError};

use crate::head::ViewerPart;
use crate::profile::Rules;
use values::*;

/// The most memory that Envoy gives one VM, and so the most that can be meant by a budget.
const MAX_BUDGET: usize = 1024 * 1024 * 1024;
/// Smaller chunks are all overhead.
const MIN_SIZE: usize = 1024;
/// Larger chunks gain nothing and make the sidecar's queue coarse.
const MAX_CHUNK: usize = 4 * 1024 * 1024;

/// What the filter runs by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The operator's profiles: the first whose path is the request's says what its entity is.
    /// Default none.
    pub profiles: Vec<Rules>,
    /// How all other URLs become entities. Default `generic`: it assumes nothing about the origin.
    pub profile: Profile,
    /// Prefixes of the paths for which the cache is consulted. Default `/`, every path: which
    /// requests come here at all is better said in Envoy's routes.
    pub paths: Vec<String>,
    /// The authorities that are cached, in lower case. Default none, which means any: Envoy's
    /// virtual hosts name them already.
    pub authorities: Vec<String>,
    /// The cluster asked for decisions and told of the beginning and end of a fill. Default
    /// `viewcache_decide`, as in the shipped Envoy configuration.
    pub decide_cluster: String,
    /// The cluster that chunks go to. Default `viewcache_ingest`, one of its own, because its tight
    /// circuit breakers are what bounds the memory of mirroring.
    pub ingest_cluster: String,
    /// The longest a request waits for a decision. Default 100 ms: a decision takes less than
    /// one, and this is what a hung sidecar costs every viewer until it is ejected.
    pub decide_timeout: Duration,
    /// The longest that a mirror message may take. Default 10 s: it delays no viewer, but holds
    /// one of the ingest cluster's few slots.
    pub ingest_timeout: Duration,
    /// Whether hits are remembered that the sidecar lets be. Default true: a hot entity then costs
    /// a decision every few seconds, not one for each request.
    pub remember: bool,
    /// Whether a request's own Cache-Control counts. Default true (RFC 9111 section 5.2.1); without
    /// it no viewer can reach past the cache, nor make the origin send what is stored.
    pub client_directives: bool,
    /// What of a request says who its viewer is: whose watched bytes count together. Default the
    /// address and the user agent.
    pub viewer: Vec<ViewerPart>,
    /// The header field in which a trusted front-end names the channel of what is asked for.
    /// Default none: whatever viewers send is believed.
    pub channel_header: Option<String>,
    /// What the sidecar knows Envoy by. Default none: then the sidecar takes what comes, and its
    /// data port must be where nobody else reaches it.
    pub secret: Option<Secret>,
    /// What mirroring may use.
    pub mirror: MirrorLimits,
}

/// Bounds of the chunks and of their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorLimits {
    /// The first chunk's size in bytes. Default 64 KiB: followers see the first bytes soon.
    pub chunk_min: usize,
    /// The largest chunk's size in bytes. Default 256 KiB: larger ones were not faster.
    pub chunk_max: usize,
    /// The most bytes of chunk buffers in one VM, that is per worker. Default 32 MiB: 128 streams
    /// at full size, 512 at the smallest.
    pub budget: usize,
    /// The most mirrored streams in one VM. Default 512, what the default budget allows.
    pub max_mirrors: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profiles: Vec::new(),
            profile: Profile::Generic,
            paths: vec!["/".to_owned()],
            authorities: Vec::new(),
            decide_cluster: "viewcache_decide".to_owned(),
            ingest_cluster: "viewcache_ingest".to_owned(),
            decide_timeout: Duration::from_millis(100),
            ingest_timeout: Duration::from_secs(10),
            remember: true,
            client_directives: true,
            viewer: vec![
                ViewerPart::Address,
                ViewerPart::Header("user-agent".to_owned()),
            ],
            channel_header: None,
            secret: None,
            mirror: MirrorLimits::default(),
        }
    }
}

impl Default for MirrorLimits {
    fn default() -> Self {
        Self {
            chunk_min: 64 * 1024,
            chunk_max: 256 * 1024,
            budget: 32 * 1024 * 1024,
            max_mirrors: 512,
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Not a JSON object with known fields.
    #[error("configuration: {0}")]
    Json(String),
    /// A field's value is not of its kind.
    #[error("{field}: {value} is not {expected}")]
    Value {
        /// The field.
        field: Cow<'static, str>,
        /// Its value as written.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A field's value does not go with another's.
    #[error("{field}: {value} is less than {other}")]
    Less {
        /// The field.
        field: &'static str,
        /// Its value in bytes.
        value: usize,
        /// The field that it must not be less than.
        other: &'static str,
    },
    /// The secret is not text.
    #[error("secret: is no text")]
    NoText,
    /// The secret is none. Its value is not told: messages end in logs.
    #[error("secret: {0}")]
    Secret(SecretError),
}

/// What was written. Fields are plain values here, so that a value of the wrong type is reported
/// with its field's name, which serde's own messages lack.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    profile: Option<Value>,
    profiles: Option<Value>,
    paths: Option<Value>,
    authorities: Option<Value>,
    decide_cluster: Option<Value>,
    ingest_cluster: Option<Value>,
    decide_timeout: Option<Value>,
    ingest_timeout: Option<Value>,
    remember: Option<Value>,
    client_directives: Option<Value>,
    viewer: Option<Value>,
    channel_header: Option<Value>,
    secret: Option<Value>,
    chunk_min: Option<Value>,
    chunk_max: Option<Value>,
    mirror_budget: Option<Value>,
    max_mirrors: Option<Value>,
}

impl Config {
    /// Reads the plugin's configuration; empty text means the defaults.
    ///
    /// # Errors
    /// Names the first field that is wrong, and its value.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        // A derived struct reads lists too.
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(ConfigError::Json("not a JSON object".to_owned()));
        }
        let written: Written =
            serde_json::from_slice(text).map_err(|error| ConfigError::Json(error.to_string()))?;
        let mut config = Self::default();
        let Self { mirror, .. } = &mut config;
        set(
            &mut mirror.chunk_min,
            "chunk_min",
            written.chunk_min,
            CHUNK,
            chunk,
        )?;
        set(
            &mut mirror.chunk_max,
            "chunk_max",
            written.chunk_max,
            CHUNK,
            chunk,
        )?;
        set(
            &mut mirror.budget,
            "mirror_budget",
            written.mirror_budget,
            BUDGET,
            budget,
        )?;
        set(
            &mut mirror.max_mirrors,
            "max_mirrors",
            written.max_mirrors,
            COUNT,
            count,
        )?;
        let less = |field, value, other| {
            Err(ConfigError::Less {
                field,
                value,
                other,
            })
        };
        if mirror.chunk_max < mirror.chunk_min {
            return less("chunk_max", mirror.chunk_max, "chunk_min");
        }
        if mirror.budget < mirror.chunk_min {
            return less("mirror_budget", mirror.budget, "chunk_min");
        }
        set(
            &mut config.profile,
            "profile",
            written.profile,
            PROFILE,
            profile,
        )?;
        if let Some(written) = &written.profiles {
            config.profiles = profiles::read(written)?;
        }
        set(&mut config.paths, "paths", written.paths, PATHS, paths)?;
        set(
            &mut config.authorities,
            "authorities",
            written.authorities,
            AUTHORITIES,
            authorities,
        )?;
        set(
            &mut config.decide_cluster,
            "decide_cluster",
            written.decide_cluster,
            CLUSTER,
            cluster,
        )?;
        set(
            &mut config.ingest_cluster,
            "ingest_cluster",
            written.ingest_cluster,
            CLUSTER,
            cluster,
        )?;
        set(
            &mut config.decide_timeout,
            "decide_timeout",
            written.decide_timeout,
            TIME,
            timeout,
        )?;
        set(
            &mut config.ingest_timeout,
            "ingest_timeout",
            written.ingest_timeout,
            TIME,
            timeout,
        )?;
        set(
            &mut config.remember,
            "remember",
            written.remember,
            FLAG,
            Value::as_bool,
        )?;
        set(
            &mut config.client_directives,
            "client_directives",
            written.client_directives,
            FLAG,
            Value::as_bool,
        )?;
        set(&mut config.viewer, "viewer", written.viewer, VIEWER, viewer)?;
        set(
            &mut config.channel_header,
            "channel_header",
            written.channel_header,
            HEADER,
            |value| header(value).map(Some),
        )?;
        config.secret = written.secret.as_ref().map(secret).transpose()?;
        Ok(config)
    }
}

fn set<T>(
    target: &mut T,
    field: &'static str,
    written: Option<Value>,
    expected: &'static str,
    convert: impl FnOnce(&Value) -> Option<T>,
) -> Result<(), ConfigError> {
    let Some(value) = written else { return Ok(()) };
    let error = || ConfigError::Value {
        field: field.into(),
        value: value.to_string(),
        expected,
    };
    *target = convert(&value).ok_or_else(error)?;
    Ok(())
}

#[cfg(test)]
mod tests;
