//! The disk and the clock that the sidecar sees: a library that is loaded into it and does as a
//! shared file says.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

const SOURCE: &str = include_str!("shim.c");

/// What it does; the default is nothing. `struct control` in shim.c reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// Microseconds before each read, write and sync.
    pub(crate) delay: i64,
    /// The error of reads.
    pub(crate) read_error: i64,
    /// The error of whatever changes a file or a folder.
    pub(crate) change_error: i64,
    /// Whether only RocksDB's folder is meant.
    pub(crate) index_only: bool,
    /// The seconds that the clock of day is ahead.
    pub(crate) clock: i64,
}

impl Control {
    fn bytes(self) -> [u8; 40] {
        let words = [
            self.delay,
            self.read_error,
            self.change_error,
            self.index_only.into(),
            self.clock,
        ];
        let mut bytes = [0; 40];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// The compiled library and its file.
#[derive(Debug)]
pub(crate) struct Shim {
    library: PathBuf,
    control: PathBuf,
    file: File,
}

impl Shim {
    /// Compiles it into a folder.
    pub(crate) fn compile(folder: &Path) -> Result<Self> {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        std::fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .context("cc (Debian: gcc)")?;
        let errors = String::from_utf8_lossy(&compiled.stderr);
        ensure!(compiled.status.success(), "{}: {errors}", source.display());
        let control = folder.join("control");
        let file = File::create(&control)?;
        let shim = Self {
            library,
            control,
            file,
        };
        shim.set(Control::default())?;
        Ok(shim)
    }

    /// What a sidecar must be started with, whose data are in a folder.
    pub(crate) fn variables(&self, data: &Path) -> Vec<(String, String)> {
        let variable = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
        vec![
            variable("LD_PRELOAD", &self.library),
            variable("VIEWCACHE_CHAOS_CONTROL", &self.control),
            variable("VIEWCACHE_CHAOS_FOLDER", data),
        ]
    }

    /// From now on.
    pub(crate) fn set(&self, control: Control) -> Result<()> {
        Ok(self.file.write_all_at(&control.bytes(), 0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_in_the_order_that_the_library_reads() {
        let control = Control {
            delay: 1,
            read_error: 2,
            change_error: 3,
            index_only: true,
            clock: -1,
        };
        let mut expected = Vec::new();
        for word in [1_i64, 2, 3, 1, -1] {
            expected.extend(word.to_ne_bytes());
        }
        assert_eq!(control.bytes().to_vec(), expected);
        assert_eq!(Control::default().bytes(), [0; 40]);
    }
}
