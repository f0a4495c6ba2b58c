//! What clients, origins and other requests say of what is stored (RFC 9111 sections 4.4 and 5.2,
//! RFC 9213).

use e2e::client::Request;
use e2e::origin::Script;

use crate::world::{World, parameter, rules};

const LENGTH: u64 = 200_000;

#[tokio::test]
async fn what_succeeds_and_is_not_safe_invalidates() {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    let get = || Request::get("/v");
    world.view(&get(), content).await;
    world.stored("/v", &[(0, LENGTH)]).await;
    // Remembered by now, which must not matter.
    world.hit(&get(), content).await;
    world.hit(&get(), content).await;
    let failed = Script {
        fails_with: Some(403),
        ..Script::new(content)
    };
    let change = |method: &str| Request::new(method, "/v").field("content-length", "0");
    world.origin.script("/v", failed);
    assert_eq!(world.open(&change("DELETE")).await.status, 403);
    world.origin.script("/v", Script::new(content));
    world.hit(&get(), content).await;

    let mut changed = world.open(&change("PUT")).await;
    assert_eq!(changed.status, 200);
    changed.rest().await.unwrap();
    let sent = world.origin.sent("/v");
    let validated = e2e::poll::until("it is validated", crate::world::SOON, async || {
        let view = world.view(&get(), content).await;
        parameter(&view.cache_status, "fwd=stale").then_some(view)
    });
    let view = validated.await.unwrap();
    view.expect(200, &["fwd-status=304"]);
    assert_eq!(world.origin.sent("/v"), sent, "fetched again");
    world.hit(&get(), content).await;
}

#[tokio::test]
async fn only_what_is_stored_for_whom_wants_nothing_else() {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    let only = || Request::get("/v").field("cache-control", "only-if-cached");
    let refused = only().send(world.stack.ingress()).await.unwrap();
    assert_eq!(refused.status, 504);
    // It is nobody's response (RFC 9211 section 2).
    assert_eq!(refused.head.get("cache-status"), None);
    assert!(world.origin.seen_at_all().is_empty());
    let part = Request::get("/v").range("0-999");
    world.view(&part, content).await;
    world.stored("/v", &[(0, 1000)]).await;
    world.hit(&only().range("0-999"), content).await;
    let refused = only().send(world.stack.ingress()).await.unwrap();
    assert_eq!(refused.status, 504);
    assert_eq!(world.origin.seen_at_all().len(), 1);
}

#[tokio::test]
async fn an_operator_may_ignore_what_clients_direct() {
    let world = World::with(|options| {
        options.edits.push((
            r#"{"profile": "generic"}"#.to_owned(),
            r#"{"profile": "generic", "client_directives": false}"#.to_owned(),
        ));
    })
    .await;
    let content = world.serve("/v", LENGTH);
    world.view(&Request::get("/v"), content).await;
    world.stored("/v", &[(0, LENGTH)]).await;
    for directive in ["no-cache", "no-store", "only-if-cached", "max-age=0"] {
        let request = Request::get("/v").field("cache-control", directive);
        world.hit(&request, content).await;
    }
    let pragma = Request::get("/v").field("pragma", "no-cache");
    world.hit(&pragma, content).await;
}

#[tokio::test]
async fn a_targeted_field_counts_instead_of_cache_control() {
    let world = World::start().await;
    for (path, name, value, stored) in [
        ("/a", "cdn-cache-control", "max-age=600", true),
        ("/b", "viewcache-cache-control", "max-age=600", true),
        ("/c", "cdn-cache-control", "max-age=600, no-store", false),
        // Malformed: Cache-Control counts.
        ("/d", "cdn-cache-control", "Max-Age=600", false),
        ("/e", "another-cache-control", "max-age=600", false),
    ] {
        let content = world.serve(path, LENGTH);
        let mut script = Script::new(content).field(name, value);
        script.fields.retain(|(name, _)| name != "cache-control");
        let script = script.field("cache-control", "no-store");
        world.origin.script(path, script);
        let view = world.view(&Request::get(path), content).await;
        assert_eq!(view.head.get(name), Some(value), "{path}: passed on");
        let is = parameter(&view.cache_status, "stored");
        assert_eq!(is, stored, "{path}: {view:?}");
        if stored {
            world.becomes_hit(&Request::get(path), content).await;
        }
    }
}

/// T4: what the directives of a targeted field do, whatever Cache-Control says.
#[tokio::test]
async fn the_directives_of_a_targeted_field_are_followed() {
    let world = World::start().await;
    for (path, value, stored, then) in [
        ("/fresh", "max-age=600", true, "hit"),
        ("/private", "max-age=600, private", false, "fwd=uri-miss"),
        ("/no-store", "no-store", false, "fwd=uri-miss"),
        ("/no-cache", "max-age=600, no-cache", true, "fwd-status=304"),
        (
            "/stale",
            "max-age=0, stale-while-revalidate=60",
            true,
            "hit",
        ),
        (
            "/must",
            "max-age=0, stale-while-revalidate=60, must-revalidate",
            true,
            "fwd-status=304",
        ),
    ] {
        let content = world.serve(path, LENGTH);
        let mut script = Script::new(content).field("cdn-cache-control", value);
        script.fields.retain(|(name, _)| name != "cache-control");
        let script = script.field("cache-control", "max-age=60");
        world.origin.script(path, script);
        let view = world.view(&Request::get(path), content).await;
        let is = parameter(&view.cache_status, "stored");
        assert_eq!(is, stored, "{path}: {view:?}");
        if stored {
            world.stored(path, &[(0, LENGTH)]).await;
        }
        let view = world.view(&Request::get(path), content).await;
        view.expect(200, &[then]);
    }
}

#[tokio::test]
async fn the_operator_names_the_targeted_fields() {
    let (file, _folder) =
        rules("[profiles.generic]\ntargeted = [\"Acme-Cache-Control\", \"cdn-cache-control\"]\n");
    let world = World::with(|options| options.sidecar_config = Some(file)).await;
    for (path, name, stored) in [
        ("/a", "acme-cache-control", true),
        ("/b", "cdn-cache-control", true),
        ("/c", "viewcache-cache-control", false),
    ] {
        let content = world.serve(path, LENGTH);
        let mut script = Script::new(content).field(name, "max-age=600");
        script.fields.retain(|(name, _)| name != "cache-control");
        world
            .origin
            .script(path, script.field("cache-control", "no-store"));
        let view = world.view(&Request::get(path), content).await;
        let is = parameter(&view.cache_status, "stored");
        assert_eq!(is, stored, "{path}: {view:?}");
        if stored {
            world.becomes_hit(&Request::get(path), content).await;
        }
    }
}
