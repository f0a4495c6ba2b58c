//! Imports: files that were downloaded before become entities. One import runs at a time, one file
//! after another and a part at a time, on a thread that no viewer waits for.

mod bring;
mod file;
mod run;
mod source;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;
use viewcache_protocol::Profile;

use super::Service;
use crate::imports::{Counts, Outcome, Plan, Request, RequestError, Told};
use crate::pace::Speed;
use crate::rate::Rate;
use crate::roots::{Folder, RootError};
use crate::store::{StoreError, millis};

/// So many are remembered, ended ones too.
const MOST: usize = 1000;

/// Of so many files of an import is told what became of each, in all imports that are remembered.
const MOST_TOLD: usize = 100_000;

/// The authority of the URLs of videos where the filter caches any.
const ANY_AUTHORITY: &str = "videos.invalid";

/// How far an import is, as far as it must survive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportPhase {
    /// It goes on, or will when its turn comes.
    Wanted,
    /// Every file has been looked at.
    Complete,
    /// The folder could not be read.
    Failed,
}

/// What is kept of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// What was asked for.
    pub request: Request,
    /// How far it is.
    pub phase: ImportPhase,
    /// Why it has failed.
    pub error: Option<String>,
    /// What became of how many files.
    pub counts: Counts,
    /// How many were left alone, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// When it was asked for, in milliseconds since the epoch.
    pub created_at: u64,
    /// When it ended, likewise.
    pub finished_at: Option<u64>,
}

/// An import as it is reported.
#[derive(Clone, Debug)]
pub struct ImportReport {
    /// Its number.
    pub id: u64,
    /// What is kept of it.
    pub import: Import,
    /// Whether it runs now.
    pub running: bool,
    /// The file that it is at.
    pub current: Option<String>,
    /// Bytes that it reads each second.
    pub bytes_per_second: u64,
}

/// Why an import is refused.
#[derive(Debug, Error)]
pub enum ImportRefused {
    /// The request makes no sense.
    #[error("{0}")]
    Request(#[from] RequestError),
    /// The folder cannot be had.
    #[error("folder: {0}")]
    Folder(#[from] RootError),
    /// There are too many.
    #[error("import: {MOST} are remembered already; delete some")]
    Full,
    /// The store fails.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl ImportRefused {
    /// Whether the operator's configuration does not allow it.
    pub const fn is_forbidden(&self) -> bool {
        matches!(self, Self::Folder(RootError::None | RootError::Outside(_)))
    }
}

#[derive(Debug)]
struct Job {
    import: Import,
    /// What became of each file, the first ones; of this process only.
    told: Vec<Told>,
    running: bool,
    current: Option<String>,
    /// Bytes that it has read.
    read: u64,
    speed: Speed,
    /// Whether it is wanted no more.
    cancelled: Arc<AtomicBool>,
}

impl From<Import> for Job {
    fn from(import: Import) -> Self {
        Self {
            import,
            told: Vec::new(),
            running: false,
            current: None,
            read: 0,
            speed: Speed::default(),
            cancelled: Arc::default(),
        }
    }
}

/// All of them, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Imports {
    jobs: Mutex<BTreeMap<u64, Job>>,
    wake: Notify,
    rate: Rate,
}

impl From<BTreeMap<u64, Import>> for Imports {
    fn from(stored: BTreeMap<u64, Import>) -> Self {
        let jobs = stored.into_iter();
        let jobs = jobs.map(|(id, import)| (id, import.into())).collect();
        Self {
            jobs: Mutex::new(jobs),
            ..Self::default()
        }
    }
}

impl Imports {
    fn jobs(&self) -> MutexGuard<'_, BTreeMap<u64, Job>> {
        self.jobs
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change<T>(&self, id: u64, change: impl FnOnce(&mut Job) -> T) -> Option<T> {
        self.jobs().get_mut(&id).map(change)
    }

    /// What became of a file.
    fn tell(&self, id: u64, told: Told) {
        let mut jobs = self.jobs();
        let remembered: usize = jobs.values().map(|job| job.told.len()).sum();
        let Some(job) = jobs.get_mut(&id) else {
            return;
        };
        job.import.counts.count(&told);
        if let Outcome::Skipped(skip) = &told.outcome {
            let reason = skip.reason.as_str().to_owned();
            *job.import.skipped.entry(reason).or_default() += 1;
        }
        if remembered < MOST_TOLD {
            job.told.push(told);
        }
    }

    /// The one whose turn it is, and what tells whether it is still wanted.
    fn next(&self) -> Option<(u64, Request, Arc<AtomicBool>)> {
        let mut jobs = self.jobs();
        let mut wanted = jobs.iter_mut();
        let (&id, job) = wanted.find(|(_, job)| job.import.phase == ImportPhase::Wanted)?;
        job.running = true;
        // What was told before a restart is found out again.
        job.import.counts = Counts::default();
        job.import.skipped.clear();
        job.told.clear();
        Some((id, job.import.request.clone(), Arc::clone(&job.cancelled)))
    }
}

impl Job {
    fn report(&self, id: u64) -> ImportReport {
        ImportReport {
            id,
            import: self.import.clone(),
            running: self.running,
            current: self.current.clone(),
            bytes_per_second: if self.running { self.speed.get() } else { 0 },
        }
    }
}

impl Service {
    /// All imports, in the order in which they were asked for.
    pub fn imports(&self) -> Vec<ImportReport> {
        let jobs = self.imports.jobs();
        jobs.iter().map(|(&id, job)| job.report(id)).collect()
    }

