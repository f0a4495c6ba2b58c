//! A partly cached entity is served partly from the cache, partly from the origin, in one response.

use e2e::client::{HOST, Request};

use crate::world::{MIB, World};

#[tokio::test]
async fn only_the_missing_bytes_are_asked_of_the_origin() {
    let world = World::start().await;
    let length = 4 * MIB;
    let content = world.serve("/v.mp4", length);
    world
        .view(&Request::get("/v.mp4").range("0-1999999"), content)
        .await;
    world.stored("/v.mp4", &[(0, 2_000_000)]).await;

    let view = world
        .view(
            &Request::get("/v.mp4").field("user-agent", "player"),
            content,
        )
        .await;
    view.expect(200, &["fwd=partial"]);
    assert!(!view.is_hit());
    world.stored("/v.mp4", &[(0, length)]).await;
    assert_eq!(
        world.origin.sent("/v.mp4"),
        length,
        "each byte was sent once"
    );

    let gaps: Vec<_> = world.origin.seen("/v.mp4").into_iter().skip(1).collect();
    for gap in &gaps {
        assert_eq!(gap.head.get("host"), Some(HOST));
        assert_eq!(gap.head.get("accept-encoding"), Some("identity"));
        assert_eq!(gap.head.get("user-agent"), Some("player"));
        assert_eq!(gap.head.get("x-forwarded-proto"), Some("http"));
        assert_eq!(gap.head.get("if-range"), Some("\"v1\""));
    }
    let first = |range: &str| range.starts_with("bytes=2000000-");
    assert!(
        gaps.iter()
            .any(|gap| gap.head.get("range").is_some_and(first)),
        "{gaps:?}"
    );
    world.hit(&Request::get("/v.mp4"), content).await;
}

#[tokio::test]
async fn several_gaps_are_filled_in_one_response() {
    let world = World::start().await;
    let content = world.serve("/v", 3 * MIB);
    let islands = [
        (100_000, 200_000),
        (1_000_000, 1_000_001),
        (2_000_000, 2_500_000),
    ];
    for (start, end) in islands {
        let request = Request::get("/v").range(&format!("{start}-{}", end - 1));
        world.view(&request, content).await.expect(206, &[]);
    }
    world.stored("/v", &islands).await;
    world
        .view(&Request::get("/v"), content)
        .await
        .expect(200, &["fwd=partial"]);
    world.stored("/v", &[(0, 3 * MIB)]).await;
    assert_eq!(world.origin.sent("/v"), 3 * MIB);
}

#[tokio::test]
async fn a_seek_over_the_edge_of_what_is_stored() {
    let world = World::start().await;
    let content = world.serve("/v", 2 * MIB);
    world
        .view(&Request::get("/v").range("0-999999"), content)
        .await;
    world.stored("/v", &[(0, 1_000_000)]).await;
    let over = world
        .view(&Request::get("/v").range("900000-1499999"), content)
        .await;
    assert_eq!(
        over.expect(206, &["fwd=partial"]).bytes,
        (900_000, 1_500_000)
    );
    world.stored("/v", &[(0, 1_500_000)]).await;
    // Known, but none of it stored.
    let apart = world
        .view(&Request::get("/v").range("2000000-2000009"), content)
        .await;
    apart.expect(206, &["fwd=partial"]);
    world
        .stored("/v", &[(0, 1_500_000), (2_000_000, 2_000_010)])
        .await;
    assert_eq!(world.origin.sent("/v"), 1_500_010);
}
