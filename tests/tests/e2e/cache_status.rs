//! Every response says how it was answered.

use e2e::client::Request;
use e2e::content::Content;
use e2e::origin::Script;

use crate::world::{MIB, World, parameter};

#[tokio::test]
async fn every_response_tells_how_it_was_answered() {
    let world = World::start().await;
    let content = world.serve("/v", 100_000);
    let get = || Request::get("/v");
    world
        .view(&get(), content)
        .await
        .expect(200, &["fwd=uri-miss", "stored"]);
    world.stored("/v", &[(0, 100_000)]).await;
    let hit = world.hit(&get(), content).await;
    assert!(
        hit.cache_status.starts_with("viewcache; hit; ttl=3"),
        "{hit:?}"
    );

    let check = async |request: Request, parameters: &[&str]| {
        let mut response = world.open(&request).await;
        let status = response.cache_status().to_owned();
        response.rest().await.unwrap();
        for expected in parameters {
            assert!(parameter(&status, expected), "{request:?}: {status}");
        }
        assert!(!parameter(&status, "hit"), "{request:?}: {status}");
    };
    let bypassed = |reason: &'static str| ["fwd=bypass", reason];
    check(
        get().field("cache-control", "no-cache"),
        &["fwd=request", "detail=no-cache"],
    )
    .await;
    check(get().field("pragma", "no-cache"), &["fwd=request"]).await;
    check(
        get().field("cache-control", "no-store"),
        &["fwd=request", "detail=no-store"],
    )
    .await;
    check(
        get().field("authorization", "x"),
        &bypassed("detail=authorization"),
    )
    .await;
    check(
        get().field("if-match", "\"v2\""),
        &bypassed("detail=condition"),
    )
    .await;
    check(get().range("5-6,0-1"), &["detail=several-ranges"]).await;
    check(
        get().field("range", "lines=1-2"),
        &bypassed("detail=range-unit"),
    )
    .await;
    check(
        Request::new("POST", "/v").field("content-length", "0"),
        &["fwd=method"],
    )
    .await;
    check(Request::new("HEAD", "/nothing-known"), &["fwd=uri-miss"]).await;
    check(
        Request::get("/nothing-here"),
        &["fwd=uri-miss", "detail=status"],
    )
    .await;
}

#[tokio::test]
async fn what_must_not_be_stored_says_why() {
    let world = World::start().await;
    let check = async |path: &str, name: &str, value: &str, detail: &str| {
        let content = world.serve(path, 50_000);
        let mut script = Script::new(content);
        script.fields.retain(|(field, _)| field != name);
        world.origin.script(path, script.field(name, value));
        let first = world.view(&Request::get(path), content).await;
        first.expect(200, &[detail]);
        // The sidecar may not have heard of it yet; the answer is then handed back by it.
        let second = world.view(&Request::get(path), content).await;
        for view in [first, second] {
            let stored = parameter(&view.cache_status, "stored");
            assert!(!view.is_hit() && !stored, "{view:?}");
        }
        assert_eq!(world.ranges(path).await, [], "{path}");
    };
    check("/no-store", "cache-control", "no-store", "detail=no-store").await;
    check("/private", "cache-control", "private", "detail=private").await;
    check("/cookie", "set-cookie", "a=b", "detail=set-cookie").await;
    check("/vary", "vary", "cookie", "detail=vary").await;
    check("/encoded", "content-encoding", "gzip", "detail=encoding").await;
}

/// RFC 9211 section 2: the list is of the caches that have handled the request, nearest to the
/// origin first. What they said of another request, whose response was stored, is not of it.
#[tokio::test]
async fn other_caches_are_told_before_ours() {
    let world = World::start().await;
    let content = Content::new("/v", MIB);
    let edge = Script::new(content).field("cache-status", "Edge; hit; ttl=5");
    world.origin.script("/v", edge);
    let told = async |range: &str| {
        let request = Request::get("/v").range(range);
        let mut response = request.send(world.stack.ingress()).await.unwrap();
        response.rest().await.unwrap();
        let fields = response.head.fields.iter();
        let lines = fields.filter(|(name, _)| name == "cache-status");
        let lines: Vec<&str> = lines.map(|(_, value)| value.as_str()).collect();
        lines.join(", ")
    };
    assert_eq!(
        told("200000-299999").await,
        "Edge; hit; ttl=5, viewcache; fwd=uri-miss; stored"
    );
    world.stored("/v", &[(200_000, 300_000)]).await;
    let hit = told("200000-200999").await;
    assert!(hit.starts_with("viewcache; hit"), "{hit}");
    assert_eq!(
        told("150000-249999").await,
        "Edge; hit; ttl=5, viewcache; fwd=partial; fwd-status=206; stored"
    );
}
