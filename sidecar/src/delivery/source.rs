//! A transfer from the origin that the sidecar leads: what arrives goes to the viewer at once and
//! to the store in chunks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use thiserror::Error;
use viewcache_protocol::{
    Asked, ByteRange, DeclineReason, FillId, GenerationId, RangeSpec, Transfer, Wanted,
};

use super::HandBack;
use crate::error::Refusal;
use crate::live::{self, Live, Snapshot, State};
use crate::origin::{Asker, OriginError};
use crate::service::Service;

/// Chunks grow from the first to the last of these: followers wait little for the first bytes,
/// and the index has few rows in the long run.
const CHUNK: std::ops::RangeInclusive<usize> = 64 << 10..=256 << 10;

/// A buffered chunk is stored after this long without another byte, for the followers' sake.
const LINGER: Duration = Duration::from_millis(50);

/// How long the origin may be silent inside a body.
const SILENCE: Duration = Duration::from_secs(10);

/// Why a transfer cannot be had, or went no further.
#[derive(Debug, Error)]
pub(super) enum SourceError {
    /// The origin did not answer.
    #[error("{0}")]
    Origin(#[from] OriginError),
    /// It answered with something that must not be stored here.
    #[error("the origin's answer {status} is not usable: {reason}", reason = reason.as_str())]
    Declined {
        /// The status of the answer.
        status: u16,
        /// Why.
        reason: DeclineReason,
    },
    /// It answered with another generation, which is the living one now.
    #[error("the entity has changed")]
    Changed,
    /// The generation has no validator to ask under.
    #[error("the entity cannot be asked for in parts")]
    NotCombinable,
    /// The body ended or failed before its end.
    #[error("the origin's body was cut at {0}")]
    Short(u64),
}

impl SourceError {
    pub(super) const fn hand_back(&self) -> HandBack {
        match self {
            Self::Origin(_) | Self::Short(_) | Self::Changed => HandBack::Origin,
            Self::Declined { .. } => HandBack::Declined,
            Self::NotCombinable => HandBack::NotCombinable,
        }
    }

    const fn label(&self) -> &'static str {
        match self {
            Self::Origin(_) => "unreachable",
            Self::Declined { .. } => "declined",
            Self::Changed => "changed",
            Self::NotCombinable => "not-combinable",
            Self::Short(_) => "short",
        }
    }
}

/// A lead of the sidecar's own. Dropped, it ends: whoever waits for it looks for another way.
#[derive(Debug)]
pub(super) struct Lead {
    live: Arc<Live>,
    fill: FillId,
}

impl Lead {
    /// Takes a gap of generation `seq`. The state is locked by the caller, who has just seen in it
    /// that nobody else leads there.
    pub(super) fn take(
        service: &Service,
        live: &Arc<Live>,
        state: &mut State,
        seq: u64,
        gap: ByteRange,
    ) -> Self {
        let fill = service.lead();
        state.leads.begin(fill, seq, gap, Instant::now());
        Self {
            live: Arc::clone(live),
            fill,
        }
    }

    /// Takes what is not known yet, until `until` at the most.
    pub(super) fn grant(
        service: &Service,
        live: &Arc<Live>,
        state: &mut State,
        until: Instant,
    ) -> Self {
        let fill = service.lead();
        state.leads.grant(fill, until);
        Self {
            live: Arc::clone(live),
            fill,
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.live.state().leads.forget(self.fill);
        self.live.changed.notify_waiters();
    }
}

/// A running transfer. Dropped, it stores what has arrived and ends its lead.
#[derive(Debug)]
pub(super) struct Source {
    service: Arc<Service>,
    live: Arc<Live>,
    lead: Lead,
    generation: GenerationId,
    seq: u64,
    status: u16,
    body: Incoming,
    /// Offset of the next byte to arrive.
    at: u64,
    /// Where the transfer is to end.
    end: u64,
    buffer: BytesMut,
    chunk: usize,
}

/// What a request to the origin asks for.
struct Question<'a> {
    asked: Asked,
    /// The generation that is asked for, when one is known.
    known: Option<&'a Snapshot>,
    asker: &'a Asker,
    deadline: Instant,
}

impl Source {
    /// Asks for a gap of a known generation, under its validator.
    pub(super) async fn gap(
        service: &Arc<Service>,
        lead: Lead,
        snapshot: &Snapshot,
        gap: ByteRange,
        asker: &Asker,
        deadline: Instant,
    ) -> Result<Self, SourceError> {
        let profile = lead.live.state().record.key.profile();
        let asked = Asked {
            profile,
            range: Some(RangeSpec::Closed {
                first: gap.start(),
                last: gap.end() - 1,
            }),
            range_in_query: false,
            complete_length: None,
        };
        let question = Question {
            asked,
            known: Some(snapshot),
            asker,
            deadline,
        };
        let source = Self::open(service, lead, &question).await?;
        let same = source.generation == snapshot.generation.id(profile);
        if same && source.at <= gap.start() {
            Ok(source)
        } else {
            Err(SourceError::Changed)
        }
    }

