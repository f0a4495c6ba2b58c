//! What is cached.

use anyhow::Result;
use serde_json::{Value, json};

use crate::args::{Ls, Rm};
use crate::client::{Client, escape};
use crate::figures::{bytes, plain, stored};
use crate::output;

/// The most that a page of the API may have.
const PAGE: usize = 1000;

pub(super) fn list(client: &Client, which: &Ls, json: bool) -> Result<()> {
    let page = if which.limit == 0 {
        PAGE
    } else {
        which.limit.min(PAGE)
    };
    let mut path = format!("/v1/entities?limit={page}&sort={}", escape(&which.sort));
    let flag = |given: bool| given.then(|| "true".to_owned());
    let filters = [
        ("video", which.video.clone()),
        ("channel", which.channel.clone()),
        ("itag", which.itag.clone()),
        ("status", which.status.clone()),
        ("pinned", flag(which.pinned)),
        ("provisional", flag(which.provisional)),
        ("prefix", which.prefix.clone()),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            path += &format!("&{name}={}", escape(&value));
        }
    }
    let items = client.list(&path, which.limit)?;
    if json {
        return output::json(&Value::Array(items));
    }
    let rows = items.iter().map(|entity| {
        vec![
            plain(&entity["id"]),
            plain(&entity["status"]),
            kept(entity).to_owned(),
            bytes(&entity["cached_bytes"]),
            stored(entity),
            plain(&entity["hits"]),
            plain(&entity["last_accessed"]),
            plain(&entity["key"]),
        ]
    });
    let head = [
        "ID",
        "STATUS",
        "KEPT",
        "STORED",
        "OF IT",
        "HITS",
        "LAST ACCESSED",
        "KEY",
    ];
    output::table(&head, rows.collect())
}

fn kept(entity: &Value) -> &'static str {
    match (entity["pinned"] == true, entity["provisional"] == true) {
        (true, _) => "pinned",
        (false, true) => "provisional",
        (false, false) => "yes",
    }
}

pub(super) fn show(client: &Client, id: &str, json: bool) -> Result<()> {
    let is_entity = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    // What has no video of its own is its only entity, by the same id.
    let found = match is_entity {
        true => client.get(&format!("/v1/entities/{id}")),
        false => client.get(&format!("/v1/videos/{}", escape(id))),
    }?;
    if json {
        return output::json(&found);
    }
    if is_entity {
        return one(&found);
    }
    output::facts(&[
        ("video", plain(&found["id"])),
        ("title", plain(&found["title"])),
        ("channel", plain(&found["channel"])),
        (
            "stored",
            format!(
                "{} of {}",
                bytes(&found["cached_bytes"]),
                bytes(&found["complete_length"])
            ),
        ),
    ])?;
    for entity in found["entities"].as_array().into_iter().flatten() {
        output::say("")?;
        one(&client.get(&format!("/v1/entities/{}", plain(&entity["id"])))?)?;
    }
    Ok(())
}

fn one(entity: &Value) -> Result<()> {
    let pairs = entity["ranges"].as_array().map_or(&[][..], Vec::as_slice);
    let ranges = pairs
        .iter()
        .map(|pair| format!("[{}, {})", pair[0], pair[1]));
    let status = match entity["stale_reason"].as_str() {
        Some(reason) => format!("{} ({reason})", plain(&entity["status"])),
        None => plain(&entity["status"]),
    };
    let percent = &entity["watched_percent"];
    output::facts(&[
        ("entity", plain(&entity["id"])),
        ("key", plain(&entity["key"])),
        ("video", plain(&entity["video_id"])),
        ("channel", plain(&entity["channel"])),
        ("status", status),
        ("kept", kept(entity).to_owned()),
        (
            "stored",
            format!(
                "{} of {} ({})",
                bytes(&entity["cached_bytes"]),
                bytes(&entity["complete_length"]),
                stored(entity)
            ),
        ),
        ("ranges", ranges.collect::<Vec<_>>().join(" ")),
        (
            "watched",
            if percent.is_null() {
                "-".to_owned()
            } else {
                format!("{percent} % by one viewer")
            },
        ),
        ("viewers now", plain(&entity["viewers"])),
        ("hits", plain(&entity["hits"])),
        ("from cache", bytes(&entity["bytes_from_cache"])),
        ("from origin", bytes(&entity["bytes_from_origin"])),
        ("first seen", plain(&entity["started_at"])),
        ("last accessed", plain(&entity["last_accessed"])),
    ])
}

pub(super) fn remove(client: &Client, what: Rm, json: bool) -> Result<()> {
    let selector = match what {
        Rm {
            entity: Some(id), ..
        } => json!({"entity": id}),
        Rm {
            video: Some(id), ..
        } => json!({"video": id}),
        Rm {
            channel: Some(id), ..
        } => json!({"channel": id}),
        Rm {
            prefix: Some(key), ..
        } => json!({"prefix": key}),
        _ => json!({"all": true}),
    };
    let purged = client.call("POST", "/v1/purges", Some(&selector))?;
    if json {
        return output::json(&purged);
    }
    let entities = match purged["entities"].as_u64() {
        Some(1) => "1 entity".to_owned(),
        _ => format!("{} entities", purged["entities"]),
    };
    output::say(&format!("removed {entities}, {}", bytes(&purged["bytes"])))
}

pub(super) fn pin(client: &Client, ids: &[String], method: &str) -> Result<()> {
    for id in ids {
        client.call(method, &format!("/v1/entities/{}/pin", escape(id)), None)?;
    }
    Ok(())
}
