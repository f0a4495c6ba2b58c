//! Downloads.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::client::{Client, escape};
use crate::figures::{bytes, plain, stored};
use crate::output;

/// How often it is asked how far one is.
const STEP: Duration = Duration::from_millis(250);

pub(super) fn start(client: &Client, what: &str, wait: bool, json: bool) -> Result<()> {
    let request = match what.contains("://") {
        true => json!({"url": what}),
        false => json!({"entity": what}),
    };
    let mut download = client.call("POST", "/v1/downloads", Some(&request))?;
    if wait {
        download = follow(client, download)?;
    }
    report(&download, json)?;
    match download["status"].as_str() {
        Some("failed") => bail!("{}", plain(&download["detail"])),
        _ => Ok(()),
    }
}

/// Shows the progress until there is none to come. Who interrupts that leaves the download be.
fn follow(client: &Client, mut download: Value) -> Result<Value> {
    let path = format!("/v1/downloads/{}", plain(&download["id"]));
    let bar = ProgressBar::new(0);
    let style = "{bar:32} {percent:>3} %  {msg}";
    bar.set_style(ProgressStyle::with_template(style)?);
    while !matches!(
        download["status"].as_str(),
        Some("complete" | "failed" | "paused")
    ) {
        bar.set_length(download["complete_length"].as_u64().unwrap_or(0));
        bar.set_position(download["cached_bytes"].as_u64().unwrap_or(0));
        bar.set_message(state(&download));
        thread::sleep(STEP);
        download = client.get(&path)?;
    }
    bar.finish_and_clear();
    Ok(download)
}

fn state(download: &Value) -> String {
    let mut state = plain(&download["status"]);
    if download["status"] == "running" {
        state += &format!(" {}/s", bytes(&download["bytes_per_second"]));
        if let Some(seconds) = download["eta_seconds"].as_u64() {
            state += &format!(", {}:{:02} left", seconds / 60, seconds % 60);
        }
    }
    if let Some(detail) = download["detail"].as_str() {
        state += &format!(" ({detail})");
    }
    state
}

pub(super) fn list(client: &Client, json: bool) -> Result<()> {
    let items = client.list("/v1/downloads?limit=1000", 0)?;
    if json {
        return output::json(&Value::Array(items));
    }
    let rows = items.iter().map(|download| {
        vec![
            plain(&download["id"]),
            state(download),
            bytes(&download["cached_bytes"]),
            stored(download),
            plain(&download["key"]),
        ]
    });
    output::table(&["ID", "STATUS", "STORED", "OF IT", "KEY"], rows.collect())
}

pub(super) fn act(client: &Client, id: &str, action: &str, json: bool) -> Result<()> {
    let path = format!("/v1/downloads/{}/{action}", escape(id));
    report(&client.call("POST", &path, None)?, json)
}

pub(super) fn cancel(client: &Client, id: &str) -> Result<()> {
    let path = format!("/v1/downloads/{}", escape(id));
    client.call("DELETE", &path, None).map(drop)
}

fn report(download: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(download);
    }
    let done = format!(
        "{} of {}",
        bytes(&download["cached_bytes"]),
        bytes(&download["complete_length"])
    );
    output::say(&format!(
        "{}  {}  {done}",
        plain(&download["id"]),
        state(download)
    ))
}
