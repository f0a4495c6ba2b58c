//! Downloads and the policy.

use std::time::Duration;

use e2e::client::HOST;
use e2e::content::Content;
use e2e::origin::Script;
use serde_json::json;
use tokio::process::Command;

use super::{binary, command, ctl, finish, rest};
use crate::world::{KIB, MIB, World};

/// An entity whose origin takes about two seconds for it.
fn slow(world: &World, path: &str) -> String {
    let pace = Some((64 * KIB, Duration::from_millis(60)));
    let script = Script {
        pace,
        ..Script::new(Content::new(path, 2 * MIB))
    };
    world.origin.script(path, script);
    format!("http://{HOST}{path}")
}

#[tokio::test]
async fn downloads_are_followed_and_directed() {
    let world = World::start().await;
    let url = slow(&world, "/film");
    // A terminal of its own, because the bar is drawn on one only.
    let mut terminal = Command::new("script");
    let words = format!("{} download {url}", binary().display());
    terminal.args(["-qec", &words, "/dev/null"]);
    terminal.env("VIEWCACHE_URL", format!("http://{}", world.stack.manage(0)));
    terminal.env("TERM", "xterm");
    let drawn = finish(terminal, "").await;
    assert_eq!(drawn.code, 0, "{drawn:?}");
    assert!(
        drawn.out.contains('█') && drawn.out.contains(" %  running"),
        "{drawn:?}"
    );
    let end = drawn.out.trim_end();
    assert!(end.ends_with("complete  2.00 MiB of 2.00 MiB"), "{drawn:?}");

    // Elsewhere it says how it ended.
    let again = ctl(&world, &["download", &url]).await.ok();
    let id = again.split_whitespace().next().unwrap().to_owned();
    assert_eq!(again, format!("{id}  complete  2.00 MiB of 2.00 MiB\n"));
    assert_eq!(
        rest(&world, &format!("/v1/entities/{id}")).await["cached_bytes"],
        2 * MIB
    );

    let url = slow(&world, "/other");
    let begun = ctl(&world, &["download", "--json", "--no-wait", &url])
        .await
        .json();
    let id = begun["id"].as_str().unwrap();
    let report = format!("/v1/downloads/{id}");
    let list = ctl(&world, &["downloads"]).await.ok();
    assert!(list.lines().count() == 3 && list.contains(id), "{list}");
    let said = ctl(&world, &["downloads", "pause", id]).await.ok();
    assert!(said.starts_with(&format!("{id}  paused  ")), "{said}");
    assert_eq!(rest(&world, &report).await["status"], "paused");
    let said = ctl(&world, &["downloads", "resume", id, "--json"])
        .await
        .json();
    assert_ne!(said["status"], "paused");
    // By its entity this time.
    let whole = ctl(&world, &["download", id]).await.ok();
    assert!(whole.contains("  complete  "), "{whole}");
    ctl(&world, &["downloads", "cancel", id]).await.ok();
    let items = ctl(&world, &["downloads", "--json"]).await.json();
    assert_eq!(items.as_array().unwrap().len(), 1, "{items}");
    ctl(&world, &["download", "http://"])
        .await
        .refused(1, "400: ");
}

#[tokio::test]
async fn the_policy_is_shown_set_and_replaced() {
    let world = World::start().await;
    let shown = ctl(&world, &["policy"]).await.ok();
    let rule = |text: &str, name: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
        lines.next().map(|value| value.trim().to_owned())
    };
    assert_eq!(
        rule(&shown, "admit.watched_percent ").as_deref(),
        Some("10")
    );
    let said = ctl(
        &world,
        &["policy", "set", "admit.watched_percent=5", "keep=complete"],
    )
    .await
    .ok();
    assert_eq!(rule(&said, "keep ").as_deref(), Some("complete"));
    let policy = rest(&world, "/v1/policy").await;
    assert_eq!(policy["admit"]["watched_percent"], 5);
    assert_eq!(policy["keep"], "complete");
    assert_eq!(ctl(&world, &["policy", "--json"]).await.json(), policy);
    let wrong = ctl(&world, &["policy", "set", "admit.watched_percent=101"]).await;
    wrong.refused(1, "admit.watched_percent: 101 is more than 100");
    assert_eq!(rest(&world, "/v1/policy").await, policy);
    ctl(&world, &["policy", "set", "keep=null"]).await.ok();
    assert_eq!(rest(&world, "/v1/policy").await["keep"], "watched");

    let replace = command(world.stack.manage(0), &["policy", "replace", "-"]);
    finish(replace, r#"{"lend_room": true}"#).await.ok();
    let policy = rest(&world, "/v1/policy").await;
    assert_eq!(
        (&policy["lend_room"], &policy["admit"]["watched_percent"]),
        (&json!(true), &json!(10))
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    std::fs::write(&file, r#"{"keep": "complete"}"#).unwrap();
    ctl(&world, &["policy", "replace", file.to_str().unwrap()])
        .await
        .ok();
    assert_eq!(rest(&world, "/v1/policy").await["lend_room"], false);
}
