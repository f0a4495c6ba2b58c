//! What is cached: the entity, its key, and the generations that its bytes belong to.

use std::str::FromStr;
use std::{fmt, iter, mem};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::profile::Profile;

/// Why a key or an identity is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EntityError {
    /// Not `profile:rest` with a known profile and header-safe text within the limit.
    #[error("entity key: not a key of a known profile")]
    Key,
    /// Not the right number of hex digits.
    #[error("identity: not {0} hex digits")]
    Hex(usize),
}

/// The entity's identity: canonical text that begins with its profile's tag and a colon.
///
/// It is visible ASCII without spaces, so that it can be a header's value, and at most
/// [`EntityKey::MAX_LEN`] bytes long. That of a variant has its number behind: `generic:… (2)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityKey {
    profile: Profile,
    text: String,
    /// How much of the text all variants have in common.
    base_len: usize,
    number: u8,
}

impl EntityKey {
    /// The longest key in bytes; a longer URL is not cached.
    pub const MAX_LEN: usize = 8192;

    /// The key `profile:rest`.
    ///
    /// # Errors
    /// When `rest` is empty, too long, or not visible ASCII.
    pub fn new(profile: Profile, rest: &str) -> Result<Self, EntityError> {
        let text = format!("{}:{rest}", profile.tag());
        let safe = text.len() <= Self::MAX_LEN && text.bytes().all(|b| b.is_ascii_graphic());
        if safe && !rest.is_empty() {
            let base_len = text.len();
            Ok(Self {
                profile,
                text,
                base_len,
                number: 0,
            })
        } else {
            Err(EntityError::Key)
        }
    }

    /// The key of another response to the same requests, selected by what they have in the fields
    /// that its Vary names (RFC 9111 section 4.1). 0 is the one that has no number.
    #[must_use]
    pub fn variant(&self, number: u8) -> Self {
        let mut text = self.base().to_owned();
        if 0 < number {
            text.push_str(&format!(" ({number})"));
        }
        Self {
            text,
            number,
            ..*self
        }
    }

    /// The variant's number; 0 without one.
    pub const fn number(&self) -> u8 {
        self.number
    }

    fn base(&self) -> &str {
        self.text.get(..self.base_len).unwrap_or_default()
    }

    /// The profile that made the key.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the key has under a name, percent-encoded as in the URL; `None` when it has none or is
    /// a URL as a whole.
    pub fn part(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.base().split_once(':')?;
        let mut named = pairs(rest)
            .filter(|_| !rest.contains("://"))
            .filter_map(|pair| pair.split_once('='))
            .filter(|(n, _)| *n == name);
        named.next().map(|(_, value)| value)
    }

    /// The key's hash, by which it is stored.
    pub fn id(&self) -> EntityId {
        EntityId(leading(blake3::hash(self.text.as_bytes()).as_bytes()))
    }

    /// The hash by which Envoy picks its sidecar: the same for all variants.
    pub fn node(&self) -> EntityId {
        EntityId(leading(blake3::hash(self.base().as_bytes()).as_bytes()))
    }
}

/// The parts of a key.
fn pairs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    iter::from_fn(move || {
        let left = rest?;
        let parted = end(left).and_then(|at| left.split_at_checked(at));
        let (part, behind) = parted.unwrap_or((left, ""));
        rest = behind.strip_prefix('&');
        Some(part)
    })
}

/// Where the first part ends. An ampersand in a value stands twice, and parts nothing.
fn end(text: &str) -> Option<usize> {
    let mut doubled = false;
    let mut ampersands = text.match_indices('&').map(|(at, _)| at);
    ampersands.find(|&at| {
        let is_second = mem::take(&mut doubled);
        doubled = !is_second && text.get(at..).is_some_and(|left| left.starts_with("&&"));
        !is_second && !doubled
    })
}

/// The first `N` bytes of a hash.
fn leading<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    hash.first_chunk().copied().unwrap_or([0; N])
}

impl FromStr for EntityKey {
    type Err = EntityError;

