//! A transfer from the origin that the sidecar leads: asked for, judged, and opened.

mod error;
mod record;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use tokio::time::Instant;
use viewcache_protocol::{
    Asked, ByteRange, GenerationId, RangeSpec, Transfer, Validator, Wanted, date,
};

use super::lead::Lead;
use super::proof::prove;
use crate::fills::Begun;
use crate::live::{self, Snapshot};
use crate::origin::{self, Asker, Under};
use crate::seam;
use crate::service::Service;
pub use error::{Fetched, SourceError};
use record::Record;

/// A running transfer.
#[derive(Debug)]
pub(super) struct Source {
    lead: Lead,
    generation: GenerationId,
    seq: u64,
    status: u16,
    /// What the caches on the way to the origin say.
    upstream: Option<String>,
    body: Incoming,
    /// Offset of the next byte to arrive.
    at: u64,
    /// Where the transfer is to end.
    end: u64,
    /// Until it has brought what it will.
    record: Option<Box<Record>>,
}

/// What a request to the origin asks for.
struct Question<'a> {
    asked: Asked,
    under: Under<'a>,
    asker: &'a Asker,
    deadline: Instant,
}

/// What the origin says of an entity of which no usable generation is known.
#[derive(Debug)]
pub(super) enum Discovery {
    /// A generation, with bytes of it.
    Source(Source),
    /// The stale one is still the one.
    Same {
        /// What the caches on the way to the origin say.
        upstream: Option<String>,
    },
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
        let generation = match snapshot.generation.is_unproven() {
            true => prove(service, lead.live(), snapshot, asker, deadline).await?,
            false => snapshot.generation.clone(),
        };
        let profile = lead.live().state().record.key.profile();
        let asked = Asked {
            profile,
            range: Some(RangeSpec::Closed {
                first: gap.start(),
                last: gap.end() - 1,
            }),
            range_in_query: false,
            complete_length: None,
            open_ended: false,
        };
        let validator = generation.identity.validator.as_ref();
        let question = Question {
            asked,
            under: validator.map_or(Under::Nothing, Under::Same),
            asker,
            deadline,
        };
        let Discovery::Source(source) = Self::open(service, lead, &question).await? else {
            return Err(SourceError::Changed);
        };
        let same = source.generation == generation.id(profile);
        if same && source.at <= gap.start() {
            Ok(source)
        } else {
            Err(SourceError::Changed)
        }
    }

    /// Asks for what the viewer wants of an entity of which no usable generation is known; of a
    /// stale one, only if it is no longer the one.
    pub(super) async fn discover(
        service: &Arc<Service>,
        lead: Lead,
        wanted: &Wanted,
        asker: &Asker,
        deadline: Instant,
    ) -> Result<Discovery, SourceError> {
        let (window, stale) = {
            let state = lead.live().state();
            (state.terms.window, state.validator(wanted))
        };
        // Where the URL tells the complete length, the request is bounded: some origins refuse
        // or pace any other (DESIGN "Entity, profile, generation").
        let bounded = wanted.complete_length.and_then(|complete_length| {
            let range = live::resolve(wanted, complete_length)?;
            let last = range.end().min(range.start().saturating_add(window)) - 1;
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
            under: stale.as_ref().map_or(Under::Nothing, Under::Other),
            asker,
            deadline,
        };
        let live = Arc::clone(lead.live());
        let opened = Self::open(service, lead, &question).await;
        opened.inspect_err(|error| {
            if let SourceError::Declined { reason, .. } = error {
                service.declined(live.id, *reason);
                service.decline(&live);
            }
        })
    }

    /// Asks whether a stale generation is still the one, for no more than a byte of another.
    pub(super) async fn validate(
        service: &Arc<Service>,
        lead: Lead,
        validator: &Validator,
        asker: &Asker,
        deadline: Instant,
    ) -> Result<Discovery, SourceError> {
        let asked = Asked {
            profile: lead.live().state().record.key.profile(),
            range: Some(RangeSpec::Closed { first: 0, last: 0 }),
            range_in_query: false,
            complete_length: None,
            open_ended: false,
        };
        let question = Question {
            asked,
            under: Under::Other(validator),
            asker,
            deadline,
        };
        Self::open(service, lead, &question).await
    }

    async fn open(
        service: &Arc<Service>,
        lead: Lead,
        question: &Question<'_>,
    ) -> Result<Discovery, SourceError> {
        let asker = question.asker;
        let asked = match question.asked.range {
            Some(RangeSpec::Closed { first, last }) => {
                ByteRange::new(first, last.saturating_add(1))
            }
            _ => None,
        };
        let mut record = Record::new(service, &lead, asker, asked);
        let mut opened = Self::ask(service, lead, question).await;
        let fetched = match &mut opened {
            Ok(Discovery::Source(source)) => {
                record.answered();
                record.brings(ByteRange::new(source.at, source.end));
                source.record = Some(Box::new(record));
                Fetched::Ok
            }
            Ok(Discovery::Same { .. }) => {
                record.answered();
                record.ends(Fetched::NotModified.as_str());
                Fetched::NotModified
            }
            Err(error) => {
                record.fails(error);
                error.fetched()
            }
        };
        service.metrics.fetches.inc(fetched);
        if let Err(error) = &opened
            && fetched.is_outage()
        {
            service.alarms.origin(asker.authority(), fetched, error);
        }
        opened
    }

    async fn ask(
        service: &Arc<Service>,
        lead: Lead,
        question: &Question<'_>,
    ) -> Result<Discovery, SourceError> {
        let Question {
            asked,
            under,
            asker,
            deadline,
        } = question;
        let range = asked.range.map(|spec| format!("bytes={spec}"));
        let began = Instant::now();
        let response = service
            .origin
            .fetch(asker, range.as_deref(), *under, *deadline)
            .await?;
        let status = response.status().as_u16();
        let mut headers = text_headers(&response);
        date(&mut headers, seam::wall());
        let upstream = cache_status(&headers);
        if let (304, &Under::Other(validator)) = (status, under)
            && service.refresh(lead.live(), validator, &headers)
        {
            return Ok(Discovery::Same { upstream });
        }
        let admission = service.admission(asked.profile);
        let judged = Transfer::judge(asked, &admission.targeted(), status, &headers);
        let judged = judged.and_then(|transfer| match under {
            // What has been admitted is; a 206 to If-Range need not say its type again.
            Under::Same(_) => Ok(transfer),
            _ => admission.judge(&transfer).map(|()| transfer),
        });
        let mut transfer = judged.map_err(|reason| SourceError::Declined {
            status,
            reason,
            retry_after: origin::retry_after(response.headers(), seam::wall()),
        })?;
        // A 206 to If-Range need not repeat the validator that it was asked under (RFC 9110
        // section 15.3.7).
        if let (206, &Under::Same(validator)) = (status, under)
            && transfer.generation.validator.is_none()
        {
            transfer.generation.validator = Some(validator.clone());
        }
        let bytes = transfer.range;
        let complete_length = transfer.generation.complete_length;
        let resolved = asked.range.and_then(|spec| spec.resolve(complete_length));
        let ignores_range = resolved.is_some_and(|range| bytes.start() < range.start());
        let generation = transfer
            .generation
            .id(asked.profile, &lead.fill().to_string());
        lead.live().state().latency.observe(began.elapsed());
        let seq = service.open_generation(
            lead.live(),
            Begun::own(lead.fill(), ignores_range),
            transfer,
            asker.selecting(),
        );
        Ok(Discovery::Source(Self {
            lead,
            generation,
            seq,
            status,
            upstream,
            body: response.into_body(),
            at: bytes.start(),
            end: bytes.end(),
            record: None,
        }))
    }

    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref()
    }

    pub(super) const fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Where the transfer is to end.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) const fn lead(&self) -> &Lead {
        &self.lead
    }

    /// It brings no more: that is what is told of it.
    pub(super) fn close(&mut self, result: &Result<(), SourceError>) {
        if let Some(mut record) = self.record.take() {
            match result {
                Err(error) => record.fails(error),
                Ok(()) if self.end <= self.at => record.ends("complete"),
                Ok(()) => {}
            }
        }
    }

    /// The next bytes; `None` at the transfer's end. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        while self.at < self.end {
            let Some(Ok(frame)) = self.body.frame().await else {
                return Err(SourceError::Short(self.at));
            };
            let Ok(mut bytes) = frame.into_data() else {
                continue;
            };
            // Bytes beyond what the head promised belong to nothing.
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            bytes.truncate(left);
            if !bytes.is_empty() {
                self.at += bytes.len() as u64;
                if let Some(record) = &mut self.record {
                    record.brought(bytes.len() as u64);
                }
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// The members of Cache-Status that are there already: those of caches nearer to the origin
/// (RFC 9211 section 2).
fn cache_status(headers: &[(String, String)]) -> Option<String> {
    let lines = headers.iter().filter(|(name, _)| name == "cache-status");
    let lines: Vec<&str> = lines.map(|(_, value)| value.as_str()).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// Header fields whose value is text; another says nothing that is understood here.
pub(super) fn text_headers(response: &Response<Incoming>) -> Vec<(String, String)> {
    let text = |value: &hyper::header::HeaderValue| value.to_str().ok().map(str::to_owned);
    let fields = response.headers().iter();
    fields
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)))
        .collect()
}
