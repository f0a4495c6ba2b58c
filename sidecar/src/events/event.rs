//! The events, as they are told.

use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use viewcache_protocol::{ByteRange, EntityId, EntityKey, Profile};

use crate::catalogue::video_of;
use crate::policy::Policy;
use crate::report::Download;
use crate::service::{Activity, Purged, Stats};

/// What an event is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something of a new generation comes.
    Appeared,
    /// Bytes were stored.
    Stored,
    /// An entity was found worth keeping.
    Admitted,
    /// All of an entity is stored.
    Completed,
    /// A segment went to make room.
    Evicted,
    /// The operator has removed something.
    Purged,
    /// The origin has refused the URL of an entity.
    Expired,
    /// An entity is kept whatever the room, or no longer.
    Pinned,
    /// A download has changed.
    Download,
    /// The policy is another.
    Policy,
    /// What is said of a video is other.
    Video,
    /// What is said of a channel is other.
    Channel,
    /// How much is stored and sent, every second.
    Stats,
    /// Who watches and fetches what, every second.
    Activity,
    /// Something was missed.
    Reset,
}

impl Kind {
    /// All of them, in the order of an entity's life.
    pub const ALL: [Self; 15] = [
        Self::Appeared,
        Self::Stored,
        Self::Admitted,
        Self::Completed,
        Self::Evicted,
        Self::Purged,
        Self::Expired,
        Self::Pinned,
        Self::Download,
        Self::Policy,
        Self::Video,
        Self::Channel,
        Self::Stats,
        Self::Activity,
        Self::Reset,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Stored => "stored",
            Self::Admitted => "admitted",
            Self::Completed => "completed",
            Self::Evicted => "evicted",
            Self::Purged => "purged",
            Self::Expired => "expired",
            Self::Pinned => "pinned",
            Self::Download => "download",
            Self::Policy => "policy",
            Self::Video => "video",
            Self::Channel => "channel",
            Self::Stats => "stats",
            Self::Activity => "activity",
            Self::Reset => "reset",
        }
    }
}

/// Not the name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.as_str() == name).ok_or(UnknownKind)
    }
}

/// The entity that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Subject {
    /// Its id.
    pub id: String,
    /// The video that it is a quality of; null when its key is not known any more.
    pub video_id: Option<String>,
}

impl Subject {
    /// The entity of a key.
    pub fn of(key: &EntityKey) -> Self {
        Self {
            id: key.id().to_string(),
            video_id: Some(video_of(key)),
        }
    }

    /// One of which only the id is known.
    pub fn nameless(id: EntityId) -> Self {
        Self {
            id: id.to_string(),
            video_id: None,
        }
    }
}

/// Something of a new generation comes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Appeared {
    /// Which entity.
    #[serde(flatten)]
    pub subject: Subject,
    /// Its key.
    #[schemars(with = "String")]
    pub key: EntityKey,
    /// Its profile.
    #[schemars(with = "String")]
    pub profile: Profile,
    /// Which quality, if its key says so.
    pub itag: Option<String>,
    /// The complete length in bytes.
    pub complete_length: u64,
}

/// Bytes were stored.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Stored {
    /// Which entity.
    #[serde(flatten)]
    pub subject: Subject,
    /// The bytes, half-open.
    #[schemars(with = "Vec<(u64, u64)>")]
    pub ranges: Vec<ByteRange>,
    /// How many are stored by now.
    pub cached_bytes: u64,
    /// Of so many.
    pub complete_length: Option<u64>,
}

/// An entity was found worth keeping.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Admitted {
    /// Which entity.
    #[serde(flatten)]
    pub subject: Subject,
    /// Why.
    pub reason: &'static str,
}

/// All of an entity is stored.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Completed {
    /// Which entity.
    #[serde(flatten)]
    pub subject: Subject,
    /// Its length in bytes.
    pub complete_length: u64,
}

/// A segment went.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Evicted {
    /// Which entity.
    #[serde(flatten)]
    pub subject: Subject,
    /// Where nothing is stored any more, half-open.
    #[schemars(with = "Vec<(u64, u64)>")]
    pub ranges: Vec<ByteRange>,
    /// Bytes of disk that it gave back.
    pub bytes: u64,
    /// Why.
    pub reason: &'static str,
}

/// The operator has removed an entity.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PurgedOne {
    /// Which entity.
    #[serde(flatten)]
    pub subject: Subject,
    /// Its stored bytes.
    pub bytes: u64,
}

/// An entity, and nothing more to be said.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Expired {
    /// Which entity.
    #[serde(flatten)]
    pub subject: Subject,
}

