//! A stack with viewers in front of it and an origin behind, and every film stored that is kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::envoy_config::OriginUrl;
use e2e::origin::Origin;
use e2e::poll::until;
use e2e::stack::{Options, Stack};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::crowd::{Crowd, Seats};
use crate::faults::{self, Plan};
use crate::films::{Film, Films};
use crate::link::{Link, Wanted};
use crate::sample::{Moment, Outcome};
use crate::shim::Shim;
use crate::small_disk::SmallDisk;
use crate::verdict::{Baseline, Deaths, Figures};

/// Signatures are no part of what names a film.
const PROFILES: &str =
    r#""profiles": [{"name": "films", "path": "/{shelf}/{name}", "ignore": ["token"]}]"#;
/// How long a film may take to be stored.
const STORED: Duration = Duration::from_secs(20);
/// The viewers find their seats.
const SETTLE: Duration = Duration::from_secs(3);

/// What a fault needs of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The shipped configuration, the data where temporary files are.
    Shipped,
    /// The same, the data on a small file system of their own.
    SmallDisk,
    /// The filter loaded by ECDS.
    Reloading,
}

/// What runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) stack: Stack,
    pub(crate) origin: Arc<Origin>,
    pub(crate) films: Arc<Films>,
    pub(crate) shim: Shim,
    pub(crate) deaths: Deaths,
    pub(crate) baseline: Baseline,
    pub(crate) crowd: Crowd,
    /// The steps of the fault that there is.
    pub(crate) turns: u32,
    start: Instant,
    /// Goes after the stack and before the folder that it is in.
    _disk: Option<SmallDisk>,
    folder: TempDir,
}

impl Stage {
    /// Starts everything and watches it undisturbed.
    pub(crate) async fn start(kind: Kind, seed: u64, start: Instant) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("viewcache-chaos-")
            .tempdir()?;
        let shim = Shim::compile(folder.path())?;
        let origin = Arc::new(Origin::start().await?);
        let films = Arc::new(Films::new(Arc::clone(&origin)));
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        let disk = match kind {
            Kind::SmallDisk => Some(SmallDisk::mount(&data)?),
            Kind::Shipped | Kind::Reloading => None,
        };
        let mut options = Options::new(OriginUrl::http(origin.address()));
        options.sidecar_variables = shim.variables(&data);
        options.data = Some(data);
        options.filter_fields = Some(PROFILES.to_owned());
        options.concurrency = Some(2);
        if kind == Kind::Reloading {
            options.own = Some(faults::reload::config(folder.path(), &options.origin)?);
        }
        let stack = Stack::start(options).await?;
        store(&stack, &films).await.with_context(|| stack.logs())?;
        let seats = Seats {
            films: Arc::clone(&films),
            to: stack.ingress(),
            start,
            samples: Mutex::default(),
            under_way: Mutex::default(),
        };
        let mut stage = Self {
            crowd: Crowd::enter(seats, seed),
            stack,
            origin,
            films,
            shim,
            deaths: Deaths::default(),
            baseline: Baseline::default(),
            turns: 0,
            start,
            _disk: disk,
            folder,
        };
        stage.undisturbed().await;
        Ok(stage)
    }

    /// Measures what is usual.
    async fn undisturbed(&mut self) {
        sleep(SETTLE).await;
        self.crowd.samples();
        sleep(SETTLE + SETTLE).await;
        self.baseline = Baseline::of(&self.crowd.samples());
    }

    pub(crate) fn now(&self) -> Moment {
        self.start.elapsed()
    }

    /// The sidecar's data.
    pub(crate) fn data(&self) -> PathBuf {
        self.stack.data(0)
    }

    /// Where the stage has what it needs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets a fault happen when all is well.
    pub(crate) async fn suffer(&mut self, plan: &Plan) -> Result<(Figures, Option<String>)> {
        store(&self.stack, &self.films).await?;
        let suffered = plan.run(self).await;
        let ended = self.stack.reap();
        ensure!(ended.is_empty(), "{}", ended.join(", "));
        suffered
    }

    /// Ends everything, in order.
    pub(crate) async fn end(self) -> Result<()> {
        let Self {
            mut stack, crowd, ..
        } = self;
        drop(crowd);
        stack.stop().await
    }
}

/// Has every film stored that is kept.
async fn store(stack: &Stack, films: &Films) -> Result<()> {
    let mut link = Link::new(stack.ingress(), "keeper".to_owned());
    for film in films.kept() {
        let stored = until(film.path(), STORED, async || {
            let got = link.get(&whole(film)).await;
            match got.outcome {
                Outcome::Right => got.hit.then_some(Ok(())),
                other => Some(Err(anyhow::anyhow!("{}: {other:?}", film.path()))),
            }
        });
        stored.await??;
    }
    Ok(())
}

fn whole(film: &Film) -> Wanted<'_> {
    Wanted {
        film,
        query: "",
        range: (0, film.length()),
        read: film.length(),
        pace: None,
    }
}