    fn from_str(text: &str) -> Result<Self, EntityError> {
        let (base, number) = match text.split_once(' ') {
            Some((base, number)) => {
                let number = number.strip_prefix('(').and_then(|n| n.strip_suffix(')'));
                let number = number.and_then(|n| n.parse::<u8>().ok());
                (base, number.ok_or(EntityError::Key)?)
            }
            None => (text, 0),
        };
        let (profile, rest) = base.split_once(':').ok_or(EntityError::Key)?;
        let key = Self::new(profile.parse()?, rest)?.variant(number);
        // No other text is the same key.
        match key.text == text {
            true => Ok(key),
            false => Err(EntityError::Key),
        }
    }
}

impl fmt::Display for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for EntityKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for EntityKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// 128 bits of the key's BLAKE3 hash, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityId([u8; 16]);

impl EntityId {
    /// The identity with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The identity's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EntityId {
    type Err = EntityError;

    fn from_str(text: &str) -> Result<Self, EntityError> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(EntityError::Hex(32));
        }
        u128::from_str_radix(text, 16)
            .map(|n| Self(n.to_be_bytes()))
            .map_err(|_| EntityError::Hex(32))
    }
}

/// A validator strong enough to combine ranges under (RFC 9110 section 8.8, RFC 9111
/// section 3.4). A weak one is no validator here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validator {
    /// A strong entity tag, quotes included.
    Etag(String),
    /// A Last-Modified date that is strong by RFC 9110 section 8.8.2.2.
    LastModified(String),
}

impl Validator {
    /// The value to send in If-Range.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Etag(value) | Self::LastModified(value) => value,
        }
    }
}

/// One state of an entity's bytes: two responses with the same generation carry the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Generation {
    /// Without one, only the bytes of a single transfer belong together.
    pub validator: Option<Validator>,
    /// The complete length in bytes.
    pub complete_length: u64,
}

