//! One run of a program: its messages, their answers, and what must follow.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use tokio::task::JoinHandle;
use viewcache_protocol::message::{DECIDE_PATH, INVALIDATE_PATH, Step as Message};
use viewcache_protocol::{
    Begin, ByteRange, ChunkHead, DecideRequest, Decision, DeclineReason, End, EntityKey, FillId,
    GenerationId, Invalidate, Outcome, PROTOCOL_VERSION, Profile, Selecting, Wanted, header,
};
use viewcache_sidecar::fuzzing::exchange;
use viewcache_sidecar::service::{Read, Service};

use super::bytes_of::{LONGEST, bytes, kind};
use super::model::{Living, Model};
use super::program::{Step, generation};
use super::world::PATIENCE;

/// A chunk that has overtaken its begin.
struct Waiting {
    entity: usize,
    of: GenerationId,
    task: JoinHandle<Response<Bytes>>,
}

/// One run of a program.
pub(super) struct Run<'a> {
    service: &'a Arc<Service>,
    keys: [EntityKey; 2],
    /// What is granted, or what nobody has granted.
    fills: [FillId; 4],
    /// All that were, and will have ended.
    ever: Vec<FillId>,
    models: [Model; 2],
    waiting: Vec<Waiting>,
}

impl<'a> Run<'a> {
    /// Of entities that no run of another number has.
    pub(super) fn new(service: &'a Arc<Service>, number: u64) -> Self {
        let key = |profile, rest: String| EntityKey::new(profile, &rest).expect("a key");
        Self {
            service,
            keys: [
                key(Profile::Generic, format!("http://fuzz.example/{number}")),
                key(
                    Profile::Youtube,
                    format!("v=x{number}&itag=18&lmt=1&clen=150000"),
                ),
            ],
            fills: std::array::from_fn(|slot| FillId(number << 8 | slot as u64)),
            ever: Vec::new(),
            models: Default::default(),
            waiting: Vec::new(),
        }
    }

    /// Sends a message.
    pub(super) async fn step(&mut self, step: Step) {
        match step {
            Step::Decide {
                entity,
                slot,
                range,
            } => self.decide(entity, slot, range).await,
            Step::Begin {
                entity,
                slot,
                state,
                range,
                open_ended,
            } => {
                let fill = self.fills[slot];
                let generation = generation(state);
                let begin = Begin {
                    key: self.keys[entity].clone(),
                    generation: generation.clone(),
                    range,
                    headers: vec![("content-type".to_owned(), "video/mp4".to_owned())],
                    selecting: Selecting::default(),
                    open_ended,
                    origin: None,
                };
                let status = self.tell(&Message::Begin.path(fill), &begin).await;
                let model = &mut self.models[entity];
                if open_ended {
                    assert_eq!(status, StatusCode::NO_CONTENT);
                    model.opened(fill, generation.validator);
                } else if range.end() <= generation.complete_length {
                    assert_eq!(status, StatusCode::NO_CONTENT);
                    let of = generation.id(self.keys[entity].profile(), &fill.to_string());
                    model.begun(of, generation.complete_length);
                } else {
                    assert_eq!(status, StatusCode::BAD_REQUEST);
                }
            }
            Step::Chunk {
                entity,
                slot,
                state,
                variant,
                offset,
                length,
            } => {
                self.chunk(entity, slot, state, variant, offset, length)
                    .await;
            }
            Step::End {
                entity,
                slot,
                delivered,
                outcome,
            } => {
                let outcome = match outcome {
                    0 => Outcome::Complete,
                    1 => Outcome::Declined(DeclineReason::NoStore),
                    _ => Outcome::Abandoned,
                };
                let key = self.keys[entity].clone();
                self.end(key, self.fills[slot], delivered, outcome).await;
            }
            Step::Invalidate { entity } => {
                let key = self.keys[entity].clone();
                let status = self.tell(INVALIDATE_PATH, &Invalidate { key }).await;
                assert_eq!(status, StatusCode::NO_CONTENT);
            }
            Step::Other { path, header, body } => self.other(path, &header, body).await,
        }
    }

