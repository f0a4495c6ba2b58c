//! The network between Envoy and the sidecar: what either sends is dropped without a word. The
//! rules are in the program's own network namespace.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Act, Needs, Plan, limits};
use crate::stage::{Kind, Stage};
use crate::verdict::Excuse;

pub(crate) const PLANS: &[Plan] = &[Plan {
    name: "partition",
    what: "packets between Envoy and the sidecar, egress included, are dropped for 8 s",
    act: Act::Partition,
    kind: Kind::Shipped,
    needs: Needs::Namespace,
    lasts: Duration::from_secs(8),
    excuse: Excuse::Nothing,
    // What the sidecar was sending waits until TCP sends it again, at most twice as long after.
    limits: limits(1_500, 18_000, 9_000),
    short: false,
}];

/// Drops what goes to or comes from the sidecar's data port and the egress listener.
pub(super) fn part(stage: &Stage) -> Result<()> {
    let data = stage.stack.data_port(0).port();
    let egress = stage.stack.egress().port();
    nft(&format!(
        "table inet viewcache_chaos {{
            chain input {{
                type filter hook input priority 0;
                tcp dport {{ {data}, {egress} }} drop
                tcp sport {{ {data}, {egress} }} drop
            }}
        }}"
    ))
}

pub(super) fn join() -> Result<Option<String>> {
    nft("delete table inet viewcache_chaos")?;
    Ok(None)
}

fn nft(rules: &str) -> Result<()> {
    let nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut nft = nft.context("nft (Debian: nftables)")?;
    let stdin = nft.stdin.take();
    stdin.context("no stdin")?.write_all(rules.as_bytes())?;
    let output = nft.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "nft: {errors}");
    Ok(())
}

/// Whether the program is there that drops packets.
pub(crate) fn possible() -> bool {
    let version = Command::new("nft").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}
