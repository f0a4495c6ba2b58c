//! Which sound and which picture of a video are watched together. Pure; time is passed in.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use viewcache_protocol::{EntityId, EntityKey};

use crate::itags::{self, Kind};

/// What one viewer begins to get of one video within so long of each other is watched together.
const TOGETHER: Duration = Duration::from_secs(10);

/// For so long after it was last seen a pair counts as being watched: a film may be one request.
const WATCHED_MILLIS: u64 = 60 * 60 * 1000;

/// So many viewers of videos are remembered; each takes some 200 bytes.
const MOST_VIEWERS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// An entity has so many partners at the most; for one more, that which was seen least recently is
/// forgotten.
const MOST_PARTNERS: usize = 8;

/// An entity with a longer key has none: partners are remembered by their keys.
const MAX_KEY: usize = 512;

/// One of two that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// A picture without sound.
    Video,
    /// Sound alone.
    Audio,
}

impl Half {
    /// What an entity is by its itag, or else by the media type of its response; `None` when it is
    /// both in one, or that is not known.
    pub fn of(key: &EntityKey, media_type: Option<&str>) -> Option<Self> {
        let itag = key.part("itag")?;
        if MAX_KEY < key.as_str().len() {
            return None;
        }
        match itags::format(itag).map(|format| format.kind) {
            Some(Kind::Audio) => return Some(Self::Audio),
            Some(Kind::Video) => return Some(Self::Video),
            Some(Kind::Combined) => return None,
            None => {}
        }
        let main = media_type?.split('/').next()?.trim();
        let is = |name: &str| main.eq_ignore_ascii_case(name);
        match (is("video"), is("audio")) {
            (true, _) => Some(Self::Video),
            (_, true) => Some(Self::Audio),
            (false, false) => None,
        }
    }
}

/// When a viewer last began to get which entity.
type Seen = Option<(EntityId, Instant)>;

/// What each viewer of a video has last begun to get of either half.
#[derive(Debug)]
pub struct Sightings(LruCache<String, [Seen; 2]>);

impl Default for Sightings {
    fn default() -> Self {
        // Not with_capacity: that would take the room for all of them at once.
        let mut cache = LruCache::unbounded();
        cache.resize(MOST_VIEWERS);
        Self(cache)
    }
}

impl Sightings {
    /// A viewer begins to get bytes of one half of a video. The other half comes back when the same
    /// viewer has just begun to get that.
    pub fn saw(
        &mut self,
        viewer: &str,
        video: &str,
        half: Half,
        entity: EntityId,
        now: Instant,
    ) -> Option<EntityId> {
        let name = format!("{viewer} {video}");
        let [pictures, sounds] = self.0.get_or_insert_mut(name, Default::default);
        let (own, other) = match half {
            Half::Video => (pictures, sounds),
            Half::Audio => (sounds, pictures),
        };
        *own = Some((entity, now));
        let (partner, at) = (*other)?;
        (now.saturating_duration_since(at) <= TOGETHER).then_some(partner)
    }
}

/// The other half of a pair, as an entity remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    /// Its key.
    pub key: EntityKey,
    /// When they were last seen to be watched together, in milliseconds since the epoch.
    pub last_seen: u64,
}

/// What an entity was watched together with, the latest one at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partners(Vec<Partner>);

impl Partners {
    /// It is watched together with another one.
    pub fn saw(&mut self, key: &EntityKey, now: u64) {
        self.0.retain(|partner| partner.key != *key);
        if MOST_PARTNERS <= self.0.len() {
            self.0.remove(0);
        }
        self.0.push(Partner {
            key: key.clone(),
            last_seen: now,
        });
    }

    /// The one that it is being watched with.
    pub fn watched(&self, now: u64) -> Option<&Partner> {
        let latest = self.0.last()?;
        (now <= latest.last_seen.saturating_add(WATCHED_MILLIS)).then_some(latest)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Partner> {
        self.0.iter()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Two entities that were watched together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The picture.
    pub video: EntityKey,
    /// The sound.
    pub audio: EntityKey,
    /// When they were last seen so, in milliseconds since the epoch.
    pub last_seen: u64,
}

/// The pairs of a video, the latest one first: each half knows of it, as long as something of that
/// half is stored.
pub fn pairs(entities: &[(EntityKey, Half, Partners)]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for (key, half, partners) in entities {
        for Partner {
            key: other,
            last_seen,
        } in partners.iter()
        {
            let (video, audio) = match half {
                Half::Video => (key, other),
                Half::Audio => (other, key),
            };
            let known = pairs
                .iter_mut()
                .find(|pair| pair.video == *video && pair.audio == *audio);
            match known {
                Some(known) => known.last_seen = known.last_seen.max(*last_seen),
                None => pairs.push(Pair {
                    video: video.clone(),
                    audio: audio.clone(),
                    last_seen: *last_seen,
                }),
            }
        }
    }
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.last_seen));
    pairs
}

