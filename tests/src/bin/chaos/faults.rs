//! The faults: each says what it needs, how long it lasts, and what is promised under it.

pub(crate) mod disk;
pub(crate) mod limits;
pub(crate) mod network;
pub(crate) mod origin;
pub(crate) mod process;
pub(crate) mod reload;

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep, sleep_until};

use crate::stage::{Kind, Stage};
use crate::verdict::{Deaths, Excuse, Figures, Limits, Span, judge, recovery};

/// How often a fault may do something while it lasts.
const TICK: Duration = Duration::from_millis(250);
/// How long it must stay as it was before the fault.
const STAYS: Duration = Duration::from_secs(2);

/// A fault and what is promised under it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// What is done, for people.
    pub(crate) what: &'static str,
    pub(crate) act: Act,
    pub(crate) kind: Kind,
    pub(crate) needs: Needs,
    pub(crate) lasts: Duration,
    pub(crate) excuse: Excuse,
    pub(crate) limits: Limits,
    /// Whether it is part of the short form.
    pub(crate) short: bool,
}

/// What a fault does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Process(process::Act),
    Limit(limits::Act),
    Disk(disk::Act),
    Origin(origin::Act),
    Reload,
    Partition,
}

/// What it does not go without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// No privilege.
    Nothing,
    /// A namespace that is the program's own.
    Namespace,
    /// The machine's root.
    Root,
}

/// All of them, in the order in which they are run.
pub(crate) fn all() -> Vec<Plan> {
    [
        process::PLANS,
        origin::PLANS,
        limits::PLANS,
        disk::PLANS,
        network::PLANS,
        reload::PLANS,
    ]
    .concat()
}

/// Seconds, for tables of limits.
pub(crate) const fn limits(p99: u64, worst: u64, recovery: u64) -> Limits {
    Limits {
        p99: Duration::from_millis(p99),
        worst: Duration::from_millis(worst),
        recovery: Duration::from_millis(recovery),
    }
}

impl Plan {
    /// Lets it happen, and watches until it must be over. Halves of what it does are undone also
    /// when a half of them fails.
    pub(crate) async fn run(&self, stage: &mut Stage) -> Result<(Figures, Option<String>)> {
        stage.crowd.samples();
        stage.deaths = Deaths::default();
        stage.turns = 0;
        let applied = stage.now();
        let happened = self.happen(stage).await;
        let note = self.lift(stage).await;
        happened?;
        let note = note?;
        let lifted = stage.now();
        let mut samples = Vec::new();
        let span = loop {
            sleep(TICK).await;
            samples.extend(stage.crowd.samples());
            let end = stage.now();
            let span = Span {
                applied,
                lifted,
                end,
            };
            // It has recovered and stays so, or it never will; and nothing waits any more that
            // the fault has met.
            let recovered = recovery(&samples, span, stage.baseline);
            let enough = lifted + recovered.unwrap_or(self.limits.recovery) + STAYS;
            if enough <= end && !stage.crowd.waits_since(lifted) {
                break span;
            }
        };
        let figures = judge(&samples, span, self.excuse, &stage.deaths, stage.baseline);
        Ok((figures, note))
    }

    async fn happen(&self, stage: &mut Stage) -> Result<()> {
        self.apply(stage).await?;
        let over = Instant::now() + self.lasts;
        while Instant::now() + TICK < over {
            sleep(TICK).await;
            self.tick(stage)?;
        }
        sleep_until(over).await;
        Ok(())
    }

    async fn apply(&self, stage: &mut Stage) -> Result<()> {
        match self.act {
            Act::Process(act) => act.apply(stage).await,
            Act::Limit(act) => act.apply(stage),
            Act::Disk(act) => act.apply(stage),
            Act::Origin(act) => act.apply(stage),
            Act::Reload => Ok(()),
            Act::Partition => network::part(stage),
        }
    }

    fn tick(&self, stage: &mut Stage) -> Result<()> {
        match self.act {
            Act::Disk(act) => act.tick(stage),
            Act::Origin(act) => act.tick(stage),
            Act::Reload => reload::reload(stage),
            Act::Limit(act) => act.tick(stage),
            Act::Process(_) | Act::Partition => Ok(()),
        }
    }

    /// Undoes it; may have a word for the table.
    async fn lift(&self, stage: &mut Stage) -> Result<Option<String>> {
        match self.act {
            Act::Process(act) => act.lift(stage).await,
            Act::Limit(act) => act.lift(stage).await,
            Act::Disk(act) => act.lift(stage),
            Act::Origin(act) => act.lift(stage).await,
            Act::Reload => reload::reloaded(stage).await,
            Act::Partition => network::join(),
        }
    }
}
