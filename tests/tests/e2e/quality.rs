//! Which qualities of a video are completed.

use std::time::Duration;

use e2e::client::{HOST, Request};
use e2e::content::Content;
use e2e::management;
use e2e::origin::{Script, Seen};
use e2e::poll::until;
use e2e::stack::Profile;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::downloads::call;
use crate::world::{MIB, SOON, World, rules};

pub(crate) const PATH: &str = "/videoplayback";
pub(crate) const N: u64 = 2 * MIB;
/// Less than a tenth.
pub(crate) const FEW: &str = "0-99999";
/// More than that.
pub(crate) const ENOUGH: &str = "0-299999";

/// Every quality of every video has the same bytes.
pub(crate) async fn world(settings: &str) -> (World, Content, TempDir) {
    let (file, folder) = rules(settings);
    let world = World::with(|options| {
        options.profile = Profile::Youtube;
        options.sidecar_config = Some(file);
    });
    let world = world.await;
    let content = Content::new("quality", N);
    world.origin.script(PATH, Script::new(content));
    (world, content, folder)
}

/// A resolver that answers with this URL, as the origin writes it: without the video's id.
fn resolver(itag: &str) -> String {
    let query = format!("itag={itag}&lmt=17&clen={N}&dur=1&expire=4000000000&ei={{video_id}}");
    format!("[resolver]\ncommand = ['echo', 'http://{HOST}{PATH}?{query}']\n")
}

pub(crate) fn get(video: &str, itag: &str) -> Request {
    let query = format!("v={video}&itag={itag}&lmt=17&clen={N}&mime=video%2Fmp4");
    Request::get(&format!("{PATH}?{query}&expire=4000000000"))
}

pub(crate) fn key(video: &str, itag: &str) -> String {
    format!("v={video}&itag={itag}&lmt=17&clen={N}")
}

pub(crate) async fn put(world: &World, target: &str, value: Value) {
    let put = management::send("PUT", world.stack.manage(0), target, &value);
    put.await.unwrap();
}

/// What is worth keeping is completed, also when its viewer has left.
pub(crate) async fn completes(world: &World, quality: Value) {
    let completion = json!({"without_viewers": true});
    let policy = json!({"keep": "complete", "completion": completion, "quality": quality});
    world.policy(policy).await;
}

pub(crate) async fn complete(world: &World, video: &str, itag: &str) {
    world.stored(&key(video, itag), &[(0, N)]).await;
    let key = key(video, itag);
    world.reported(&key, "provisional", false.into()).await;
}

/// Insists that nothing more comes of a quality than what was watched.
pub(crate) async fn only_watched(world: &World, video: &str, itag: &str, end: u64) {
    world.stored(&key(video, itag), &[(0, end)]).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    world.stored(&key(video, itag), &[(0, end)]).await;
}

/// The requests for a quality that the origin has seen.
pub(crate) fn seen(world: &World, itag: &str) -> Vec<Seen> {
    let mut seen = world.origin.seen(PATH);
    seen.retain(|seen| seen.head.query("itag") == Some(itag));
    seen
}

/// Restarts the sidecar, and waits until Envoy has found it again.
pub(crate) async fn restart(world: &mut World, content: Content) {
    world.stack.stop_sidecar(0).await.unwrap();
    world.stack.start_sidecar(0).await.unwrap();
    let found = until("a decision", SOON, async || {
        let view = world.view(&get("probe", "17").range("0-0"), content).await;
        (!view.cache_status.contains("detail=decide-")).then_some(())
    });
    found.await.unwrap();
}

/// What the history says of a quality, if it is known yet.
async fn history(world: &World, video: &str, itag: &str) -> Option<Value> {
    let entity = world.entity(&key(video, itag)).await?;
    Some(history_of(world, &entity).await)
}

pub(crate) async fn history_of(world: &World, entity: &Value) -> Value {
    let target = format!("/v1/entities/{}/history", entity["id"].as_str().unwrap());
    let history = management::json(world.stack.manage(0), &target).await;
    history.unwrap_or(Value::Null)
}

