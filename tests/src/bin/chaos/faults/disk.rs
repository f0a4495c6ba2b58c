//! A disk that is slow, full, failing or read-only, and a clock that jumps.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, statvfs};
use rustix::io::Errno;

use super::{Needs, Plan, limits};
use crate::shim::Control;
use crate::stage::{Kind, Stage};
use crate::verdict::Excuse;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Each read, write and sync takes 50 ms longer, and the page cache is emptied.
    Slow,
    /// Each fails, and the page cache is emptied.
    Failing,
    /// RocksDB's folder takes no more writes.
    ReadOnlyIndex,
    /// There is no room.
    Full,
    /// The clock of day is so many seconds ahead.
    Clock(i64),
}

const PLAN: Plan = Plan {
    name: "",
    what: "",
    act: super::Act::Disk(Act::Slow),
    kind: Kind::Shipped,
    needs: Needs::Nothing,
    lasts: Duration::from_secs(6),
    excuse: Excuse::Nothing,
    limits: limits(500, 1_500, 3_000),
    short: false,
};

pub(crate) const PLANS: &[Plan] = &[
    Plan {
        name: "clock-ahead",
        what: "the sidecar's clock jumps 30 days ahead, and back",
        act: super::Act::Disk(Act::Clock(30 * 24 * 3600)),
        ..PLAN
    },
    Plan {
        name: "clock-back",
        what: "the sidecar's clock jumps 30 days back, and ahead again",
        act: super::Act::Disk(Act::Clock(-30 * 24 * 3600)),
        ..PLAN
    },
    Plan {
        name: "disk-slow",
        what: "each read, write and sync of the sidecar takes 50 ms more, with a cold page cache",
        ..PLAN
    },
    Plan {
        name: "index-read-only",
        what: "nothing in RocksDB's folder can be written (EROFS)",
        act: super::Act::Disk(Act::ReadOnlyIndex),
        short: true,
        ..PLAN
    },
    Plan {
        name: "disk-fails",
        what: "each read and write of the sidecar fails (EIO), with a cold page cache",
        act: super::Act::Disk(Act::Failing),
        // What was dropped must be fetched again.
        limits: limits(1_000, 2_000, 15_000),
        short: true,
        ..PLAN
    },
    Plan {
        name: "disk-full",
        what: "a file takes all that is free of the data's file system, and each 0.25 s what is free again",
        act: super::Act::Disk(Act::Full),
        kind: Kind::SmallDisk,
        needs: Needs::Namespace,
        // What was evicted must be fetched again.
        limits: limits(500, 1_500, 20_000),
        ..PLAN
    },
];

impl Act {
    pub(super) fn apply(self, stage: &Stage) -> Result<()> {
        let control = Control::default();
        let control = match self {
            Self::Slow => Control {
                delay: 50_000,
                ..control
            },
            Self::Failing => Control {
                read_error: Errno::IO.raw_os_error().into(),
                change_error: Errno::IO.raw_os_error().into(),
                ..control
            },
            Self::ReadOnlyIndex => Control {
                change_error: Errno::ROFS.raw_os_error().into(),
                index_only: true,
                ..control
            },
            Self::Clock(clock) => Control { clock, ..control },
            Self::Full => return fill(&stage.data()),
        };
        if self.is_cold() {
            forget(&stage.data(), true)?;
        }
        stage.shim.set(control)
    }

    pub(super) fn tick(self, stage: &Stage) -> Result<()> {
        match self {
            Self::Full => fill(&stage.data()),
            _ if self.is_cold() => forget(&stage.data(), false),
            _ => Ok(()),
        }
    }

    pub(super) fn lift(self, stage: &Stage) -> Result<Option<String>> {
        if let Self::Full = self {
            let free = free(&stage.data())? >> 10;
            fs::remove_file(ballast(&stage.data()))?;
            return Ok(Some(format!("{free} KiB were free in the end")));
        }
        stage.shim.set(Control::default())?;
        Ok(None)
    }

    const fn is_cold(self) -> bool {
        matches!(self, Self::Slow | Self::Failing)
    }
}

fn ballast(data: &Path) -> std::path::PathBuf {
    data.join("ballast")
}

/// Takes what is free now.
fn fill(data: &Path) -> Result<()> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(ballast(data))?;
    let free = free(data)?;
    let at = file.metadata()?.len();
    // The sidecar may have been faster: then it has the rest.
    match fallocate(&file, FallocateFlags::empty(), at, free) {
        Ok(()) | Err(Errno::NOSPC) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn free(data: &Path) -> Result<u64> {
    let stat = statvfs(data)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// Empties the page cache of what is in the segments, after writing it when told to.
fn forget(data: &Path, sync: bool) -> Result<()> {
    for folder in fs::read_dir(data.join("segments"))? {
        for entry in fs::read_dir(folder?.path())?.flatten() {
            // It may be gone meanwhile.
            let Ok(file) = File::open(entry.path()) else {
                continue;
            };
            if sync {
                file.sync_data()?;
            }
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
