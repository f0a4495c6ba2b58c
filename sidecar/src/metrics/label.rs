//! The labels: each is an enum, so what a metric can show is known and bounded.

use std::fmt::Debug;

use strum::VariantArray;
use viewcache_protocol::DeclineReason;

use super::levels::{Memory, Pool, Stage, Work};
use crate::delivery::{Fetched, HandBack};
use crate::error::Refusal;
use crate::fills::Role;
use crate::imports::SkipReason;
use crate::policy::{Reason, Withheld};
use crate::service::Evicted;
use crate::store::{Damage, Fault, How};

/// Reasons, outcomes or states that label a metric: one enum for each question.
pub trait Label: VariantArray + Copy + Eq + Debug + Send + Sync + 'static {
    /// The label's name.
    const NAME: &'static str;

    /// Its value.
    fn value(self) -> &'static str;
}

macro_rules! labels {
    ($($name:literal: $($of:ty),+;)+) => {
        $($(impl Label for $of {
            const NAME: &'static str = $name;

            fn value(self) -> &'static str {
                self.as_str()
            }
        })+)+
    };
}

labels! {
    "decision": Decided;
    "how": How;
    "outcome": Looked, Served;
    "pool": Pool;
    "reason": Damage, DeclineReason, Denied, Evicted, Fault, HandBack, Reason, Refusal, SkipReason, Withheld;
    "result": Fetched, Renewal, TokensRead;
    "role": Role;
    "source": CameFrom;
    "state": Work;
    "status": Stage;
    "use": Memory;
}

/// What `decide` has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Decided {
    /// All is stored.
    Hit,
    /// The sidecar answers.
    Partial,
    /// The origin does.
    Miss,
}

impl Decided {
    /// The token in logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Partial => "partial",
            Self::Miss => "miss",
        }
    }
}

/// What became of a routed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Served {
    /// Answered from the store alone.
    Hit,
    /// Answered with bytes from the origin among them.
    Partial,
    /// Envoy asks the origin.
    HandedBack,
}

impl Served {
    /// The token in logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Partial => "partial",
            Self::HandedBack => "handed-back",
        }
    }
}

/// Where bytes came from that went to a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum CameFrom {
    /// From the store, where somebody else's transfer had left them.
    Cache,
    /// From another's transfer, just as it brought them.
    Followed,
    /// From the origin, which was asked for them: by the sidecar, or past it.
    Origin,
}

impl CameFrom {
    /// The token in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Followed => "followed",
            Self::Origin => "origin",
        }
    }
}

/// What became of a file that an import has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Looked {
    /// It is an entity, complete.
    Imported,
    /// It would be imported, if that were no dry run.
    Found,
    /// What it has is stored already.
    Known,
    /// Its path is another.
    Unmatched,
    /// It was left alone.
    Skipped,
}

impl Looked {
    /// The token in metric labels and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Found => "found",
            Self::Known => "known",
            Self::Unmatched => "unmatched",
            Self::Skipped => "skipped",
        }
    }
}

/// What became of asking the resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Renewal {
    /// It gave a URL that is used now.
    Renewed,
    /// It gave one that is not cached.
    Useless,
    /// It gave another entity's.
    Other,
    /// It gave one of a quality that was asked for.
    Found,
    /// It gave none.
    Failed,
}

impl Renewal {
    /// The token in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Useless => "useless",
            Self::Other => "other",
            Self::Found => "found",
            Self::Failed => "failed",
        }
    }
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Denied {
    /// It names no host, or another's.
    Host,
    /// Another site's page has sent it.
    Origin,
    /// The browser says so.
    Site,
    /// It shows no token.
    NoToken,
    /// One that is not known.
    WrongToken,
    /// One that does not suffice.
    Role,
    /// Its body is of a type that any page can send.
    ContentType,
    /// It shows the data port no secret, or another.
    Secret,
}

impl Denied {
    /// The token in logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Site => "site",
            Self::NoToken => "no-token",
            Self::WrongToken => "wrong-token",
            Self::Role => "role",
            Self::ContentType => "content-type",
            Self::Secret => "secret",
        }
    }
}

/// What became of a change of the file of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum TokensRead {
    /// It is followed.
    Used,
    /// It changes nothing.
    Unusable,
}

impl TokensRead {
    /// The token in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Unusable => "unusable",
        }
    }
}
