//! One life of a sidecar's: who plays, what happens beside that, and how it ends.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use viewcache_protocol::{ByteRange, Invalidate};

use super::course::{Death, Event, Moment, Told};
use super::origin::Origin;
use super::plan::Plan;
use super::threads::{Scheduler, take};
use super::{audit, content, viewer};
use crate::extents::Extents;
use crate::seam;
use crate::service::Service;
use crate::service::evict_asked::Asked;
use crate::store::StoreError;

/// After this everybody has had what there is, or was told that it cannot be had.
const PLAYS: Duration = Duration::from_secs(30 * 60);

/// How long is waited for a write that something happens at.
const LONGEST: Duration = Duration::from_secs(30);

/// After this nobody waits for a lead, a reader or a message any more.
const IDLE: Duration = Duration::from_secs(100);

/// One life of a sidecar's, and who has to do with it.
pub(super) struct World {
    pub(super) plan: Arc<Plan>,
    pub(super) origin: Arc<Origin>,
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) service: Arc<Service>,
    pub(super) dir: PathBuf,
    /// Which bytes of which generation of which entity viewers have wanted.
    pub(super) wanted: Mutex<[[Extents; content::GENERATIONS]; content::ENTITIES]>,
    /// The files of which bytes were damaged.
    pub(super) damaged: Mutex<BTreeSet<PathBuf>>,
    pub(super) seen: Seen,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) complete: AtomicU64,
    pub(super) cuts: AtomicU64,
    pub(super) handed_back: AtomicU64,
    pub(super) served: AtomicU64,
}

impl World {
    pub(super) fn violation(&self, what: String) {
        self.scheduler.violation(what);
    }

    /// A viewer wants these bytes of a generation.
    pub(super) fn want(&self, entity: usize, generation: usize, range: ByteRange) {
        take(&self.wanted)[entity][generation].insert(range);
    }

    async fn happen(self: &Arc<Self>, event: Event) {
        self.scheduler.trace(6 << 60);
        self.scheduler.tell(|| format!("{event:?}"));
        match event {
            Event::Change(entity) => self.origin.change(entity),
            Event::Purge(entity) => self.purge(entity).await,
            Event::Replace(entity, Told::Purge) => {
                self.origin.change(entity);
                self.purge(entity).await;
            }
            Event::Replace(entity, Told::PurgeTwin) => {
                self.origin.change_to_twin(entity);
                self.purge(entity).await;
            }
            Event::Replace(entity, Told::Invalidate) => {
                self.origin.change(entity);
                self.invalidate(entity).await;
            }
            Event::Evict(bytes) => {
                let service = Arc::clone(&self.service);
                let evict = move || {
                    service.prepare_evictions();
                    let mut asked = Asked::new(Some(bytes), None);
                    while !asked.over {
                        service.evict_asked(&mut asked)?;
                    }
                    Ok::<_, StoreError>(())
                };
                self.done("evict", seam::spawn_blocking(evict).await);
            }
            Event::Invalidate(entity) => self.invalidate(entity).await,
            Event::DiskFails(time) => self.scheduler.fail(time),
            Event::DiskHangs(time) => self.scheduler.hang(time),
            Event::Damage(chance) => self.damage(chance),
        }
    }

    async fn purge(self: &Arc<Self>, entity: usize) {
        let service = Arc::clone(&self.service);
        let before = self.origin.purging(entity);
        let purge = move || service.purge(Plan::key(entity).id()).map(drop);
        let purged = seam::spawn_blocking(purge).await;
        if matches!(purged, Ok(Ok(()))) {
            self.scheduler.tell(|| format!("purged: {before:?}"));
            self.origin.purged(entity, before);
        }
        self.done("purge", purged);
    }

    async fn invalidate(&self, entity: usize) {
        let key = Plan::key(entity);
        if let Err(error) = self.service.invalidate(Invalidate { key }).await {
            self.violation(format!("invalidate: {error}"));
        }
    }

