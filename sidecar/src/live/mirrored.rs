//! A viewer's own transfer, as the filter copies it here.

use std::time::Duration;

use tokio::time::Instant;
use viewcache_protocol::{ByteRange, FillId};

/// One that was granted.
#[derive(Clone, Debug)]
pub struct Mirrored {
    /// What mirror messages name it by.
    pub fill: FillId,
    /// Who watches.
    pub viewer: String,
    /// As Envoy names the viewer's request.
    pub request_id: Option<String>,
    /// When the request was sent on to the origin.
    pub granted: Instant,
    /// How long the origin took to begin its answer, and which bytes that brings.
    pub begun: Option<(Duration, ByteRange)>,
}
