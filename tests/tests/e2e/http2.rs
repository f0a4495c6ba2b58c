//! A viewer that speaks HTTP/2, by curl, and an origin that does, by another Envoy.

use std::process::{Command, Output};

use e2e::client::{HOST, Request};
use e2e::content::Content;
use e2e::envoy_config::OriginUrl;
use e2e::origin::Script;

use crate::world::{MIB, World, parameter};

/// Whether there is a curl here that can play this viewer.
fn can_play() -> bool {
    let version = Command::new("curl").arg("--version").output();
    version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("HTTP2"))
}

/// Views a path, all of it or a range, checks every byte, and tells the Cache-Status.
async fn view(world: &World, content: Content, path: &str, range: Option<(u64, u64)>) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--http2-prior-knowledge"])
        .args(["--max-time", "30", "--dump-header", "/dev/stderr"])
        .args(["--connect-to", &format!("::{}", world.stack.ingress())])
        .arg(format!("http://{HOST}{path}"));
    let (start, end) = range.unwrap_or((0, content.length()));
    if range.is_some() {
        curl.args(["--range", &format!("{start}-{}", end - 1)]);
    }
    // The origin lives on this thread.
    let output = tokio::task::spawn_blocking(move || curl.output());
    let Output {
        status,
        stdout,
        stderr,
    } = output.await.unwrap().unwrap();
    let head = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{status}: {head}");
    let expected = if range.is_some() {
        "HTTP/2 206"
    } else {
        "HTTP/2 200"
    };
    assert!(head.starts_with(expected), "{head}");
    assert_eq!(stdout.len() as u64, end - start, "{head}");
    content.check(start, &stdout).unwrap();
    assert!(!head.contains("x-viewcache"), "{head}");
    let mut fields = head.lines();
    let cache_status = fields.find_map(|line| line.strip_prefix("cache-status: "));
    cache_status.unwrap_or_else(|| panic!("{head}")).to_owned()
}

#[tokio::test]
async fn a_viewer_over_http2_gets_the_same() {
    if !can_play() {
        eprintln!("skipped: there is no curl with HTTP/2 here");
        return;
    }
    let world = World::start().await;
    let content = world.serve("/v", 2 * MIB + 17);
    let check = async |range, parameters: &[&str]| {
        let cache_status = view(&world, content, "/v", range).await;
        for expected in parameters {
            assert!(
                parameter(&cache_status, expected),
                "{range:?}: {cache_status}"
            );
        }
    };
    let half = Some((0, MIB));
    check(half, &["fwd=uri-miss", "stored"]).await;
    world.stored("/v", &[(0, MIB)]).await;
    check(half, &["hit"]).await;
    check(None, &["fwd=partial", "stored"]).await;
    world.stored("/v", &[(0, 2 * MIB + 17)]).await;
    assert_eq!(world.origin.sent("/v"), 2 * MIB + 17, "each byte once");
    // The second time by a decision that is remembered.
    check(None, &["hit"]).await;
    check(Some((MIB - 5, MIB + 5)), &["hit"]).await;
    world.counted("remembered", 1).await;
}

#[tokio::test]
async fn an_origin_over_http2_is_cached_alike() {
    // Its egress listener takes HTTP/2 and passes on to the origin.
    let far = World::start().await;
    let near = World::with(|options| {
        options.origin = OriginUrl::http(far.stack.egress());
        options.edits.push((
            "explicit_http_config: {http_protocol_options: {}}".to_owned(),
            "explicit_http_config: {http2_protocol_options: {}}".to_owned(),
        ));
    })
    .await;
    let content = far.serve("/v", 8 * MIB + 5);
    let get = |range| Request::get("/v").range(range);
    let view = near.view(&get("0-999999"), content).await;
    view.expect(206, &["fwd=uri-miss", "stored"]);
    near.stored("/v", &[(0, 1_000_000)]).await;
    near.hit(&get("5-999999"), content).await;
    let view = near.view(&Request::get("/v"), content).await;
    view.expect(200, &["fwd=partial", "stored"]);
    near.stored("/v", &[(0, 8 * MIB + 5)]).await;
    assert_eq!(far.origin.sent("/v"), 8 * MIB + 5, "each byte once");
    let stats =
        e2e::management::envoy_stat(near.stack.admin(), "cluster.origin.upstream_cx_http2_total");
    assert!(0 < stats.await.unwrap(), "it was HTTP/1.1");

    // A stream that is reset: what came is kept, and the rest is asked for again.
    let content = far.serve("/cut", 4 * MIB);
    let cut = Script {
        cut_after: Some(MIB + 77),
        ..Script::new(content)
    };
    far.origin.script("/cut", cut);
    let mut response = near.open(&Request::get("/cut")).await;
    response.rest().await.unwrap_err();
    let view = near.view(&Request::get("/cut"), content).await;
    assert_eq!(view.bytes, (0, 4 * MIB));
    near.becomes_hit(&Request::get("/cut"), content).await;
}
