//! Channels: what their videos are worth, and how videos come to belong to them.

use std::time::Duration;

use e2e::client::Request;
use e2e::content::Content;
use e2e::management;
use e2e::origin::Script;
use e2e::poll::until;
use e2e::stack::Profile;
use serde_json::{Value, json};

use crate::world::{MIB, SOON, World};

const PATH: &str = "/videoplayback";
const N: u64 = 4 * MIB;
const FEW: &str = "0-99999";

/// Every video has the same bytes.
async fn world(more: &str) -> (World, Content) {
    let fields = more.to_owned();
    let world = World::with(|options| {
        options.profile = Profile::Youtube;
        options.filter_fields = Some(fields).filter(|fields| !fields.is_empty());
    });
    let world = world.await;
    let content = Content::new("channels", N);
    world.origin.script(PATH, Script::new(content));
    (world, content)
}

fn url(video: &str) -> String {
    format!("{PATH}?v={video}&itag=22&lmt=17&clen={N}&mime=video%2Fmp4")
}

fn key(video: &str) -> String {
    format!("v={video}&itag=22&lmt=17&clen={N}")
}

async fn put(world: &World, target: &str, value: Value) {
    let put = management::send("PUT", world.stack.manage(0), target, &value);
    put.await.unwrap();
}

async fn complete(world: &World, video: &str) {
    world.stored(&key(video), &[(0, N)]).await;
    world
        .reported(&key(video), "provisional", false.into())
        .await;
}

#[tokio::test]
async fn every_view_of_an_auto_channel_is_kept_and_completed() {
    let (world, content) = world("").await;
    put(
        &world,
        "/v1/channels/UCauto",
        json!({"title": "A", "mode": "auto"}),
    )
    .await;
    // One is known before it is first seen, the other one after.
    put(&world, "/v1/videos/before", json!({"channel": "UCauto"})).await;
    for video in ["before", "after", "other"] {
        let request = Request::get(&url(video)).range(FEW);
        world.view(&request, content).await;
    }
    complete(&world, "before").await;
    world.stored(&key("after"), &[(0, 100_000)]).await;
    put(&world, "/v1/videos/after", json!({"channel": "UCauto"})).await;
    complete(&world, "after").await;
    world
        .reported(&key("other"), "provisional", true.into())
        .await;
    world.stored(&key("other"), &[(0, 100_000)]).await;
    let video = management::json(world.stack.manage(0), "/v1/videos/after").await;
    let video = video.unwrap();
    assert_eq!(video["channel"], "UCauto");
    let entity = world.entity(&key("after")).await.unwrap();
    assert_eq!(video["entities"][0]["id"], entity["id"]);
    assert_eq!(video["entities"].as_array().map(Vec::len), Some(1));
    assert_eq!(entity["video_id"], "after");
    assert_eq!(entity["itag"], "22");
    // A channel that changes its mode does so at once.
    put(&world, "/v1/videos/other", json!({"channel": "UClater"})).await;
    put(&world, "/v1/channels/UClater", json!({"mode": "auto"})).await;
    complete(&world, "other").await;
}

#[tokio::test]
async fn a_manual_channel_keeps_nothing_that_is_only_watched() {
    let (world, content) = world("").await;
    put(&world, "/v1/channels/UCmanual", json!({"mode": "manual"})).await;
    put(&world, "/v1/videos/seen", json!({"channel": "UCmanual"})).await;
    world.view(&Request::get(&url("seen")), content).await;
    world.stored(&key("seen"), &[(0, N)]).await;
    world
        .reported(&key("seen"), "provisional", true.into())
        .await;
    world
        .reported(&key("seen"), "watched_percent", 100.into())
        .await;
    // It is served all the same, as long as there is room.
    world.hit(&Request::get(&url("seen")), content).await;
    // The same mode can hold for whatever has no channel.
    world.policy(json!({"mode": "manual"})).await;
    world.view(&Request::get(&url("stray")), content).await;
    world
        .reported(&key("stray"), "watched_percent", 100.into())
        .await;
    world
        .reported(&key("stray"), "provisional", true.into())
        .await;
}

#[tokio::test]
async fn a_channel_may_have_its_own_percentage() {
    let (world, content) = world("").await;
    put(&world, "/v1/channels/UC5", json!({"watched_percent": 2})).await;
    put(&world, "/v1/videos/five", json!({"channel": "UC5"})).await;
    for video in ["five", "ten"] {
        let request = Request::get(&url(video)).range(FEW);
        world.view(&request, content).await;
    }
    world
        .reported(&key("five"), "provisional", false.into())
        .await;
    world
        .reported(&key("ten"), "watched_percent", 2.into())
        .await;
    world
        .reported(&key("ten"), "provisional", true.into())
        .await;
}