#[cfg(test)]
mod tests {
    use viewcache_protocol::Profile;

    use super::*;

    fn key(itag: &str) -> EntityKey {
        let rest = format!("v=abc&itag={itag}&lmt=1&clen=9");
        EntityKey::new(Profile::Youtube, &rest).unwrap()
    }

    #[test]
    fn an_itag_tells_a_half_and_else_its_media_type() {
        let check = |itag, media_type, expected| {
            assert_eq!(Half::of(&key(itag), media_type), expected, "{itag}");
        };
        check("137", None, Some(Half::Video));
        check("140", Some("video/mp4"), Some(Half::Audio));
        check("22", Some("video/mp4"), None);
        check("9001", Some("video/mp4; codecs=x"), Some(Half::Video));
        check("9001", Some("Audio/webm"), Some(Half::Audio));
        check("9001", Some("application/octet-stream"), None);
        check("9001", None, None);
        let long = EntityKey::new(Profile::Youtube, &format!("v={}&itag=137", "a".repeat(600)));
        assert_eq!(Half::of(&long.unwrap(), None), None);
        let whole = EntityKey::new(Profile::Generic, "http://a/b").unwrap();
        assert_eq!(Half::of(&whole, Some("video/mp4")), None);
    }

    #[test]
    fn a_pair_is_two_halves_of_a_video_by_one_viewer_within_ten_seconds() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let (picture, sound) = (key("137").id(), key("140").id());
        let mut sightings = Sightings::default();
        let mut saw = |viewer, video, half, entity, millis| {
            sightings.saw(viewer, video, half, entity, at(millis))
        };
        assert_eq!(saw("a", "abc", Half::Video, picture, 0), None);
        // Another viewer, another video, and the same half of another quality.
        assert_eq!(saw("b", "abc", Half::Audio, sound, 0), None);
        assert_eq!(saw("a", "def", Half::Audio, sound, 0), None);
        assert_eq!(saw("a", "abc", Half::Video, key("136").id(), 1), None);
        // The latest picture counts, and for ten seconds.
        let other = key("136").id();
        assert_eq!(saw("a", "abc", Half::Audio, sound, 10_001), Some(other));
        assert_eq!(saw("a", "abc", Half::Audio, sound, 10_002), None);
        assert_eq!(saw("a", "abc", Half::Video, picture, 20_002), Some(sound));
        assert_eq!(saw("a", "abc", Half::Video, picture, 20_003), None);
    }

    #[test]
    fn so_many_viewers_are_remembered() {
        let mut sightings = Sightings::default();
        let now = Instant::now();
        let (picture, sound) = (key("137").id(), key("140").id());
        for viewer in 0..=MOST_VIEWERS.get() {
            let viewer = viewer.to_string();
            assert_eq!(sightings.saw(&viewer, "v", Half::Video, picture, now), None);
        }
        assert_eq!(sightings.saw("0", "v", Half::Audio, sound, now), None);
        let last = MOST_VIEWERS.to_string();
        let partner = sightings.saw(&last, "v", Half::Audio, sound, now);
        assert_eq!(partner, Some(picture));
    }

    #[test]
    fn an_entity_has_few_partners_and_the_latest_counts_for_an_hour() {
        let mut partners = Partners::default();
        assert!(partners.is_empty() && partners.watched(0).is_none());
        for n in 0..MOST_PARTNERS as u64 + 2 {
            partners.saw(&key(&n.to_string()), n);
        }
        partners.saw(&key("5"), 100);
        assert_eq!(partners.iter().count(), MOST_PARTNERS);
        let watched = |now| partners.watched(now).map(|partner| partner.key.clone());
        assert_eq!(watched(100 + WATCHED_MILLIS), Some(key("5")));
        assert_eq!(watched(101 + WATCHED_MILLIS), None);
    }

    #[test]
    fn both_halves_tell_of_one_pair() {
        let with = |others: &[(&str, u64)]| {
            let mut partners = Partners::default();
            for (itag, at) in others {
                partners.saw(&key(itag), *at);
            }
            partners
        };
        let entities = [
            (key("137"), Half::Video, with(&[("140", 5)])),
            (key("140"), Half::Audio, with(&[("136", 4), ("137", 6)])),
        ];
        let pair = |itag: &str, last_seen| Pair {
            video: key(itag),
            audio: key("140"),
            last_seen,
        };
        assert_eq!(pairs(&entities), [pair("137", 6), pair("136", 4)]);
    }
}
