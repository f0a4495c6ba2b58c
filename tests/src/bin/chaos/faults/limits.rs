//! Limits of the system's that the sidecar runs into: descriptors and memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::{Needs, Plan, TICK, limits};
use crate::stage::{Kind, Stage};
use crate::verdict::Excuse;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Descriptors,
    Memory,
}

const PLAN: Plan = Plan {
    name: "",
    what: "",
    act: super::Act::Limit(Act::Descriptors),
    kind: Kind::Shipped,
    needs: Needs::Nothing,
    lasts: Duration::from_secs(6),
    excuse: Excuse::Nothing,
    limits: limits(1_500, 3_000, 5_000),
    short: true,
};

pub(crate) const PLANS: &[Plan] = &[
    Plan {
        name: "descriptors",
        what: "the sidecar may have no more descriptors than it has, and each 0.25 s no more than are left",
        ..PLAN
    },
    Plan {
        name: "memory",
        what: "the sidecar may take 8 MiB more than it has, page cache included; started again when that kills it",
        act: super::Act::Limit(Act::Memory),
        needs: Needs::Root,
        excuse: Excuse::Killed,
        short: false,
        ..PLAN
    },
];

impl Act {
    pub(super) fn apply(self, stage: &mut Stage) -> Result<()> {
        let pid = stage.stack.sidecar(0).pid();
        match self {
            Self::Descriptors => no_more_descriptors(pid),
            Self::Memory => Group::new()?.take(pid),
        }
    }

    pub(super) fn tick(self, stage: &mut Stage) -> Result<()> {
        match self {
            Self::Descriptors => no_more_descriptors(stage.stack.sidecar(0).pid())?,
            Self::Memory => note_death(stage),
        }
        Ok(())
    }

    pub(super) async fn lift(self, stage: &mut Stage) -> Result<Option<String>> {
        let pid = stage.stack.sidecar(0).pid();
        match self {
            Self::Descriptors => {
                // As this process has it, from which the sidecar got it.
                let usual = getrlimit(Resource::Nofile).current.context("no limit")?;
                limit_descriptors(pid, usual)?;
                let log = stage.stack.sidecar(0).log().map(fs::read_to_string);
                let log = log.transpose()?.unwrap_or_default();
                let met = log.matches("Too many open files").count();
                Ok(Some(format!("limit met {met} times")))
            }
            Self::Memory => {
                let group = Group::here();
                let reached = group.reached();
                note_death(stage);
                let killed = !stage.deaths.at.is_empty();
                group.release(pid);
                if killed {
                    stage.stack.start_sidecar(0).await?;
                }
                let killed = if killed { ", killed" } else { "" };
                Ok(Some(format!("limit met {reached} times{killed}")))
            }
        }
    }
}

/// Notes when the sidecar is found to be gone.
fn note_death(stage: &mut Stage) {
    if stage.deaths.at.is_empty() && stage.stack.sidecar(0).ended().is_some() {
        let now = stage.now();
        // It was there when it was looked at before; a turn may come late.
        stage.deaths.at.push((now.saturating_sub(TICK * 2), now));
    }
}

/// As many as there are now.
fn no_more_descriptors(pid: i32) -> Result<()> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    limit_descriptors(pid, open)
}

fn limit_descriptors(pid: i32, current: u64) -> Result<()> {
    let pid = Pid::from_raw(pid);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(current);
    prlimit(pid, Resource::Nofile, Rlimit { current, maximum })?;
    Ok(())
}

/// Removes what an interrupted fault has left.
pub(crate) fn clean() {
    let group = Group::here();
    for _ in 0..20 {
        if !group.folder.exists() || fs::remove_dir(&group.folder).is_ok() {
            break;
        }
        // The process in it is being killed.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A control group for the sidecar's memory, of either version.
struct Group {
    folder: PathBuf,
    /// Of version 1.
    old: bool,
}

impl Group {
    fn here() -> Self {
        let name = format!("viewcache-chaos-{}", std::process::id());
        let old = Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists();
        let root = if old {
            "/sys/fs/cgroup/memory"
        } else {
            "/sys/fs/cgroup"
        };
        let folder = Path::new(root).join(name);
        Self { folder, old }
    }

    fn new() -> Result<Self> {
        let group = Self::here();
        fs::create_dir(&group.folder).context("memory control group")?;
        Ok(group)
    }

    /// What a process takes from now on counts.
    fn take(self, pid: i32) -> Result<()> {
        let limit = if self.old {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        fs::write(self.folder.join(limit), (8_u64 << 20).to_string())?;
        fs::write(self.folder.join("cgroup.procs"), pid.to_string())?;
        Ok(())
    }

    /// How often it was at its limit.
    fn reached(&self) -> u64 {
        let file = if self.old {
            "memory.failcnt"
        } else {
            "memory.events"
        };
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("max "));
        line.unwrap_or(text.trim()).parse().unwrap_or(0)
    }

    /// The process goes back to where this one is, and the group goes.
    fn release(self, pid: i32) {
        let root = self.folder.parent().unwrap_or(Path::new("/"));
        let _ = fs::write(root.join("cgroup.procs"), pid.to_string());
        let _ = fs::remove_dir(&self.folder);
    }
}
