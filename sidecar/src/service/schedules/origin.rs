//! An origin that answers as the seed says, over HTTP in memory, and keeps what it was asked for.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use viewcache_protocol::{Generation, Validator};

use super::content;
use super::plan::{Climate, Plan};
use super::purges::Purge;
use super::threads::{self, take};
use super::transfers::{Over, Transfer};
use super::wire::{Question, head, question, say, wait};
use crate::service::Service;

/// What is on its way between origin and sidecar at the most.
pub(super) const PIPE: usize = 16 << 10;

/// Who asks so often in one life asks for no reason.
const MOST_ASKED: u64 = 3000;

#[derive(Debug)]
pub(super) struct State {
    /// The generation of each entity.
    pub(super) current: [usize; content::ENTITIES],
    pub(super) transfers: Vec<Transfer>,
    /// How often the sidecar has asked, and how often it had when its life began.
    pub(super) asked: u64,
    pub(super) asked_before: u64,
    /// What was purged of each entity.
    pub(super) purges: [Vec<Purge>; content::ENTITIES],
    /// Who asks: it tells which generation it takes for the living one.
    pub(super) sidecar: Weak<Service>,
}

#[derive(Debug)]
pub(super) struct Origin {
    pub(super) plan: Arc<Plan>,
    state: Mutex<State>,
}

