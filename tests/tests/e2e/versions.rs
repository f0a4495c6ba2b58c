//! A filter and a sidecar of different versions: adjacent ones go together, and others cost nobody
//! anything but the cache.

use e2e::client::Request;
use e2e::management;

use crate::world::{MIB, World};

/// Has Envoy change what every message says of its version, as if another filter had sent it. An
/// aggregate's members run no filters of their own, so the way to viewers' bytes has it in front.
async fn world_of(mutation: &str) -> World {
    const UPSTREAMS: [&str; 3] = [
        "  - name: viewcache_decide\n",
        "  - name: viewcache_ingest\n",
        "  - name: viewcache_serve_then_origin\n",
    ];
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    const FILTERS: &str = "envoy.extensions.filters.http";
    let changed = |cluster: &str| {
        format!(
            r#"{cluster}    typed_extension_protocol_options:
      {OPTIONS}:
        "@type": type.googleapis.com/{OPTIONS}
        explicit_http_config: {{http_protocol_options: {{}}}}
        http_filters:
        - name: version
          typed_config:
            "@type": type.googleapis.com/{FILTERS}.header_mutation.v3.HeaderMutation
            mutations: {{request_mutations: [{mutation}]}}
        - name: codec
          typed_config:
            "@type": type.googleapis.com/{FILTERS}.upstream_codec.v3.UpstreamCodec
"#
        )
    };
    World::with(|options| {
        options.edits = UPSTREAMS
            .map(|cluster| (cluster.to_owned(), changed(cluster)))
            .to_vec();
    })
    .await
}

fn named(version: &str) -> String {
    format!(
        "{{append: {{header: {{key: x-viewcache-version, value: \"{version}\"}}, \
         append_action: OVERWRITE_IF_EXISTS_OR_ADD}}}}"
    )
}

#[tokio::test]
async fn a_filter_of_the_version_before_loses_nothing() {
    // It knew no such header.
    let world = world_of("{remove: x-viewcache-version}").await;
    let content = world.serve("/v", MIB);
    let request = Request::get("/v");
    let seek = Request::get("/v").range("1000-299999");
    let view = world.view(&seek, content).await;
    view.expect(206, &["fwd=uri-miss", "stored"]);
    world.stored("/v", &[(1000, 300_000)]).await;
    let view = world.view(&request, content).await;
    view.expect(200, &["fwd=partial", "stored"]);
    world.stored("/v", &[(0, MIB)]).await;
    world.hit(&request, content).await;
    world.hit(&request, content).await;
    world.counted("remembered", 1).await;
}

#[tokio::test]
async fn a_filter_of_an_unknown_version_is_served_by_the_origin() {
    for version in ["2", "5"] {
        let mut world = world_of(&named(version)).await;
        let content = world.serve("/v", MIB);
        for _ in 0..5 {
            let view = world.view(&Request::get("/v"), content).await;
            view.expect(200, &["fwd=bypass", "detail=decide-version"]);
        }
        let seek = Request::get("/v").range("5-99");
        let view = world.view(&seek, content).await;
        view.expect(206, &["detail=decide-version"]);
        let post = Request::new("POST", "/v").body("x");
        world.open(&post).await;
        assert_eq!(world.entity("/v").await, None, "something was stored");
        let metrics = management::get(world.stack.manage(0), "/metrics").await;
        let metrics = metrics.unwrap();
        let refused = "viewcache_foreign_messages_total ";
        let refused = metrics.lines().find_map(|line| line.strip_prefix(refused));
        assert!(6 <= refused.unwrap().parse::<u64>().unwrap(), "{refused:?}");

        let log = world.stack.sidecar(0).log().unwrap().to_owned();
        let log = std::fs::read_to_string(log).unwrap();
        let told = format!("protocol version \"{version}\" of the filter's");
        let lines = log.lines().filter(|line| line.contains(&told)).count();
        assert_eq!(lines, 1, "{log}");
        world.filter_lives().await;
    }
}
