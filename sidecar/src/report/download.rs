//! What is told of a download.

use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;
use viewcache_protocol::{EntityId, EntityKey};

use super::rfc3339;
use crate::service::{Phase, Progress};

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DownloadStatus {
    /// Others come first.
    Queued,
    /// It is fetched.
    Running,
    /// Something has gone wrong; it is tried again.
    Waiting,
    /// The operator has stopped it for now.
    Paused,
    /// All of it has been stored.
    Complete,
    /// It cannot be had.
    Failed,
}

/// Not a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is not queued, running, waiting, paused, complete or failed")]
pub struct UnknownDownloadStatus;

impl std::str::FromStr for DownloadStatus {
    type Err = UnknownDownloadStatus;

    fn from_str(name: &str) -> Result<Self, UnknownDownloadStatus> {
        match name {
            "queued" => Ok(Self::Queued),
            "running" => Ok(Self::Running),
            "waiting" => Ok(Self::Waiting),
            "paused" => Ok(Self::Paused),
            "complete" => Ok(Self::Complete),
            "failed" => Ok(Self::Failed),
            _ => Err(UnknownDownloadStatus),
        }
    }
}

/// A download.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Download {
    /// The entity's id.
    #[schemars(example = &"7f3a0b5c9d2e41687f3a0b5c9d2e4168")]
    pub id: String,
    /// The entity's key.
    #[schemars(with = "String", example = &"generic:http://media.test/film.mp4")]
    pub key: EntityKey,
    /// Authority, path and query that the origin is asked with.
    #[schemars(example = &"media.test/film.mp4")]
    pub url: String,
    /// How far it is.
    pub status: DownloadStatus,
    /// Why it waits, or has failed.
    #[schemars(example = None::<String>)]
    pub detail: Option<String>,
    /// The entity's length in bytes, once a response has told it.
    #[schemars(example = 3_111_029)]
    pub complete_length: Option<u64>,
    /// How many of its bytes are stored.
    #[schemars(example = 1_196_733)]
    pub cached_bytes: u64,
    /// Bytes of it that are stored more each second.
    #[schemars(example = 500_000)]
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

/// How far a download is, by what is kept of it and how its job goes.
fn status(phase: Phase, progress: Option<Progress>) -> DownloadStatus {
    let trouble = progress.and_then(|progress| progress.trouble);
    let running = progress.is_some_and(|progress| progress.running);
    match phase {
        Phase::Wanted if running => DownloadStatus::Running,
        Phase::Wanted if trouble.is_some() => DownloadStatus::Waiting,
        Phase::Wanted => DownloadStatus::Queued,
        Phase::Paused => DownloadStatus::Paused,
        Phase::Complete => DownloadStatus::Complete,
        Phase::Failed => DownloadStatus::Failed,
    }
}

impl Download {
    /// What is told of a download of which so much is stored.
    pub fn new(
        id: EntityId,
        download: crate::service::Download,
        progress: Option<Progress>,
        complete_length: Option<u64>,
        cached_bytes: u64,
    ) -> Self {
        let status = status(download.phase, progress);
        let bytes_per_second = progress.map_or(0, |progress| progress.bytes_per_second);
        let left = complete_length.map(|length| length.saturating_sub(cached_bytes));
        let trouble = progress.and_then(|progress| progress.trouble);
        Self {
            id: id.to_string(),
            key: download.key,
            url: format!("{}{}", download.origin.authority, download.origin.path),
            status,
            detail: match status {
                DownloadStatus::Waiting => trouble.map(|trouble| trouble.to_string()),
                _ => download.error,
            },
            complete_length,
            cached_bytes,
            bytes_per_second,
            eta_seconds: left
                .filter(|_| status == DownloadStatus::Running)
                .and_then(|left| left.checked_div(bytes_per_second)),
            created_at: rfc3339(download.created_at),
            finished_at: download.finished_at.map(rfc3339),
        }
    }
}
