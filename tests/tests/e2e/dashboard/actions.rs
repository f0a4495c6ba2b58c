//! What people do on the pages.

use std::time::Duration;

use e2e::client::Request;
use e2e::content::Content;
use e2e::origin::Script;
use e2e::poll::until;
use serde_json::{Value, json};

use super::{N, call, film, told};
use crate::world::{KIB, MIB, SOON};

#[tokio::test]
async fn a_video_is_found_named_pinned_downloaded_and_purged() {
    let (world, browser, _, video) = film().await;
    let id = world.entity("/film").await.unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    browser.view("/videos").await;
    browser
        .becomes("document.querySelectorAll('.row').length === 1")
        .await;
    browser.write("input[type=search]", "no such film").await;
    browser
        .becomes("document.querySelectorAll('.row').length === 0")
        .await;
    browser.write("input[type=search]", &video).await;
    browser
        .becomes("document.querySelectorAll('.row').length === 1")
        .await;
    browser.choose("select[aria-label=Status]", "partial").await;
    browser
        .becomes("document.querySelectorAll('.row').length === 0")
        .await;
    browser
        .choose("select[aria-label=Status]", "complete")
        .await;
    browser
        .becomes("document.querySelectorAll('.row').length === 1")
        .await;
    browser.write("input[aria-label=Channel]", "UCnone").await;
    browser
        .becomes("document.querySelectorAll('.row').length === 0")
        .await;
    browser.write("input[aria-label=Channel]", " ").await;
    browser
        .becomes("document.querySelectorAll('.row').length === 1")
        .await;
    browser.choose("select[aria-label=Order]", "-hits").await;
    // By the keyboard alone: to the list, its first row, and in.
    browser
        .script("document.querySelector('.list').focus()")
        .await;
    browser.keys("\u{e015}").await;
    browser.keys("\u{e007}").await;
    browser.says("Stored ranges").await;
    browser
        .becomes(&format!(
            "document.querySelector('canvas.map').dataset.stored === '{N}'"
        ))
        .await;

    browser.write("input[name=title]", "A film").await;
    browser.write("input[name=channel]", "UCfilms").await;
    browser.button("Save").await;
    told(&world, &format!("/v1/videos/{video}"), |v| {
        v["title"] == "A film" && v["channel"] == "UCfilms"
    })
    .await;
    browser
        .becomes("document.querySelector('h1').textContent === 'A film'")
        .await;

    let entity = format!("/v1/entities/{id}");
    browser.button("Pin").await;
    told(&world, &entity, |entity| entity["pinned"] == true).await;
    browser.button("Unpin").await;
    told(&world, &entity, |entity| entity["pinned"] == false).await;
    browser.button("Download").await;
    told(&world, &format!("/v1/downloads/{id}"), |download| {
        download["status"] == "complete"
    })
    .await;
    browser.click("section details:last-of-type summary").await;
    browser.says("Nothing.").await;
    browser.button("Purge").await;
    browser.says("Remove the 4.00 MiB").await;
    browser.picture("question").await;
    browser.button("No").await;
    assert_eq!(call(&world, &entity).await["cached_bytes"], N);
    browser.button("Purge").await;
    browser.button("Yes").await;
    told(&world, &entity, |entity| {
        entity["cached_bytes"].as_u64().unwrap_or(0) == 0
    })
    .await;

    // Again, and all of the video at once.
    world
        .view(&Request::get("/film"), Content::new("/film", N))
        .await;
    world.stored("/film", &[(0, N)]).await;
    browser
        .becomes(&format!(
            "document.querySelector('canvas.map')?.dataset.stored === '{N}'"
        ))
        .await;
    browser.button("Purge the video").await;
    browser.button("Yes").await;
    told(&world, &entity, |entity| {
        entity["cached_bytes"].as_u64().unwrap_or(0) == 0
    })
    .await;
    browser.says("Nothing of it is stored").await;
}

#[tokio::test]
async fn downloads_are_begun_paused_resumed_and_cancelled() {
    let (world, browser, _, _) = film().await;
    let content = Content::new("/slow", N);
    let pace = Some((64 * KIB, Duration::from_millis(100)));
    world.origin.script(
        "/slow",
        Script {
            pace,
            ..Script::new(content)
        },
    );
    browser.view("/downloads").await;
    browser
        .write(
            "input[name=url]",
            &format!("http://{}/slow", e2e::client::HOST),
        )
        .await;
    browser.click("main form button.primary").await;
    let list = "/v1/downloads";
    let status =
        |expected: &'static str| move |list: &Value| list["items"][0]["status"] == expected;
    told(&world, list, status("running")).await;
    browser.button("Pause").await;
    told(&world, list, status("paused")).await;
    browser.button("Resume").await;
    told(&world, list, |list| list["items"][0]["status"] != "paused").await;
    browser.button("Cancel").await;
    told(&world, list, |list| list["items"] == json!([])).await;
    browser.says("Nothing is downloaded").await;
    // What cannot be is said.
    browser.write("input[name=url]", "ftp://media.test/f").await;
    browser.click("main form button.primary").await;
    browser
        .becomes("document.querySelector('#notices .bad')")
        .await;
    assert_eq!(call(&world, list).await["items"], json!([]));
}

