//! Whose bytes a file has: `http://media.example/films/{id}/{file}`, made of its path's parts. Pure.

use thiserror::Error;

use super::pattern::Parts;

/// The part that every file has: its length in bytes.
pub(super) const SIZE: &str = "size";

/// The URL by which viewers ask for a file, with names where it differs from file to file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A part's text, in the path or, `query`, behind the question mark.
    Part {
        name: String,
        query: bool,
    },
}

/// Why a text is no URL of files.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// A brace that opens or closes nothing.
    #[error("{0:?} has a brace without its partner")]
    Brace(String),
    /// A name that the pattern does not have.
    #[error("{{{0}}} is not in the pattern")]
    Unknown(String),
}

impl Target {
    /// Reads a URL in which these names may stand.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, TargetError> {
        let mut pieces = Vec::new();
        let mut query = false;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let brace = || TargetError::Brace(rest.to_owned());
            let (name, behind) = after.split_once('}').ok_or_else(brace)?;
            if before.contains('}') {
                return Err(brace());
            }
            if name != SIZE && !names.contains(&name) {
                return Err(TargetError::Unknown(name.to_owned()));
            }
            query |= before.contains('?');
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Part {
                name: name.to_owned(),
                query,
            });
            rest = behind;
        }
        if rest.contains('}') {
            return Err(TargetError::Brace(rest.to_owned()));
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// The URL of a file with these parts and of this length.
    pub fn url(&self, parts: &Parts, length: u64) -> String {
        let mut url = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Part { name, .. } if name == SIZE => url.push_str(&length.to_string()),
                Piece::Part { name, query } => {
                    let part = parts.iter().find(|(known, _)| known == name);
                    let text = part.map_or("", |(_, text)| text);
                    text.bytes().for_each(|byte| push(&mut url, byte, *query));
                }
            }
        }
        url
    }
}

/// Adds a byte as browsers write it in a URL's path, or as forms do in its query.
fn push(url: &mut String, byte: u8, query: bool) {
    let as_it_is = match byte {
        b if b.is_ascii_alphanumeric() => true,
        b'-' | b'.' | b'_' | b'~' => true,
        b if query || !b.is_ascii_graphic() => false,
        b => !b"\"#%<>?\\^`{|}".contains(&b),
    };
    match as_it_is {
        true => url.push(char::from(byte)),
        false => url.push_str(&format!("%{byte:02X}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_in_it_as_a_browser_writes_them() {
        let check = |target: &str, text: &str, expect: &str| {
            let target = Target::parse(target, &["a"]).unwrap();
            let url = target.url(&vec![("a".to_owned(), text.to_owned())], 7);
            assert_eq!(url, expect);
        };
        check("http://h/v/{a}.mp4", "x", "http://h/v/x.mp4");
        check("http://h/{a}", "d/x y", "http://h/d/x%20y");
        check(
            "http://h/{a}",
            "ö[1](2)'&+=@!",
            "http://h/%C3%B6[1](2)'&+=@!",
        );
        check("http://h/{a}", "50%?#", "http://h/50%25%3F%23");
        check(
            "http://h/v?id={a}&n={size}",
            "a&b/c",
            "http://h/v?id=a%26b%2Fc&n=7",
        );
        check("http://h/v", "x", "http://h/v");
    }

    #[test]
    fn a_wrong_url_says_what_is_wrong() {
        let check = |target: &str, expect: &str| {
            let error = Target::parse(target, &["a"]).unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        check("http://h/{b}", "{b} is not in the pattern");
        check(
            "http://h/{a",
            "\"http://h/{a\" has a brace without its partner",
        );
        check("http://h/{a}}", "\"}\" has a brace without its partner");
    }
}
