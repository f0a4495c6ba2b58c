//! Answers a routed request: from the store, from leads that it follows, and from the origin, in
//! one response.
//!
//! Everything that can go wrong before the response's head is sent becomes a hand-back: Envoy then
//! asks the origin, and the viewer notices nothing.

mod account;
mod body;
mod completer;
mod found;
mod hand_back;
mod head;
mod incomplete;
mod lead;
mod parts;
mod proof;
mod pump;
mod read_ahead;
mod source;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use viewcache_protocol::{ByteRange, CacheStatus, Conditions, Forward, Selecting, Wanted};

use crate::extents::Extents;
use crate::live::{self, Live, Next, Snapshot, Spot};
use crate::metrics::{CameFrom, Served};
use crate::origin::Asker;
use crate::pace::Pace;
use crate::preconditions::{self, Verdict};
use crate::readers::ReaderId;
use crate::seam;
use crate::service::Service;
use account::{Account, Sent};
pub use body::Body;
pub use completer::Completer;
use found::{Found, generation};
pub use hand_back::HandBack;
pub use head::Head;
pub use incomplete::Incomplete;
use lead::Lead;
use parts::Parts;
pub use proof::{Sample, pieces, sample};
use source::Source;
pub use source::{Fetched, SourceError};
use stream::Stream;

/// How long a response may take to its head before it is handed back. The `partial` route in
/// envoy.yaml waits longer than this.
const PATIENCE: Duration = Duration::from_secs(12);

/// A routed request.
#[derive(Debug)]
pub struct Ask {
    /// What is wanted.
    pub wanted: Wanted,
    /// Whether only the head is.
    pub head: bool,
    /// Under which conditions.
    pub conditions: Conditions,
}

/// What goes back to Envoy.
#[derive(Debug)]
pub enum Answer {
    /// A response's head and its body, which is streamed.
    Body(Head, Box<Body>),
    /// A response without a body.
    Empty(Head),
    /// Envoy is to ask the origin.
    HandBack(HandBack),
}

/// The body ends before its Content-Length: the connection is closed, so that no client takes it
/// for the end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the rest could not be had from the origin")]
pub struct Cut;

/// A response among the entity's readers, for as long as it lives.
#[derive(Debug)]
struct Viewing {
    live: Arc<Live>,
    /// As the filter names it.
    viewer: String,
    id: ReaderId,
}

impl Viewing {
    fn new(live: Arc<Live>, viewer: String) -> Self {
        let id = live.state().readers.enter();
        Self { live, viewer, id }
    }

    fn aim(&self, range: ByteRange) {
        self.live.state().readers.aim(self.id, range);
        self.live.demand.notify_waiters();
    }

    /// These bytes go to the viewer.
    fn passed(&self, service: &Arc<Service>, range: ByteRange, sent: Sent) {
        let bytes = &service.metrics.viewer_bytes;
        bytes.add(CameFrom::Cache, sent.cache);
        bytes.add(CameFrom::Followed, sent.followed);
        bytes.add(CameFrom::Origin, sent.origin);
        {
            let mut state = self.live.state();
            state.readers.advance(self.id, range.end());
            state.traffic.passed(range.len(), sent.cache);
        }
        service.delivered(&self.live, &self.viewer, range, sent.cache);
        self.live.demand.notify_waiters();
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        self.live.state().readers.leave(self.id);
        self.live.demand.notify_waiters();
    }
}

/// Answers a routed request.
pub async fn answer(service: &Arc<Service>, ask: Ask, asker: Asker) -> Answer {
    let began = Instant::now();
    let request_id = asker.request_id().cloned();
    let mut answer = match begin(service, &ask, asker).await {
        Ok(answer) => answer,
        Err(reason) => Answer::HandBack(reason),
    };
    let outcome = match &answer {
        Answer::Body(head, _) | Answer::Empty(head) => head.outcome(),
        Answer::HandBack(_) => Served::HandedBack,
    };
    service.metrics.served.inc(outcome);
    let key = ask.wanted.key;
    let account = Account::new(Arc::clone(service), key, request_id, began, outcome);
    match &mut answer {
        Answer::Body(_, body) => body.keep(account),
        Answer::Empty(_) => account.end_empty(),
        Answer::HandBack(reason) => account.hand_back(*reason),
    }
    answer
}

