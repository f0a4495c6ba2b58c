//! An origin that is gone, slow, resetting or lying, or whose films and URLs change.

use std::time::Duration;

use anyhow::Result;

use super::{Needs, Plan, limits};
use crate::films::Manner;
use crate::stage::{Kind, Stage};
use crate::verdict::Excuse;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Down,
    Behaves(Manner),
}

const PLAN: Plan = Plan {
    name: "",
    what: "",
    act: super::Act::Origin(Act::Down),
    kind: Kind::Shipped,
    needs: Needs::Nothing,
    lasts: Duration::from_secs(6),
    excuse: Excuse::Origin(Duration::ZERO),
    // Kept films do not know of it.
    limits: limits(500, 1_500, 2_000),
    short: false,
};

pub(crate) const PLANS: &[Plan] = &[
    Plan {
        name: "origin-down",
        what: "the origin's connections are closed, and new ones refused",
        short: true,
        ..PLAN
    },
    Plan {
        name: "origin-slow",
        what: "the origin thinks for 2 s and sends 64 KiB each 0.05 s",
        act: super::Act::Origin(Act::Behaves(Manner::Slow)),
        ..PLAN
    },
    Plan {
        name: "origin-resets",
        what: "the origin resets each connection after 100,000 bytes of a body",
        act: super::Act::Origin(Act::Behaves(Manner::Resetting)),
        ..PLAN
    },
    Plan {
        name: "origin-lies",
        what: "the origin's Content-Range is one off, and so is its complete length",
        act: super::Act::Origin(Act::Behaves(Manner::Lying)),
        ..PLAN
    },
    Plan {
        name: "origin-changes",
        what: "films that are not kept have another version each 0.25 s",
        act: super::Act::Origin(Act::Behaves(Manner::Changing)),
        // A response that has begun with a stored part of one version cannot go on with another:
        // whoever still watches such a film may be cut once.
        excuse: Excuse::Origin(Duration::from_secs(10)),
        short: true,
        ..PLAN
    },
    Plan {
        name: "urls-expire",
        what: "URLs of films that are not kept are refused (403) after 0.25 s; players get others",
        act: super::Act::Origin(Act::Behaves(Manner::Expiring)),
        ..PLAN
    },
];

impl Act {
    pub(super) fn apply(self, stage: &Stage) -> Result<()> {
        match self {
            Self::Down => stage.origin.close(),
            Self::Behaves(manner) => stage.films.behave(manner),
        }
        Ok(())
    }

    pub(super) fn tick(self, stage: &Stage) -> Result<()> {
        stage.films.turn();
        Ok(())
    }

    pub(super) async fn lift(self, stage: &Stage) -> Result<Option<String>> {
        match self {
            Self::Down => stage.origin.reopen().await?,
            Self::Behaves(_) => stage.films.behave(Manner::Honest),
        }
        Ok(None)
    }
}
