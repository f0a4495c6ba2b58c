//! Viewers, and what the filter does for them: it asks what to do, routes to the sidecar and checks
//! what comes, or lets the origin answer and mirrors that, as well or badly as the seed says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::header::{HOST, HeaderMap, HeaderValue};
use tokio::time::Instant;
use viewcache_protocol::{ByteRange, Conditions, Decision, Wanted};

use super::World;
use super::content;
use super::course::Request;
use super::mirror::mirrored;
use super::plan::{Plan, Validators};
use crate::delivery::{self, Answer, Ask, Body, Head};
use crate::origin::Asker;

/// No answer's head takes longer: the way to the origin is waited for twice at the most.
const HEAD: Duration = Duration::from_secs(40);

/// How long a byte may take that has left the origin for a viewer who waits for it.
const AT_ONCE: Duration = Duration::from_millis(10);

/// Watches what one viewer wants, one after another.
pub(super) async fn watch(world: Arc<World>, name: String, requests: Vec<Request>) {
    for request in requests {
        tokio::time::sleep(request.after).await;
        let wanted = Wanted {
            key: Plan::key(request.entity),
            range: request.range,
            parts: Vec::new(),
            range_in_query: false,
            complete_length: None,
            viewer: name.clone(),
            origin_path: None,
        };
        world
            .scheduler
            .tell(|| format!("{name}: wants {request:?}"));
        if request.remembered {
            routed(&world, &request, wanted).await;
            continue;
        }
        let decided = world.service.decide(wanted.clone().into()).await;
        world.scheduler.tell(|| format!("{name}: {decided:?}"));
        match decided {
            Ok(Decision::Hit { .. } | Decision::Partial) => routed(&world, &request, wanted).await,
            Ok(Decision::Miss {
                grant: Some(grant), ..
            }) => mirrored(&world, &request, wanted, grant.fill).await,
            Ok(Decision::Miss { grant: None, .. }) => {}
            Err(error) if world.plan.is_calm => world.violation(format!("no decision: {error}")),
            Err(_) => {}
        }
    }
}

/// The sidecar answers.
async fn routed(world: &Arc<World>, request: &Request, wanted: Wanted) {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("a"));
    let asker = Asker::new(&headers, format!("/v{}", request.entity));
    let viewer = wanted.viewer.clone();
    let ask = Ask {
        wanted,
        head: false,
        conditions: Conditions::default(),
    };
    let asked = Instant::now();
    let answer = delivery::answer(&world.service, ask, asker);
    let Ok(answer) = tokio::time::timeout(HEAD, answer).await else {
        return world.violation(format!("no head for {request:?}"));
    };
    world.scheduler.tell(|| match &answer {
        Answer::Body(head, _) | Answer::Empty(head) => format!("{viewer}: {}", head.status),
        Answer::HandBack(reason) => format!("{viewer}: handed back: {}", reason.as_str()),
    });
    match answer {
        Answer::Body(head, body) => play(world, request, asked, &head, *body).await,
        Answer::Empty(head) => {
            if head.status != 416 {
                world.violation(format!("an empty answer: {head:?}"));
            }
        }
        Answer::HandBack(reason) => {
            world.seen.handed_back.fetch_add(1, Ordering::Relaxed);
            let answerable = world.plan.validators != Validators::None;
            if world.plan.is_calm && answerable && !request.is_beyond(world) {
                world.violation(format!(
                    "handed back in calm: {} {request:?}",
                    reason.as_str()
                ));
            }
        }
    }
}

impl Request {
    /// Whether no generation has these bytes.
    fn is_beyond(&self, world: &World) -> bool {
        let length = world.plan.lengths[self.entity][world.origin.current(self.entity)];
        self.range
            .is_some_and(|range| range.resolve(length).is_none())
    }
}

fn field<'a>(head: &'a Head, name: &str) -> Option<&'a str> {
    let mut fields = head.headers.iter().filter(|(known, _)| known == name);
    fields.next().map(|(_, value)| value.as_str())
}

/// What a response says that it brings: the range, and the complete length of which.
fn promised(head: &Head) -> Option<(ByteRange, u64)> {
    let length: u64 = field(head, "content-length")?.parse().ok()?;
    if head.status == 200 {
        return Some((ByteRange::new(0, length)?, length));
    }
    let (range, complete) = field(head, "content-range")?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let range = ByteRange::new(first.parse().ok()?, last.parse::<u64>().ok()? + 1)?;
    (range.len() == length).then_some(())?;
    Some((range, complete.parse().ok()?))
}

async fn play(world: &Arc<World>, request: &Request, asked: Instant, head: &Head, mut body: Body) {
    let Some((range, complete)) = promised(head) else {
        return world.violation(format!("a head that makes no sense: {head:?}"));
    };
    let spec = request.range;
    let resolved = spec.map_or(ByteRange::new(0, complete), |spec| spec.resolve(complete));
    if resolved != Some(range) {
        return world.violation(format!("{range} of {complete} is no answer to {spec:?}"));
    }
    let entity = request.entity;
    let named = field(head, "etag").or_else(|| field(head, "last-modified"));
    let mut candidates: Vec<usize> = match named {
        Some(tag) => world.origin.named(entity, tag),
        None => (0..content::GENERATIONS).collect(),
    };
    // What was purged before it was asked for is gone.
    candidates.retain(|&generation| world.origin.allows(entity, generation, asked));
    for &generation in &candidates {
        world.want(entity, generation, range);
    }
    let mut at = range.start();
    let mut last_pause = Duration::ZERO;
    let patience = world.plan.terms.patience + Duration::from_secs(5);
    loop {
        let began = Instant::now();
        let frame = tokio::time::timeout(patience, body.frame()).await;
        let now = Instant::now();
        let bytes = match frame {
            Err(_) => return world.violation(format!("no byte at {at} of {request:?}")),
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => {
                if at != range.end() {
                    world.violation(format!("a body ends at {at} and not {}", range.end()));
                }
                world.seen.complete.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ok(Err(cut)) => {
                world.seen.cuts.fetch_add(1, Ordering::Relaxed);
                if world.plan.is_calm && world.plan.validators != Validators::None {
                    world.violation(format!("{cut}, in calm, at {at} of {request:?}"));
                }
                return;
            }
        };
        let end = at + bytes.len() as u64;
        if range.end() < end {
            return world.violation(format!("bytes to {end} of a body to {}", range.end()));
        }
        if !content::narrow(entity, &mut candidates, world.plan.twins, at, &bytes) {
            return world.violation(format!(
                "bytes {at}-{end} are not of the generation {named:?} in {request:?}"
            ));
        }
        // A follower has at once what its lead has.
        if world.plan.is_exact()
            && let Some(left) = world.origin.left(entity, candidates[0], at)
            && began < left
            && AT_ONCE < now - left
        {
            let late = now - left;
            world.violation(format!(
                "byte {at} was there for {late:?} before it was sent"
            ));
        }
        world.scheduler.trace(at ^ (4 << 60));
        at = end;
        world
            .scheduler
            .tell(|| format!("a viewer of {range} has come to {at}"));
        world
            .seen
            .served
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if request.leaves <= at - range.start() {
            return;
        }
        let climate = world.plan.climate;
        let pause = world
            .scheduler
            .chance(|chance| match chance.per_mille(climate.pause) {
                true => Duration::from_secs(chance.of(1..45)),
                false => chance.millis(request.pace),
            });
        // One long pause in a row is enough.
        let pause = match last_pause < Duration::from_secs(1) {
            true => pause,
            false => Duration::ZERO,
        };
        last_pause = pause;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}