impl Generation {
    /// What mirror messages name the generation by. Without a validator two transfers are two
    /// generations, so `transfer` (the fill's id) then takes part, unless the profile says that
    /// the key alone names the bytes.
    pub fn id(&self, profile: Profile, transfer: &str) -> GenerationId {
        let mut hasher = blake3::Hasher::new();
        let mut field = |text: &str| {
            // As u64: the filter's usize has 4 bytes, the sidecar's 8.
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        match &self.validator {
            Some(Validator::Etag(etag)) => field(etag),
            Some(Validator::LastModified(date)) => field(date),
            None if profile.immutable() => field(""),
            None => field(transfer),
        }
        hasher.update(&self.complete_length.to_le_bytes());
        GenerationId(u64::from_be_bytes(leading(hasher.finalize().as_bytes())))
    }

    /// Whether bytes of another transfer with this same generation may stand beside its bytes.
    pub fn combinable(&self, profile: Profile) -> bool {
        self.validator.is_some() || profile.immutable()
    }
}

/// The identity of a generation on the wire, written as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GenerationId(u64);

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GenerationId {
    type Err = EntityError;

    fn from_str(text: &str) -> Result<Self, EntityError> {
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(EntityError::Hex(16));
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| EntityError::Hex(16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(validator: Option<Validator>, complete_length: u64) -> Generation {
        Generation {
            validator,
            complete_length,
        }
    }

    #[test]
    fn a_key_is_printable_and_bounded() {
        let key = EntityKey::new(Profile::Generic, "http://a/b?c").unwrap();
        assert_eq!(key.as_str(), "generic:http://a/b?c");
        assert_eq!(key.as_str().parse(), Ok(key));
        for rest in [
            "",
            "a b",
            "a\u{e9}",
            "a\r\nb",
            &"x".repeat(EntityKey::MAX_LEN),
        ] {
            assert_eq!(
                EntityKey::new(Profile::Generic, rest),
                Err(EntityError::Key)
            );
        }
        assert_eq!("Other:x".parse::<EntityKey>(), Err(EntityError::Key));
    }

    #[test]
    fn a_part_is_what_it_was_made_of() {
        let check = |text: &str, name: &str, expect: Option<&str>| {
            let key: EntityKey = text.parse().unwrap();
            assert_eq!(key.part(name), expect, "{text} {name}");
        };
        check("youtube:v=abc&itag=22&clen=5", "v", Some("abc"));
        check("youtube:v=abc&itag=22&clen=5 (1)", "clen", Some("5"));
        check("youtube:v=abc&itag=22", "tag", None);
        check("generic:http://a/?v=abc&itag=22", "itag", None);
        // An ampersand in a value begins no other part.
        check("films:id=7&&v=x&q=hd", "v", None);
        check("films:id=7&&v=x&q=hd", "id", Some("7&&v=x"));
        check("films:id=7&&v=x&q=hd", "q", Some("hd"));
        check("films:id=7&&&v=x", "v", Some("x"));
        check("films:id=7&&&v=x", "id", Some("7&&"));
        check("films:id=&&&&v=x&&&q=1", "q", Some("1"));
    }

    #[test]
    fn variants_are_entities_of_one_sidecar() {
        let key = EntityKey::new(Profile::Generic, "http://a/b(2)").unwrap();
        let second = key.variant(2);
        assert_eq!(second.as_str(), "generic:http://a/b(2) (2)");
        assert_eq!(second.as_str().parse(), Ok(second.clone()));
        assert_eq!((second.number(), key.number()), (2, 0));
        assert_ne!(second.id(), key.id());
        assert_eq!((second.node(), key.node()), (key.id(), key.id()));
        assert_eq!(
            (second.variant(0), second.variant(3)),
            (key.clone(), key.variant(3))
        );
        for text in [
            "generic:a ",
            "generic:a (0)",
            "generic:a (02)",
            "generic:a (+2)",
            "generic:a (2) (3)",
        ] {
            assert_eq!(text.parse::<EntityKey>(), Err(EntityError::Key), "{text}");
        }
    }

    #[test]
    fn identities_print_and_parse() {
        let id = EntityKey::new(Profile::Generic, "http://a/b").unwrap().id();
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("xyz".parse::<EntityId>().is_err());
        assert!(
            "+0000000000000000000000000000001"
                .parse::<EntityId>()
                .is_err()
        );
        let generation = generation(None, 7).id(Profile::Generic, "f");
        assert_eq!(generation.to_string().parse(), Ok(generation));
    }

    #[test]
    fn a_generation_is_its_validator_and_length() {
        let etag = |tag: &str| Some(Validator::Etag(tag.to_owned()));
        let id = |g: &Generation, fill| g.id(Profile::Generic, fill);
        let one = generation(etag("\"a\""), 10);
        assert_eq!(id(&one, "1"), id(&one, "2"));
        assert_ne!(id(&one, "1"), id(&generation(etag("\"b\""), 10), "1"));
        assert_ne!(id(&one, "1"), id(&generation(etag("\"a\""), 11), "1"));
    }

    /// The same literals stand in the filter's tests, which run on wasm32.
    #[test]
    fn identities_are_the_same_on_every_platform() {
        let key = EntityKey::new(Profile::Generic, "http://a/v").unwrap();
        assert_eq!(key.id().to_string(), "7c881a6401b0af2df386c6877192f704");
        let generation = generation(Some(Validator::Etag("\"v1\"".to_owned())), 10);
        assert_eq!(
            generation.id(Profile::Generic, "").to_string(),
            "a895ec58956f9a20"
        );
    }

    #[test]
    fn without_a_validator_each_transfer_is_its_own_generation() {
        let bare = generation(None, 10);
        assert_ne!(
            bare.id(Profile::Generic, "1"),
            bare.id(Profile::Generic, "2")
        );
        assert_eq!(
            bare.id(Profile::Youtube, "1"),
            bare.id(Profile::Youtube, "2")
        );
        assert!(!bare.combinable(Profile::Generic));
        assert!(bare.combinable(Profile::Youtube));
    }
}
