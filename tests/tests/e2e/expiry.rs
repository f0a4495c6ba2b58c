//! URLs that expire before everything has come.

use std::time::{Duration, SystemTime};

use e2e::client::{HOST, Request};
use e2e::content::Content;
use e2e::management;
use e2e::origin::Script;
use e2e::poll::until;
use e2e::stack::Profile;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::downloads::{becomes, start, url};
use crate::world::{KIB, MIB, SOON, World, rules};

const PATH: &str = "/videoplayback";
const N: u64 = 8 * MIB;

async fn world(settings: &str) -> (World, Content, TempDir) {
    let (file, folder) = rules(settings);
    let world = World::with(|options| {
        options.profile = Profile::Youtube;
        options.sidecar_config = Some(file);
    });
    let world = world.await;
    let content = Content::new("expiry", N);
    world.origin.script(PATH, Script::new(content));
    (world, content, folder)
}

/// Seconds since the epoch, so many from now.
fn seconds(from_now: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap() + from_now
}

fn target(signature: &str, expires_in: i64) -> String {
    let expire = seconds(expires_in);
    format!("{PATH}?v=abc&itag=22&lmt=17&clen={N}&expire={expire}&sig={signature}")
}

fn key() -> String {
    format!("v=abc&itag=22&lmt=17&clen={N}")
}

/// The origin breaks off after some bytes, and refuses the URL from then on with this status.
async fn expires(world: &World, content: Content, status: u16) {
    let cut = Script {
        cut_after: Some(2 * MIB),
        pace: Some((64 * KIB, Duration::from_millis(5))),
        ..Script::new(content)
    };
    world.origin.script(PATH, cut);
    let asked = until("the download has begun", SOON, async || {
        (!world.origin.seen(PATH).is_empty()).then_some(())
    });
    asked.await.unwrap();
    let refuses = Script {
        fails_with: Some(status),
        ..Script::new(content)
    };
    world.origin.script(PATH, refuses);
}

#[tokio::test]
async fn a_newer_url_of_a_viewer_goes_on_at_once() {
    for status in [403, 404, 410] {
        let (world, content, _folder) = world("").await;
        let begins = async {
            let id = start(&world, url(&target("old", 3600))).await;
            becomes(&world, &id, "waiting").await;
            id
        };
        let (id, ()) = tokio::join!(begins, expires(&world, content, status));
        let entity = world.entity(&key()).await.unwrap();
        assert_eq!(entity["status"], "stale", "{entity}");
        assert_eq!(entity["stale_reason"], "expired-url");
        let kept = management::ranges(&entity).unwrap();
        assert!(!kept.is_empty(), "its extents are gone");
        let asked = world.origin.seen(PATH).len();
        world.origin.script(PATH, Script::new(content));
        // What is stored is served all the same, and its viewer brings a new URL.
        let viewer = Request::get(&target("new", 7200)).range("0-999");
        world.view(&viewer, content).await.expect(206, &["hit"]);
        becomes(&world, &id, "complete").await;
        world.stored(&key(), &[(0, N)]).await;
        let seen = world.origin.seen(PATH);
        for seen in &seen[asked..] {
            assert_eq!(seen.head.query("sig"), Some("new"));
        }
        // Of two URLs the one that expires last counts, whichever came last.
        world
            .view(&Request::get(&target("older", 60)), content)
            .await;
    }
}

/// Answers every request with this; what was asked comes back.
async fn resolver(answer: String) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, asks) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let line = head.lines().next().unwrap_or_default().to_owned();
            let _ = asked.send(line);
            let length = answer.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all((head + &answer).as_bytes()).await;
        }
    });
    (port, asks)
}

#[tokio::test]
async fn an_endpoint_gives_a_new_url_and_says_whose_video_it_is() {
    // As the origin writes it: without the video's id.
    let fresh = target("resolved", 7200).replace("v=abc&", "dur=1&mime=video%2Fmp4&");
    let answer = json!({"url": format!("http://{HOST}{fresh}"), "channel": "UCr", "title": "T"});
    let (port, mut asks) = resolver(answer.to_string()).await;
    let settings = format!("[resolver]\nhttp = 'http://127.0.0.1:{port}/resolve?x=1'\n");
    let (world, content, _folder) = world(&settings).await;
    // One that is about to expire is not asked at all.
    let id = start(&world, url(&target("old", 5))).await;
    becomes(&world, &id, "complete").await;
    let asked = asks.recv().await.unwrap();
    assert_eq!(asked, "GET /resolve?x=1&video_id=abc&itag=22 HTTP/1.1");
    for seen in world.origin.seen(PATH) {
        assert_eq!(seen.head.query("sig"), Some("resolved"));
    }
    world.hit(&Request::get(&target("any", 60)), content).await;
    let known = until("its channel", SOON, async || {
        let video = management::json(world.stack.manage(0), "/v1/videos/abc")
            .await
            .ok()?;
        (video["channel"] == "UCr" && video["title"] == "T").then_some(())
    });
    known.await.unwrap();
    let counted = until("the answer is counted", SOON, async || {
        let metrics = management::get(world.stack.manage(0), "/metrics").await;
        let renewed = "viewcache_resolved_total{result=\"renewed\"} 1\n";
        metrics.ok()?.contains(renewed).then_some(())
    });
    counted.await.unwrap();
}

#[tokio::test]
async fn a_program_gives_a_new_url_within_its_limit() {
    let fresh = target("resolved", 7200).replace("v=abc", "v={video_id}");
    let fresh = fresh.replace("itag=22", "itag={itag}");
    let settings = format!(
        "[resolver]\ncommand = ['echo', 'http://{HOST}{fresh}']\ntimeout = '5s'\nper_hour = 1\n"
    );
    let (world, content, _folder) = world(&settings).await;
    world
        .policy(json!({"keep": "complete", "completion": {"without_viewers": true}}))
        .await;
    // A view begins it, the URL expires, and the rest comes by the new one.
    let viewer = Request::get(&target("old", 5)).range("0-1999999");
    world.view(&viewer, content).await;
    world.stored(&key(), &[(0, N)]).await;
    let seen = world.origin.seen(PATH);
    assert_eq!(seen.last().unwrap().head.query("sig"), Some("resolved"));
    assert_eq!(world.origin.sent(PATH), N);
    // That was the only one in this hour.
    let other = target("old", 5).replace("v=abc", "v=def");
    let id = start(&world, url(&other)).await;
    becomes(&world, &id, "waiting").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.origin.sent(PATH), N);
    assert_eq!(
        becomes(&world, &id, "waiting").await["detail"],
        "its URL has expired"
    );
}

#[tokio::test]
async fn the_resolver_may_say_whose_a_new_video_is() {
    let answer = json!({"url": format!("http://{HOST}/none"), "channel": "UCauto"});
    let (port, _asks) = resolver(answer.to_string()).await;
    let settings = format!("[resolver]\nhttp = 'http://127.0.0.1:{port}/'\nchannels = true\n");
    let (world, content, _folder) = world(&settings).await;
    let auto = json!({"mode": "auto"});
    let put = management::send("PUT", world.stack.manage(0), "/v1/channels/UCauto", &auto);
    put.await.unwrap();
    let viewer = Request::get(&target("a", 3600)).range("0-999");
    world.view(&viewer, content).await;
    world.stored(&key(), &[(0, N)]).await;
}