#[tokio::test]
async fn a_front_end_may_name_the_channel() {
    let (mut world, content) = world(r#""channel_header": "x-channel""#).await;
    put(&world, "/v1/videos/titled", json!({"title": "T"})).await;
    for video in ["titled", "new"] {
        let request = Request::get(&url(video))
            .range(FEW)
            .field("x-channel", "UCfront");
        world.view(&request, content).await;
    }
    let named = async |world: &World, video: &str| {
        let target = format!("/v1/videos/{video}");
        let mut last = Value::Null;
        let named = until("the channel", SOON, async || {
            last = management::json(world.stack.manage(0), &target)
                .await
                .ok()?;
            (last["channel"] == "UCfront").then(|| last.clone())
        });
        named.await.unwrap()
    };
    assert_eq!(named(&world, "titled").await["title"], "T");
    named(&world, "new").await;
    // It is known for good.
    world.stack.stop_sidecar(0).await.unwrap();
    world.stack.start_sidecar(0).await.unwrap();
    named(&world, "new").await;
    put(&world, "/v1/channels/UCfront", json!({"mode": "auto"})).await;
    let request = Request::get(&url("new")).range("100000-199999");
    world.view(&request, content).await;
    complete(&world, "new").await;
}

#[tokio::test]
async fn subscriptions_are_imported() {
    let (world, content) = world("").await;
    put(
        &world,
        "/v1/channels/UCa",
        json!({"title": "Mine", "mode": "manual"}),
    )
    .await;
    let import = async |query: &str, text: &str| {
        let manage = world.stack.manage(0);
        let target = format!("/v1/channels/import{query}");
        let request = management::request("POST", manage, &target)
            .field("content-type", "application/octet-stream")
            .body(text);
        let mut response = request.send(manage).await.unwrap();
        let body = String::from_utf8(response.rest().await.unwrap()).unwrap();
        (response.status, body)
    };
    let opml = r#"<opml version="1.1"><body><outline text="A" title="A"
        xmlUrl="https://www.youtube.com/feeds/videos.xml?channel_id=UCa"/><outline text="B"
        xmlUrl="https://www.youtube.com/feeds/videos.xml?channel_id=UCb"/></body></opml>"#;
    let (status, body) = import("?mode=auto", opml).await;
    assert_eq!((status, &body[..]), (200, r#"{"imported":1,"known":1}"#));
    let csv = "Channel Id,Channel Url,Channel Title\nUCc,http://www.youtube.com/channel/UCc,C\n";
    assert_eq!(import("", csv).await.1, r#"{"imported":1,"known":0}"#);
    let (status, body) = import("", r#"{"subscriptions": ["UCd", "UCc"]}"#).await;
    assert_eq!((status, &body[..]), (200, r#"{"imported":1,"known":1}"#));
    let listed = management::json(world.stack.manage(0), "/v1/channels")
        .await
        .unwrap();
    let said = listed["items"].as_array().unwrap().iter();
    let said: Vec<_> = said.map(|c| [&c["id"], &c["title"], &c["mode"]]).collect();
    let expected = json!([
        ["UCa", "Mine", "manual"],
        ["UCb", "B", "auto"],
        ["UCc", "C", "inherit"],
        ["UCd", null, "inherit"],
    ]);
    assert_eq!(json!(said), expected);
    for (query, text, detail) in [
        ("", "hello", "no channel is named"),
        ("?mode=all", opml, "all"),
    ] {
        let (status, body) = import(query, text).await;
        assert!(status == 400 && body.contains(detail), "{status} {body}");
    }
    put(&world, "/v1/videos/b", json!({"channel": "UCb"})).await;
    world
        .view(&Request::get(&url("b")).range(FEW), content)
        .await;
    complete(&world, "b").await;
}

/// Filling what a channel on auto wants goes on without viewers, and after a view that was cut.
#[tokio::test]
async fn who_leaves_early_leaves_an_auto_channel_complete() {
    let (world, content) = world("").await;
    let pace = Some((64 << 10, Duration::from_millis(20)));
    let script = Script::new(content);
    world.origin.script(PATH, Script { pace, ..script });
    put(&world, "/v1/channels/UCauto", json!({"mode": "auto"})).await;
    put(&world, "/v1/videos/left", json!({"channel": "UCauto"})).await;
    let mut viewer = world.open(&Request::get(&url("left"))).await;
    viewer.take(100_000).await.unwrap();
    drop(viewer);
    complete(&world, "left").await;
}

/// Otherwise it would be fetched again and again, each part driving out another.
#[tokio::test]
async fn what_does_not_fit_is_not_completed_over_and_over() {
    let world = World::with(|options| {
        options.profile = Profile::Youtube;
        options.max_bytes = Some("3MiB".to_owned());
    });
    let world = world.await;
    let content = Content::new("channels", N);
    world.origin.script(PATH, Script::new(content));
    world.policy(json!({"mode": "auto"})).await;
    for _ in 0..3 {
        let request = Request::get(&url("large")).range(FEW);
        world.view(&request, content).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let sent = world.origin.sent(PATH);
    assert!(sent <= 2 * N, "{sent}");
    let id = crate::downloads::start(&world, crate::downloads::url(&url("large"))).await;
    let report = crate::downloads::becomes(&world, &id, "failed").await;
    assert_eq!(report["detail"], "it is larger than the room there is");
}
