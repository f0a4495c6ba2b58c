//! A viewer's own transfer, as the filter copies it here.

use std::time::Duration;

use tokio::time::Instant;
use viewcache_protocol::{ByteRange, FillId};

use super::State;

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

impl State {
    /// A transfer has begun: if it is mirrored, its viewer has.
    pub fn begun(&mut self, fill: FillId) {
        if let Some(viewer) = self.viewer(fill) {
            self.came(&viewer);
        }
    }

    /// A chunk of a mirrored transfer has come: its viewer has these bytes. True when that may make
    /// the entity worth keeping.
    pub fn mirrored(&mut self, fill: FillId, range: ByteRange) -> bool {
        let viewer = self.viewer(fill);
        viewer.is_some_and(|viewer| self.watch(&viewer, range))
    }

    /// Who watches a mirrored transfer.
    pub fn mirrored_for(&self, fill: FillId) -> Option<&str> {
        let mut mirrors = self.mirrors.iter();
        let mirrored = mirrors.find(|mirrored| mirrored.fill == fill)?;
        Some(&mirrored.viewer)
    }

    /// The same as long as that matters.
    fn viewer(&self, fill: FillId) -> Option<String> {
        let counts = self.counts_viewers();
        let viewer = self.mirrored_for(fill).filter(|_| counts);
        viewer.map(str::to_owned)
    }
}
