//! The code blocks of a document, and the edits that its diffs ask for.

use anyhow::{Context, Result, bail};

/// The code blocks in one language below one heading, in order.
pub fn blocks(document: &str, heading: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut here = false;
    let mut fence: Option<(bool, String)> = None;
    for line in document.lines() {
        match (&mut fence, line.strip_prefix("```")) {
            (None, Some(opened)) => fence = Some((here && opened == language, String::new())),
            (None, None) if line.starts_with('#') => {
                here = line.trim_start_matches('#').trim() == heading;
            }
            (None, None) => {}
            (Some((wanted, text)), Some(_)) => {
                if *wanted {
                    blocks.push(std::mem::take(text));
                }
                fence = None;
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    blocks
}

/// What somebody does by hand who follows a diff.
#[derive(Debug, Default)]
pub struct Edits {
    hunks: Vec<Hunk>,
}

#[derive(Debug, Default)]
struct Hunk {
    before: String,
    after: String,
    added: usize,
    removed: usize,
}

impl Edits {
    /// Reads a diff whose hunks begin with `@@` lines.
    pub fn read(diff: &str) -> Result<Self> {
        let mut edits = Self::default();
        for line in diff.lines() {
            if line.starts_with("@@") {
                edits.hunks.push(Hunk::default());
                continue;
            }
            let hunk = edits.hunks.last_mut();
            let hunk = hunk.with_context(|| format!("{line:?} comes before the first @@"))?;
            let (kind, text) = line.split_at(line.len().min(1));
            let on = |side: &mut String| *side += &format!("{text}\n");
            match kind {
                "+" => {
                    on(&mut hunk.after);
                    hunk.added += 1;
                }
                "-" => {
                    on(&mut hunk.before);
                    hunk.removed += 1;
                }
                " " | "" => {
                    on(&mut hunk.before);
                    on(&mut hunk.after);
                }
                _ => bail!("{line:?} is not a line of a diff"),
            }
        }
        Ok(edits)
    }

    /// The lines that are written, changed or taken out.
    pub fn lines(&self) -> usize {
        let lines = |hunk: &Hunk| hunk.added.max(hunk.removed);
        self.hunks.iter().map(lines).sum()
    }

    /// Makes the edits. What each of them is about must be there once.
    pub fn apply(&self, text: &str) -> Result<String> {
        let mut text = text.to_owned();
        for Hunk { before, after, .. } in &self.hunks {
            match text.matches(before).count() {
                1 => text = text.replace(before, after),
                found => bail!("found {found} times, expected once:\n{before}"),
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_by_heading_and_language() {
        let document = "# A\n```sh\n# B\none\n```\n## B\n```sh\ntwo\n```\n```yaml\nx: 1\n```\n";
        assert_eq!(blocks(document, "A", "sh"), ["# B\none\n"]);
        assert_eq!(blocks(document, "B", "sh"), ["two\n"]);
        assert_eq!(blocks(document, "B", "yaml"), ["x: 1\n"]);
        assert_eq!(blocks(document, "C", "sh"), [""; 0]);
    }

    #[test]
    fn edits_are_counted_and_made() {
        let edits = Edits::read("@@\n a\n+b\n c\n@@\n-d\n+e\n+f\n@@\n-g\n").unwrap();
        assert_eq!(edits.lines(), 4);
        assert_eq!(edits.apply("a\nc\nd\ng\n").unwrap(), "a\nb\nc\ne\nf\n");
        assert!(edits.apply("a\nc\nd\nd\ng\n").is_err());
        assert!(edits.apply("a\nd\ng\n").is_err());
        assert!(Edits::read("+a\n").is_err());
        assert!(Edits::read("@@\na\n").is_err());
    }
}
