//! The filter's side of a miss: the origin answers, and what passes is copied to the sidecar, late,
//! in any order, and not all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;
use viewcache_protocol::{
    Begin, ByteRange, ChunkHead, End, FillId, OriginRequest, Outcome, Profile, Wanted,
};

use super::World;
use super::content;
use super::course::Request;
use super::plan::{Plan, Validators};
use crate::error::Refusal;
use crate::live;

/// What the filter knows of a transfer that it mirrors.
struct Mirror {
    fill: FillId,
    entity: usize,
    head: ChunkHead,
    /// The sidecar wants no more.
    stopped: AtomicBool,
    skip_until: AtomicU64,
}

/// The origin answers, and the filter copies.
pub(super) async fn mirrored(world: &Arc<World>, request: &Request, wanted: Wanted, fill: FillId) {
    let climate = world.plan.climate;
    let entity = request.entity;
    let key = wanted.key.clone();
    let (think, refused, lost) = world.scheduler.chance(|chance| {
        let think = chance.millis(climate.think);
        (
            think,
            chance.per_mille(climate.refuse),
            chance.per_mille(climate.loss),
        )
    });
    let generation = world.origin.current(entity);
    let identity = world.plan.identity(entity, generation);
    let range = live::resolve(&wanted, identity.complete_length);
    let viewer = wanted.viewer.clone();
    let opened = range.map(|range| {
        let range = range.start()..range.end();
        world.origin.open(entity, generation, range, true)
    });
    tokio::time::sleep(think).await;
    let Some((range, transfer)) = range.zip(opened).filter(|_| !refused) else {
        if let Some(transfer) = opened {
            world.origin.over(transfer);
            world.origin.settled(transfer);
        }
        // What is not storable is told, or that is lost as well.
        if !lost {
            let outcome = Outcome::Declined(viewcache_protocol::DeclineReason::Status);
            end(world, fill, &viewer, entity, None, outcome).await;
        }
        return;
    };
    world.want(entity, generation, range);
    let mirror = Arc::new(Mirror {
        fill,
        entity,
        head: ChunkHead {
            entity: key.id(),
            generation: identity.id(Profile::Generic, &fill.to_string()),
            offset: 0,
        },
        stopped: AtomicBool::new(false),
        skip_until: AtomicU64::new(0),
    });
    let fields = world.origin.fields(entity, generation).into_iter();
    let begin = Begin {
        key: key.clone(),
        generation: identity,
        range,
        headers: fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        selecting: Default::default(),
        open_ended: false,
        origin: Some(OriginRequest {
            authority: "a".to_owned(),
            path: format!("/v{entity}"),
            fields: Vec::new(),
        }),
    };
    let mut messages = JoinSet::new();
    if !lost {
        let world = Arc::clone(world);
        messages.spawn(async move {
            late(&world).await;
            let begun = world.service.begin(fill, begin).await;
            world.origin.begun(transfer);
            if let Err(error) = begun
                && world.plan.is_calm
            {
                world.violation(format!("begin: {error}"));
            }
        });
    }
    let breaks = world
        .scheduler
        .chance(|chance| match chance.per_mille(climate.reset) {
            true => chance.of(range.start()..range.end()),
            false => u64::MAX,
        });
    let mut at = range.start();
    while at < range.end() && at < breaks && at - range.start() < request.leaves {
        let (len, pause, shed, twice) = world.scheduler.chance(|chance| {
            let len = chance.size(1 << 10..(256 << 10) + 1);
            // A chunk takes as long as its frames from the origin and to the viewer.
            let frames = len / climate.frame.max(1);
            let pause = chance.millis((climate.gap + request.pace) * (frames + 1).min(40));
            let shed = chance.per_mille(climate.loss);
            (len, pause, shed, chance.per_mille(climate.twice))
        });
        tokio::time::sleep(pause).await;
        let to = (at + len).min(range.end());
        world.origin.came(transfer, to);
        let skipped = to <= mirror.skip_until.load(Ordering::Relaxed);
        if !shed && !skipped && !mirror.stopped.load(Ordering::Relaxed) {
            for _ in 0..1 + u32::from(twice) {
                let (world, mirror) = (Arc::clone(world), Arc::clone(&mirror));
                let bytes = content::bytes(entity, generation);
                let bytes = bytes.slice(at as usize..to as usize);
                messages.spawn(async move {
                    late(&world).await;
                    chunk(&world, &mirror, at, bytes).await;
                });
            }
        }
        at = to;
        world
            .scheduler
            .tell(|| format!("{viewer}: its own transfer has come to {at}"));
    }
    world.origin.over(transfer);
    let delivered = ByteRange::new(range.start(), at);
    let outcome = match at == range.end() {
        true => Outcome::Complete,
        false => Outcome::Abandoned,
    };
    if !world
        .scheduler
        .chance(|chance| chance.per_mille(climate.loss))
    {
        late(world).await;
        end(world, fill, &viewer, entity, delivered, outcome).await;
    }
    while messages.join_next().await.is_some() {}
    world.origin.settled(transfer);
}

/// A message takes its time.
async fn late(world: &World) {
    let late = world.plan.climate.late;
    tokio::time::sleep(world.scheduler.chance(|chance| chance.millis(late))).await;
}

async fn chunk(world: &World, mirror: &Mirror, offset: u64, bytes: bytes::Bytes) {
    let Some(permit) = world.service.admit(bytes.len() as u64) else {
        world.service.refuse(Refusal::Busy, bytes.len() as u64);
        return;
    };
    let head = ChunkHead {
        offset,
        ..mirror.head
    };
    world.scheduler.trace(offset ^ (5 << 60));
    match world.service.chunk(mirror.fill, head, bytes, permit).await {
        Ok(Some(offset)) => {
            mirror.skip_until.fetch_max(offset, Ordering::Relaxed);
        }
        Ok(None) => {}
        Err(Refusal::Dead) => {
            mirror.stopped.store(true, Ordering::Relaxed);
            let entity = mirror.entity;
            if world.plan.is_calm && world.plan.validators != Validators::None {
                world.violation(format!("a chunk at {offset} of v{entity} is dead in calm"));
            }
        }
        Err(refusal) if world.plan.is_calm => {
            world.violation(format!("a chunk is refused in calm: {}", refusal.as_str()));
        }
        Err(_) => {}
    }
}

async fn end(
    world: &World,
    fill: FillId,
    viewer: &str,
    entity: usize,
    delivered: Option<ByteRange>,
    outcome: Outcome,
) {
    let end = End {
        key: Plan::key(entity),
        viewer: viewer.to_owned(),
        delivered,
        outcome,
    };
    if let Err(error) = world.service.end(fill, end).await
        && world.plan.is_calm
    {
        world.violation(format!("end: {error}"));
    }
}
