//! Which qualities of a video are completed.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::VariantArray;

use crate::itags::{self, Kind};

/// So many itags are preferred at the most.
const MOST_PREFERRED: usize = 16;

/// Of so many itags the operator may say the height.
const MOST_HEIGHTS: usize = 256;

/// The longest itag.
const MAX_ITAG: usize = 32;

/// Which qualities of a video are completed: the word `watched`, a list of itags, or a maximum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Value", into = "Value")]
#[schemars(with = "Shape")]
pub enum Quality {
    /// That which is watched.
    #[default]
    Watched,
    /// The first of these that can be had, whichever is watched.
    Preferred(Arc<[String]>),
    /// That which is watched unless its picture is higher.
    Max(Arc<Max>),
}

/// The word `watched`, a list of itags, or a maximum.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "Quality")]
#[expect(dead_code, reason = "the shape of another type")]
enum Shape {
    /// That which is watched.
    Watched(Word),
    /// The first of these that can be had.
    Preferred(#[schemars(length(min = 1, max = 16))] Vec<Itag>),
    /// That which is watched unless its picture is higher.
    Max(Max),
}

/// An itag, as a text or a number.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "the shape of another type")]
enum Itag {
    /// As it is told.
    Text(String),
    /// Which is taken as well.
    Number(u64),
}

/// The word.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
#[expect(dead_code, reason = "the shape of another type")]
enum Word {
    Watched,
}

/// The highest picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MaximumQuality")]
#[serde(deny_unknown_fields)]
pub struct Max {
    /// Its lines.
    max_height: u16,
    /// The lines of itags that are not publicly known, or that mean something else here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    heights: BTreeMap<String, u16>,
}

/// What is to be completed where one quality is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This one.
    Itself,
    /// Nothing: it is above the maximum.
    Nothing,
    /// The first of several that can be had.
    FirstOf {
        /// Their itags, the one that is preferred before all others first.
        itags: Vec<String>,
        /// Whether it is this one when none of them can.
        or_itself: bool,
    },
}

/// Why an entity is not completed that is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Withheld {
    /// It is above the maximum.
    AboveMaximum,
    /// One that is preferred is to be completed in its place, and cannot be had yet.
    AwaitsPreferred,
    /// A better one is complete, and lower ones are dropped then.
    BetterComplete,
}

impl Withheld {
    /// The metric's label, and what an entity's history calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AboveMaximum => "above-maximum",
            Self::AwaitsPreferred => "awaits-preferred",
            Self::BetterComplete => "better-complete",
        }
    }
}

impl Quality {
    /// What is to be completed where this itag is watched.
    ///
    /// An itag stands in for those of its kind alone: sound for sound, a picture for a picture, both
    /// in one for both in one, and what is not known for what is not known. Where the list has none
    /// of the kind that is watched, it says nothing of it.
    pub fn wish(&self, watched: &str) -> Wish {
        match self {
            Self::Watched => Wish::Itself,
            Self::Max(max) => match max.height(watched) {
                Some(height) if max.max_height < height => Wish::Nothing,
                _ => Wish::Itself,
            },
            Self::Preferred(itags) => {
                let alike = itags.iter().filter(|itag| kind(itag) == kind(watched));
                let before = alike.take_while(|itag| *itag != watched);
                let itags_before: Vec<String> = before.cloned().collect();
                match itags_before.is_empty() {
                    true => Wish::Itself,
                    false => Wish::FirstOf {
                        itags: itags_before,
                        or_itself: itags.iter().any(|itag| itag == watched),
                    },
                }
            }
        }
    }

    /// Whether one itag is to be kept although a better one is there: it stands before that in the
    /// operator's list.
    pub fn prefers(&self, one: &str, better: &str) -> bool {
        let Self::Preferred(itags) = self else {
            return false;
        };
        let place = |itag| itags.iter().position(|known| known == itag);
        place(one).is_some_and(|one| place(better).is_none_or(|better| one < better))
    }
}

impl Max {
    /// The height of an itag's picture; `None` is not known, or none.
    fn height(&self, itag: &str) -> Option<u16> {
        let told = self.heights.get(itag).copied();
        told.or_else(|| itags::format(itag)?.height())
    }
}

fn kind(itag: &str) -> Option<Kind> {
    itags::format(itag).map(|format| format.kind)
}

/// Whether a text can be an itag: what a URL's query can have as a value.
fn is_itag(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b);
    (1..=MAX_ITAG).contains(&text.len()) && text.bytes().all(plain)
}

impl TryFrom<Value> for Quality {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match value {
            Value::String(word) if word == "watched" => Ok(Self::Watched),
            Value::Array(itags) => preferred(&itags),
            Value::Object(_) => {
                let max: Max =
                    serde_json::from_value(value).map_err(|e| format!("quality: {e}"))?;
                if MOST_HEIGHTS < max.heights.len() {
                    let count = max.heights.len();
                    return Err(format!(
                        "quality.heights: {count} are more than {MOST_HEIGHTS}"
                    ));
                }
                match max.heights.keys().find(|itag| !is_itag(itag)) {
                    Some(itag) => Err(format!("quality.heights: {itag:?} is not an itag")),
                    None => Ok(Self::Max(Arc::new(max))),
                }
            }
            _ => Err(format!(
                "quality: {value} is neither \"watched\", a list of itags nor {{\"max_height\": 1080}}"
            )),
        }
    }
}

