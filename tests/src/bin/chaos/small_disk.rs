//! A small file system for the data, in the mount namespace that the program runs in: it is gone
//! with the program, whatever ends that.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Room for the kept films, for new ones for a while, and for the index.
const SIZE: &str = "size=768m";

/// Mounted as long as this is there.
#[derive(Debug)]
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: &Path) -> Result<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "none"]).arg(at);
        let output = mount.output().context("mount")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {errors}", at.display());
        Ok(Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // At once, also when a process that is being killed still has a file open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}
