//! Profiles: by which rules a URL becomes an entity, and what may be stored of its responses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::entity::EntityError;

/// How a URL is turned into an entity key, and which rules its responses follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Any URL is one entity; HTTP's caching rules apply.
    Generic,
    /// `/videoplayback` URLs: signed, expiring, with a video id and an itag.
    Youtube,
    /// One that the operator has defined.
    Own(OwnProfile),
}

/// What a profile allows beyond HTTP's caching rules, and the letter that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Allowance {
    /// The key alone names the bytes, so that an entity never goes stale and transfers without a
    /// validator may be combined.
    Immutable,
    /// Responses that set a cookie are stored, without it.
    SetCookie,
    /// `no-store` does not count (RFC 9111 section 5.2.2.5).
    NoStore,
    /// `private` does not count (RFC 9111 section 5.2.2.7).
    Private,
    /// Authorization does not count (RFC 9111 section 3.5): one viewer's responses answer others.
    Authorization,
}

impl Allowance {
    /// All of them, by letter.
    pub const ALL: [Self; 5] = [
        Self::Authorization,
        Self::SetCookie,
        Self::Immutable,
        Self::NoStore,
        Self::Private,
    ];

    const fn letter(self) -> char {
        match self {
            Self::Authorization => 'a',
            Self::SetCookie => 'c',
            Self::Immutable => 'i',
            Self::NoStore => 'n',
            Self::Private => 'p',
        }
    }
}

/// An operator's profile. Its tag begins the keys of its entities: its name and, behind a `+`, a
/// letter for each allowance. So a key says what may be done with its entity, on both sides and on
/// the disk; and when the allowances change, what was stored under others is not used.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnProfile {
    tag: [u8; Self::MAX_TAG],
    tag_len: usize,
    name_len: usize,
}

impl OwnProfile {
    /// The longest name in bytes.
    pub const MAX_NAME: usize = 32;

    const MAX_TAG: usize = Self::MAX_NAME + 1 + Allowance::ALL.len();

    /// The profile of this name: lower-case letters, digits, `-` and `_`, a letter first. `None`
    /// for another name, and for those that are not the operator's to define.
    pub fn new(name: &str, allows: &[Allowance]) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        let sound = name.bytes().all(plain)
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.len() <= Self::MAX_NAME;
        if !sound || ["generic", "youtube"].contains(&name) {
            return None;
        }
        let letters = Allowance::ALL.into_iter().filter(|a| allows.contains(a));
        let letters: String = letters.map(Allowance::letter).collect();
        let plus = if letters.is_empty() { "" } else { "+" };
        let text = format!("{name}{plus}{letters}");
        let mut tag = [0; Self::MAX_TAG];
        tag.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self {
            tag,
            tag_len: text.len(),
            name_len: name.len(),
        })
    }

    fn upto(&self, len: usize) -> &str {
        let text = self.tag.get(..len).map(std::str::from_utf8);
        text.and_then(Result::ok).unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.upto(self.name_len)
    }

    fn allows(&self, allowance: Allowance) -> bool {
        let letters = self.upto(self.tag_len).split_once('+');
        letters.is_some_and(|(_, letters)| letters.contains(allowance.letter()))
    }
}

impl fmt::Debug for OwnProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.upto(self.tag_len))
    }
}

impl Profile {
    /// What begins the keys of its entities.
    pub fn tag(&self) -> &str {
        match self {
            Self::Generic => "generic",
            Self::Youtube => "youtube",
            Self::Own(own) => own.upto(own.tag_len),
        }
    }

    /// Its name in configurations.
    pub fn name(&self) -> &str {
        match self {
            Self::Generic | Self::Youtube => self.tag(),
            Self::Own(own) => own.name(),
        }
    }

    /// Whether it lets something be done that HTTP's caching rules do not.
    pub fn allows(&self, allowance: Allowance) -> bool {
        match self {
            Self::Generic => false,
            Self::Youtube => !matches!(allowance, Allowance::NoStore),
            Self::Own(own) => own.allows(allowance),
        }
    }

    /// Whether the key alone names the bytes.
    pub fn immutable(&self) -> bool {
        self.allows(Allowance::Immutable)
    }
}

impl FromStr for Profile {
    type Err = EntityError;

    /// Reads a tag, in the one form that it is written in.
    fn from_str(text: &str) -> Result<Self, EntityError> {
        match text {
            "generic" => return Ok(Self::Generic),
            "youtube" => return Ok(Self::Youtube),
            _ => {}
        }
        let (name, letters) = text.split_once('+').unwrap_or((text, ""));
        let allows: Vec<Allowance> = Allowance::ALL
            .into_iter()
            .filter(|allowance| letters.contains(allowance.letter()))
            .collect();
        let own = OwnProfile::new(name, &allows).map(Self::Own);
        own.filter(|own| own.tag() == text).ok_or(EntityError::Key)
    }
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.tag())
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_name_and_what_is_allowed() {
        let both = [Allowance::Private, Allowance::Immutable];
        let own = OwnProfile::new("films", &both).unwrap();
        let profile = Profile::Own(own);
        assert_eq!((profile.tag(), profile.name()), ("films+ip", "films"));
        assert!(profile.immutable() && profile.allows(Allowance::Private));
        assert!(!profile.allows(Allowance::NoStore) && !profile.allows(Allowance::SetCookie));
        let plain = Profile::Own(OwnProfile::new("f", &[]).unwrap());
        assert_eq!(plain.tag(), "f");
        for profile in [profile, plain, Profile::Generic, Profile::Youtube] {
            assert_eq!(profile.tag().parse(), Ok(profile));
            let json = serde_json::to_string(&profile).unwrap();
            assert_eq!(serde_json::from_str::<Profile>(&json).unwrap(), profile);
        }
        let longest = "x".repeat(OwnProfile::MAX_NAME);
        let all = OwnProfile::new(&longest, &Allowance::ALL).unwrap();
        assert_eq!(Profile::Own(all).tag(), format!("{longest}+acinp"));
    }

    #[test]
    fn another_form_is_no_tag() {
        let long = "x".repeat(OwnProfile::MAX_NAME + 1);
        for text in [
            "",
            "Films",
            "1films",
            "-films",
            "films ",
            "fil:ms",
            "films+",
            "films+pi",
            "films+ii",
            "films+x",
            "generic+i",
            "youtube+i",
            "+i",
            &long,
        ] {
            assert_eq!(text.parse::<Profile>(), Err(EntityError::Key), "{text}");
        }
    }
}