/// The itags of a list, written as texts or numbers.
fn preferred(itags: &[Value]) -> Result<Quality, String> {
    if !(1..=MOST_PREFERRED).contains(&itags.len()) {
        let count = itags.len();
        return Err(format!(
            "quality: {count} itags are not 1 to {MOST_PREFERRED}"
        ));
    }
    let itag = |value: &Value| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_u64() => number.to_string(),
            _ => String::new(),
        };
        let wrong = || format!("quality: {value} is not an itag");
        Some(text).filter(|text| is_itag(text)).ok_or_else(wrong)
    };
    let itags: Result<Arc<[String]>, String> = itags.iter().map(itag).collect();
    itags.map(Quality::Preferred)
}

impl From<Quality> for Value {
    fn from(quality: Quality) -> Self {
        match quality {
            Quality::Watched => "watched".into(),
            Quality::Preferred(itags) => itags.iter().cloned().collect(),
            Quality::Max(max) => json!(*max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(text: &str) -> Quality {
        serde_json::from_str(text).unwrap()
    }

    fn first_of(itags: &[&str], or_itself: bool) -> Wish {
        Wish::FirstOf {
            itags: itags.iter().map(|&itag| itag.to_owned()).collect(),
            or_itself,
        }
    }

    #[test]
    fn what_is_watched_is_what_is_completed() {
        for itag in ["22", "137", "140", "9001"] {
            assert_eq!(Quality::default().wish(itag), Wish::Itself);
        }
    }

    #[test]
    fn the_first_of_a_list_stands_in_for_others_of_its_kind() {
        let list = quality(r#"["137", "251", 136, "140"]"#);
        for (watched, expected) in [
            ("137", Wish::Itself),
            ("136", first_of(&["137"], true)),
            ("134", first_of(&["137", "136"], false)),
            ("251", Wish::Itself),
            ("140", first_of(&["251"], true)),
            ("139", first_of(&["251", "140"], false)),
            // It says nothing of pictures with sound, nor of what nobody knows.
            ("22", Wish::Itself),
            ("9001", Wish::Itself),
        ] {
            assert_eq!(list.wish(watched), expected, "{watched}");
        }
        let own = quality(r#"["720p", "480p"]"#);
        assert_eq!(own.wish("480p"), first_of(&["720p"], true));
        assert_eq!(own.wish("360p"), first_of(&["720p", "480p"], false));
        assert_eq!(own.wish("22"), Wish::Itself);
    }

    #[test]
    fn what_is_above_the_maximum_is_not_completed() {
        let max = quality(r#"{"max_height": 720, "heights": {"9001": 2160, "137": 720}}"#);
        for (watched, expected) in [
            ("136", Wish::Itself),
            ("22", Wish::Itself),
            ("248", Wish::Nothing),
            ("299", Wish::Nothing),
            // The operator knows better.
            ("137", Wish::Itself),
            ("9001", Wish::Nothing),
            // Of sound and of what is not known nobody can say that it is too high.
            ("141", Wish::Itself),
            ("9002", Wish::Itself),
        ] {
            assert_eq!(max.wish(watched), expected, "{watched}");
        }
    }

    #[test]
    fn a_list_may_prefer_a_lower_one() {
        let list = quality(r#"["134", "137"]"#);
        assert!(list.prefers("134", "137") && list.prefers("134", "299"));
        assert!(!list.prefers("137", "134") && !list.prefers("136", "137"));
        assert!(!Quality::Watched.prefers("134", "137"));
    }

    #[test]
    fn each_form_is_read_and_written() {
        for text in [
            r#""watched""#,
            r#"["137","22"]"#,
            r#"{"max_height":1080}"#,
            r#"{"max_height":1080,"heights":{"9001":2160}}"#,
        ] {
            let written = serde_json::to_value(quality(text)).unwrap();
            let meant: Value = serde_json::from_str(text).unwrap();
            assert_eq!(written, meant, "{text}");
        }
        assert_eq!(quality("[137]"), quality(r#"["137"]"#));
    }

    #[test]
    fn a_wrong_value_is_named() {
        let long = format!("[{}22]", "22,".repeat(MOST_PREFERRED));
        for (text, expected) in [
            (r#""best""#, r#"quality: "best" is neither"#),
            ("7", "quality: 7 is neither"),
            ("null", "quality: null is neither"),
            ("[]", "quality: 0 itags are not 1 to 16"),
            (&long, "quality: 17 itags are not 1 to 16"),
            (r#"["a b"]"#, r#"quality: "a b" is not an itag"#),
            ("[[22]]", "quality: [22] is not an itag"),
            ("{}", "quality: missing field `max_height`"),
            (r#"{"max_height": 1, "x": 2}"#, "quality: unknown field `x`"),
            (
                r#"{"max_height": 1, "heights": {"": 2}}"#,
                r#"quality.heights: "" is not an itag"#,
            ),
        ] {
            let error = serde_json::from_str::<Quality>(text)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
