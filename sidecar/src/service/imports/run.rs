//! One import from its folder to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::bring::{Bringing, Task};
use super::source::Source;
use crate::imports::{Mismatch, Outcome, Parts, Plan, Request, Skip, SkipReason, Told};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::policy::Reason;
use crate::roots::{Entry, EntryKind, Folder, RootError};
use crate::service::Service;
use crate::store::Checked;

/// So many files may match in one folder.
const MOST_FILES: usize = 1_000_000;

/// So many bytes are compared at once.
const STEP: u64 = 4 << 20;

/// While so much of the memory for bytes of viewers is taken, an import waits.
const PRESSURE: Duration = Duration::from_millis(50);

/// A file whose path the pattern fits.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) path: String,
    pub(super) length: u64,
    pub(super) parts: Parts,
}

/// What all files of an import have in common.
pub(super) struct Run<'a> {
    pub(super) service: &'a Arc<Service>,
    pub(super) id: u64,
    pub(super) request: &'a Request,
    pub(super) plan: Plan,
    pub(super) folder: Arc<Folder>,
    cancelled: &'a AtomicBool,
}

impl Service {
    /// Runs an import; why it has failed as a whole comes back.
    pub(super) async fn run_import(
        self: &Arc<Self>,
        id: u64,
        request: &Request,
        cancelled: &Arc<AtomicBool>,
    ) -> Option<String> {
        let plan = match self.import_plan(request) {
            Ok(plan) => plan,
            Err(error) => return Some(error.to_string()),
        };
        tracing::info!(id, folder = %request.folder.display(), "import");
        let (service, path) = (Arc::clone(self), request.folder.clone());
        let (pattern, stop) = (plan.clone(), Arc::clone(cancelled));
        let walking = tokio::task::spawn_blocking(move || {
            let folder = service.import_folder(&path)?;
            let found = service.look_for_files(id, &folder, &pattern, &stop)?;
            Ok::<_, RootError>((folder, found))
        });
        let (folder, found) = match walking.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Some(error.to_string()),
            Err(died) => return Some(died.to_string()),
        };
        let Some(found) = found else {
            return Some(format!(
                "folder: more than {MOST_FILES} files match; import a folder in it"
            ));
        };
        let run = Run {
            service: self,
            id,
            request,
            plan,
            folder: Arc::new(folder),
            cancelled,
        };
        // The room of those that have come, if others may go for them.
        let mut taken = 0;
        let mut passed = 0;
        for file in found {
            if cancelled.load(Ordering::Relaxed) {
                break;
            }
            let told = run.file(&file, &mut taken).await;
            self.metrics.count_import(&told.outcome);
            if let Outcome::Skipped(skip) = &told.outcome {
                let (reason, detail) = (skip.reason.as_str(), &skip.detail);
                tracing::debug!(path = told.path, reason, detail, "not imported");
            }
            passed += file.length;
            // What was not read of it as well.
            self.imports
                .change(id, |job| job.import.counts.bytes = passed);
            self.imports.tell(id, told);
        }
        None
    }

    /// Tells of every file whose path is another, and gives back the others; `None` when those are
    /// too many. Blocks.
    fn look_for_files(
        &self,
        id: u64,
        folder: &Folder,
        plan: &Plan,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<Match>>, RootError> {
        let mut found = Vec::new();
        let mut tell = |Entry { path, kind }: Entry| {
            self.imports.change(id, |job| job.import.counts.seen += 1);
            let outcome = match (plan.pattern.parts(&path), kind) {
                (Err(Mismatch::Another), EntryKind::Unreadable) => {
                    Outcome::Skipped(SkipReason::Unreadable.with("the folder cannot be read"))
                }
                (Err(Mismatch::Another), _) => Outcome::Unmatched,
                (_, EntryKind::Link) => Outcome::Skipped(SkipReason::Link.with("none is followed")),
                (_, EntryKind::Other | EntryKind::Unreadable) => {
                    Outcome::Skipped(SkipReason::NotAFile.with("it is something else"))
                }
                (Err(Mismatch::Ambiguous), EntryKind::File(_)) => Outcome::Skipped(
                    SkipReason::Ambiguous.with("the pattern fits in more than one way"),
                ),
                (Ok(parts), EntryKind::File(length)) => {
                    self.imports.change(id, |job| {
                        job.import.counts.matched += 1;
                        job.import.counts.total_bytes += length;
                    });
                    found.push(Match {
                        path,
                        length,
                        parts,
                    });
                    return found.len() <= MOST_FILES && !stop.load(Ordering::Relaxed);
                }
            };
            let told = Told {
                path,
                length: 0,
                entity: None,
                outcome,
            };
            self.imports.tell(id, told);
            !stop.load(Ordering::Relaxed)
        };
        folder.walk(&self.data_dir, &mut tell)?;
        Ok((found.len() <= MOST_FILES).then_some(found))
    }
}