    async fn decide(&mut self, entity: usize, slot: usize, range: Option<&str>) {
        let wanted = Wanted {
            range: range.map(|text| text.parse().expect("a range")),
            viewer: format!("viewer {slot}"),
            ..Wanted::whole(self.keys[entity].clone())
        };
        let spec = wanted.range;
        let body = serde_json::to_vec(&DecideRequest::from(wanted)).expect("a message");
        let response = self.post(DECIDE_PATH, &[], body.into()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let decision: Decision = serde_json::from_slice(response.body()).expect("a decision");
        match decision {
            Decision::Hit { remember_ms } => {
                let length = self
                    .length(entity)
                    .await
                    .expect("of nothing there is no hit");
                let range = match spec {
                    Some(spec) => spec.resolve(length),
                    None => ByteRange::new(0, length),
                };
                if let Some(range) = range {
                    let covered = self.models[entity].covers(range.start(), range.end());
                    assert_ne!(covered, Some(false), "a hit of {range}");
                }
                if remember_ms.is_some() {
                    assert_ne!(self.models[entity].covers(0, length), Some(false));
                }
            }
            Decision::Partial => {}
            Decision::Miss { grant, .. } => {
                if let Some(grant) = grant {
                    assert!(!self.fills.contains(&grant.fill) && grant.variant == 0);
                    let before = std::mem::replace(&mut self.fills[slot], grant.fill);
                    self.ever.push(before);
                }
            }
        }
    }

    /// The complete length of the living generation.
    async fn length(&self, entity: usize) -> Option<u64> {
        let live = self
            .service
            .live(&self.keys[entity])
            .await
            .expect("an entity");
        let state = live.state();
        state
            .record
            .generation
            .as_ref()
            .map(|g| g.complete_length())
    }

    async fn chunk(
        &mut self,
        entity: usize,
        slot: usize,
        state: usize,
        variant: usize,
        offset: u64,
        length: usize,
    ) {
        let (fill, key) = (self.fills[slot], self.keys[entity].clone());
        let of = generation(state).id(key.profile(), &fill.to_string());
        let kind = kind(state, slot, variant);
        let end = offset + length as u64;
        let head = ChunkHead {
            entity: key.id(),
            generation: of,
            offset,
        };
        let body = bytes(kind, offset, end);
        let mut headers = head.to_headers().to_vec();
        headers.push(("content-length", length.to_string()));
        let path = Message::Chunks.path(fill);
        let Some(range) = ByteRange::new(offset, end) else {
            let response = self.post(&path, &headers, body).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
            return;
        };
        self.models[entity].sent(range, kind, of, fill);
        let (is_living, waits) = {
            let live = self.service.live(&key).await.expect("an entity");
            let state = live.state();
            let living = state.record.generation.as_ref();
            let is_living = living.is_some_and(|g| g.id(key.profile()) == of);
            (is_living, !is_living && state.leads.holds(fill))
        };
        if waits {
            self.models[entity].loosen();
            let (service, request) = (Arc::clone(self.service), request(&path, &headers, body));
            let task = tokio::spawn(async move { exchange(&service, request).await });
            self.waiting.push(Waiting { entity, of, task });
            tokio::task::yield_now().await;
            return;
        }
        let response = self.post(&path, &headers, body).await;
        let model = &mut self.models[entity];
        match response.status() {
            StatusCode::NO_CONTENT => {
                // A body of unknown length may have taken it.
                if is_living {
                    model.took(range, kind);
                }
                if let Some(skip) = response.headers().get(header::SKIP_UNTIL) {
                    let skip = skip.to_str().ok().and_then(|text| text.parse().ok());
                    let skip: u64 = skip.expect("an offset");
                    assert!(end < skip && model.covers(end, skip) != Some(false));
                }
            }
            StatusCode::GONE => {
                let past = generation(state).complete_length < range.end();
                assert!(
                    !is_living || past || model.covers(0, 1).is_none(),
                    "{range} of the living generation was refused"
                );
                assert!(response.headers().contains_key(header::STOP));
            }
            status => panic!("a chunk was answered with {status}"),
        }
    }

    async fn end(
        &self,
        key: EntityKey,
        fill: FillId,
        delivered: Option<ByteRange>,
        outcome: Outcome,
    ) {
        let end = End {
            key,
            viewer: "viewer".to_owned(),
            delivered,
            outcome,
        };
        let status = self.tell(&Message::End.path(fill), &end).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }

    /// Whatever it is, it is answered, and not as if the sidecar had failed.
    async fn other(&mut self, path: u8, value: &[u8], body: Vec<u8>) {
        let fill = self.fills[usize::from(path >> 4 & 3)];
        let path = match path % 6 {
            0 => DECIDE_PATH.to_owned(),
            1 => INVALIDATE_PATH.to_owned(),
            2 => Message::Begin.path(fill),
            3 => Message::End.path(fill),
            4 => Message::Chunks.path(fill),
            _ => "/fills/x/begin".to_owned(),
        };
        let headers: Vec<(&'static str, String)> = String::from_utf8_lossy(value)
            .lines()
            .zip([
                header::KEY,
                header::GENERATION,
                header::OFFSET,
                header::VERSION,
            ])
            .map(|(value, name)| (name, value.to_owned()))
            .chain([("content-length", body.len().to_string())])
            .filter(|(_, value)| hyper::header::HeaderValue::from_str(value).is_ok())
            .collect();
        let response = self.post(&path, &headers, body.into()).await;
        let status = response.status();
        assert!(
            status.is_success() || status.is_client_error(),
            "{path}: {status}"
        );
    }

    async fn tell(&self, path: &str, message: &impl Serialize) -> StatusCode {
        let body = serde_json::to_vec(message).expect("a message");
        self.post(path, &[], body.into()).await.status()
    }

    async fn post(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Response<Bytes> {
        let answer = exchange(self.service, request(path, headers, body));
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        answer.unwrap_or_else(|_| panic!("{path} is not answered"))
    }

    /// Ends what has not ended, and lets go of chunks whose begin never came.
    pub(super) async fn finish(&mut self) {
        for fill in [&self.ever[..], &self.fills].concat() {
            // Of any entity: a body of unknown length may have been begun for another than it is
            // ended for here.
            let none = EntityKey::new(Profile::Generic, "http://fuzz.example/none");
            let keys = self.keys.iter().cloned();
            for key in keys.chain([none.expect("a key")]) {
                self.end(key, fill, None, Outcome::Abandoned).await;
            }
        }
        for waiting in std::mem::take(&mut self.waiting) {
            let live = self
                .service
                .live(&self.keys[waiting.entity])
                .await
                .expect("an entity");
            let profile = self.keys[waiting.entity].profile();
            let is_living = {
                let state = live.state();
                let living = state.record.generation.as_ref();
                living.is_some_and(|g| g.id(profile) == waiting.of)
            };
            if !is_living {
                waiting.task.abort();
            }
            if let Ok(response) = waiting.task.await {
                let status = response.status();
                assert!(
                    [StatusCode::NO_CONTENT, StatusCode::GONE].contains(&status),
                    "{status}"
                );
            }
        }
    }

    /// Whether something is being written still: a chunk's answer was not waited for, perhaps.
    pub(super) async fn writes(&self) -> bool {
        for key in &self.keys {
            let live = self.service.live(key).await.expect("an entity");
            if live.state().active() {
                return true;
            }
        }
        false
    }

    /// Compares what is stored with what must be.
    pub(super) async fn check(&self) {
        for (key, model) in self.keys.iter().zip(&self.models) {
            let live = self.service.live(key).await.expect("an entity");
            let (living, seq, runs) = {
                let state = live.state();
                assert!(state.writing.is_empty() && state.ended.is_empty());
                assert!(state.unwritten.is_empty());
                let rows: u64 = state.rows.ranges().map(ByteRange::len).sum();
                assert_eq!(rows, state.stored.bytes());
                let living = state.record.generation.as_ref();
                let seq = living.map_or(0, |living| living.seq);
                let living = living.map(|living| Living {
                    id: living.id(key.profile()),
                    transfer: living.transfer.clone(),
                    validator: living.identity.validator.clone(),
                });
                (living, seq, state.stored.iter().collect::<Vec<_>>())
            };
            let mut stored = Vec::new();
            for run in runs {
                assert!(run.end() <= LONGEST, "{run}");
                let read = match self.service.read(&live, seq, run) {
                    Read::Done(bytes) => bytes,
                    Read::Waits(read) => read.await.expect("a read").expect("sound bytes"),
                };
                stored.push((run, read));
            }
            model.check(living.as_ref(), &stored);
        }
    }
}

fn request(path: &str, headers: &[(&'static str, String)], body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::post(path);
    if !headers.iter().any(|(name, _)| *name == header::VERSION) {
        request = request.header(header::VERSION, PROTOCOL_VERSION);
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(Full::new(body)).expect("a request")
}
