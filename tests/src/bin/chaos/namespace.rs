//! A mount and a network namespace of the program's own: what it mounts, drops and connects is
//! seen by nobody else, and is gone with it.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Set inside.
const INSIDE: &str = "VIEWCACHE_CHAOS_INSIDE";

/// How they are made, by root and by others.
const WAYS: [&[&str]; 2] = [
    &["--mount", "--net"],
    &["--user", "--map-root-user", "--mount", "--net"],
];

/// Begins the program again inside of them, in this process; says whether it is inside. Where there
/// are none, what needs them is not run.
pub(crate) fn enter() -> Result<bool> {
    if env::var_os(INSIDE).is_some() {
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        let up = up.context("ip (Debian: iproute2)")?;
        ensure!(up.success(), "the loopback interface does not come up");
        return Ok(true);
    }
    let works = |flags: &&&[&str]| {
        let mut probe = Command::new("unshare");
        probe.args(**flags).args(["ip", "link", "set", "lo", "up"]);
        probe.output().is_ok_and(|output| output.status.success())
    };
    let Some(flags) = WAYS.iter().find(works) else {
        return Ok(false);
    };
    let mut again = Command::new("unshare");
    again.args(*flags).arg("--").arg(env::current_exe()?);
    again.args(env::args_os().skip(1)).env(INSIDE, "1");
    // It returns only when it has failed.
    Err(again.exec()).context("unshare (Debian: util-linux)")
}

/// Whether this is the machine's root, and not a namespace's.
pub(crate) fn is_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    whole && rustix::process::geteuid().is_root()
}
