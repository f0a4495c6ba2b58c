//! The conditions of a request (RFC 9110 section 13.1), as they travel from the filter to the
//! sidecar.

use serde::{Deserialize, Serialize};

/// The values of a request's conditional header fields; several lines of one are joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    /// If-Match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_match: Option<String>,
    /// If-Unmodified-Since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_unmodified_since: Option<String>,
    /// If-None-Match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_none_match: Option<String>,
    /// If-Modified-Since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_modified_since: Option<String>,
    /// If-Range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_range: Option<String>,
}

impl Conditions {
    /// The most bytes of one field: many entity tags in a list. A longer one is the origin's to
    /// judge.
    pub const MAX_LEN: usize = 2048;

    /// Reads what `get` has of each field; its values are those of the field's lines.
    ///
    /// # Errors
    /// Whatever `get` fails with.
    pub fn read<E>(mut get: impl FnMut(&'static str) -> Result<Vec<String>, E>) -> Result<Self, E> {
        let mut field = |name| {
            let lines = get(name)?;
            Ok((!lines.is_empty()).then(|| lines.join(", ")))
        };
        Ok(Self {
            if_match: field("if-match")?,
            if_unmodified_since: field("if-unmodified-since")?,
            if_none_match: field("if-none-match")?,
            if_modified_since: field("if-modified-since")?,
            if_range: field("if-range")?,
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_field_are_joined() {
        let read = Conditions::read(|name| {
            Ok::<_, ()>(match name {
                "if-none-match" => vec!["\"a\"".to_owned(), "\"b\"".to_owned()],
                _ => Vec::new(),
            })
        });
        let conditions = read.unwrap();
        assert_eq!(conditions.if_none_match.as_deref(), Some("\"a\", \"b\""));
        assert!(!conditions.is_empty() && Conditions::default().is_empty());
        let json = serde_json::to_string(&conditions).unwrap();
        assert_eq!(json, r#"{"if_none_match":"\"a\", \"b\""}"#);
        assert_eq!(
            serde_json::from_str::<Conditions>("{}").unwrap(),
            Conditions::default()
        );
    }
}
