//! What the path of a file tells: `{title} [{video_id}].{itag}.{ext}`. Pure.
//!
//! Parts are written as in the filter's profiles, and tell more apart: a part takes only what can
//! be in it, the whole path must fit, and a path that fits in two ways is told of rather than
//! guessed at, because ids may have in them what stands between parts.

use thiserror::Error;

/// Names with the text that a path has in their place.
pub type Parts = Vec<(String, String)>;

/// A pattern of paths below a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// What must stand there.
    Text(String),
    /// `{name}`, `{name:11}` or `{name*}`.
    Part(Part),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: String,
    takes: Takes,
    /// So many characters, not any number.
    count: Option<usize>,
}

/// Which characters a part takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Those of the ids of videos.
    Id,
    Digits,
    /// Those of what is behind a file name's last dot.
    Extension,
    /// All but slashes.
    Name,
    /// All: folders as well.
    Path,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is not the path of a file below the folder.
    #[error("{0:?} is not part of a path below the folder")]
    Path(String),
    /// A brace that opens or closes nothing.
    #[error("{0:?} has a brace without its partner")]
    Brace(String),
    /// What stands between braces.
    #[error("{{{0}}} is not a part such as {{video_id}}, {{video_id:11}} or {{folders*}}")]
    Part(String),
    /// A name that is there more than once.
    #[error("{{{0}}} is there twice")]
    Twice(String),
    /// Nothing says where one part ends and the next begins.
    #[error("nothing stands between {{{0}}} and the part before it")]
    Touching(String),
}

/// Why a path does not tell what its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It does not fit.
    Another,
    /// It fits in more than one way.
    Ambiguous,
}

impl Takes {
    fn of(name: &str) -> Self {
        match name {
            "video_id" => Self::Id,
            "itag" | "lmt" => Self::Digits,
            "ext" => Self::Extension,
            _ => Self::Name,
        }
    }

    const fn takes(self, character: char) -> bool {
        match self {
            Self::Id => character.is_ascii_alphanumeric() || matches!(character, '-' | '_'),
            Self::Digits => character.is_ascii_digit(),
            Self::Extension => character.is_ascii_alphanumeric(),
            Self::Name => character != '/',
            Self::Path => true,
        }
    }
}

impl Part {
    /// Reads what stands between braces.
    fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let named = |name: &str| !name.is_empty() && name.bytes().all(plain);
        if let Some(name) = text.strip_suffix('*') {
            return named(name).then(|| Self {
                name: name.to_owned(),
                takes: Takes::Path,
                count: None,
            });
        }
        let (name, count) = match text.split_once(':') {
            Some((name, digits)) => {
                let count = digits.parse().ok().filter(|&count: &usize| 0 < count);
                (name, Some(count?))
            }
            None => (text, None),
        };
        named(name).then(|| Self {
            name: name.to_owned(),
            takes: Takes::of(name),
            count,
        })
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let odd = |folder: &&str| matches!(*folder, "" | "." | "..");
        if text.split('/').any(|folder| odd(&folder)) {
            return Err(PatternError::Path(text.to_owned()));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let brace = || PatternError::Brace(rest.to_owned());
            let (inside, behind) = after.split_once('}').ok_or_else(brace)?;
            if before.contains('}') {
                return Err(brace());
            }
            let part = Part::parse(inside).ok_or_else(|| PatternError::Part(inside.to_owned()))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let bounded = |before: &Part| before.count.is_some() || part.count.is_some();
            match pieces.last() {
                Some(Piece::Part(before)) if !bounded(before) => {
                    return Err(PatternError::Touching(part.name));
                }
                _ => {}
            }
            let same = |piece: &Piece| matches!(piece, Piece::Part(p) if p.name == part.name);
            if pieces.iter().any(same) {
                return Err(PatternError::Twice(part.name));
            }
            pieces.push(Piece::Part(part));
            rest = behind;
        }
        if rest.contains('}') {
            return Err(PatternError::Brace(rest.to_owned()));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The names of its parts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Part(part) => Some(part.name.as_str()),
        })
    }

    /// What a path below the folder has where the parts are.
    ///
    /// # Errors
    /// When it is another path, or could be read in two ways.
    pub fn parts(&self, path: &str) -> Result<Parts, Mismatch> {
        let ways = self.ways(path);
        match ways[0][0] {
            0 => return Err(Mismatch::Another),
            1 => {}
            _ => return Err(Mismatch::Ambiguous),
        }
        let mut parts = Vec::new();
        let mut at = 0;
        for (piece, after) in self.0.iter().zip(&ways[1..]) {
            match piece {
                Piece::Text(text) => at += text.len(),
                Piece::Part(part) => {
                    // There is one way to go on.
                    let end = part.ends(path, at).find(|&end| 0 < after[end]);
                    let end = end.ok_or(Mismatch::Another)?;
                    parts.push((part.name.clone(), path[at..end].to_owned()));
                    at = end;
                }
            }
        }
        Ok(parts)
    }

    /// In how many ways the pieces from each one on fit what is left of the path at each offset: 0,
    /// 1, or 2 for more.
    fn ways(&self, path: &str) -> Vec<Vec<u8>> {
        let mut last = vec![0; path.len() + 1];
        last[path.len()] = 1;
        let mut ways = vec![last];
        for piece in self.0.iter().rev() {
            let after = &ways[ways.len() - 1];
            let here = match piece {
                Piece::Text(text) => text_ways(text, path, after),
                Piece::Part(part) => part.ways(path, after),
            };
            ways.push(here);
        }
        ways.reverse();
        ways
    }
}