    /// Asks for what the viewer wants of an entity of which no usable generation is known.
    pub(super) async fn discover(
        service: &Arc<Service>,
        lead: Lead,
        wanted: &Wanted,
        asker: &Asker,
        deadline: Instant,
    ) -> Result<Self, SourceError> {
        // Where the URL tells the complete length, the request is bounded: some origins refuse
        // or pace any other (DESIGN "Entity, profile, generation").
        let bounded = wanted.complete_length.and_then(|complete_length| {
            let range = live::resolve(wanted, complete_length)?;
            let last = range.end().min(range.start() + live::window(&wanted.key)) - 1;
            Some(RangeSpec::Closed {
                first: range.start(),
                last,
            })
        });
        let asked = Asked {
            range: bounded.or(wanted.range),
            range_in_query: false,
            ..wanted.asked()
        };
        let question = Question {
            asked,
            known: None,
            asker,
            deadline,
        };
        let live = Arc::clone(&lead.live);
        let opened = Self::open(service, lead, &question).await;
        opened.inspect_err(|error| {
            if matches!(error, SourceError::Declined { .. }) {
                service.decline(&live);
            }
        })
    }

    async fn open(
        service: &Arc<Service>,
        lead: Lead,
        question: &Question<'_>,
    ) -> Result<Self, SourceError> {
        let opened = Self::ask(service, lead, question).await;
        let label = opened.as_ref().map_or_else(SourceError::label, |_| "ok");
        service
            .metrics
            .fetches
            .get_or_create(&[("result", label)])
            .inc();
        opened
    }

    async fn ask(
        service: &Arc<Service>,
        lead: Lead,
        question: &Question<'_>,
    ) -> Result<Self, SourceError> {
        let Question {
            asked,
            known,
            asker,
            deadline,
        } = question;
        let range = asked.range.map(|spec| format!("bytes={spec}"));
        let known = known.map(|snapshot| &snapshot.generation.identity);
        let validator = known.and_then(|identity| identity.validator.as_ref());
        let if_range = validator.map(|validator| validator.as_str());
        let response = service
            .origin
            .fetch(asker, range.as_deref(), if_range, *deadline)
            .await?;
        let status = response.status().as_u16();
        let mut transfer = Transfer::judge(asked, status, &text_headers(&response))
            .map_err(|reason| SourceError::Declined { status, reason })?;
        // A 206 to If-Range need not repeat the validator that it was asked under (RFC 9110
        // section 15.3.7).
        if status == 206 && transfer.generation.validator.is_none() {
            transfer.generation.validator = validator.cloned();
        }
        let bytes = transfer.range;
        let generation = transfer
            .generation
            .id(asked.profile, &lead.fill.to_string());
        let live = Arc::clone(&lead.live);
        let seq = service.open_generation(&live, lead.fill, transfer);
        Ok(Self {
            service: Arc::clone(service),
            live,
            lead,
            generation,
            seq,
            status,
            body: response.into_body(),
            at: bytes.start(),
            end: bytes.end(),
            buffer: BytesMut::new(),
            chunk: *CHUNK.start(),
        })
    }

    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    pub(super) const fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// The next bytes and their offset; `None` at the transfer's end.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, Bytes)>, SourceError> {
        let silent_at = Instant::now() + SILENCE;
        while self.at < self.end {
            let wait = if self.buffer.is_empty() {
                SILENCE
            } else {
                LINGER
            };
            let until = (Instant::now() + wait).min(silent_at);
            match tokio::time::timeout_at(until.into(), self.body.frame()).await {
                Err(_) if silent_at <= Instant::now() => break,
                Err(_) => self.flush(),
                Ok(Some(Ok(frame))) => {
                    let Ok(mut bytes) = frame.into_data() else {
                        continue;
                    };
                    // Bytes beyond what the head promised belong to nothing.
                    let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
                    bytes.truncate(left);
                    if bytes.is_empty() {
                        continue;
                    }
                    let offset = self.at;
                    self.take(&bytes);
                    return Ok(Some((offset, bytes)));
                }
                Ok(Some(Err(_)) | None) => break,
            }
        }
        self.flush();
        if self.at < self.end {
            Err(SourceError::Short(self.at))
        } else {
            Ok(None)
        }
    }

    fn take(&mut self, bytes: &Bytes) {
        self.at += bytes.len() as u64;
        let len = bytes.len() as u64;
        self.service.metrics.origin_bytes.inc_by(len);
        self.live.state().record.bytes_from_origin += len;
        if self.buffer.is_empty() && self.chunk <= bytes.len() {
            self.store(self.at - len, bytes.clone());
            return;
        }
        self.buffer.extend_from_slice(bytes);
        if self.chunk <= self.buffer.len() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let bytes = self.buffer.split().freeze();
        if !bytes.is_empty() {
            self.store(self.at - bytes.len() as u64, bytes);
        }
    }

    /// Hands a chunk to the store; when that has no memory to spare, a gap is left.
    fn store(&mut self, offset: u64, bytes: Bytes) {
        let len = bytes.len() as u64;
        self.chunk = (self.chunk * 2).min(*CHUNK.end());
        let stored = match self.service.admit(len) {
            Some(permit) => self
                .service
                .spawn_store(&self.live, self.seq, offset, bytes, permit)
                .map(drop),
            None => Err(Refusal::Busy),
        };
        if let Err(refusal) = stored {
            self.service.refuse(refusal, len);
        }
        self.live
            .state()
            .leads
            .advance(self.lead.fill, offset + len, Instant::now());
        self.live.changed.notify_waiters();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Header fields whose value is text; another says nothing that is understood here.
fn text_headers(response: &Response<Incoming>) -> Vec<(String, String)> {
    let text = |value: &hyper::header::HeaderValue| value.to_str().ok().map(str::to_owned);
    let fields = response.headers().iter();
    fields
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)))
        .collect()
}
