//! Downloads: what somebody wants whole, whether or not anybody watches it.

use std::time::Duration;

use e2e::client::{HOST, Request};
use e2e::content::Content;
use e2e::management;
use e2e::origin::Script;
use e2e::poll::until;
use e2e::stack::Profile;
use serde_json::{Value, json};

use crate::world::{KIB, MIB, SOON, World};

const N: u64 = 8 * MIB;

/// An entity whose origin sends about 3 MiB a second on each connection.
fn slow(world: &World, path: &str) -> Content {
    let content = world.serve(path, N);
    let script = Script {
        pace: Some((64 * KIB, Duration::from_millis(20))),
        ..Script::new(content)
    };
    world.origin.script(path, script);
    content
}

/// A call, its status and its answer.
pub(crate) async fn call(world: &World, method: &str, target: &str, body: Value) -> (u16, Value) {
    let manage = world.stack.manage(0);
    let request = management::request(method, manage, target)
        .field("content-type", "application/json")
        .body(&body.to_string());
    let mut response = request.send(manage).await.unwrap();
    let body = response.rest().await.unwrap();
    let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (response.status, value)
}

pub(crate) async fn start(world: &World, body: Value) -> String {
    let (status, answer) = call(world, "POST", "/v1/downloads", body).await;
    assert_eq!(status, 202, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

pub(crate) fn url(path: &str) -> Value {
    json!({"url": format!("http://{HOST}{path}")})
}

pub(crate) async fn report(world: &World, id: &str) -> Value {
    let target = format!("/v1/downloads/{id}");
    management::json(world.stack.manage(0), &target)
        .await
        .unwrap()
}

/// Waits until the report of a download says this.
pub(crate) async fn becomes(world: &World, id: &str, status: &str) -> Value {
    let mut last = Value::Null;
    let found = until(status, SOON, async || {
        last = report(world, id).await;
        (last["status"] == status).then(|| last.clone())
    });
    match found.await {
        Ok(report) => report,
        Err(error) => panic!("{error}: {last}"),
    }
}

#[tokio::test]
async fn a_url_is_downloaded_and_then_is_a_hit() {
    let world = World::start().await;
    let content = slow(&world, "/v");
    let id = start(&world, url("/v")).await;
    let report = becomes(&world, &id, "running").await;
    assert_eq!(report["url"], format!("{HOST}/v"));
    let measured = until("speed and eta", SOON, async || {
        let report = self::report(&world, &id).await;
        let speed = report["bytes_per_second"].as_u64()?;
        let known = report["complete_length"] == N && report["eta_seconds"].is_u64();
        (known && 0 < speed && speed < 100 * MIB).then_some(())
    });
    measured.await.unwrap();
    // A viewer who comes meanwhile follows it.
    let view = world
        .view(&Request::get("/v").range("1000000-"), content)
        .await;
    view.expect(206, &["fwd=partial"]);
    let report = becomes(&world, &id, "complete").await;
    assert_eq!(report["cached_bytes"], N);
    assert!(report["finished_at"].is_string());
    world.reported("/v", "provisional", false.into()).await;
    world.hit(&Request::get("/v"), content).await;
    assert_eq!(world.origin.sent("/v"), N);
    // It is listed until it is deleted; what is stored stays.
    let list = management::json(world.stack.manage(0), "/v1/downloads")
        .await
        .unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let target = format!("/v1/downloads/{id}");
    assert_eq!(call(&world, "DELETE", &target, Value::Null).await.0, 204);
    assert_eq!(call(&world, "GET", &target, Value::Null).await.0, 404);
    world.hit(&Request::get("/v"), content).await;
}

#[tokio::test]
async fn what_was_begun_by_a_viewer_is_completed() {
    let world = World::with(|options| options.profile = Profile::Youtube).await;
    let content = Content::new("youtube", N);
    world.origin.script("/videoplayback", Script::new(content));
    let target = format!("/videoplayback?v=abc&itag=22&lmt=17&clen={N}&expire=4000000000");
    world
        .view(&Request::get(&target).range("3000000-3999999"), content)
        .await;
    let key = format!("v=abc&itag=22&lmt=17&clen={N}");
    let entity = world.stored(&key, &[(3_000_000, 4_000_000)]).await;
    let id = start(&world, json!({"entity": entity["id"]})).await;
    becomes(&world, &id, "complete").await;
    world.stored(&key, &[(0, N)]).await;
    assert_eq!(world.origin.sent("/videoplayback"), N);
    // The same by its URL is the same download.
    let again = start(&world, url(&target)).await;
    assert_eq!(again, id);
    becomes(&world, &id, "complete").await;
}

#[tokio::test]
async fn it_is_paused_and_resumed_and_survives_a_restart() {
    let mut world = World::start().await;
    let content = slow(&world, "/v");
    let id = start(&world, url("/v")).await;
    becomes(&world, &id, "running").await;
    let target = format!("/v1/downloads/{id}");
    let pause = call(&world, "POST", &format!("{target}/pause"), Value::Null).await;
    assert_eq!((pause.0, &pause.1["status"]), (200, &json!("paused")));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sent = world.origin.sent("/v");
    world.stack.stop_sidecar(0).await.unwrap();
    world.stack.start_sidecar(0).await.unwrap();
    assert_eq!(report(&world, &id).await["status"], "paused");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.origin.sent("/v"), sent, "it goes on");
    let resume = call(&world, "POST", &format!("{target}/resume"), Value::Null).await;
    assert_eq!(resume.0, 200);
    becomes(&world, &id, "running").await;
    // It goes on where it was, also without being asked.
    world.stack.sidecar(0).kill().await.unwrap();
    world.stack.start_sidecar(0).await.unwrap();
    becomes(&world, &id, "complete").await;
    world.hit(&Request::get("/v"), content).await;
    assert!(
        world.origin.sent("/v") < N + 4 * MIB,
        "{}",
        world.origin.sent("/v")
    );
}

#[tokio::test]
async fn so_many_run_at_once_and_an_origin_that_fails_is_asked_again() {
    let world = World::start().await;
    world.policy(json!({"downloads": {"parallel": 1}})).await;
    slow(&world, "/a");
    let b = slow(&world, "/b");
    let fails = Script {
        fails_with: Some(503),
        ..Script::new(b)
    };
    world.origin.script("/b", fails);
    let (a, b) = (
        start(&world, url("/a")).await,
        start(&world, url("/b")).await,
    );
    becomes(&world, &a, "running").await;
    assert_eq!(report(&world, &b).await["status"], "queued");
    becomes(&world, &a, "complete").await;
    let waiting = becomes(&world, &b, "waiting").await;
    assert!(waiting["detail"].is_string(), "{waiting}");
    slow(&world, "/b");
    becomes(&world, &b, "complete").await;
    // What can never be had says so.
    let uncacheable = world.serve("/never", MIB);
    let mut script = Script::new(uncacheable);
    script.fields.retain(|(name, _)| name != "cache-control");
    world
        .origin
        .script("/never", script.field("cache-control", "no-store"));
    let never = start(&world, url("/never")).await;
    let failed = becomes(&world, &never, "failed").await;
    assert!(
        failed["detail"].as_str().unwrap().contains("declined"),
        "{failed}"
    );
}

#[tokio::test]
async fn what_cannot_be_downloaded_is_refused() {
    let world = World::start().await;
    let zeros = "0".repeat(32);
    for (body, status, detail) in [
        (json!({}), 400, "either"),
        (json!({"url": "ftp://a/b"}), 400, "ftp://a/b"),
        (json!({"url": "/v"}), 400, "/v"),
        (json!({"entity": "x"}), 400, "\"x\" is not 32 hex digits"),
        (json!({"entity": zeros}), 404, "nothing is known"),
        (json!({"path": "/v"}), 400, "path"),
    ] {
        let got = call(&world, "POST", "/v1/downloads", body).await;
        let said = got.1["detail"].as_str().unwrap_or_default().to_owned();
        assert!(got.0 == status && said.contains(detail), "{got:?}");
    }
    let unknown = format!("/v1/downloads/{zeros}/pause");
    assert_eq!(call(&world, "POST", &unknown, Value::Null).await.0, 404);
}
