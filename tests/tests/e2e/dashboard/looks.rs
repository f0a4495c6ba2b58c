//! What every view looks like, for people to look at: light, dark, and on a phone.

use std::time::Duration;

use e2e::client::{HOST, Request};
use e2e::content::Content;
use e2e::management;
use e2e::origin::Script;
use e2e::poll::until;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::world::{KIB, MIB, SOON, World};

/// A path, how much of it is watched, and what is said of it.
const FILMS: [(&str, &str, &str, &str); 7] = [
    ("/a", "0-", "The making of a wooden canoe", "UCworkshop"),
    (
        "/b",
        "0-2621439",
        "Night train to the north, in full",
        "UCrails",
    ),
    (
        "/c",
        "1048576-1572863",
        "Sourdough: what goes wrong, and why",
        "UCkitchen",
    ),
    ("/d", "0-", "A walk through Lisbon", "UCwalks"),
    ("/e", "0-65535", "How a lock is picked", "UCworkshop"),
    (
        "/f",
        "2097152-4194303",
        "Ten birds by their songs",
        "UCbirds",
    ),
    (
        "/g",
        "0-",
        "A title that is far too long to be shown in any list, whatever its width, and goes on",
        "UCwalks",
    ),
];

const LENGTH: u64 = 4 * MIB;

async fn send(world: &World, method: &str, target: &str, body: Value) -> Value {
    let sent = management::send(method, world.stack.manage(0), target, &body);
    serde_json::from_str(&sent.await.unwrap()).unwrap_or_default()
}

/// A cache as somebody has it: videos in all states, channels, a download.
async fn lived_in() -> (World, String) {
    let world = World::start().await;
    for (path, range, title, channel) in FILMS {
        let content = world.serve(path, LENGTH);
        world.view(&Request::get(path).range(range), content).await;
        let known = until(path, SOON, async || {
            let entity = world.entity(path).await?;
            (entity["cached_bytes"].as_u64()? > 0).then_some(entity)
        });
        let id = known.await.unwrap()["video_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let said = json!({"title": title, "channel": channel, "duration": 754});
        send(&world, "PUT", &format!("/v1/videos/{id}"), said).await;
        if path == "/a" {
            world.hit(&Request::get(path), content).await;
        }
    }
    for (id, title, mode) in [
        ("UCworkshop", "The Workshop", "auto"),
        ("UCrails", "Rails", "inherit"),
        ("UCbirds", "Birds of the Garden", "manual"),
    ] {
        let said = json!({"title": title, "mode": mode, "quota_bytes": 256 * MIB});
        send(&world, "PUT", &format!("/v1/channels/{id}"), said).await;
    }
    // One that is downloaded and one that plays, both for longer than it takes to look at them.
    for path in ["/slow", "/playing"] {
        let pace = Some((16 * KIB, Duration::from_millis(150)));
        let script = Script {
            pace,
            ..Script::new(Content::new(path, 4 * LENGTH))
        };
        world.origin.script(path, script);
    }
    let download = json!({"url": format!("http://{HOST}/slow")});
    let manage = world.stack.manage(0);
    let request = management::request("POST", manage, "/v1/downloads");
    let request = request
        .field("content-type", "application/json")
        .body(&download.to_string());
    assert_eq!(request.send(manage).await.unwrap().status, 202);
    let film = world.entity("/b").await.unwrap();
    (world, film["video_id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn every_view_is_readable_in_any_light_and_on_a_phone() {
    let (world, video) = lived_in().await;
    let browser = Browser::open(world.stack.manage(0)).await;
    let ingress = world.stack.ingress();
    tokio::spawn(async move {
        let mut response = Request::get("/playing").send(ingress).await.unwrap();
        let _ = response.rest().await;
    });
    let views = [
        ("/", "overview"),
        ("/videos", "videos"),
        (&format!("/videos/{video}"), "video"),
        ("/downloads", "downloads"),
        ("/channels", "channels"),
        ("/policy", "policy"),
        ("/events", "events"),
    ];
    for (screen, width, height) in [("desk", 1280, 900), ("phone", 390, 844)] {
        browser.screen(width, height);
        for (light, dark) in [("light", false), ("dark", true)] {
            browser.dark(dark);
            for (view, name) in views {
                browser.view(view).await;
                browser
                    .becomes("document.getElementById('live').dataset.state === 'live'")
                    .await;
                let narrow = "document.documentElement.scrollWidth <= innerWidth";
                browser.becomes(narrow).await;
                browser.picture(&format!("{name}-{screen}-{light}")).await;
            }
            let ground = "return getComputedStyle(document.body).backgroundColor";
            let expected = if dark {
                "rgb(20, 23, 27)"
            } else {
                "rgb(246, 247, 249)"
            };
            assert_eq!(browser.script(ground).await, expected);
        }
    }
}