#[tokio::test]
async fn channels_are_added_changed_imported_and_forgotten() {
    let (world, browser, _, _) = film().await;
    browser.view("/channels").await;
    browser
        .write("input[aria-label='Id of a channel']", "UCone")
        .await;
    browser.button("Add").await;
    told(&world, "/v1/channels/UCone", |channel| {
        channel["mode"] == "inherit"
    })
    .await;
    // When this is said, its row is there to stay.
    browser.says("Added.").await;
    browser
        .choose("select[aria-label='Mode of UCone']", "auto")
        .await;
    browser
        .write(
            "tr[data-channel=UCone] input[aria-label='Quota in MiB']",
            "64",
        )
        .await;
    browser
        .write(
            "tr[data-channel=UCone] input[aria-label^='Percent']",
            "never",
        )
        .await;
    browser
        .write(
            "tr[data-channel=UCone] input[aria-label='Hours to keep']",
            "2",
        )
        .await;
    browser.button("Save").await;
    told(&world, "/v1/channels/UCone", |channel| {
        channel["mode"] == "auto"
            && channel["quota_bytes"] == 64 * MIB
            && channel["watched_percent"] == "never"
            && channel["min_keep_seconds"] == 7200
    })
    .await;
    browser.says("Saved.").await;
    browser
        .write("tr[data-channel=UCone] input[aria-label^='Percent']", "200")
        .await;
    browser.button("Save").await;
    browser.says("watched_percent: 200 is more than 100").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("subscriptions.csv");
    std::fs::write(
        &file,
        "Channel Id,Channel Url,Channel Title\nUCtwo,http://www.youtube.com/channel/UCtwo,Two\n",
    )
    .unwrap();
    browser
        .write("input[type=file]", &file.display().to_string())
        .await;
    browser.button("Import").await;
    told(&world, "/v1/channels/UCtwo", |channel| {
        channel["title"] == "Two"
    })
    .await;
    browser.click("tr[data-channel=UCtwo] button.danger").await;
    browser.button("Yes").await;
    let gone = until("it is forgotten", SOON, async || {
        let list = call(&world, "/v1/channels").await.to_string();
        (!list.contains("UCtwo")).then_some(())
    });
    gone.await.unwrap();
}

#[tokio::test]
async fn the_policy_is_changed_and_checked() {
    let (world, browser, _, _) = film().await;
    browser.view("/policy").await;
    browser
        .write("input[name='admit.watched_percent']", "101")
        .await;
    browser.click("main form button.primary").await;
    browser
        .says("admit.watched_percent: 101 is more than 100")
        .await;
    browser.becomes("document.querySelector(\"[name='admit.watched_percent']\").getAttribute('aria-invalid') === 'true'").await;
    browser.picture("policy-refused").await;
    browser
        .write("input[name='admit.watched_percent']", "25")
        .await;
    browser.click("main form button.primary").await;
    told(&world, "/v1/policy", |policy| {
        policy["admit"]["watched_percent"] == 25
    })
    .await;
    // When this is said, the form has been filled anew.
    browser.says("The policy is in force.").await;
    let said = browser.script("return document.body.innerText").await;
    assert!(!said.to_string().contains("Somebody else"), "{said}");
    // Somebody else changes it: what is being written stays, and is refused.
    browser
        .write("input[name='provisional_percent']", "7")
        .await;
    browser.script("document.activeElement.blur()").await;
    world.policy(json!({"admit": {"viewers": 3}})).await;
    browser.says("Somebody else has changed the policy.").await;
    browser.click("main form button.primary").await;
    browser.says("somebody else has changed it").await;
    assert_eq!(call(&world, "/v1/policy").await["provisional_percent"], 10);
    browser.button("Load again").await;
    browser
        .becomes("document.querySelector(\"[name='admit.viewers']\").value === '3'")
        .await;
    browser.click("summary").await;
    browser
        .script(
            "document.querySelector('details textarea').value = '{\"provisional_percent\": 20}'",
        )
        .await;
    browser.button("Replace the policy").await;
    told(&world, "/v1/policy", |policy| {
        policy["provisional_percent"] == 20 && policy["admit"]["viewers"] == 0
    })
    .await;
}
