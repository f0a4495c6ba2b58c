//! Responses that vary by fields of the request answer only requests that have the same
//! (RFC 9111 section 4.1).

use e2e::client::Request;
use e2e::management;
use e2e::origin::Script;

use crate::world::World;

const LENGTH: u64 = 300_000;

#[tokio::test]
async fn a_response_answers_requests_that_select_it() {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    let script = |allowed: &str| {
        Script::new(content)
            .field("vary", "Origin, Accept-Encoding")
            .field("access-control-allow-origin", allowed)
    };
    let of = |site: &str| Request::get("/v").field("origin", site);
    world.origin.script("/v", script("https://a.test"));
    world
        .view(&of("https://a.test").range("0-99999"), content)
        .await;
    world.stored("/v", &[(0, 100_000)]).await;
    // The gap is asked for as the viewer asked.
    let view = world.view(&of("https://a.test"), content).await;
    view.expect(200, &["fwd=partial"]);
    let seen = world.origin.seen("/v");
    assert!(seen.len() >= 2);
    for seen in seen {
        assert_eq!(seen.head.get("origin"), Some("https://a.test"));
    }
    world.stored("/v", &[(0, LENGTH)]).await;
    let hit = world.hit(&of("https://a.test"), content).await;
    let allowed = hit.head.get("access-control-allow-origin");
    assert_eq!(allowed, Some("https://a.test"));

    world.origin.script("/v", script("https://b.test"));
    for other in [of("https://b.test"), of("https://b.test").range("5-9")] {
        let view = world.view(&other, content).await;
        let allowed = view.head.get("access-control-allow-origin");
        assert_eq!(allowed, Some("https://b.test"), "{view:?}");
    }
    world.becomes_hit(&of("https://b.test"), content).await;
    // Nobody is given what another site may have, and everybody what is theirs.
    world.origin.script("/v", script("null"));
    let view = world.view(&Request::get("/v"), content).await;
    view.expect(200, &["fwd=vary-miss", "stored"]);
    let allowed = view.head.get("access-control-allow-origin");
    assert_eq!(allowed, Some("null"), "{view:?}");
    let hit = world.hit(&of("https://a.test"), content).await;
    let allowed = hit.head.get("access-control-allow-origin");
    assert_eq!(allowed, Some("https://a.test"));
}

/// Nine are kept, the one that was used least recently goes, and a purge leaves none.
#[tokio::test]
async fn of_each_url_several_selections_are_kept() {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    let script = Script::new(content).field("vary", "accept-language");
    world.origin.script("/v", script);
    let get = |n: u64| Request::get("/v").field("accept-language", n.to_string());
    let stored = async |n: u64, number: u64, why: &str| {
        let view = world.view(&get(n), content).await;
        view.expect(200, &[why, "stored"]);
        let path = match number {
            0 => "/v".to_owned(),
            number => format!("/v ({number})"),
        };
        world.stored(&path, &[(0, LENGTH)]).await;
        world.hit(&get(n), content).await;
    };
    stored(0, 0, "fwd=uri-miss").await;
    for n in 1..9 {
        stored(n, n, "fwd=vary-miss").await;
    }
    // The first is the oldest, then the second.
    stored(9, 0, "fwd=vary-miss").await;
    for n in 1..10 {
        world.hit(&get(n).range("7-77"), content).await;
    }
    stored(0, 1, "fwd=vary-miss").await;

    let second = world.entity("/v (2)").await.unwrap();
    assert_eq!(
        second["selecting"],
        serde_json::json!([["accept-language", "2"]])
    );
    world
        .view(
            &Request::new("POST", "/v").field("content-length", "0"),
            content,
        )
        .await;
    let asked = world.origin.seen("/v").len();
    for n in [0, 5] {
        let view = world.view(&get(n), content).await;
        view.expect(200, &["fwd=stale", "fwd-status=304"]);
    }
    assert_eq!(world.origin.seen("/v").len(), asked + 2);

    let first = world.entity("/v").await.unwrap();
    let target = format!("/v1/entities/{}", first["id"].as_str().unwrap());
    let purged = management::call("DELETE", world.stack.manage(0), &target, 200).await;
    let purged: serde_json::Value = serde_json::from_str(&purged.unwrap()).unwrap();
    assert_eq!(purged["entities"], 9);
    assert!(world.entity("/v (2)").await.is_none());
    let view = world.view(&get(5), content).await;
    view.expect(200, &["fwd=uri-miss", "stored"]);
}

#[tokio::test]
async fn another_selection_is_a_vary_miss() {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    let script = Script::new(content).field("vary", "accept-language");
    world.origin.script("/v", script);
    let get = |language: &str| Request::get("/v").field("accept-language", language);
    world.view(&get("de"), content).await;
    world.stored("/v", &[(0, LENGTH)]).await;
    let asked = world.origin.seen("/v").len();
    let view = world.view(&get("en"), content).await;
    view.expect(200, &["fwd=vary-miss", "stored"]);
    assert_eq!(world.origin.seen("/v").len(), asked + 1);
    let mut head = Request::new("HEAD", "/v").field("accept-language", "fr");
    assert!(
        world
            .open(&head)
            .await
            .cache_status()
            .contains("fwd=vary-miss")
    );
    world.becomes_hit(&get("en"), content).await;
    world.hit(&get("de"), content).await;
    head = Request::new("HEAD", "/v").field("accept-language", "en");
    assert!(world.open(&head).await.cache_status().contains("; hit"));
}
