//! The lines that tell what happened: one for each decision and each exchange, at debug, and one
//! for each fill, at info.
//!
//! They name entities by id and key, never by URL: a query may be a signature. Ranges are
//! half-open.

use std::fmt;
use std::time::Duration;

use viewcache_protocol::{ByteRange, EntityId, EntityKey, FillId};

use crate::fills::Role;

/// A key without the query that it may have: the id tells such keys apart.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a EntityKey);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.0.as_str();
        match key.split_once('?') {
            Some((url, _)) => write!(f, "{url}?…"),
            None => f.write_str(key),
        }
    }
}

/// Whether decisions and exchanges are told at all.
pub fn is_detailed() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

/// What `decide` has answered.
#[derive(Debug)]
pub struct Decision<'a> {
    /// The entity.
    pub entity: EntityId,
    /// Its key.
    pub key: &'a EntityKey,
    /// What was asked for, as the client wrote it.
    pub range: Option<String>,
    /// `hit`, `partial` or `miss`.
    pub decision: &'static str,
    /// What a miss may be mirrored under.
    pub fill: Option<FillId>,
    /// How long it took.
    pub duration: Duration,
    /// As Envoy names the request.
    pub request_id: Option<&'a str>,
}

impl Decision<'_> {
    /// Writes the line.
    pub fn write(&self) {
        tracing::debug!(
            entity = %self.entity,
            key = %Shown(self.key),
            range = self.range,
            decision = self.decision,
            fill = self.fill.map(tracing::field::display),
            duration_ms = millis(self.duration),
            request_id = self.request_id,
            "decided"
        );
    }
}

/// A routed request and its response.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The entity.
    pub entity: EntityId,
    /// Its key.
    pub key: &'a EntityKey,
    /// What was sent, or would have been.
    pub range: Option<ByteRange>,
    /// `hit`, `partial` or `handed-back`.
    pub outcome: &'static str,
    /// How it ended: `complete`, `cut` by the origin, `left` by its viewer, or why it was handed
    /// back.
    pub end: &'static str,
    /// Bytes sent from the store.
    pub cache_bytes: u64,
    /// Bytes sent as another's transfer brought them.
    pub followed_bytes: u64,
    /// Bytes sent that the origin was asked for.
    pub origin_bytes: u64,
    /// How long the first byte took.
    pub first_byte: Option<Duration>,
    /// How long all of it took.
    pub duration: Duration,
    /// As Envoy names the request.
    pub request_id: Option<&'a str>,
}

impl Exchange<'_> {
    /// Writes the line.
    pub fn write(&self) {
        tracing::debug!(
            entity = %self.entity,
            key = %Shown(self.key),
            range = self.range.map(tracing::field::display),
            outcome = self.outcome,
            end = self.end,
            cache_bytes = self.cache_bytes,
            followed_bytes = self.followed_bytes,
            origin_bytes = self.origin_bytes,
            first_byte_ms = self.first_byte.map(millis),
            duration_ms = millis(self.duration),
            request_id = self.request_id,
            "exchange"
        );
    }
}

/// A transfer from the origin.
#[derive(Debug)]
pub struct Fill<'a> {
    /// The entity.
    pub entity: EntityId,
    /// Its key.
    pub key: &'a EntityKey,
    /// The fill.
    pub fill: FillId,
    /// Whose transfer it was.
    pub role: Role,
    /// What it was to bring.
    pub range: Option<ByteRange>,
    /// How it ended.
    pub outcome: &'static str,
    /// What it has brought, to the viewer or to the sidecar.
    pub origin_bytes: u64,
    /// How long the origin took to begin.
    pub first_byte: Option<Duration>,
    /// How long all of it took, if that is known.
    pub duration: Option<Duration>,
    /// As Envoy names the request that it is for, if it is for one.
    pub request_id: Option<&'a str>,
}

impl Fill<'_> {
    /// Writes the line.
    pub fn write(&self) {
        tracing::info!(
            entity = %self.entity,
            key = %Shown(self.key),
            fill = %self.fill,
            role = self.role.as_str(),
            range = self.range.map(tracing::field::display),
            outcome = self.outcome,
            // None of what a fill brings was stored before.
            cache_bytes = 0,
            origin_bytes = self.origin_bytes,
            first_byte_ms = self.first_byte.map(millis),
            duration_ms = self.duration.map(millis),
            request_id = self.request_id,
            "fill"
        );
    }
}

/// To the microsecond.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use viewcache_protocol::Profile;

    use super::*;

    #[test]
    fn a_query_is_not_shown() {
        let shown = |profile, rest| {
            let key = EntityKey::new(profile, rest).unwrap();
            Shown(&key).to_string()
        };
        let signed = "http://media.test/v.mp4?token=secret&q=1";
        assert_eq!(
            shown(Profile::Generic, signed),
            "generic:http://media.test/v.mp4?…"
        );
        assert_eq!(
            shown(Profile::Youtube, "v=abc&itag=18"),
            "youtube:v=abc&itag=18"
        );
    }
}
