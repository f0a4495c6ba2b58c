//! Paths with captures: `/films/{id}/{file*}`.

/// A path to match: text and captures in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// What must stand there.
    Text(String),
    /// `{name}`: a byte or more without a slash, up to the first place where what follows stands.
    Capture(String),
    /// `{name*}`, at the end only: all that is left, at least a byte.
    Rest(String),
}

impl Template {
    /// Reads a template; `None` when it does not begin with a slash, when a brace has no partner,
    /// a name is empty, odd or there twice, two captures touch, or something follows `{name*}`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut rest = text.strip_prefix('/').map(|_| text)?;
        while let Some((before, after)) = rest.split_once('{') {
            let (capture, behind) = after.split_once('}')?;
            let name = capture.strip_suffix('*').unwrap_or(capture);
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            let sound = !name.is_empty() && name.bytes().all(plain) && !names.contains(&name);
            if before.is_empty() || before.contains('}') || !sound {
                return None;
            }
            names.push(name);
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(if capture == name {
                Piece::Capture(name.to_owned())
            } else if behind.is_empty() {
                Piece::Rest(name.to_owned())
            } else {
                return None;
            });
            rest = behind;
        }
        if rest.contains('}') {
            return None;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Some(Self(pieces))
    }

    /// The names of its captures.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Capture(name) | Piece::Rest(name) => Some(name.as_str()),
        })
    }

    /// What a path has where the captures are; `None` when it is another path.
    pub fn captures<'a>(&'a self, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut captures = Vec::new();
        let mut rest = path;
        let mut pieces = self.0.iter().peekable();
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Piece::Rest(name) => {
                    captures.push((name.as_str(), std::mem::take(&mut rest)));
                }
                Piece::Capture(name) => {
                    let end = match pieces.peek() {
                        Some(Piece::Text(text)) => rest
                            .match_indices(text.as_str())
                            .map(|(at, _)| at)
                            .find(|&at| 0 < at)?,
                        _ => rest.len(),
                    };
                    let (value, behind) = rest.split_at_checked(end)?;
                    captures.push((name.as_str(), value));
                    rest = behind;
                    if value.contains('/') {
                        return None;
                    }
                }
            }
        }
        let full = captures.iter().all(|(_, value)| !value.is_empty());
        (rest.is_empty() && full).then_some(captures)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn a_path_is_matched_as_a_whole() {
        let check = |template: &str, path: &str, expect: Option<&[(&str, &str)]>| {
            let template = Template::parse(template).unwrap();
            let got = template.captures(path);
            assert_eq!(got.as_deref(), expect, "{template:?} {path}");
        };
        check("/a", "/a", Some(&[]));
        check("/a", "/ab", None);
        check("/a", "/", None);
        check("/v/{id}", "/v/7", Some(&[("id", "7")]));
        check("/v/{id}", "/v/", None);
        check("/v/{id}", "/v/7/8", None);
        check("/v/{id}.mp4", "/v/a.b.mp4", Some(&[("id", "a.b")]));
        check("/v/{id}.mp4", "/v/.mp4", None);
        check("/v/{id}.mp4", "/v/a.mp4x", None);
        let both: &[_] = &[("id", "7"), ("q", "hd")];
        check("/v/{id}-{q}.mp4", "/v/7-hd.mp4", Some(both));
        check(
            "/v/{id}/{file*}",
            "/v/7/a/b",
            Some(&[("id", "7"), ("file", "a/b")]),
        );
        check("/v/{id}/{file*}", "/v/7/", None);
        check("/{all*}", "/x", Some(&[("all", "x")]));
    }

    #[test]
    fn a_wrong_template_is_none() {
        for text in [
            "", "v", "{id}", "/{", "/}", "/{}", "/{a b}", "/{a}{b}", "/{a}/{a}", "/{a*}/b",
            "/{{a}}", "/{a}}", "/{*}", "/{a**}",
        ] {
            assert_eq!(Template::parse(text), None, "{text}");
        }
    }
}
