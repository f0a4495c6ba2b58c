//! What the operator says of videos and their channels. Pure.

mod import;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use viewcache_protocol::EntityKey;

use crate::policy::{Enough, Quality};
pub use import::{ImportError, Subscription, subscriptions};

/// What the videos of a channel are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As much as others: what the policy says.
    #[default]
    Inherit,
    /// Every view is worth keeping at once, and completed.
    Auto,
    /// Only what is downloaded or pinned is kept.
    Manual,
}

/// A channel; what is not there is as for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Channel {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = MAX_TITLE), example = &"A title")]
    pub title: Option<String>,
    /// What its videos are worth.
    pub mode: Mode,
    /// They are worth keeping as soon as one viewer has watched so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Enough")]
    pub watched_percent: Option<Enough>,
    /// Which of their qualities are completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Quality")]
    pub quality: Option<Quality>,
    /// Whether a quality goes when a better one of the same video is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub drop_lower: Option<bool>,
    /// What they may take of the disk, all together, in bytes; pinned ones do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", example = 10_737_418_240_u64)]
    pub quota_bytes: Option<u64>,
    /// So many seconds after their last use they go no sooner than others just used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", example = 604_800)]
    pub min_keep_seconds: Option<u64>,
}

/// A video; its entities are its qualities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Video {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = MAX_TITLE), example = &"A title")]
    pub title: Option<String>,
    /// The channel that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = ID_PATTERN), example = &"UCabc")]
    pub channel: Option<String>,
    /// How long it plays, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0), example = 62.5)]
    pub duration: Option<f64>,
}

/// The channels by their id.
pub type Channels = BTreeMap<String, Channel>;

/// What an id is, as a regular expression; see [`is_id`].
pub const ID_PATTERN: &str = r#"^[!"$-.0->@-~]{1,128}$"#;

/// The most characters of an id.
pub const MAX_ID: usize = 128;

/// The most characters of a title.
pub const MAX_TITLE: usize = 512;

/// Whether a text can be the id of a video or a channel: visible ASCII that a URL's path can have
/// in one segment.
pub fn is_id(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#');
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(fits)
}

/// The video that an entity is a quality of. One whose key names none is a video of its own.
pub fn video_of(key: &EntityKey) -> String {
    let named = key.part("v").or_else(|| key.part("video"));
    let named = named.or_else(|| key.part("id")).filter(|id| is_id(id));
    named.map_or_else(|| key.node().to_string(), str::to_owned)
}

/// Whether two entities of one video are the same version of it, in one language and with one mix of
/// sounds: those are told apart by other means than their itags.
pub fn same_version(one: &EntityKey, other: &EntityKey) -> bool {
    one.profile() == other.profile() && one.part("xtags") == other.part("xtags")
}

impl Channel {
    /// What is wrong with it, if anything is: field, value and why.
    pub fn fault(&self) -> Option<String> {
        if let Some(percent) = self.watched_percent.and_then(Enough::excessive) {
            return Some(format!("watched_percent: {percent} is more than 100"));
        }
        long_title(self.title.as_deref())
    }
}

impl Video {
    /// What is wrong with it, if anything is: field, value and why.
    pub fn fault(&self) -> Option<String> {
        if let Some(channel) = self.channel.as_deref().filter(|id| !is_id(id)) {
            return Some(format!("channel: {channel:?} is not an id"));
        }
        let duration = self.duration.filter(|d| !(d.is_finite() && 0.0 <= *d));
        if let Some(duration) = duration {
            return Some(format!("duration: {duration} is not a number of seconds"));
        }
        long_title(self.title.as_deref())
    }
}

fn long_title(title: Option<&str>) -> Option<String> {
    let length = title.map_or(0, |title| title.chars().count());
    (MAX_TITLE < length).then(|| format!("title: {length} characters are more than {MAX_TITLE}"))
}

#[cfg(test)]
mod tests {
    use viewcache_protocol::{OwnProfile, Profile};

    use super::*;

    #[test]
    fn a_key_names_its_video_or_is_one() {
        let check = |profile, rest: &str, expect: Option<&str>| {
            let key = EntityKey::new(profile, rest).unwrap();
            let expect = expect.map_or_else(|| key.id().to_string(), str::to_owned);
            assert_eq!(video_of(&key), expect, "{rest}");
        };
        let own = Profile::Own(OwnProfile::new("films", &[]).unwrap());
        check(Profile::Youtube, "v=abc&itag=22&lmt=1&clen=9", Some("abc"));
        check(Profile::Youtube, "itag=22&lmt=1&clen=9&dur=1", None);
        check(own, "id=7&quality=720", Some("7"));
        check(own, "http://a/film?id=7", None);
        check(Profile::Generic, "http://a/v?v=1", None);
    }

    #[test]
    fn faults_name_the_field_and_the_value() {
        let check = |json: &str, expect: Option<&str>| {
            let video: Video = serde_json::from_str(json).unwrap();
            assert_eq!(video.fault().as_deref(), expect, "{json}");
        };
        check(
            r#"{"title": "A film", "channel": "UC1", "duration": 9.5}"#,
            None,
        );
        check(
            r#"{"channel": "a/b"}"#,
            Some(r#"channel: "a/b" is not an id"#),
        );
        check(
            r#"{"duration": -1}"#,
            Some("duration: -1 is not a number of seconds"),
        );
        let channel = Channel {
            watched_percent: Some(Enough::Percent(101)),
            ..Channel::default()
        };
        let fault = channel.fault();
        assert_eq!(
            fault.as_deref(),
            Some("watched_percent: 101 is more than 100")
        );
    }
}
