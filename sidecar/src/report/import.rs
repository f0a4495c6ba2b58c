//! What is told of imports.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;
use viewcache_protocol::EntityKey;

use super::rfc3339;
use crate::imports::{Counts, Outcome, Request, Told};
use crate::service::{ImportPhase, ImportReport};
use crate::store::{How, Original};

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImportStatus {
    /// Others come first.
    Queued,
    /// Its files are looked at.
    Running,
    /// Every file has been looked at.
    Complete,
    /// The folder could not be read.
    Failed,
}

/// Not a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is not queued, running, complete or failed")]
pub struct UnknownImportStatus;

impl std::str::FromStr for ImportStatus {
    type Err = UnknownImportStatus;

    fn from_str(name: &str) -> Result<Self, UnknownImportStatus> {
        match name {
            "queued" => Ok(Self::Queued),
            "running" => Ok(Self::Running),
            "complete" => Ok(Self::Complete),
            "failed" => Ok(Self::Failed),
            _ => Err(UnknownImportStatus),
        }
    }
}

/// An import.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Import {
    /// Its number.
    #[schemars(example = &"1")]
    pub id: String,
    /// How far it is.
    pub status: ImportStatus,
    /// Why it has failed.
    #[schemars(example = None::<String>)]
    pub detail: Option<String>,
    /// What was asked for.
    pub request: Request,
    /// How many files have come to what.
    pub files: Counts,
    /// How many were left alone, by reason.
    #[schemars(example = [("no-room", 2)].into_iter().collect::<BTreeMap<_, _>>())]
    pub skipped: BTreeMap<String, u64>,
    /// The file that it is at.
    #[schemars(example = &"dQw4w9WgXcQ-22.mp4")]
    pub current: Option<String>,
    /// Bytes that it reads each second.
    #[schemars(example = 500_000_000)]
    pub bytes_per_second: u64,
    /// At this speed it is complete in so many seconds.
    #[schemars(example = 3)]
    pub eta_seconds: Option<u64>,
    /// When it was asked for.
    #[schemars(example = super::AT)]
    pub created_at: String,
    /// When it ended.
    #[schemars(example = None::<String>)]
    pub finished_at: Option<String>,
}

impl From<ImportReport> for Import {
    fn from(report: ImportReport) -> Self {
        let ImportReport {
            id,
            import,
            running,
            current,
            bytes_per_second,
        } = report;
        let left = import
            .counts
            .total_bytes
            .saturating_sub(import.counts.bytes);
        Self {
            id: id.to_string(),
            status: match import.phase {
                ImportPhase::Wanted if running => ImportStatus::Running,
                ImportPhase::Wanted => ImportStatus::Queued,
                ImportPhase::Complete => ImportStatus::Complete,
                ImportPhase::Failed => ImportStatus::Failed,
            },
            detail: import.error,
            request: import.request,
            files: import.counts,
            skipped: import.skipped,
            current,
            bytes_per_second,
            eta_seconds: left.checked_div(bytes_per_second).filter(|_| running),
            created_at: rfc3339(import.created_at),
            finished_at: import.finished_at.map(rfc3339),
        }
    }
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ImportedFile {
    /// Its path below the folder.
    #[schemars(example = &"dQw4w9WgXcQ-22.mp4")]
    pub path: String,
    /// What became of it: `imported`, `found` in a dry run, `known`, `unmatched` or `skipped`.
    #[schemars(example = &"imported")]
    pub outcome: &'static str,
    /// How it was imported.
    pub how: Option<How>,
    /// Why it was left alone.
    #[schemars(example = None::<String>)]
    pub reason: Option<&'static str>,
    /// What else there is to say of that.
    #[schemars(example = None::<String>)]
    pub detail: Option<String>,
    /// Its length in bytes.
    #[schemars(example = 3_111_029)]
    pub length: u64,
    /// The id of the entity that it is.
    #[schemars(example = &"7f3a0b5c9d2e41687f3a0b5c9d2e4168")]
    pub entity: Option<String>,
    /// That entity's key.
    #[schemars(
        with = "Option<String>",
        example = &"youtube:v=dQw4w9WgXcQ&itag=22&clen=3111029"
    )]
    pub key: Option<EntityKey>,
}

impl From<Told> for ImportedFile {
    fn from(told: Told) -> Self {
        let outcome = told.outcome.as_str();
        let (how, reason, detail) = match told.outcome {
            Outcome::Imported(how) => (Some(how), None, None),
            Outcome::Skipped(skip) => (None, Some(skip.reason.as_str()), Some(skip.detail)),
            Outcome::Found | Outcome::Known | Outcome::Unmatched => (None, None, None),
        };
        let (entity, key) = told.entity.unzip();
        Self {
            path: told.path,
            outcome,
            how,
            reason,
            detail,
            length: told.length,
            entity: entity.map(|entity| entity.to_string()),
            key,
        }
    }
}

/// The file that an entity was imported from.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ImportedFrom")]
pub struct Imported {
    /// Where it was.
    #[schemars(example = &"/videos/dQw4w9WgXcQ-22.mp4")]
    pub path: String,
    /// How its bytes are stored.
    pub how: How,
    /// Whether they were compared with the origin's.
    pub proven: bool,
}

impl From<Original> for Imported {
    fn from(original: Original) -> Self {
        Self {
            path: original.path,
            how: original.how,
            proven: original.proven,
        }
    }
}
