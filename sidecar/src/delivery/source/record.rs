//! What a transfer of the sidecar's came to: told in one line when it is over, however it ends.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::time::Instant;
use viewcache_protocol::{ByteRange, FillId};

use super::super::lead::Lead;
use super::SourceError;
use crate::fills::Role;
use crate::journal::Fill;
use crate::live::Live;
use crate::origin::Asker;
use crate::service::Service;

/// The record of one transfer.
#[derive(Debug)]
pub(super) struct Record {
    service: Arc<Service>,
    live: Arc<Live>,
    fill: FillId,
    request_id: Option<HeaderValue>,
    /// What is asked for, and then what is to come.
    range: Option<ByteRange>,
    began: Instant,
    /// How long the origin took to begin its answer.
    first_byte: Option<Duration>,
    /// Bytes that have come.
    brought: u64,
    outcome: &'static str,
}

impl Record {
    /// A request is about to be sent.
    pub(super) fn new(
        service: &Arc<Service>,
        lead: &Lead,
        asker: &Asker,
        range: Option<ByteRange>,
    ) -> Self {
        Self {
            service: Arc::clone(service),
            live: Arc::clone(lead.live()),
            fill: lead.fill(),
            request_id: asker.request_id().cloned(),
            range,
            began: Instant::now(),
            first_byte: None,
            brought: 0,
            // Unless somebody says otherwise, everybody who wanted it has left or has it.
            outcome: "unwanted",
        }
    }

    /// The origin has begun to answer.
    pub(super) fn answered(&mut self) {
        let waited = self.began.elapsed();
        self.first_byte = Some(waited);
        let first_byte = &self.service.metrics.origin_first_byte;
        first_byte.observe(Role::Own, waited);
    }

    /// These bytes will come.
    pub(super) const fn brings(&mut self, range: Option<ByteRange>) {
        self.range = range;
    }

    /// So many have come.
    pub(super) const fn brought(&mut self, bytes: u64) {
        self.brought += bytes;
    }

    /// It brings no more, for this reason.
    pub(super) const fn ends(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }

    pub(super) const fn fails(&mut self, error: &SourceError) {
        self.ends(error.fetched().as_str());
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        if self.first_byte.is_some() {
            self.service.metrics.origin.observe(Role::Own, duration);
        }
        let key = self.live.state().record.key.clone();
        let fill = Fill {
            entity: self.live.id,
            key: &key,
            fill: self.fill,
            role: Role::Own,
            range: self.range,
            outcome: self.outcome,
            origin_bytes: self.brought,
            first_byte: self.first_byte,
            duration: Some(duration),
            request_id: self.request_id.as_ref().and_then(|id| id.to_str().ok()),
        };
        fill.write();
    }
}
