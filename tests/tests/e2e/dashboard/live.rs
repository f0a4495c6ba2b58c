//! What the pages show by themselves, as it happens.

use std::time::{Duration, Instant};

use e2e::client::Request;
use e2e::content::Content;
use e2e::origin::Script;
use e2e::poll::until;
use serde_json::json;

use super::{N, call, film};
use crate::world::{KIB, MIB, SOON};

#[tokio::test]
async fn the_overview_shows_what_passes() {
    let (world, browser, content, _) = film().await;
    browser.view("/").await;
    browser.says("Hit ratio of the last minute").await;
    browser
        .becomes("document.getElementById('live').dataset.state === 'live'")
        .await;
    world.hit(&Request::get("/film"), content).await;
    // Half of what went to viewers came from the cache.
    browser.says("50.0 %").await;
    browser.says("generic").await;
    let stats = call(&world, "/v1/stats").await;
    assert_eq!(stats["windows"]["minute"]["byte_hit_ratio"], 0.5, "{stats}");
    let loaded = browser.script("return performance.getEntriesByType('resource').map(entry => new URL(entry.name).host).filter(host => host !== location.host)").await;
    assert_eq!(loaded, json!([]), "loaded from elsewhere");
}

/// The maps show bytes, transfers and viewers as it happens, within a second of it.
#[tokio::test]
async fn the_map_grows_while_a_video_plays() {
    const LIVE: u64 = 12 * MIB;
    let (world, browser, _, _) = film().await;
    let content = Content::new("/live", LIVE);
    let pace = Some((64 * KIB, Duration::from_millis(80)));
    let script = Script {
        pace,
        ..Script::new(content)
    };
    world.origin.script("/live", script);
    let ingress = world.stack.ingress();
    let playing = tokio::spawn(async move {
        let mut response = Request::get("/live").send(ingress).await.unwrap();
        let body = response.rest().await.unwrap();
        content.check(0, &body).unwrap();
    });
    let mut id = String::new();
    let appears = until("it is known", SOON, async || {
        let entity = world.entity("/live").await?;
        id = entity["id"].as_str()?.to_owned();
        (0 < entity["cached_bytes"].as_u64()?).then_some(())
    });
    appears.await.unwrap();
    browser.view("/videos").await;
    let doing = format!("document.querySelector('.row[data-id=\"{id}\"] canvas').dataset.doing");
    browser
        .becomes(&format!("{doing}.includes('1 reading')"))
        .await;
    browser.picture("videos-playing").await;
    browser.view(&format!("/videos/{id}")).await;
    let shown = "Number(document.querySelector('canvas.map')?.dataset.stored)";
    browser.becomes(&format!("0 < {shown}")).await;
    let shown = format!("return {shown}");
    let mut behind = Vec::new();
    for _ in 0..15 {
        let entity = call(&world, &format!("/v1/entities/{id}")).await;
        let stored = entity["cached_bytes"].as_u64().unwrap();
        let asked = Instant::now();
        let caught_up = until("the map has them", SOON, async || {
            (stored <= browser.script(&shown).await.as_u64()?).then_some(())
        });
        caught_up.await.unwrap();
        behind.push(asked.elapsed());
    }
    let growing = call(&world, &format!("/v1/entities/{id}")).await;
    assert_eq!(growing["fills"], 1, "it has ended before it was looked at");
    browser.picture("video-playing").await;
    behind.sort_unstable();
    let (median, worst) = (behind[behind.len() / 2], behind[behind.len() - 1]);
    eprintln!("the map was behind by {median:?} in the median, {worst:?} at the most");
    // The machine may be busy with other things for once, not most of the time.
    assert!(median < Duration::from_secs(1), "{behind:?}");
    playing.await.unwrap();
    let stored = "document.querySelector('canvas.map').dataset.stored";
    browser.becomes(&format!("{stored} === '{LIVE}'")).await;
}

#[tokio::test]
async fn events_are_shown_as_they_happen() {
    let (world, browser, _, _) = film().await;
    browser.view("/events").await;
    browser
        .becomes("document.getElementById('live').dataset.state === 'live'")
        .await;
    let content = world.serve("/other", N);
    world.view(&Request::get("/other"), content).await;
    for name in ["appeared", "stored", "admitted", "completed"] {
        browser.becomes(&format!("[...document.querySelectorAll('.log .tag')].some(tag => tag.textContent === '{name}')")).await;
    }
    browser.click("label.check input").await;
    browser.becomes("![...document.querySelectorAll('.log .tag')].some(tag => tag.textContent === 'stored')").await;
    browser.write("input[type=search]", "no such event").await;
    browser
        .becomes("document.querySelectorAll('.log tr').length === 0")
        .await;
    // What has been held comes when it is let go.
    browser.write("input[type=search]", "/third").await;
    browser.click("label.check:last-of-type input").await;
    let content = world.serve("/third", N);
    world.view(&Request::get("/third"), content).await;
    world.stored("/third", &[(0, N)]).await;
    let third = "document.querySelector('.log').innerText.includes('/third')";
    assert_eq!(browser.script(&format!("return {third}")).await, false);
    browser.click("label.check:last-of-type input").await;
    browser.becomes(third).await;
}