/// Waits until the history says why a quality is not completed.
pub(crate) async fn withheld(world: &World, video: &str, itag: &str, reason: &str) {
    let told = until(reason, SOON, async || {
        let history = history(world, video, itag).await?;
        (1 <= history["not_completed"][reason]["times"].as_u64()?).then_some(())
    });
    told.await.unwrap();
    let label = format!(r#"viewcache_not_completed_total{{reason="{reason}"}}"#);
    let metrics = management::get(world.stack.manage(0), "/metrics").await;
    assert!(metrics.unwrap().contains(&label), "{label}");
}

#[tokio::test]
async fn what_is_watched_is_completed_and_no_other_quality() {
    let (world, content, _folder) = world(&resolver("137")).await;
    completes(&world, json!("watched")).await;
    world.view(&get("abc", "136").range(ENOUGH), content).await;
    world.view(&get("abc", "134").range(FEW), content).await;
    complete(&world, "abc", "136").await;
    only_watched(&world, "abc", "134", 100_000).await;
    assert!(seen(&world, "137").is_empty());
}

#[tokio::test]
async fn a_preferred_quality_is_completed_by_a_url_of_the_resolver() {
    let (mut world, content, _folder) = world(&resolver("137")).await;
    completes(&world, json!(["137", 140])).await;
    world.view(&get("abc", "136").range(ENOUGH), content).await;
    complete(&world, "abc", "137").await;
    // It is what viewers get, although the origin's URL did not name the video.
    world.hit(&get("abc", "137"), content).await;
    for seen in seen(&world, "137") {
        assert_eq!(seen.head.query("v"), None);
    }
    // What was watched is kept, and no more of it.
    only_watched(&world, "abc", "136", 300_000).await;
    world.hit(&get("abc", "136").range(ENOUGH), content).await;
    // A quality of which the list has no other of its kind is completed itself.
    world.view(&get("abc", "22").range(ENOUGH), content).await;
    complete(&world, "abc", "22").await;
    // What is there is not asked for again, and the rule outlives a restart.
    restart(&mut world, content).await;
    let policy = management::json(world.stack.manage(0), "/v1/policy").await;
    assert_eq!(policy.unwrap()["quality"], json!(["137", "140"]));
    let asked = seen(&world, "137").len();
    let more = get("abc", "136").range("300000-399999");
    world.view(&more, content).await;
    only_watched(&world, "abc", "136", 400_000).await;
    assert_eq!(seen(&world, "137").len(), asked);
}

#[tokio::test]
async fn the_first_that_can_be_had_is_completed() {
    // Of whatever the resolver is asked for, it knows this one alone.
    let (world, content, _folder) = world(&resolver("135")).await;
    completes(&world, json!(["137", "135", "134"])).await;
    world.view(&get("one", "133").range(ENOUGH), content).await;
    complete(&world, "one", "135").await;
    only_watched(&world, "one", "133", 300_000).await;
    // What is watched itself can be had for certain, and what comes before it cannot.
    world.policy(json!({"quality": ["137", "136"]})).await;
    world.view(&get("two", "136").range(ENOUGH), content).await;
    complete(&world, "two", "136").await;
    assert!(seen(&world, "137").is_empty());
}

#[tokio::test]
async fn what_nobody_can_give_is_waited_for_until_a_viewer_brings_it() {
    let (world, content, _folder) = world("").await;
    completes(&world, json!(["137"])).await;
    world.view(&get("abc", "136").range(ENOUGH), content).await;
    withheld(&world, "abc", "136", "awaits-preferred").await;
    only_watched(&world, "abc", "136", 300_000).await;
    // Others do not do: another video, or another version of this one.
    world.view(&get("def", "137").range(FEW), content).await;
    let version = format!("{PATH}?v=abc&itag=137&lmt=17&xtags=lang%3Dde&clen={N}");
    world
        .view(&Request::get(&version).range(FEW), content)
        .await;
    only_watched(&world, "def", "137", 100_000).await;
    assert_eq!(seen(&world, "137").len(), 2);
    // This one is not watched enough to be worth it for its own sake.
    world.view(&get("abc", "137").range(FEW), content).await;
    complete(&world, "abc", "137").await;
    only_watched(&world, "abc", "136", 300_000).await;
    let metrics = management::get(world.stack.manage(0), "/metrics").await;
    let admitted = r#"viewcache_admissions_total{reason="preferred"} 1"#;
    assert!(metrics.unwrap().contains(admitted));
}

#[tokio::test]
async fn what_is_above_the_maximum_is_not_completed() {
    let (world, content, _folder) = world("").await;
    let max = json!({"max_height": 720, "heights": {"9002": 1440}});
    completes(&world, max).await;
    for itag in ["137", "136", "9001", "9002", "140"] {
        world.view(&get("abc", itag).range(ENOUGH), content).await;
    }
    // What nobody knows is not above it, unless the operator says so.
    for itag in ["136", "9001", "140"] {
        complete(&world, "abc", itag).await;
    }
    for itag in ["137", "9002"] {
        withheld(&world, "abc", itag, "above-maximum").await;
        only_watched(&world, "abc", itag, 300_000).await;
        // It is worth keeping all the same.
        let key = key("abc", itag);
        world.reported(&key, "provisional", false.into()).await;
    }
}

#[tokio::test]
async fn a_channel_and_a_profile_have_their_own() {
    let (mut world, content, _folder) = world("").await;
    completes(&world, json!({"max_height": 360})).await;
    let low = json!({"max_height": 480});
    let profiles = json!({"youtube": {"quality": low}});
    world.policy(json!({"profiles": profiles})).await;
    let own = json!({"title": "High", "mode": "auto", "quality": {"max_height": 1080}});
    put(&world, "/v1/channels/UChigh", own).await;
    put(&world, "/v1/videos/high", json!({"channel": "UChigh"})).await;
    restart(&mut world, content).await;
    for (video, itag) in [
        ("high", "137"),
        ("high", "264"),
        ("low", "135"),
        ("low", "136"),
    ] {
        world.view(&get(video, itag).range(ENOUGH), content).await;
    }
    complete(&world, "high", "137").await;
    complete(&world, "low", "135").await;
    only_watched(&world, "high", "264", 300_000).await;
    only_watched(&world, "low", "136", 300_000).await;
    // A rule that changes holds at once.
    put(
        &world,
        "/v1/channels/UChigh",
        json!({"mode": "auto", "quality": "watched"}),
    )
    .await;
    complete(&world, "high", "264").await;
    for (target, wrong, detail) in [
        ("/v1/policy", json!({"quality": []}), "0 itags"),
        ("/v1/channels/UChigh", json!({"quality": "best"}), "best"),
        ("/v1/channels/UChigh", json!({"drop_lower": 1}), "boolean"),
    ] {
        let (status, answer) = call(&world, "PUT", target, wrong).await;
        let told = answer["detail"].as_str().unwrap_or_default();
        assert!(status == 400 && told.contains(detail), "{answer}");
    }
}
