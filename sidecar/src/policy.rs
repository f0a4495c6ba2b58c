//! What is worth keeping: the operator's rules, changeable while everything runs. Pure.

mod enough;
mod pools;
mod quality;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray;
use thiserror::Error;
use viewcache_protocol::{OwnProfile, Profile};

use crate::catalogue::{Channel, Mode};
use crate::watchers::{MAX_VIEWERS, Watchers};
pub use enough::Enough;
pub use pools::{Excess, Pools, Shares};
pub use quality::{Quality, Wish, Withheld};

/// When an entity is worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Admission")]
pub struct Admit {
    /// As soon as one viewer has watched so much of it.
    pub watched_percent: Enough,
    /// Or so many different viewers have begun it; 0 is never.
    #[schemars(range(max = 64))]
    pub viewers: u8,
}

impl Default for Admit {
    fn default() -> Self {
        Self {
            watched_percent: Enough::Percent(10),
            viewers: 0,
        }
    }
}

/// What becomes of an entity that is worth keeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// What was watched of it is kept.
    #[default]
    Watched,
    /// The rest is fetched as well.
    Complete,
}

/// With how much effort rests are fetched that no viewer has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Completion {
    /// Of so many entities at once.
    #[schemars(range(min = 1))]
    pub parallel: u8,
    /// No faster than this, all together; 0 is no limit.
    pub bytes_per_second: u64,
    /// Whether they wait while viewers of other entities fetch from the same origin.
    pub yields: bool,
    /// Whether it goes on when the last viewer of the entity has left.
    pub without_viewers: bool,
}

impl Default for Completion {
    fn default() -> Self {
        Self {
            parallel: 2,
            bytes_per_second: 0,
            yields: true,
            without_viewers: false,
        }
    }
}

/// With how much effort downloads are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "DownloadEffort")]
pub struct Downloads {
    /// So many at once.
    #[schemars(range(min = 1))]
    pub parallel: u8,
    /// No faster than this, all together; 0 is no limit.
    pub bytes_per_second: u64,
}

impl Default for Downloads {
    fn default() -> Self {
        Self {
            parallel: 2,
            bytes_per_second: 0,
        }
    }
}

/// With how much effort files are imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Imports {
    /// They are read no faster than this; 0 is no limit.
    pub bytes_per_second: u64,
}

/// The same for one profile; what is not there is as for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProfilePolicy {
    /// See [`Admit::watched_percent`].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Enough")]
    pub watched_percent: Option<Enough>,
    /// See [`Admit::viewers`].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u8", range(max = 64))]
    pub viewers: Option<u8>,
    /// The same as the field of [`Policy`], for this profile alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Keep")]
    pub keep: Option<Keep>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Quality")]
    pub quality: Option<Quality>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// When an entity is worth keeping.
    pub admit: Admit,
    /// What the videos are worth whose channel does not say, or that have none.
    pub mode: Mode,
    /// What is kept of what is worth it.
    pub keep: Keep,
    /// Which qualities of a video are completed, if they are to be.
    pub quality: Quality,
    /// Whether a quality goes when a better one of the same video is complete.
    pub drop_lower: bool,
    /// How the rest is fetched, if it is to be.
    pub completion: Completion,
    /// How downloads are fetched.
    pub downloads: Downloads,
    /// How files are imported.
    pub imports: Imports,
    /// The same by profile.
    #[schemars(extend("propertyNames" = {"pattern": "^[a-z][a-z0-9_-]{0,31}$"}))]
    pub profiles: BTreeMap<String, ProfilePolicy>,
    /// How many percent of `max_bytes` are for what is not known to be.
    #[schemars(range(max = 100))]
    pub provisional_percent: u8,
    /// Whether what is provisional, or what is not, may have more than that while there is room.
    pub lend_room: bool,
    /// When there is no free room, entities that only one viewer has begun may take in a day so many
    /// percent of `max_bytes` from what was stored before; 0 is no limit.
    pub turnover_percent: u16,
    /// But never less than so many bytes.
    pub turnover_min_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            admit: Admit::default(),
            mode: Mode::default(),
            keep: Keep::default(),
            quality: Quality::default(),
            drop_lower: false,
            completion: Completion::default(),
            downloads: Downloads::default(),
            imports: Imports::default(),
            profiles: BTreeMap::new(),
            provisional_percent: 10,
            lend_room: false,
            turnover_percent: 30,
            turnover_min_bytes: 100 << 30,
        }
    }
}

/// What holds for one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When it is worth keeping; `None` is never, however much it is watched.
    pub admit: Option<Admit>,
    /// What of it is kept then.
    pub keep: Keep,
    /// Which quality of its video is completed then.
    pub quality: Quality,
    /// Whether it goes when a better one is complete.
    pub drop_lower: bool,
    /// Whether it is completed also when nobody watches it any more.
    pub insistent: bool,
    /// For so long its last use counts as just now, in milliseconds.
    pub min_keep_millis: u64,
}

impl Rules {
    /// Whether it is worth keeping whoever asks for it.
    pub fn at_once(&self) -> bool {
        self.admit
            .is_some_and(|admit| admit.watched_percent == Enough::Percent(0))
    }
}

/// Why an entity was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Reason {
    /// The policy admits at once.
    AtOnce,
    /// A viewer has watched enough of it.
    Watched,
    /// Enough viewers have begun it.
    Viewers,
    /// It is downloaded.
    Download,
    /// It is watched together with one that is worth keeping.
    Pair,
    /// It is completed in the place of one that is worth keeping.
    Preferred,
    /// It was imported.
    Import,
}