    /// One of them.
    pub fn import(&self, id: u64) -> Option<ImportReport> {
        self.imports.change(id, |job| job.report(id))
    }

    /// What became of its files, those left out for which `told` is not true: at most `limit` after
    /// the first `after` files, with the place of each. `None` when there is no such import.
    pub fn import_files(
        &self,
        id: u64,
        after: usize,
        limit: usize,
        told: impl Fn(&Told) -> bool,
    ) -> Option<Vec<(usize, Told)>> {
        self.imports.change(id, |job| {
            let files = job.told.iter().enumerate().skip(after);
            let files = files.filter(|(_, file)| told(file)).take(limit);
            files.map(|(place, file)| (place, file.clone())).collect()
        })
    }

    /// Imports what a request names, when its turn comes. Blocks.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn start_import(&self, request: Request) -> Result<u64, ImportRefused> {
        self.import_plan(&request)?;
        self.import_folder(&request.folder)?;
        let import = Import {
            request,
            phase: ImportPhase::Wanted,
            error: None,
            counts: Counts::default(),
            skipped: BTreeMap::new(),
            created_at: millis(SystemTime::now()),
            finished_at: None,
        };
        let id = {
            let mut jobs = self.imports.jobs();
            if MOST <= jobs.len() {
                return Err(ImportRefused::Full);
            }
            let id = jobs.last_key_value().map_or(1, |(last, _)| last + 1);
            jobs.insert(id, import.clone().into());
            id
        };
        if let Err(error) = self.store.put_import(id, Some(&import)) {
            self.imports.jobs().remove(&id);
            return Err(error.into());
        }
        self.imports.wake.notify_one();
        Ok(id)
    }

    /// Ends an import, if it has not, and forgets it; what is stored stays. False when there is
    /// none. Blocks.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub fn cancel_import(&self, id: u64) -> Result<bool, StoreError> {
        // First, so that its end is not stored after this.
        let Some(job) = self.imports.jobs().remove(&id) else {
            return Ok(false);
        };
        if let Err(error) = self.store.put_import(id, None) {
            self.imports.jobs().insert(id, job);
            return Err(error);
        }
        job.cancelled.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// What a request means by the filter's rules.
    fn import_plan(&self, request: &Request) -> Result<Plan, RequestError> {
        let filter = &self.filter;
        let authority = filter.authorities.first();
        let videos = authority.map_or(ANY_AUTHORITY, String::as_str);
        request.plan((filter.profile == Profile::Youtube).then_some(videos))
    }

    /// Opens the folder of an import.
    fn import_folder(&self, folder: &Path) -> Result<Folder, RootError> {
        let data = std::path::absolute(&self.data_dir);
        if data.is_ok_and(|data| folder.starts_with(data)) {
            return Err(RootError::Outside(folder.to_owned()));
        }
        self.roots.open(folder)
    }

    /// Runs imports, one after another; never ends.
    pub async fn run_imports(self: Arc<Self>) {
        loop {
            match self.imports.next() {
                Some((id, request, cancelled)) => {
                    let failure = self.run_import(id, &request, &cancelled).await;
                    self.import_ended(id, failure).await;
                }
                None => self.imports.wake.notified().await,
            }
        }
    }

    async fn import_ended(self: &Arc<Self>, id: u64, failure: Option<String>) {
        let ended = self.imports.change(id, |job| {
            job.running = false;
            job.current = None;
            job.import.phase = match failure {
                Some(_) => ImportPhase::Failed,
                None => ImportPhase::Complete,
            };
            job.import.error = failure;
            job.import.finished_at = Some(millis(SystemTime::now()));
            job.import.clone()
        });
        // It was deleted meanwhile.
        let Some(import) = ended else {
            return;
        };
        let counts = import.counts;
        tracing::info!(id, error = import.error, ?counts, "import ended");
        let service = Arc::clone(self);
        let stored = tokio::task::spawn_blocking(move || {
            let stored = service.store.put_import(id, Some(&import));
            let remembered = service.imports.jobs().contains_key(&id);
            let stored = match remembered {
                true => stored,
                // It was deleted while its end was stored.
                false => service.store.put_import(id, None),
            };
            if let Err(error) = stored {
                service.trouble("an import's end could not be stored", &error);
            }
        });
        // Otherwise it is looked at once more after a restart.
        let _ = stored.await;
    }

    /// So many bytes of a file have been read.
    fn import_advances(&self, id: u64, bytes: u64) {
        self.imports.change(id, |job| {
            job.import.counts.bytes += bytes;
            job.read += bytes;
            job.speed.observe(job.read, Instant::now());
        });
    }
}
