//! How the cache does.

use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::client::Client;
use crate::figures::{bytes, percent, plain};
use crate::output;

const SECOND: Duration = Duration::from_secs(1);

/// Clears a terminal and begins at its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) fn show(client: &Client, json: bool) -> Result<()> {
    let stats = client.get("/v1/stats")?;
    if json {
        return output::json(&stats);
    }
    windows(&stats["windows"])?;
    output::say("")?;
    let (now, disk, pools) = (&stats["throughput"], &stats["disk"], &stats["pools"]);
    output::facts(&[
        ("viewers", plain(&stats["viewers"])),
        ("fills", plain(&stats["fills"])),
        ("entities", plain(&stats["entities"])),
        ("to viewers", format!("{}/s", bytes(&now["to_viewers"]))),
        ("from cache", format!("{}/s", bytes(&now["from_cache"]))),
        ("from origin", format!("{}/s", bytes(&now["from_origin"]))),
        (
            "disk",
            format!(
                "{} of {}, {} free",
                bytes(&disk["used"]),
                bytes(&disk["max"]),
                bytes(&disk["free"])
            ),
        ),
        (
            "provisional",
            format!(
                "{} of {}",
                bytes(&pools["provisional"]["bytes"]),
                bytes(&pools["provisional"]["max"])
            ),
        ),
        ("pinned", bytes(&pools["pinned"]["bytes"])),
    ])
}

fn windows(windows: &Value) -> Result<()> {
    let rows = ["minute", "hour", "day", "total"].map(|name| {
        let window = &windows[name];
        vec![
            name.to_owned(),
            plain(&window["requests"]),
            percent(&window["hit_ratio"]),
            percent(&window["byte_hit_ratio"]),
            bytes(&window["bytes_to_viewers"]),
            bytes(&window["bytes_from_origin"]),
            bytes(&window["origin_bytes_saved"]),
        ]
    });
    let head = [
        "LAST",
        "REQUESTS",
        "HITS",
        "BYTE HITS",
        "TO VIEWERS",
        "FROM ORIGIN",
        "SAVED",
    ];
    output::table(&head, rows.into())
}

/// Shows it again and again; what is not a terminal gets one after the other.
pub(super) fn watch(client: &Client, json: bool) -> Result<()> {
    let clears = !json && io::stdout().is_terminal();
    loop {
        if clears {
            output::say(CLEAR)?;
        }
        show(client, json)?;
        thread::sleep(SECOND);
    }
}
