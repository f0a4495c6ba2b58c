//! The host's calls, behind the few functions that are needed of them.
//!
//! The SDK panics on a header value that is not UTF-8, on a map that does not exist in the
//! current phase, and on the headers of a callout that was reset. So only its byte getters stand
//! here, and each is called in its own phase alone.

use std::cell::Cell;
use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status};
use viewcache_protocol::{PROTOCOL_VERSION, header};

use crate::counter::{Counter, Reason};
use crate::head::Fields;

/// What a JSON body is announced by.
pub(super) const JSON: (&str, &str) = ("content-type", "application/json");

/// All fields of the current phase's message.
pub(super) fn fields(map: MapType) -> Fields {
    Fields(hostcalls::get_map_bytes(map).unwrap_or_default())
}

/// One field of the current phase's message, when it is there.
pub(super) fn field(map: MapType, name: &str) -> Fields {
    let value = value(map, name).map(|value| (name.to_owned(), value));
    Fields(value.into_iter().collect())
}

/// The value of one field.
pub(super) fn value(map: MapType, name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(map, name).ok().flatten()
}

/// Replaces a field. What fails here and below has no better consequence than to go on without:
/// every route is correct.
pub(super) fn set(map: MapType, name: &str, value: &str) {
    let _ = hostcalls::set_map_value(map, name, Some(value));
}

/// Adds a field, whatever is there.
pub(super) fn append(map: MapType, name: &str, value: &str) {
    let _ = hostcalls::add_map_value(map, name, value);
}

/// Removes a field.
pub(super) fn remove(map: MapType, name: &str) {
    let _ = hostcalls::remove_map_value(map, name);
}

/// Lets the paused request go on, by a route picked anew. Its headers cannot be set any more.
pub(super) fn resume() {
    let _ = hostcalls::resume_http_request();
}

/// Answers the paused request by a 504, instead of the origin.
pub(super) fn refuse() {
    let _ = hostcalls::send_http_response(504, Vec::new(), None);
}

/// Bytes of a buffer of the current phase; fewer when it holds fewer.
pub(super) fn bytes(kind: BufferType, start: usize, len: usize) -> Option<Vec<u8>> {
    hostcalls::get_buffer(kind, start, len).ok().flatten()
}

/// Bytes of the current frame: all of them or none.
pub(super) fn frame(at: usize, len: usize) -> Option<Vec<u8>> {
    bytes(BufferType::HttpResponseBody, at, len).filter(|bytes| bytes.len() == len)
}

/// The client's address and port, as Envoy sees it.
pub(super) fn source_address() -> Vec<u8> {
    hostcalls::get_property(vec!["source", "address"])
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Dispatches a callout to the sidecar that Envoy picks by hashing the authority `node`. The
/// host copies the body.
pub(super) fn post(
    cluster: &str,
    path: &str,
    node: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout: Duration,
) -> Result<u32, Status> {
    let mut all = vec![
        (":method", "POST"),
        (":path", path),
        (":authority", node),
        (header::VERSION, PROTOCOL_VERSION),
    ];
    all.extend_from_slice(headers);
    hostcalls::dispatch_http_call(cluster, all, Some(body), Vec::new(), timeout)
}

/// What all workers have in this slot.
pub(super) fn shared(slot: &str) -> Option<Vec<u8>> {
    hostcalls::get_shared_data(slot).ok()?.0
}

/// Puts it there for all workers; the last one to write wins. What is in a slot is there for as
/// long as Envoy runs, so there must be few.
pub(super) fn share(slot: &str, value: &[u8]) {
    let _ = hostcalls::set_shared_data(slot, Some(value), None);
}

/// Milliseconds since the epoch; 0 when the host does not tell.
pub(super) fn now() -> u64 {
    let since = hostcalls::get_current_time().ok();
    let since = since.and_then(|now| now.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// Asks for `on_tick`.
pub(super) fn tick_every(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}

/// A counter, and what is to be added to it: a call of the host's for each event would cost more
/// than the event.
struct Pending {
    /// The host's number of it.
    id: Option<u32>,
    count: Cell<usize>,
}

/// The host's numbers of the metrics.
#[derive(Default)]
pub(super) struct Metrics {
    /// In the order of [`Counter::ALL`], and then of [`Reason::all`].
    counters: Vec<Pending>,
    /// How many streams are being mirrored, over all workers.
    mirrors: Option<u32>,
}

impl Metrics {
    /// Defines them all; the host knows a metric of the same name as the same.
    pub(super) fn define() -> Self {
        let define = |kind, name: &str| hostcalls::define_metric(kind, name).ok();
        let counter = |name: &str| Pending {
            id: define(MetricType::Counter, name),
            count: Cell::new(0),
        };
        let counters = Counter::ALL.into_iter().map(|c| counter(c.name()));
        let reasons = Reason::all().map(|reason| counter(&reason.name()));
        Self {
            counters: counters.chain(reasons).collect(),
            mirrors: define(MetricType::Gauge, "viewcache.mirrors"),
        }
    }

    /// Adds to a counter; the host hears of it at the next flush.
    pub(super) fn add(&self, counter: Counter, n: usize) {
        self.add_at(counter as usize, n);
    }

    /// Adds one to the counter of a reason, and to that of all of its kind.
    pub(super) fn add_by(&self, reason: Reason) {
        self.add(reason.counter(), 1);
        self.add_at(Counter::ALL.len().saturating_add(reason.index()), 1);
    }

    fn add_at(&self, place: usize, n: usize) {
        if let Some(Pending { count, .. }) = self.counters.get(place) {
            count.set(count.get().saturating_add(n));
        }
    }

    /// Tells the host.
    pub(super) fn flush(&self) {
        for Pending { id, count } in &self.counters {
            let n = count.take();
            if 0 < n {
                increment(*id, i64::try_from(n).unwrap_or(i64::MAX));
            }
        }
    }

    /// Adds to the gauge of mirrored streams.
    pub(super) fn mirrors(&self, n: i64) {
        increment(self.mirrors, n);
    }
}

fn increment(metric: Option<u32>, n: i64) {
    let _ = metric.map(|id| hostcalls::increment_metric(id, n));
}