fn text_ways(text: &str, path: &str, after: &[u8]) -> Vec<u8> {
    let mut ways = vec![0; path.len() + 1];
    for (at, _) in path.char_indices() {
        if path[at..].starts_with(text) {
            ways[at] = after[at + text.len()];
        }
    }
    ways
}

impl Part {
    /// Where it may end that begins at `at`.
    fn ends<'a>(&'a self, path: &'a str, at: usize) -> impl Iterator<Item = usize> + 'a {
        let characters = path[at..].char_indices();
        let taken = characters.take_while(|&(_, character)| self.takes.takes(character));
        let ends = taken.map(move |(offset, character)| at + offset + character.len_utf8());
        ends.enumerate()
            .filter(|(before, _)| self.count.is_none_or(|count| before + 1 == count))
            .map(|(_, end)| end)
    }

    fn ways(&self, path: &str, after: &[u8]) -> Vec<u8> {
        let mut ways = vec![0; path.len() + 1];
        for (at, character) in path.char_indices().rev() {
            let next = at + character.len_utf8();
            ways[at] = match self.count {
                Some(_) => self.ends(path, at).map(|end| after[end]).sum::<u8>(),
                // It ends here, or it goes on.
                None if self.takes.takes(character) => (after[next] + ways[next]).min(2),
                None => 0,
            };
        }
        ways
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_read_as_a_whole() {
        let check = |pattern: &str, path: &str, expect: Result<&[(&str, &str)], Mismatch>| {
            let parts = Pattern::parse(pattern).unwrap().parts(path);
            let owned = |pairs: &[(&str, &str)]| -> Parts {
                let pairs = pairs.iter();
                pairs
                    .map(|&(name, text)| (name.to_owned(), text.to_owned()))
                    .collect()
            };
            assert_eq!(parts, expect.map(owned), "{pattern} {path}");
        };
        let another = Err(Mismatch::Another);
        let ambiguous = Err(Mismatch::Ambiguous);
        let simple = "{video_id}-{itag}.{ext}";
        check(
            simple,
            "a-b_-c-22.mp4",
            Ok(&[("video_id", "a-b_-c"), ("itag", "22"), ("ext", "mp4")]),
        );
        check(simple, "abc-22.mp4.part", another);
        check(simple, "abc-hd.mp4", another);
        check(simple, "d/abc-22.mp4", another);
        check(simple, "-22.mp4", another);
        check(simple, "a b-22.mp4", another);
        let titled = "{title} [{video_id}].f{itag}.{ext}";
        check(
            titled,
            "A film [part 1] [x-Y_z].f137.mp4",
            Ok(&[
                ("title", "A film [part 1]"),
                ("video_id", "x-Y_z"),
                ("itag", "137"),
                ("ext", "mp4"),
            ]),
        );
        // As youtube-dl named them: either may have a dash.
        check("{title}-{video_id}.{ext}", "A-b-c.mp4", ambiguous);
        check(
            "{title}-{video_id:11}.{ext}",
            "A-b-c-0123-567_9a.mp4",
            Ok(&[
                ("title", "A-b-c"),
                ("video_id", "0123-567_9a"),
                ("ext", "mp4"),
            ]),
        );
        check("{title}-{video_id:11}.{ext}", "A-short.mp4", another);
        check(
            "{folders*}/{id}.webm",
            "a/b/c.webm",
            Ok(&[("folders", "a/b"), ("id", "c")]),
        );
        check(
            "{video_id:3}{itag}.mp4",
            "abc22.mp4",
            Ok(&[("video_id", "abc"), ("itag", "22")]),
        );
        check(
            "{name}.mkv",
            "Größe 東京.mkv",
            Ok(&[("name", "Größe 東京")]),
        );
        check("film.mp4", "film.mp4", Ok(&[]));
        check("film.mp4", "film.mp4x", another);
        check("{a}aa{b}", "xaaay", ambiguous);
    }

    #[test]
    fn a_wrong_pattern_says_what_is_wrong() {
        let check = |pattern: &str, expect: &str| {
            let error = Pattern::parse(pattern).unwrap_err();
            assert_eq!(error.to_string(), expect, "{pattern}");
        };
        check("", "it is empty");
        let outside = |text: &str| format!("{text:?} is not part of a path below the folder");
        for text in ["/a", "../{id}", "a//b", "a/./{id}", "{id}/"] {
            check(text, &outside(text));
        }
        check("{id", "\"{id\" has a brace without its partner");
        check("a}{id}", "\"a}{id}\" has a brace without its partner");
        check("{id}}", "\"}\" has a brace without its partner");
        let part = |text: &str| {
            format!(
                "{{{text}}} is not a part such as {{video_id}}, {{video_id:11}} or {{folders*}}"
            )
        };
        for text in ["", "a b", "a:", "a:0", "a:x", "*", "a*:3", "a**"] {
            check(&format!("{{{text}}}"), &part(text));
        }
        check("{id}-{id}", "{id} is there twice");
        check(
            "{a}{b}.mp4",
            "nothing stands between {b} and the part before it",
        );
    }

    /// What a part may have, in few letters.
    fn texts() -> impl Strategy<Value = String> {
        "[ab.-]{1,4}"
    }

    proptest! {
        #[test]
        fn what_was_put_together_is_taken_apart_or_told_of(one in texts(), two in texts(), between in "[.-]{1,2}") {
            let pattern = Pattern::parse(&format!("{{one}}{between}{{two}}")).unwrap();
            let path = format!("{one}{between}{two}");
            // All ways, one by one.
            let ways = (1..path.len())
                .filter(|&at| path[at..].starts_with(&between) && at + between.len() < path.len())
                .count();
            let parts = pattern.parts(&path);
            match ways {
                0 => prop_assert!(false, "it was put together so"),
                1 => prop_assert_eq!(parts, Ok(vec![("one".to_owned(), one), ("two".to_owned(), two)])),
                _ => prop_assert_eq!(parts, Err(Mismatch::Ambiguous)),
            }
        }

        #[test]
        fn no_text_makes_it_panic(pattern: String, path: String) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let _ = pattern.parts(&path);
            }
        }
    }
}