async fn begin(service: &Arc<Service>, ask: &Ask, asker: Asker) -> Result<Answer, HandBack> {
    let wanted = &ask.wanted;
    let selecting = asker.selecting();
    let live = service
        .selected(&wanted.key, &selecting)
        .await
        .map_err(|_| HandBack::Store)?;
    if ask.head {
        return head_only(service, &live, ask, &selecting);
    }
    service.learn(&live, asker.clone());
    let share = service.stream_share().ok_or(HandBack::Busy)?;
    let viewing = Viewing::new(Arc::clone(&live), wanted.viewer.clone());
    service.came(&live, &wanted.viewer);
    let began = Instant::now();
    let deadline = began + PATIENCE;
    let mut changed = false;
    loop {
        let found = generation(service, &live, wanted, &asker, began).await?;
        let Found {
            snapshot,
            mut source,
            reason,
            status,
            upstream,
            followed,
        } = found;
        let whole;
        let wanted = match preconditions::judge(&ask.conditions, &snapshot.generation.headers) {
            Verdict::NotModified => {
                service.hit(&live);
                return Ok(Answer::Empty(Head::not_modified(&snapshot, seam::wall())));
            }
            Verdict::Forward => return Err(HandBack::Condition),
            Verdict::Answer { ranged: true } => wanted,
            Verdict::Answer { ranged: false } => {
                whole = wanted.without_header_range();
                &whole
            }
        };
        let length = snapshot.generation.complete_length();
        let parts = match wanted.parts.is_empty() {
            true => Vec::new(),
            false => live::parts(wanted, length).ok_or(HandBack::SeveralRanges)?,
        };
        let range = match (&parts[..], wanted.parts.is_empty()) {
            ([], true) => live::resolve(wanted, length),
            (parts, _) => parts.first().copied(),
        };
        let Some(range) = range else {
            service.hit(&live);
            return Ok(Answer::Empty(Head::unsatisfiable(&snapshot)));
        };
        let stored = |parts: &[ByteRange]| {
            let state = live.state();
            parts.iter().all(|&part| state.stored.covers(part))
        };
        if !stored(&parts) {
            return Err(HandBack::SeveralRanges);
        }
        viewing.aim(range);
        let pace = Pace::new(Instant::now());
        let seq = snapshot.place.seq;
        let (first, covered, lead) = {
            let mut state = live.state();
            let now = Instant::now();
            let covered = state.stored.covers(range);
            // Nothing but this very transfer can complete it.
            let brought = source.as_ref().is_some_and(|s| range.end() <= s.end());
            if !(covered || brought || snapshot.combinable) {
                return Err(HandBack::NotCombinable);
            }
            let spot = Spot {
                offset: range.start(),
                end: range.end(),
                since: now,
                window: pace.window(state.terms.window),
            };
            // Better the origin itself than a head whose body will not come in time.
            let alone = source.is_none() && state.leads.is_empty();
            if !covered && alone && state.trouble.outlasts(now, state.terms.patience) {
                return Err(HandBack::Origin);
            }
            let first = state.next(seq, spot, now);
            let lead = match &first {
                &Next::Fetch(gap) if source.is_none() => {
                    Some((gap, Lead::take(service, &live, &mut state, seq, gap)))
                }
                _ => None,
            };
            (first, covered, lead)
        };
        if let Some((gap, lead)) = lead {
            match open(service, lead, &snapshot, gap, &asker, deadline).await {
                Ok(opened) => source = Some(opened),
                // The entity has changed: begin again with what it is now, once.
                Err(SourceError::Changed) if !changed => {
                    changed = true;
                    continue;
                }
                Err(error) => return Err(error.hand_back()),
            }
        }
        let status = if covered && reason != Forward::Stale {
            service.hit(&live);
            CacheStatus::Hit { ttl: snapshot.ttl }
        } else {
            live.state().traffic.partials += 1;
            CacheStatus::Forwarded {
                reason,
                status: source.as_ref().map(Source::status).or(status),
                stored: !covered,
                collapsed: match source {
                    Some(_) => followed.then_some(false),
                    None => (followed || matches!(first, Next::Follow(_))).then_some(true),
                },
                detail: None,
            }
        };
        let now = seam::wall();
        let (head, parts) = match parts.len() {
            0 => (
                Head::of(&snapshot, wanted, range, status, now),
                Parts::none(),
            ),
            // One that is left of several is answered as if it were the only one.
            1 => (Head::part(&snapshot, range, status, now), Parts::none()),
            _ => {
                let parts = Parts::new(&snapshot, &parts);
                (Head::multipart(&snapshot, &parts, status, now), parts)
            }
        };
        let head = match source
            .as_ref()
            .and_then(Source::upstream)
            .or(upstream.as_deref())
        {
            Some(upstream) => head.behind(upstream),
            None => head,
        };
        // Each is read before the next is ordered.
        let failures = mpsc::channel(8);
        let mut fetched = Extents::default();
        if let Some(source) = source {
            if let Some(range) = ByteRange::new(source.at(), source.end()) {
                fetched.insert(range);
            }
            pump::start(service, source, range.start(), failures.0.clone());
        }
        let terms = live.state().terms;
        read_ahead::follow_habit(service, &live, &snapshot, wanted, range, &asker);
        let mut stream = Stream {
            service: Arc::clone(service),
            live,
            seq,
            snapshot,
            asker,
            viewing,
            at: range.start(),
            end: match parts.is_none() {
                true => range.end(),
                false => range.start(),
            },
            terms,
            pace,
            tries: 0,
            lack: None,
            failures,
            reading: None,
            sent: Sent::default(),
            fetched,
            is_cut: false,
            _share: share,
        };
        // Read before the head goes out, they go out together.
        let first = match first {
            Next::Stored(_) | Next::Recent(_) if parts.is_none() => Some(stream.frame().await),
            _ => None,
        };
        let body = Body::new(range, first, stream, parts);
        return Ok(Answer::Body(head, Box::new(body)));
    }
}