impl Origin {
    pub(super) fn new(plan: Arc<Plan>) -> Arc<Self> {
        let state = State {
            current: [0; content::ENTITIES],
            transfers: Vec::new(),
            asked: 0,
            asked_before: 0,
            purges: Default::default(),
            sidecar: Weak::new(),
        };
        Arc::new(Self {
            plan,
            state: Mutex::new(state),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        take(&self.state)
    }

    /// The living generation of an entity.
    pub(super) fn current(&self, entity: usize) -> usize {
        self.state().current[entity]
    }

    /// An entity changes, and its name with it, as long as there is another generation.
    pub(super) fn change(&self, entity: usize) {
        let mut state = self.state();
        let current = &mut state.current[entity];
        let next = match self.plan.twins {
            true => (*current | 1) + 1,
            false => *current + 1,
        };
        if next < content::GENERATIONS {
            *current = next;
        }
    }

    /// An entity changes and keeps its name, if it has a twin.
    pub(super) fn change_to_twin(&self, entity: usize) {
        if !self.plan.twins {
            return self.change(entity);
        }
        match self.current(entity) {
            first if first.is_multiple_of(2) => self.state().current[entity] = first + 1,
            _ => self.change(entity),
        }
    }

    /// How many requests of the sidecar's there were.
    pub(super) fn asked(&self) -> u64 {
        self.state().asked
    }

    pub(super) async fn ask(
        self: &Arc<Self>,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        tokio::spawn(Arc::clone(self).serve(theirs));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(ours)).await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    }

    async fn serve(self: Arc<Self>, stream: DuplexStream) {
        let (mut reading, mut writing) = tokio::io::split(stream);
        let Some(question) = question(&mut reading).await else {
            return;
        };
        let generation = {
            let mut state = self.state();
            state.asked += 1;
            if state.asked - state.asked_before == MOST_ASKED
                && let Some(scheduler) = threads::scheduler()
            {
                scheduler.violation(format!("the origin is asked {MOST_ASKED} times"));
            }
            state.current[question.entity]
        };
        // What breaks off, breaks off both ways.
        let _ = self
            .answer(question, generation, &mut reading, &mut writing)
            .await;
    }

    async fn answer(
        self: &Arc<Self>,
        question: Question,
        generation: usize,
        reading: &mut ReadHalf<DuplexStream>,
        writing: &mut WriteHalf<DuplexStream>,
    ) -> Option<()> {
        let scheduler = threads::scheduler()?;
        let Climate {
            think,
            absent,
            refuse,
            whole,
            lie,
            reset,
            stall,
            stalled,
            frame,
            gap,
            ..
        } = self.plan.climate;
        let Question { entity, .. } = question;
        let length = self.plan.lengths[entity][generation];
        let identity = self.plan.identity(entity, generation);
        let name = identity.validator.as_ref().map(Validator::as_str);
        let pause = scheduler.chance(|chance| match chance.per_mille(absent) {
            true => Duration::from_secs(chance.of(5..60)),
            false => chance.millis(think),
        });
        // As the sidecar sees it from the moment at which it asks.
        let resolved = question.resolve(length);
        let conditional = question.unless.is_some();
        let same = question
            .if_range
            .as_deref()
            .is_none_or(|tag| Some(tag) == name);
        let mut range = match resolved {
            Some(range) if same => Some(range),
            None if same => {
                wait(reading, pause).await?;
                return say(
                    writing,
                    416,
                    &[("content-range", format!("bytes */{length}"))],
                )
                .await;
            }
            _ => None,
        };
        if question.range.is_none() && question.suffix.is_none() {
            range = None;
        }
        if scheduler.chance(|chance| chance.per_mille(whole)) {
            range = None;
        }
        let brings = range.clone().unwrap_or(0..length);
        let transfer = self.open(entity, generation, brings.clone(), false);
        scheduler.tell(|| {
            let Question {
                range,
                suffix,
                unless,
                ..
            } = &question;
            let asked = format!("{range:?} {suffix:?} {unless:?}");
            format!("origin: {transfer} v{entity} g{generation}: {asked} brings {brings:?}")
        });
        if let Some(opened) = self.state().transfers.get_mut(transfer) {
            opened.known = question.if_range.is_some();
        }
        if !conditional {
            self.judge(transfer);
        }
        let over = Over(self, transfer);
        wait(reading, pause).await?;
        if conditional && question.unless.as_deref() == name {
            drop(over);
            return say(writing, 304, &self.fields(entity, generation)).await;
        }
        if scheduler.chance(|chance| chance.per_mille(refuse)) {
            let status = scheduler.chance(|chance| chance.pick(&[403, 404, 429, 500, 503, 0]));
            let retry = scheduler.chance(|chance| chance.of(0..4));
            let fields = match retry {
                0 => vec![("retry-after", "1".to_owned())],
                _ => Vec::new(),
            };
            return match status {
                0 => None,
                status => say(writing, status, &fields).await,
            };
        }
        let mut fields = self.fields(entity, generation);
        let (mut first, mut last, mut complete) = (brings.start, brings.end - 1, length);
        if scheduler.chance(|chance| chance.per_mille(lie)) {
            // Where the bytes are does not change: what they are called does.
            match scheduler.chance(|chance| chance.of(0..3)) {
                0 => first += 1,
                1 => complete += 1,
                _ => last += 1,
            }
        }
        let status = match &range {
            Some(_) => {
                fields.push(("content-range", format!("bytes {first}-{last}/{complete}")));
                206
            }
            None => 200,
        };
        let lies = (first, last, complete) != (brings.start, brings.end - 1, length);
        fields.push(("content-length", (brings.end - brings.start).to_string()));
        head(writing, status, &fields).await?;
        let bytes = content::bytes(entity, generation);
        let (breaks, hangs) = scheduler.chance(|chance| {
            let mut at = |n| match chance.per_mille(n) {
                true => chance.of(brings.start..brings.end),
                false => u64::MAX,
            };
            (at(reset), at(stall))
        });
        let mut at = brings.start;
        let mut hung = false;
        while at < brings.end {
            let (len, pause) =
                scheduler.chance(|chance| (chance.size(512..frame + 1), chance.millis(gap)));
            wait(reading, pause).await?;
            if hangs <= at && !hung {
                hung = true;
                let long = scheduler.chance(|chance| chance.of(stalled / 90..stalled));
                wait(reading, Duration::from_millis(long)).await?;
            }
            if breaks <= at {
                return None;
            }
            let to = (at + len.min(PIPE as u64)).min(brings.end);
            let piece = &bytes[at as usize..to as usize];
            let mut written = std::pin::pin!(writing.write_all(piece));
            // What is not taken at once waits for readers.
            let at_once = poll_fn(|task| Poll::Ready(written.as_mut().poll(task)));
            match at_once.await {
                Poll::Ready(written) => written.ok()?,
                Poll::Pending => {
                    self.paced(transfer);
                    written.await.ok()?;
                }
            }
            at = to;
            if !lies {
                self.came(transfer, at);
            }
            scheduler.trace(3);
        }
        // The sidecar closes, so that nothing is lost on the way.
        let _ = reading.read(&mut [0]).await;
        drop(over);
        Some(())
    }

    /// Header fields of an entity.
    pub(super) fn fields(&self, entity: usize, generation: usize) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("content-type", "video/mp4".to_owned()),
            ("cache-control", format!("max-age={}", self.plan.max_age)),
            ("accept-ranges", "bytes".to_owned()),
        ];
        match self.plan.identity(entity, generation).validator {
            Some(Validator::Etag(tag)) => fields.push(("etag", tag)),
            Some(Validator::LastModified(date)) => fields.push(("last-modified", date)),
            None => {}
        }
        if let Some(scheduler) = threads::scheduler() {
            fields.push(("date", httpdate::fmt_http_date(scheduler.wall())));
        }
        fields
    }

    /// Which generations a response may be of that says so.
    pub(super) fn named(&self, entity: usize, tag: &str) -> Vec<usize> {
        let named = (0..content::GENERATIONS).filter(|&generation| {
            let identity: Generation = self.plan.identity(entity, generation);
            identity
                .validator
                .is_some_and(|known| known.as_str() == tag)
        });
        named.collect()
    }
}
