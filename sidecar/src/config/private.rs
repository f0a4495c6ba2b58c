//! Texts that must not be seen: where they are written and how they are read.

use std::fmt;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Deserialize;
use thiserror::Error;

/// Longer ones are something else.
const MAX_FILE: u64 = 64 << 10;

/// A text of the TOML file or of the environment, not looked at yet, that no message shows.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub(super) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a file with secrets is not read.
#[derive(Debug, Error)]
pub(super) enum FileError {
    /// It cannot be.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Everybody could put a secret of his own into it.
    #[error("mode {0:04o} lets others write it")]
    Writable(u32),
    /// It is longer than all that it could mean.
    #[error("is longer than {MAX_FILE} bytes")]
    Long,
}

/// A file's text.
pub(super) struct Text {
    pub(super) text: String,
    /// Whether others can read it. Orchestrators put secrets into files like that, in a container
    /// where there are no others; so that is worth a warning and no refusal.
    pub(super) exposed: bool,
}

/// Reads a file with secrets. Blocks.
pub(super) fn read(path: &Path) -> Result<Text, FileError> {
    // What is checked is what is read, whatever becomes of the name meanwhile.
    let file = std::fs::File::open(path)?;
    let exposed = judge(&file.metadata()?)?;
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if MAX_FILE < text.len() as u64 {
        return Err(FileError::Long);
    }
    Ok(Text { text, exposed })
}

/// Whether others can read a file with secrets.
pub(super) fn exposed(path: &Path) -> Result<bool, FileError> {
    judge(&std::fs::metadata(path)?)
}

fn judge(metadata: &Metadata) -> Result<bool, FileError> {
    let mode = metadata.permissions().mode() & 0o7777;
    match mode & 0o002 {
        0 => Ok(mode & 0o004 != 0),
        _ => Err(FileError::Writable(mode)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_may_not_write_it_and_had_better_not_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let check = |mode: u32, text: &str, expect: Result<bool, &str>| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = read(&path).map(|read| read.exposed);
            let read = read.map_err(|error| error.to_string());
            assert_eq!(read, expect.map_err(str::to_owned), "{mode:o}");
        };
        check(0o600, "x", Ok(false));
        check(0o640, "x", Ok(false));
        check(0o660, "x", Ok(false));
        check(0o644, "x", Ok(true));
        check(0o666, "x", Err("mode 0666 lets others write it"));
        check(0o602, "x", Err("mode 0602 lets others write it"));
        let long = "x".repeat(MAX_FILE as usize + 1);
        check(0o600, &long, Err("is longer than 65536 bytes"));
        assert!(matches!(
            super::read(&dir.path().join("none")),
            Err(FileError::Io(_))
        ));
    }
}
