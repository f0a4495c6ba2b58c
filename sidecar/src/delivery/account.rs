//! What a routed request came to: counted, timed, and told in one line when it is over.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::time::Instant;
use viewcache_protocol::{ByteRange, EntityKey};

use super::HandBack;
use crate::extents::Extents;
use crate::journal::Exchange;
use crate::metrics::Served;
use crate::service::Service;

/// The account of one exchange.
#[derive(Debug)]
pub(super) struct Account {
    service: Arc<Service>,
    key: EntityKey,
    /// As Envoy names it.
    request_id: Option<HeaderValue>,
    began: Instant,
    first_byte: Option<Duration>,
    outcome: Served,
}

/// What was sent of a body, by where it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// From the store, where somebody else's transfer had left it.
    pub(super) cache: u64,
    /// From another's transfer.
    pub(super) followed: u64,
    /// From the origin, which was asked for this response's sake.
    pub(super) origin: u64,
}

impl Sent {
    /// Bytes read from the store, or from memory as somebody brings them. What this response's own
    /// transfers were to bring is the origin's, wherever it was read in the end.
    pub(super) fn of(range: ByteRange, stored: bool, fetched: &Extents) -> Self {
        let origin = fetched.within(range).map(ByteRange::len).sum();
        let others = range.len() - origin;
        let (cache, followed) = match stored {
            true => (others, 0),
            false => (0, others),
        };
        Self {
            cache,
            followed,
            origin,
        }
    }
}

impl AddAssign for Sent {
    fn add_assign(&mut self, more: Self) {
        self.cache += more.cache;
        self.followed += more.followed;
        self.origin += more.origin;
    }
}

impl Account {
    pub(super) const fn new(
        service: Arc<Service>,
        key: EntityKey,
        request_id: Option<HeaderValue>,
        began: Instant,
        outcome: Served,
    ) -> Self {
        Self {
            service,
            key,
            request_id,
            began,
            first_byte: None,
            outcome,
        }
    }

    /// A byte is about to be sent, or there is none.
    pub(super) fn begins(&mut self) {
        if self.first_byte.is_none() {
            let waited = self.began.elapsed();
            self.first_byte = Some(waited);
            self.service
                .metrics
                .first_byte
                .observe(self.outcome, waited);
        }
    }

    /// It has no body.
    pub(super) fn end_empty(mut self) {
        self.begins();
        self.close(None, "complete", Sent::default());
    }

    /// Envoy asks the origin.
    pub(super) fn hand_back(mut self, reason: HandBack) {
        self.service.metrics.handbacks.inc(reason);
        self.begins();
        self.close(None, reason.as_str(), Sent::default());
    }

    /// It is over.
    pub(super) fn close(&self, range: Option<ByteRange>, end: &'static str, sent: Sent) {
        let exchange = Exchange {
            entity: self.key.id(),
            key: &self.key,
            range,
            outcome: self.outcome.as_str(),
            end,
            cache_bytes: sent.cache,
            followed_bytes: sent.followed,
            origin_bytes: sent.origin,
            first_byte: self.first_byte,
            duration: self.began.elapsed(),
            request_id: self.request_id.as_ref().and_then(|id| id.to_str().ok()),
        };
        exchange.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_response_has_fetched_is_the_origins_wherever_it_is_read() {
        let range = |start, end| ByteRange::new(start, end).unwrap();
        let mut fetched = Extents::default();
        let sent = |cache, followed, origin| Sent {
            cache,
            followed,
            origin,
        };
        assert_eq!(Sent::of(range(0, 10), true, &fetched), sent(10, 0, 0));
        assert_eq!(Sent::of(range(0, 10), false, &fetched), sent(0, 10, 0));
        fetched.insert(range(8, 20));
        assert_eq!(Sent::of(range(0, 10), true, &fetched), sent(8, 0, 2));
        assert_eq!(Sent::of(range(10, 20), true, &fetched), sent(0, 0, 10));
        assert_eq!(Sent::of(range(19, 30), false, &fetched), sent(0, 10, 1));
    }
}
