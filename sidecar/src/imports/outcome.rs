//! What becomes of a file, and why. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray;
use viewcache_protocol::{EntityId, EntityKey};

use crate::metrics::Looked;
use crate::store::How;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is an entity, complete.
    Imported(How),
    /// It would be imported, if this were no dry run.
    Found,
    /// What it has is stored already.
    Known,
    /// Its path is another.
    Unmatched,
    /// It was left alone.
    Skipped(Skip),
}

impl Outcome {
    /// What it is counted as.
    pub const fn looked(&self) -> Looked {
        match self {
            Self::Imported(_) => Looked::Imported,
            Self::Found => Looked::Found,
            Self::Known => Looked::Known,
            Self::Unmatched => Looked::Unmatched,
            Self::Skipped(_) => Looked::Skipped,
        }
    }

    /// The word in reports.
    pub const fn as_str(&self) -> &'static str {
        self.looked().as_str()
    }
}

/// The words for what becomes of files.
pub const OUTCOMES: [&str; 5] = ["imported", "found", "known", "unmatched", "skipped"];

/// The tokens of the reasons for which files are left alone.
pub const REASONS: [&str; 16] = [
    SkipReason::Ambiguous.as_str(),
    SkipReason::Link.as_str(),
    SkipReason::NotAFile.as_str(),
    SkipReason::Unfinished.as_str(),
    SkipReason::Empty.as_str(),
    SkipReason::Bypassed.as_str(),
    SkipReason::Declined.as_str(),
    SkipReason::NoRoom.as_str(),
    SkipReason::Differs.as_str(),
    SkipReason::InUse.as_str(),
    SkipReason::Changed.as_str(),
    SkipReason::Unreadable.as_str(),
    SkipReason::Unsupported.as_str(),
    SkipReason::Origin.as_str(),
    SkipReason::Disk.as_str(),
    SkipReason::Cancelled.as_str(),
];

/// Why a file was left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The reason.
    pub reason: SkipReason,
    /// What there is to say of it.
    pub detail: String,
}

/// The reasons for which files are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, VariantArray)]
pub enum SkipReason {
    /// Its path can be read in two ways.
    Ambiguous,
    /// It is a symbolic link.
    Link,
    /// It is no file.
    NotAFile,
    /// It is being written, or was a moment ago.
    Unfinished,
    /// There is nothing in it.
    Empty,
    /// Its URL is not cached.
    Bypassed,
    /// Its profile's rules do not want it.
    Declined,
    /// There is no room that something would not have to go for.
    NoRoom,
    /// What is stored, or what the origin has, is another.
    Differs,
    /// Somebody watches or fetches what is stored of it.
    InUse,
    /// It was written while it was read.
    Changed,
    /// It could not be read.
    Unreadable,
    /// The file system cannot do what was asked for.
    Unsupported,
    /// The origin did not say what it has.
    Origin,
    /// The disk failed.
    Disk,
    /// It is wanted no more.
    Cancelled,
}

impl SkipReason {
    /// The token in reports and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::Link => "link",
            Self::NotAFile => "not-a-file",
            Self::Unfinished => "unfinished",
            Self::Empty => "empty",
            Self::Bypassed => "bypassed",
            Self::Declined => "declined",
            Self::NoRoom => "no-room",
            Self::Differs => "differs",
            Self::InUse => "in-use",
            Self::Changed => "changed",
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
            Self::Origin => "origin",
            Self::Disk => "disk",
            Self::Cancelled => "cancelled",
        }
    }

    /// With what there is to say of it.
    pub fn with(self, detail: impl ToString) -> Skip {
        Skip {
            reason: self,
            detail: detail.to_string(),
        }
    }
}

/// What is told of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its path below the folder.
    pub path: String,
    /// Its length in bytes; 0 where that was not looked at.
    pub length: u64,
    /// The entity that it is.
    pub entity: Option<(EntityId, EntityKey)>,
    /// What became of it.
    pub outcome: Outcome,
}

/// How many files have come to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ImportCounts")]
pub struct Counts {
    /// Files, and what else there is below the folder but folders.
    pub seen: u64,
    /// Those whose paths the pattern fits.
    pub matched: u64,
    /// Those that are entities now, in segments that share their blocks.
    pub reflink: u64,
    /// The same, by another name of the file.
    pub hardlink: u64,
    /// The same, copied.
    pub copy: u64,
    /// Those that would be imported, in a dry run.
    pub found: u64,
    /// Those of which everything was stored already.
    pub known: u64,
    /// Those that were left alone although they match.
    pub skipped: u64,
    /// Those whose paths are others.
    pub unmatched: u64,
    /// Bytes of the files that have been looked at.
    pub bytes: u64,
    /// Bytes that matching files have.
    pub total_bytes: u64,
}

impl Counts {
    /// One more file.
    pub fn count(&mut self, told: &Told) {
        match &told.outcome {
            Outcome::Imported(How::Reflink) => self.reflink += 1,
            Outcome::Imported(How::Hardlink) => self.hardlink += 1,
            Outcome::Imported(How::Copy) => self.copy += 1,
            Outcome::Found => self.found += 1,
            Outcome::Known => self.known += 1,
            Outcome::Unmatched => self.unmatched += 1,
            Outcome::Skipped(_) => self.skipped += 1,
        }
    }
}
