//! How much of an entity has to be watched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How much of an entity one viewer has to have watched for it to be worth keeping: a number of
/// percent, or the word `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Value", into = "Value")]
#[schemars(with = "Shape")]
pub enum Enough {
    /// So many percent; 0 is at once.
    Percent(u8),
    /// However much it is, that is no reason.
    Never,
}

/// A number of percent, or the word `never`.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "Enough")]
#[expect(dead_code, reason = "the shape of another type")]
enum Shape {
    /// So many percent; 0 is at once.
    Percent(#[schemars(range(max = 100), example = 10)] u8),
    /// However much it is, that is no reason.
    Never(Never),
}

/// The word.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
#[expect(dead_code, reason = "the shape of another type")]
enum Never {
    Never,
}

impl Enough {
    /// The value that cannot be meant, if it is one.
    pub const fn excessive(self) -> Option<u8> {
        match self {
            Self::Percent(percent) if 100 < percent => Some(percent),
            Self::Percent(_) | Self::Never => None,
        }
    }
}

impl TryFrom<Value> for Enough {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        if value == "never" {
            return Ok(Self::Never);
        }
        let percent = value.as_u64().and_then(|number| u8::try_from(number).ok());
        let wrong = || format!("watched_percent: {value} is neither 0 to 100 nor \"never\"");
        percent.map(Self::Percent).ok_or_else(wrong)
    }
}

impl From<Enough> for Value {
    fn from(enough: Enough) -> Self {
        match enough {
            Enough::Percent(percent) => percent.into(),
            Enough::Never => "never".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_word_is_read_and_written() {
        for (text, enough) in [
            ("0", Enough::Percent(0)),
            ("100", Enough::Percent(100)),
            ("\"never\"", Enough::Never),
        ] {
            assert_eq!(serde_json::from_str::<Enough>(text).unwrap(), enough);
            assert_eq!(serde_json::to_string(&enough).unwrap(), text);
        }
        for text in ["-1", "256", "2.5", "\"soon\"", "null"] {
            let error = serde_json::from_str::<Enough>(text).unwrap_err();
            let expected = format!("watched_percent: {text} is neither 0 to 100 nor \"never\"");
            assert_eq!(error.to_string(), expected);
        }
    }
}
