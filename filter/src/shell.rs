//! The only module that knows proxy-wasm: callbacks become events, effects become calls of
//! `host`.
//!
//! A response body is never paused: Envoy would buffer it up to a limit and then cut it.

mod calls;
mod copies;
mod host;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use hashbrown::HashMap;
use log::error;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, LogLevel, MapType};
use viewcache_protocol::message::{ChunkHead, FillId, INVALIDATE_PATH, Step};
use viewcache_protocol::{EntityId, header};

use crate::budget::Budget;
use crate::callout::{self, Answer};
use crate::config::Config;
use crate::counter::Counter;
use crate::exchange::{Effect, Event, Exchange, Reads};
use crate::head::{Fields, RequestHead, ResponseHead};
use crate::mirror::Source;
use crate::remembered;

use copies::with_copies;
use host::Metrics;

/// How often a VM shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);

thread_local! {
    /// One for the whole VM, whose memory the streams of all its plugins share.
    static BUDGET: Rc<Budget> = Rc::default();
}

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The plugin in one VM.
#[derive(Default)]
struct Root {
    /// Set by `on_configure`.
    config: Rc<Config>,
    /// Set by `on_configure`, too: metrics cannot be defined before.
    metrics: Rc<Metrics>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let text = match size {
            0 => Vec::new(),
            _ => host::bytes(BufferType::PluginConfiguration, 0, size).unwrap_or_default(),
        };
        match Config::parse(&text) {
            Ok(config) => self.config = Rc::new(config),
            Err(error) => {
                error!("{error}");
                return false;
            }
        }
        self.metrics = Rc::new(Metrics::define());
        host::tick_every(HEARTBEAT);
        with_copies(|copies| copies.renew(host::now()));
        true
    }

    fn on_tick(&mut self) {
        self.metrics.add(Counter::Heartbeat, 1);
        self.metrics.flush();
        with_copies(|copies| copies.renew(host::now()));
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        let budget = BUDGET.with(Rc::clone);
        Some(Box::new(Stream {
            exchange: Exchange::new(Rc::clone(&self.config), budget),
            config: Rc::clone(&self.config),
            metrics: Rc::clone(&self.metrics),
            calls: HashMap::new(),
            paused: false,
            broken: false,
            counted: false,
            buffer: Vec::new(),
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// What a callout was for. The answer to `end` says nothing of interest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Decide,
    Begin,
    Chunk,
}

/// One exchange as Envoy sees it.
struct Stream {
    /// What decides.
    exchange: Exchange,
    /// Clusters and timeouts.
    config: Rc<Config>,
    /// Where counts go.
    metrics: Rc<Metrics>,
    /// The callouts without an answer yet.
    calls: HashMap<u32, Call>,
    /// Whether the request waits for `Resume`.
    paused: bool,
    /// Set when a frame could not be read: the buffer is not what the mirror takes it for, so
    /// nothing more is sent of it.
    broken: bool,
    /// Whether the stream is in the gauge.
    counted: bool,
    /// The bytes that await a full chunk.
    buffer: Vec<u8>,
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let head = RequestHead {
            fields: host::fields(MapType::HttpRequestHeaders),
            end_of_stream,
            address: host::source_address(),
        };
        self.run(Event::Request(&head));
        self.paused = self.exchange.waiting();
        if self.paused {
            Action::Pause
        } else {
            Action::Continue
        }
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let map = MapType::HttpResponseHeaders;
        let fields = match self.exchange.reads() {
            Reads::All => host::fields(map),
            Reads::Served => host::field(map, header::SERVED),
            Reads::Status => host::field(map, ":status"),
            Reads::Nothing => Fields::default(),
        };
        let head = ResponseHead {
            fields,
            end_of_stream,
            received: host::now(),
        };
        self.run(Event::Response(&head));
        Action::Continue
    }

    fn on_http_response_body(&mut self, len: usize, last: bool) -> Action {
        self.run(Event::Frame { len, last });
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.run(Event::Frame { len: 0, last: true });
        Action::Continue
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        let Some(call) = self.calls.remove(&token) else {
            return;
        };
        // Without headers the callout was reset, and the map of its headers does not exist.
        let get = |name| match headers {
            0 => None,
            _ => host::value(MapType::HttpCallResponseHeaders, name),
        };
        let status = get(":status").and_then(|v| std::str::from_utf8(&v).ok()?.parse().ok());
        if call == Call::Decide {
            let body = match body {
                0 => None,
                _ => host::bytes(BufferType::HttpCallResponseBody, 0, body),
            };
            let decision = callout::decision(status, &body.unwrap_or_default());
            return self.run(Event::Decided(decision));
        }
        let skip_until = get(header::SKIP_UNTIL);
        let answer = Answer::read(status, skip_until.as_deref(), get(header::STOP).is_some());
        self.run(match call {
            Call::Begin => Event::BeginAnswered(answer),
            _ => Event::ChunkAnswered(answer),
        });
    }

    /// Comes however the stream ends. Callouts belong to the plugin, not to the stream, so the
    /// last ones still go out.
    fn on_done(&mut self) -> bool {
        self.run(Event::Done);
        true
    }
}

impl Stream {
    fn run(&mut self, event: Event<'_>) {
        let mut effects = VecDeque::from(self.exchange.on(event));
        while let Some(effect) = effects.pop_front() {
            if let Some(event) = self.act(effect) {
                effects.extend(self.exchange.on(event));
            }
        }
        let mirroring = self.exchange.mirroring();
        if !mirroring {
            self.buffer = Vec::new();
        }
        if mirroring != self.counted {
            self.counted = mirroring;
            self.metrics.mirrors(if mirroring { 1 } else { -1 });
        }
    }

    /// Does what is to be done; what fails is an event.
    fn act(&mut self, effect: Effect) -> Option<Event<'static>> {
        match effect {
            Effect::RemoveRequestHeader(name) => {
                host::remove(MapType::HttpRequestHeaders, &name);
            }
            Effect::Recall(entity) => {
                let recalled = with_copies(|copies| copies.recall(&entity, host::shared));
                return Some(Event::Recalled(recalled));
            }
            Effect::Decide(request) => return self.decide(&request),
            Effect::Remember { entity, millis } => {
                let value = remembered::hit(&entity, host::now(), millis);
                host::share(&remembered::slot(&entity), &value);
            }
            Effect::Distrust => {
                let value = remembered::distrust(host::now());
                host::share(remembered::DISTRUST_SLOT, &value);
            }
            Effect::SetRequestHeader(name, value) => {
                host::set(MapType::HttpRequestHeaders, name, &value);
            }
            Effect::ShowSecret => {
                if let Some(secret) = &self.config.secret {
                    let map = MapType::HttpRequestHeaders;
                    host::set(map, header::SECRET, secret.reveal());
                }
            }
            Effect::Resume => {
                if std::mem::take(&mut self.paused) {
                    host::resume();
                }
            }
            Effect::RemoveResponseHeader(name) => {
                host::remove(MapType::HttpResponseHeaders, &name);
            }
            Effect::Annotate(value) => {
                host::append(MapType::HttpResponseHeaders, "cache-status", &value);
            }
            Effect::Begin { fill, begin } => {
                let node = begin.key.node().to_string();
                return match self.tell(&Step::Begin.path(fill), &node, &begin) {
                    Some(token) => {
                        self.calls.insert(token, Call::Begin);
                        None
                    }
                    None => Some(Event::BeginAnswered(Answer::Lost)),
                };
            }
            Effect::Copy { at, len, capacity } => return self.copy(at, len, capacity),
            Effect::Forget(entity) => host::share(&remembered::slot(&entity), &[]),
            Effect::Invalidate(message) => {
                let node = message.key.node().to_string();
                // Lost, the entity is used until it is stale, as if nobody had told.
                let _ = self.tell(INVALIDATE_PATH, &node, &message);
            }
            Effect::Refuse => {
                self.paused = false;
                host::refuse();
            }
            Effect::Drop { len } => drop(self.buffer.drain(..len.min(self.buffer.len()))),
            Effect::Chunk {
                fill,
                head,
                node,
                len,
                source,
            } => {
                return self.send(fill, head, node, len, source);
            }
            Effect::End { fill, end } => {
                let node = end.key.node().to_string();
                // A lost `end` costs the lease's idle time and nothing else.
                let _ = self.tell(&Step::End.path(fill), &node, &end);
            }
            Effect::Count(counter) => self.metrics.add(counter, 1),
            Effect::CountBy(reason) => self.metrics.add_by(reason),
        }
        None
    }

    fn copy(&mut self, at: usize, len: usize, capacity: usize) -> Option<Event<'static>> {
        if self.broken {
            return None;
        }
        let Some(bytes) = host::frame(at, len) else {
            return Some(self.unreadable());
        };
        if self.buffer.is_empty() {
            self.buffer.shrink_to(capacity);
            self.buffer.reserve_exact(capacity);
        }
        self.buffer.extend_from_slice(&bytes);
        None
    }

    fn send(
        &mut self,
        fill: FillId,
        head: ChunkHead,
        node: EntityId,
        len: usize,
        source: Source,
    ) -> Option<Event<'static>> {
        if self.broken {
            return None;
        }
        let path = Step::Chunks.path(fill);
        let node = node.to_string();
        let values = head.to_headers();
        let headers: Vec<(&str, &str)> = values
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let sent = match source {
            Source::Frame { at } => match host::frame(at, len) {
                Some(bytes) => self.ingest(&path, &node, &headers, &bytes),
                None => return Some(self.unreadable()),
            },
            Source::Buffer => {
                // The host copies the body, so that the buffer can be used again at once.
                let sent = self.ingest(&path, &node, &headers, &self.buffer);
                self.buffer.clear();
                sent
            }
        };
        let Some(token) = sent else {
            return Some(Event::ChunkAnswered(Answer::Lost));
        };
        self.calls.insert(token, Call::Chunk);
        self.metrics.add(Counter::ChunkSent, 1);
        self.metrics.add(Counter::MirroredBytes, len);
        None
    }

    fn unreadable(&mut self) -> Event<'static> {
        self.broken = true;
        Event::Unreadable
    }
}