/// The head alone, of what is known; nothing is asked of the origin for it.
fn head_only(
    service: &Service,
    live: &Live,
    ask: &Ask,
    selecting: &Selecting,
) -> Result<Answer, HandBack> {
    let now = seam::wall();
    let snapshot = live.state().usable(live.id, now, Instant::now());
    let snapshot = snapshot.ok_or(HandBack::Unknown)?;
    if !snapshot.generation.answers(selecting) {
        return Err(HandBack::Vary);
    }
    let head = match preconditions::judge(&ask.conditions, &snapshot.generation.headers) {
        Verdict::NotModified => Head::not_modified(&snapshot, now),
        Verdict::Forward => return Err(HandBack::Condition),
        Verdict::Answer { .. } => {
            let length = snapshot.generation.complete_length();
            match live::resolve(&ask.wanted, length) {
                Some(range) => {
                    let status = CacheStatus::Hit { ttl: snapshot.ttl };
                    Head::of(&snapshot, &ask.wanted, range, status, now)
                }
                None => Head::unsatisfiable(&snapshot),
            }
        }
    };
    service.hit(live);
    Ok(Answer::Empty(head))
}

/// Asks the origin for a gap of a known generation.
async fn open(
    service: &Arc<Service>,
    lead: Lead,
    snapshot: &Snapshot,
    gap: ByteRange,
    asker: &Asker,
    deadline: Instant,
) -> Result<Source, SourceError> {
    if !snapshot.combinable {
        return Err(SourceError::NotCombinable);
    }
    Source::gap(service, lead, snapshot, gap, asker, deadline).await
}
