//! Processes that die, hang or are started again.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::{Needs, Plan, limits};
use crate::stage::{Kind, Stage};
use crate::verdict::Excuse;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    KillSidecar,
    StopSidecar,
    KillEnvoy,
}

const PLAN: Plan = Plan {
    name: "",
    what: "",
    act: super::Act::Process(Act::KillSidecar),
    kind: Kind::Shipped,
    needs: Needs::Nothing,
    lasts: Duration::from_secs(3),
    excuse: Excuse::Killed,
    limits: limits(400, 1_500, 5_000),
    short: true,
};

pub(crate) const PLANS: &[Plan] = &[
    Plan {
        name: "sidecar-kill",
        what: "the sidecar is killed (SIGKILL), and started again 3 s later",
        ..PLAN
    },
    Plan {
        name: "sidecar-stop",
        what: "the sidecar hangs (SIGSTOP) for 10 s",
        act: super::Act::Process(Act::StopSidecar),
        lasts: Duration::from_secs(10),
        excuse: Excuse::Nothing,
        // What it was sending waits until it goes on; nothing else does.
        limits: limits(1_500, 12_000, 5_000),
        ..PLAN
    },
    Plan {
        name: "envoy-kill",
        what: "Envoy is killed (SIGKILL) and started again at once",
        act: super::Act::Process(Act::KillEnvoy),
        lasts: Duration::ZERO,
        limits: limits(1_500, 3_000, 6_000),
        ..PLAN
    },
];

impl Act {
    pub(super) async fn apply(self, stage: &mut Stage) -> Result<()> {
        match self {
            Self::KillSidecar => {
                let there = stage.now();
                stage.stack.sidecar(0).kill().await?;
                stage.deaths.at.push((there, stage.now()));
            }
            Self::StopSidecar => stage.stack.sidecar(0).pause()?,
            Self::KillEnvoy => {
                let from = stage.now();
                stage.stack.envoy().kill().await?;
                stage.deaths.at.push((from, stage.now()));
                stage.stack.start_envoy().await?;
                stage.deaths.away.push((from, stage.now()));
            }
        }
        Ok(())
    }

    pub(super) async fn lift(self, stage: &mut Stage) -> Result<Option<String>> {
        match self {
            Self::KillSidecar => stage.stack.start_sidecar(0).await?,
            Self::StopSidecar => stage.stack.sidecar(0).signal(Signal::CONT)?,
            Self::KillEnvoy => {
                let away = stage.deaths.away.first();
                let away = away.map(|(from, to)| (*to - *from).as_secs_f64());
                return Ok(away.map(|seconds| format!("away for {seconds:.1} s")));
            }
        }
        Ok(None)
    }
}