impl Run<'_> {
    /// Compares a file with what is stored, if need be, and brings what is missing.
    pub(super) async fn run(&self, source: Source, live: Arc<Live>) -> Result<Outcome, Skip> {
        let mut next = (source, None);
        // What is compared with may be replaced meanwhile, but not for ever.
        for _ in 0..3 {
            let (source, compared) = next;
            let (service, live) = (Arc::clone(self.service), Arc::clone(&live));
            let begun = blocking(move || service.begin_import(source, live, compared)).await?;
            next = match begun? {
                Task::Known => return Ok(Outcome::Known),
                Task::Bring(bringing) => return self.bring(*bringing).await,
                Task::Compare(source, seq, pieces) => {
                    (self.compare(source, pieces).await?, Some(seq))
                }
            };
        }
        Err(SkipReason::InUse.with("it is replaced again and again"))
    }

    async fn compare(&self, source: Source, pieces: Vec<Checked>) -> Result<Source, Skip> {
        let mut source = source;
        let step = usize::try_from(STEP >> 16).unwrap_or(1);
        for some in pieces.chunks(step) {
            let some = some.to_vec();
            let bytes: u64 = some.iter().map(|piece| piece.range.len()).sum();
            self.turn(bytes).await?;
            let compared = blocking(move || {
                source.compare(&some)?;
                Ok(source)
            });
            source = compared.await??;
        }
        Ok(source)
    }

    async fn bring(&self, bringing: Bringing) -> Result<Outcome, Skip> {
        let bringing = Arc::new(bringing);
        let how = bringing.how();
        let brought = self.bring_parts(&bringing).await;
        match brought {
            Ok(()) => {
                self.service.admitted(&bringing.live, Reason::Import);
                tracing::info!(entity = %bringing.live.id, path = bringing.source.path, how = how.as_str(), "imported");
                Ok(Outcome::Imported(how))
            }
            Err(skip) => {
                if skip.reason == SkipReason::Changed {
                    let service = Arc::clone(self.service);
                    blocking(move || service.abandon_import(&bringing)).await?;
                }
                Err(skip)
            }
        }
    }

    async fn bring_parts(&self, bringing: &Arc<Bringing>) -> Result<(), Skip> {
        for &part in &bringing.parts {
            self.turn(part.len()).await?;
            let (service, bringing) = (Arc::clone(self.service), Arc::clone(bringing));
            blocking(move || service.bring(&bringing, part)).await??;
            self.service.import_advances(self.id, part.len());
        }
        Ok(())
    }

    /// Waits until so many bytes may be read: as fast as the policy lets it, and not while viewers'
    /// bytes queue for the disk.
    async fn turn(&self, bytes: u64) -> Result<(), Skip> {
        let rate = &self.service.imports.rate;
        rate.set(self.service.policy().imports.bytes_per_second);
        rate.take(bytes).await;
        while self.service.is_pressed() {
            tokio::time::sleep(PRESSURE).await;
        }
        match self.cancelled.load(Ordering::Relaxed) {
            true => Err(SkipReason::Cancelled.with("the import was deleted")),
            false => Ok(()),
        }
    }
}

/// Does what blocks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Skip> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|died| SkipReason::Disk.with(died))
}

impl Metrics {
    /// A file has been looked at.
    fn count_import(&self, outcome: &Outcome) {
        self.imports.inc(outcome.looked());
        match outcome {
            Outcome::Imported(how) => self.imported.inc(*how),
            Outcome::Skipped(skip) => self.import_skips.inc(skip.reason),
            Outcome::Found | Outcome::Known | Outcome::Unmatched => {}
        }
    }
}
