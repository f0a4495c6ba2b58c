//! Malformed requests and lying origins: the viewer gets what the origin gives, nothing wrong is
//! stored, and the filter lives.

use std::time::Duration;

use e2e::client::Request;
use e2e::content::Content;
use e2e::origin::{Framing, Ranges, Script};

use crate::world::{KIB, MIB, World};

#[tokio::test]
async fn a_malformed_request_gets_what_the_origin_gives() {
    let world = World::start().await;
    let content = world.serve("/v", 200_000);
    let get = || Request::get("/v");
    let requests = [
        get().field("range", "bytes=abc"),
        get().field("range", "bytes=5-2"),
        get().field("range", "bytes=-"),
        get().field("range", "bytes=99999999999999999999999-"),
        get().field("range", "bytes=18446744073709551615-18446744073709551615"),
        get().field("range", "bytes=-0"),
        get().field("range", "lines=0-1"),
        get().field("range", "bytes"),
        get().field("range", ""),
        get().field("range", "bytes=0-1,5-6"),
        get().range("0-1").range("5-6"),
        get().field("range", b"bytes=0-\xff"),
        get().field("range", b"\xff\xfe"),
        get()
            .field("cookie", b"a=\xff\xfe")
            .field("user-agent", b"\x80"),
        get().field("if-none-match", b"\"\xff\""),
        get().field("cache-control", b"no-cache\xff"),
        get().field("cache-control", "max-age=\"unclosed, no-store"),
        get().field("if-range", "not a validator").range("0-9"),
        get().field("x-empty", ""),
    ];
    for request in requests {
        let mut through = world.open(&request).await;
        let mut direct = request.send(world.origin.address()).await.unwrap();
        assert_eq!(through.status, direct.status, "{request:?}");
        let (a, b) = (through.rest().await.unwrap(), direct.rest().await.unwrap());
        assert!(
            a == b,
            "{request:?}: {} bytes instead of {}",
            a.len(),
            b.len()
        );
    }
    world.view(&get(), content).await.expect(200, &[]);
    world.becomes_hit(&get(), content).await;
    world.filter_lives().await;
}