impl Reason {
    /// The metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "at-once",
            Self::Watched => "watched",
            Self::Viewers => "viewers",
            Self::Download => "download",
            Self::Pair => "pair",
            Self::Preferred => "preferred",
            Self::Import => "import",
        }
    }
}

/// A policy that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {value} {expected}")]
pub struct PolicyError {
    field: String,
    value: String,
    expected: &'static str,
}

impl Admit {
    /// Why an entity of this complete length is worth keeping that has been watched so; `None` when
    /// it is not yet.
    pub fn judge(self, watchers: &Watchers, complete_length: u64) -> Option<Reason> {
        match self.watched_percent {
            Enough::Percent(0) => return Some(Reason::AtOnce),
            Enough::Percent(percent) => {
                let enough = u128::from(complete_length) * u128::from(percent);
                if enough <= u128::from(watchers.most()) * 100 {
                    return Some(Reason::Watched);
                }
            }
            Enough::Never => {}
        }
        let viewers = usize::from(self.viewers);
        (0 < viewers && viewers <= watchers.count()).then_some(Reason::Viewers)
    }
}

impl Policy {
    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// Names the first field that is wrong, and its value.
    pub fn check(&self) -> Result<(), PolicyError> {
        let error = |field: String, value: &dyn ToString, expected| PolicyError {
            field,
            value: value.to_string(),
            expected,
        };
        let percent = |field: String, value: u8| match value {
            0..=100 => Ok(()),
            _ => Err(error(field, &value, "is more than 100")),
        };
        let viewers = |field: String, value: u8| match usize::from(value) {
            0..=MAX_VIEWERS => Ok(()),
            _ => Err(error(field, &value, "is more than 64")),
        };
        let watched = |field: String, enough: Option<Enough>| {
            percent(field, enough.and_then(Enough::excessive).unwrap_or(0))
        };
        let own = Some(self.admit.watched_percent);
        watched("admit.watched_percent".into(), own)?;
        viewers("admit.viewers".into(), self.admit.viewers)?;
        percent("provisional_percent".into(), self.provisional_percent)?;
        if self.completion.parallel == 0 {
            let expected = "would complete nothing";
            return Err(error("completion.parallel".into(), &0, expected));
        }
        if self.downloads.parallel == 0 {
            let expected = "would download nothing";
            return Err(error("downloads.parallel".into(), &0, expected));
        }
        for (name, profile) in &self.profiles {
            let known = matches!(&name[..], "generic" | "youtube");
            if !known && OwnProfile::new(name, &[]).is_none() {
                let expected = "is not the name of a profile";
                return Err(error("profiles".into(), name, expected));
            }
            let field = |field| format!("profiles.{name}.{field}");
            watched(field("watched_percent"), profile.watched_percent)?;
            viewers(field("viewers"), profile.viewers.unwrap_or(0))?;
        }
        Ok(())
    }

    /// What holds for an entity of this profile whose video belongs to this channel.
    pub fn rules(&self, profile: Profile, channel: Option<&Channel>) -> Rules {
        let mode = match channel.map(|channel| channel.mode) {
            None | Some(Mode::Inherit) => self.mode,
            Some(mode) => mode,
        };
        let min_keep = channel.and_then(|channel| channel.min_keep_seconds);
        let min_keep_millis = min_keep.unwrap_or(0).saturating_mul(1000);
        let profile_policy = self.profiles.get(profile.name());
        let quality = channel
            .and_then(|channel| channel.quality.as_ref())
            .or_else(|| profile_policy?.quality.as_ref())
            .unwrap_or(&self.quality);
        let drop_lower = channel.and_then(|channel| channel.drop_lower);
        let rules = Rules {
            admit: None,
            keep: Keep::Watched,
            quality: quality.clone(),
            drop_lower: drop_lower.unwrap_or(self.drop_lower),
            insistent: false,
            min_keep_millis,
        };
        match mode {
            Mode::Inherit => {
                let mut admit = self.admit(profile);
                let own = channel.and_then(|channel| channel.watched_percent);
                admit.watched_percent = own.unwrap_or(admit.watched_percent);
                Rules {
                    admit: Some(admit),
                    keep: self.keep(profile),
                    ..rules
                }
            }
            Mode::Auto => Rules {
                admit: Some(Admit {
                    watched_percent: Enough::Percent(0),
                    viewers: 0,
                }),
                keep: Keep::Complete,
                insistent: true,
                ..rules
            },
            Mode::Manual => rules,
        }
    }

    /// When an entity of this profile is worth keeping.
    fn admit(&self, profile: Profile) -> Admit {
        let own = self.profiles.get(profile.name());
        let watched_percent = own.and_then(|own| own.watched_percent);
        let viewers = own.and_then(|own| own.viewers);
        Admit {
            watched_percent: watched_percent.unwrap_or(self.admit.watched_percent),
            viewers: viewers.unwrap_or(self.admit.viewers),
        }
    }

    /// What is kept of an entity of this profile that is worth keeping.
    fn keep(&self, profile: Profile) -> Keep {
        let own = self.profiles.get(profile.name());
        own.and_then(|own| own.keep).unwrap_or(self.keep)
    }
}

#[cfg(test)]
mod tests;
