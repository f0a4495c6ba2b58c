//! Responses that differ by header fields of the request (RFC 9111 section 4.1).

use serde::{Deserialize, Serialize};

/// The request header fields by which a response may vary and still be stored: those of CORS and
/// content negotiation, which viewers of one site have in common. A response that varies by
/// another is passed on.
pub const CANDIDATES: [&str; 5] = [
    "accept",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "origin",
];

/// What a request has in the fields among [`CANDIDATES`]; absent ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selecting(Vec<(String, String)>);

impl Selecting {
    /// The most bytes of one field; a longer one would be stored with every entity.
    pub const MAX_LEN: usize = 1024;

    /// Reads what `get` has of each field; its values are those of the field's lines.
    ///
    /// # Errors
    /// Whatever `get` fails with.
    pub fn read<E>(mut get: impl FnMut(&'static str) -> Result<Vec<String>, E>) -> Result<Self, E> {
        let mut found = Vec::new();
        for name in CANDIDATES {
            let lines = get(name)?;
            if !lines.is_empty() {
                found.push((name.to_owned(), lines.join(", ")));
            }
        }
        Ok(Self(found))
    }

    /// The fields and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a response with these stored header fields, that came to a request with `self`, may
    /// answer one with `other`: every field that its Vary names is the same in both.
    pub fn selects(&self, other: &Self, headers: &[(String, String)]) -> bool {
        names(headers).all(|name| self.get(name) == other.get(name))
    }

    /// What of it a response with these stored header fields varies by.
    #[must_use]
    pub fn named(&self, headers: &[(String, String)]) -> Self {
        let named =
            |field: &&(String, String)| names(headers).any(|n| n.eq_ignore_ascii_case(&field.0));
        Self(self.0.iter().filter(named).cloned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

/// Whether a response with these header fields varies by nothing but [`CANDIDATES`].
pub(crate) fn is_bounded(headers: &[(String, String)]) -> bool {
    names(headers).all(|name| CANDIDATES.iter().any(|c| c.eq_ignore_ascii_case(name)))
}

/// What Vary names. Stored bytes are the identity coding, which every client accepts unless it
/// says otherwise, so what varies only by Accept-Encoding does not vary here.
fn names(headers: &[(String, String)]) -> impl Iterator<Item = &str> {
    let values = headers.iter().filter(|(name, _)| name == "vary");
    values
        .flat_map(|(_, value)| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("accept-encoding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selecting(fields: &[(&str, &str)]) -> Selecting {
        let read = Selecting::read(|name| {
            let lines = fields.iter().filter(|(n, _)| *n == name);
            Ok::<_, ()>(lines.map(|&(_, value)| value.to_owned()).collect())
        });
        read.unwrap()
    }

    fn vary(value: &str) -> Vec<(String, String)> {
        vec![("vary".to_owned(), value.to_owned())]
    }

    #[test]
    fn only_the_named_fields_select() {
        let a = selecting(&[("origin", "https://a"), ("accept", "*/*"), ("cookie", "x")]);
        let b = selecting(&[("origin", "https://b"), ("accept", "*/*")]);
        let none = selecting(&[]);
        assert!(a.selects(&b, &[]) && a.selects(&b, &vary("Accept-Encoding, Accept")));
        assert!(!a.selects(&b, &vary("Origin")) && !a.selects(&none, &vary("Accept, Origin")));
        assert!(a.selects(&a, &vary("Origin")) && none.selects(&none, &vary("origin")));
        assert!(none.is_empty());
        assert_eq!(
            b.named(&vary("Accept, Accept-Language")),
            selecting(&[("accept", "*/*")])
        );
    }

    #[test]
    fn what_varies_by_anything_else_is_not_bounded() {
        assert!(is_bounded(&vary("Origin, Access-Control-Request-Method")));
        assert!(is_bounded(&vary("")) && is_bounded(&[]));
        assert!(!is_bounded(&vary("*")) && !is_bounded(&vary("Origin, Cookie")));
    }
}
