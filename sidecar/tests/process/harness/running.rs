//! A sidecar's process.

use std::ops::{Deref, DerefMut};
use std::process::Child;

/// One that does not outlive its test.
pub(crate) struct Running(pub(super) Child);

impl Running {
    pub(crate) fn lives(&mut self) -> bool {
        self.try_wait().unwrap().is_none()
    }

    /// The memory that it has had at the most, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.unwrap().parse::<u64>().unwrap() << 10
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kill();
        let _ = self.wait();
    }
}