/// An entity is kept whatever the room, or no longer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Pinned {
    /// Which entity.
    #[serde(flatten)]
    pub subject: Subject,
    /// Whether it is.
    pub pinned: bool,
}

/// A download is forgotten.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DownloadDeleted {
    /// Whose id.
    pub id: String,
    /// `deleted`.
    pub status: &'static str,
}

/// The policy is another.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PolicyChanged {
    /// What it is now.
    pub policy: Policy,
}

/// What is said of a video or a channel is other.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Edited {
    /// Its id.
    pub id: String,
}

/// Nothing but the time.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Reset {}

/// What has happened.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// Something of a new generation comes.
    Appeared(Appeared),
    /// Bytes were stored.
    Stored(Stored),
    /// An entity was found worth keeping.
    Admitted(Admitted),
    /// All of an entity is stored.
    Completed(Completed),
    /// A segment went.
    Evicted(Evicted),
    /// The operator has removed an entity.
    Purged(PurgedOne),
    /// The operator has removed very many; those that were not told one by one.
    PurgedMany(Purged),
    /// The origin has refused the URL of an entity.
    Expired(Expired),
    /// An entity is kept whatever the room, or no longer.
    Pinned(Pinned),
    /// A download has changed.
    Download(Box<Download>),
    /// A download is forgotten.
    DownloadDeleted(DownloadDeleted),
    /// The policy is another.
    Policy(PolicyChanged),
    /// What is said of a video is other.
    Video(Edited),
    /// What is said of a channel is other.
    Channel(Edited),
}

impl Event {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Appeared(_) => Kind::Appeared,
            Self::Stored(_) => Kind::Stored,
            Self::Admitted(_) => Kind::Admitted,
            Self::Completed(_) => Kind::Completed,
            Self::Evicted(_) => Kind::Evicted,
            Self::Purged(_) | Self::PurgedMany(_) => Kind::Purged,
            Self::Expired(_) => Kind::Expired,
            Self::Pinned(_) => Kind::Pinned,
            Self::Download(_) | Self::DownloadDeleted(_) => Kind::Download,
            Self::Policy(_) => Kind::Policy,
            Self::Video(_) => Kind::Video,
            Self::Channel(_) => Kind::Channel,
        }
    }
}

/// How something is made.
type Shape = fn(&mut SchemaGenerator) -> Schema;

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Kind {
    /// What it says, in one of these shapes.
    pub fn shapes(self) -> &'static [Shape] {
        match self {
            Self::Appeared => &[shape::<Appeared>],
            Self::Stored => &[shape::<Stored>],
            Self::Admitted => &[shape::<Admitted>],
            Self::Completed => &[shape::<Completed>],
            Self::Evicted => &[shape::<Evicted>],
            Self::Purged => &[shape::<PurgedOne>, shape::<Purged>],
            Self::Expired => &[shape::<Expired>],
            Self::Pinned => &[shape::<Pinned>],
            Self::Download => &[shape::<Download>, shape::<DownloadDeleted>],
            Self::Policy => &[shape::<PolicyChanged>],
            Self::Video | Self::Channel => &[shape::<Edited>],
            Self::Stats => &[shape::<Stats>],
            Self::Activity => &[shape::<Activity>],
            Self::Reset => &[shape::<Reset>],
        }
    }

    /// When it is told.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Appeared => "something of a new generation comes",
            Self::Stored => "bytes were stored; at most four times a second for each entity",
            Self::Admitted => "an entity was found worth keeping",
            Self::Completed => "all of an entity is stored",
            Self::Evicted => "a segment went to make room",
            Self::Purged => {
                "an entity was removed; of very many at once all after the first 1,000 together"
            }
            Self::Expired => "the origin has refused the URL of an entity",
            Self::Pinned => "an entity is kept whatever the room, or no longer",
            Self::Download => "a download has changed, or is forgotten",
            Self::Policy => "the policy is another",
            Self::Video => "what is said of a video is other",
            Self::Channel => "what is said of a channel is other",
            Self::Stats => "every second",
            Self::Activity => "every second while something is watched or filled, and once after",
            Self::Reset => "something was missed: read everything anew",
        }
    }

    /// Whether it has an id, and is told to one who comes back.
    pub const fn is_remembered(self) -> bool {
        !matches!(self, Self::Stats | Self::Activity | Self::Reset)
    }

    /// Their names.
    pub const NAMES: [&'static str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::ALL[at].as_str();
            at += 1;
        }
        names
    };
}