#[tokio::test]
async fn an_absurd_url_goes_to_the_origin() {
    let world = World::start().await;
    let content = world.serve("/v", 1000);
    let url = |length: u64| Request::get(&format!("/v?{}", "a".repeat(length as usize)));
    world
        .view(&url(50 * KIB), content)
        .await
        .expect(200, &["fwd=bypass", "detail=url-too-long"]);
    // Beyond Envoy's own limit for heads.
    let mut refused = url(70 * KIB).send(world.stack.ingress()).await.unwrap();
    assert_eq!(refused.status, 431);
    let _ = refused.rest().await;
    world.filter_lives().await;
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_not_stored() {
    let world = World::start().await;
    let content = world.serve("/close", 300_000);
    world.origin.script(
        "/close",
        Script {
            framing: Framing::Close,
            ..Script::new(content)
        },
    );
    let first = world.view(&Request::get("/close"), content).await;
    first.expect(200, &["detail=no-length"]);
    let second = world.view(&Request::get("/close"), content).await;
    assert!(!first.is_hit() && !second.is_hit(), "{second:?}");
    assert_eq!(world.ranges("/close").await, []);
}

#[tokio::test]
async fn a_chunked_body_is_stored_when_its_end_is_clean() {
    const LENGTH: u64 = 20 * MIB + 1;
    let world = World::start().await;
    for (path, etag, framing) in [
        ("/chunked", Some("\"v1\""), Framing::Chunked),
        ("/nameless", None, Framing::Chunked),
        ("/trailed", Some("\"v1\""), Framing::Trailed),
    ] {
        let content = world.serve(path, LENGTH);
        let script = Script {
            framing,
            etag: etag.map(str::to_owned),
            // Slowly enough that none of it is left out on a busy machine.
            pace: Some((MIB, Duration::from_millis(50))),
            ..Script::new(content)
        };
        let cut = Script {
            cut_after: Some(9 * MIB),
            ..script.clone()
        };
        world.origin.script(path, cut);
        let mut response = world.open(&Request::get(path)).await;
        assert!(response.cache_status().contains("stored"), "{response:?}");
        response.rest().await.unwrap_err();
        assert_eq!(world.ranges(path).await, []);

        world.origin.script(path, script);
        world.view(&Request::get(path), content).await;
        world.stored(path, &[(0, LENGTH)]).await;
        let view = world.hit(&Request::get(path), content).await;
        assert_eq!(view.head.get("content-length"), Some("20971521"));
        let part = world
            .hit(&Request::get(path).range("20000000-"), content)
            .await;
        part.expect(206, &[]);
    }
}

/// It names another resource: it is passed on, and never is the body of this one.
#[tokio::test]
async fn a_redirect_is_passed_on_and_not_stored() {
    let world = World::start().await;
    let content = world.serve("/v", MIB);
    world
        .view(&Request::get("/v").range("0-99999"), content)
        .await;
    world.stored("/v", &[(0, 100_000)]).await;
    let moved = Script {
        fails_with: Some(302),
        ..Script::new(content)
    };
    world.origin.script("/v", moved.clone());
    world.origin.script("/other", moved);
    for request in [
        Request::get("/other"),
        Request::get("/other").range("5-9"),
        Request::get("/v").range("200000-299999"),
    ] {
        let mut response = world.open(&request).await;
        assert_eq!(response.status, 302, "{request:?}");
        response.rest().await.unwrap();
    }
    // At the gap the viewer is cut: what it has is right.
    let mut cut = world.open(&Request::get("/v").range("50000-149999")).await;
    assert!(matches!(cut.status, 206 | 302), "{cut:?}");
    if cut.status == 206 {
        let got = cut.take(50_000).await.unwrap();
        content.check(50_000, &got).unwrap();
        cut.rest().await.unwrap_err();
    }
    assert_eq!(world.ranges("/v").await, [(0, 100_000)]);
    assert!(world.entity("/other").await.is_none());
    world
        .hit(&Request::get("/v").range("0-99999"), content)
        .await;
}

/// R7: any answer of the origin's to a range of nothing is right.
#[tokio::test]
async fn an_entity_without_bytes_is_passed_on() {
    let world = World::start().await;
    world.serve("/empty", 0);
    for request in [
        Request::get("/empty"),
        Request::get("/empty").range("0-"),
        Request::get("/empty").range("0-9"),
        Request::get("/empty").range("-5"),
        Request::get("/empty"),
    ] {
        let mut response = world.open(&request).await;
        assert!(matches!(response.status, 200 | 416), "{response:?}");
        assert!(!response.cache_status().contains("stored"), "{response:?}");
        assert!(response.rest().await.unwrap().is_empty());
    }
    assert!(world.entity("/empty").await.is_none());
    world.filter_lives().await;
}

#[tokio::test]
async fn a_wrong_content_range_is_passed_on_and_not_stored() {
    let world = World::start().await;
    let content = world.serve("/v", MIB);
    let script = Script {
        ranges: Ranges::Mislabeled,
        ..Script::new(content)
    };
    world.origin.script("/v", script);
    let request = Request::get("/v").range("1000-1999");
    for _ in 0..2 {
        let mut response = world.open(&request).await;
        assert_eq!(
            response.head.get("content-range"),
            Some("bytes 1001-2000/1048577")
        );
        content
            .check(1000, &response.rest().await.unwrap())
            .unwrap();
        assert!(!response.cache_status().contains("stored"));
    }
    assert_eq!(world.ranges("/v").await, []);

    // As a gap, after a part that was right.
    world.origin.script("/v", Script::new(content));
    world
        .view(&Request::get("/v").range("0-99999"), content)
        .await;
    world.stored("/v", &[(0, 100_000)]).await;
    let script = Script {
        ranges: Ranges::Mislabeled,
        ..Script::new(content)
    };
    world.origin.script("/v", script);
    let over = world
        .open(&Request::get("/v").range("50000-149999"))
        .await
        .rest()
        .await;
    if let Ok(body) = over {
        content.check(50_000, &body).unwrap();
    }
    for (start, end) in world.ranges("/v").await {
        assert!(end <= 100_000, "{start}..{end} is stored");
    }
    world.origin.script("/v", Script::new(content));
    world
        .view(&Request::get("/v").range("50000-149999"), content)
        .await;
}

#[tokio::test]
async fn a_range_that_is_ignored_gives_the_whole() {
    let world = World::start().await;
    let content = world.serve("/v", 500_000);
    world.origin.script(
        "/v",
        Script {
            ranges: Ranges::Ignored,
            ..Script::new(content)
        },
    );
    let view = world
        .view(&Request::get("/v").range("1000-1999"), content)
        .await;
    view.expect(200, &["stored"]);
    world.stored("/v", &[(0, 500_000)]).await;
    let hit = world
        .hit(&Request::get("/v").range("1000-1999"), content)
        .await;
    assert_eq!(hit.expect(206, &[]).bytes, (1000, 2000));
}

#[tokio::test]
async fn a_body_that_is_cut_is_stored_as_far_as_it_came() {
    let world = World::start().await;
    let content = world.serve("/v", 2 * MIB);
    let script = Script {
        cut_after: Some(700_001),
        ..Script::new(content)
    };
    world.origin.script("/v", script);
    let mut response = world.open(&Request::get("/v")).await;
    assert!(
        response.rest().await.is_err(),
        "the viewer is told that it was cut"
    );
    world.stored("/v", &[(0, 700_001)]).await;
    world.origin.script("/v", Script::new(content));
    world
        .view(&Request::get("/v"), content)
        .await
        .expect(200, &["fwd=partial"]);
    world.stored("/v", &[(0, 2 * MIB)]).await;
}

#[tokio::test]
async fn control_headers_of_others_mean_nothing() {
    let world = World::start().await;
    let content = world.serve("/v", 100_000);
    let script = Script::new(content)
        .field("x-viewcache-served", "1")
        .field("x-viewcache-handback", "no")
        .field("cache-status", "viewcache; hit");
    world.origin.script("/v", script);
    let forged = Request::get("/v")
        .field("x-viewcache-route", "hit")
        .field("x-viewcache-key", "00000000000000000000000000000000")
        .field("x-viewcache-entity", "generic:http://media.test/other")
        .field("x-viewcache-anything", "1");
    // An origin's own Cache-Status may stand before ours: this one pretends to be ours.
    let mut response = forged.send(world.stack.ingress()).await.unwrap();
    content.check(0, &response.rest().await.unwrap()).unwrap();
    let fields = &response.head.fields;
    assert!(
        !fields
            .iter()
            .any(|(name, _)| name.starts_with("x-viewcache")),
        "{fields:?}"
    );
    let last = fields
        .iter()
        .rfind(|(name, _)| name == "cache-status")
        .unwrap();
    assert!(last.1.contains("fwd=uri-miss"), "{fields:?}");
    world.stored("/v", &[(0, 100_000)]).await;
    world.hit(&forged, content).await;
    assert!(world.entity("/other").await.is_none());
}

#[tokio::test]
async fn a_broken_validator_makes_no_generation() {
    let world = World::start().await;
    let content = Content::new("/v", 100_000);
    for etag in ["W/\"weak\"", "unquoted", "\"unclosed"] {
        let script = Script {
            etag: Some(etag.to_owned()),
            ..Script::new(content)
        };
        world.origin.script("/v", script);
        world
            .view(&Request::get("/v").range("0-999"), content)
            .await
            .expect(206, &[]);
        world
            .view(&Request::get("/v").range("1000-1999"), content)
            .await
            .expect(206, &[]);
        world
            .view(&Request::get("/v"), content)
            .await
            .expect(200, &[]);
    }
    world.filter_lives().await;
}