    fn done<E: std::fmt::Display>(
        &self,
        what: &str,
        done: Result<Result<(), E>, tokio::task::JoinError>,
    ) {
        match done {
            Ok(Ok(())) => {}
            // The disk fails at times.
            Ok(Err(error)) if !self.plan.is_calm => drop(error),
            Ok(Err(error)) => self.violation(format!("{what}: {error}")),
            Err(error) => self.violation(format!("{what}: {error}")),
        }
    }

    /// Writes something else over the middle of a file.
    fn damage(&self, chance: u64) {
        use std::os::unix::fs::FileExt;
        let files: Vec<(PathBuf, u64)> = audit::files(&self.dir).into_iter().collect();
        let Some((path, _)) = files.get(chance as usize % files.len().max(1)) else {
            return;
        };
        take(&self.damaged).insert(path.clone());
        let file = std::fs::File::options().read(true).write(true).open(path);
        if let Ok(file) = file
            && let Ok(metadata) = file.metadata()
        {
            let len = metadata.len().max(1);
            let _ = file.write_all_at(b"damaged!", (chance >> 8) % len);
        }
    }
}

/// Lives once; at the first violation that is over.
pub(super) async fn live(world: &Arc<World>, number: usize) {
    tokio::select! {
        biased;
        () = world.scheduler.breaks() => {}
        () = lives(world, number) => {}
    }
}

async fn lives(world: &Arc<World>, number: usize) {
    let life = world.plan.lives[number].clone();
    let began = Instant::now();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let housekeeping = {
        let world = Arc::clone(world);
        tokio::spawn(async move {
            while !*stopped.borrow() {
                tokio::time::sleep(crate::PERSIST_EVERY).await;
                let service = Arc::clone(&world.service);
                let persisted = seam::spawn_blocking(move || service.persist()).await;
                world.done("persist", persisted.map(Ok::<_, String>));
            }
        })
    };
    let auditing = {
        let world = Arc::clone(world);
        tokio::spawn(async move {
            loop {
                let pause = world.scheduler.chance(|chance| chance.size(1..4000));
                tokio::time::sleep(Duration::from_millis(pause)).await;
                world.audit();
            }
        })
    };
    let mut playing = tokio::task::JoinSet::new();
    for (name, requests) in life.viewers.into_iter().enumerate() {
        let name = format!("viewer {name}");
        playing.spawn(viewer::watch(Arc::clone(world), name, requests));
    }
    for (moment, event) in life.events {
        let world = Arc::clone(world);
        playing.spawn(async move {
            match moment {
                Moment::At(after) => tokio::time::sleep(after).await,
                Moment::Write(times) => {
                    let after = world.scheduler.written(times);
                    // So often it may never write.
                    if tokio::time::timeout(LONGEST, after).await.is_err() {
                        return;
                    }
                }
            }
            world.happen(event).await;
        });
    }
    let played = async {
        while let Some(done) = playing.join_next().await {
            if let Err(error) = done {
                world.violation(format!("a viewer fails: {error}"));
            }
        }
    };
    match life.death {
        Death::Killed(after) => {
            let _ = tokio::time::timeout_at(began + after, played).await;
            world.audit();
        }
        Death::Stopped => {
            if tokio::time::timeout(PLAYS, played).await.is_err() {
                world.violation("somebody waits for ever".to_owned());
                return;
            }
            if tokio::time::timeout(IDLE, world.service.quiesce())
                .await
                .is_err()
            {
                world.violation("the sidecar works on for nobody".to_owned());
            }
            let _ = stop.send(true);
            let _ = housekeeping.await;
            auditing.abort();
            tokio::time::sleep(IDLE).await;
            let service = Arc::clone(&world.service);
            let _ = seam::spawn_blocking(move || service.persist()).await;
            world.audit();
            world.leaks();
            if world.plan.is_exact() {
                world.exact();
            }
            let last = number + 1 == world.plan.lives.len();
            if last && world.scheduler.chance(|chance| chance.per_mille(500)) {
                world.evict_all().await;
            }
        }
    }
}
