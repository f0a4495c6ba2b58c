//! The stack as it is started without further files.

use std::time::Duration;

use e2e::checkout::Checkout;

use crate::project::{Project, base, docker, image_size};

const FIRST: &str = "/videos/first.mp4";
const SECOND: &str = "/videos/second.mp4";

/// What the images may add to the one that they are made from.
const MOST_ADDED: u64 = 48 << 20;

#[tokio::test]
async fn it_caches_survives_restarts_and_ends_in_order() {
    let project = Project::up("stack", &["docker-compose.yml"]).await.unwrap();

    // The player page, and the demo's scenario.
    project.view("/", None).await.unwrap();
    let (first, second) = (project.file(FIRST).unwrap(), project.file(SECOND).unwrap());
    let view = project.view(FIRST, None).await.unwrap();
    view.expect("viewcache; fwd=uri-miss; stored");
    project.stored(0, FIRST, first.len()).await.unwrap();
    let view = project.view(FIRST, None).await.unwrap();
    view.expect("viewcache; hit; ttl=");
    let half = second.len() / 2;
    let view = project.view(SECOND, Some((0, half))).await.unwrap();
    view.expect("viewcache; fwd=uri-miss; stored");
    project.stored(0, SECOND, half).await.unwrap();
    let view = project.view(SECOND, None).await.unwrap();
    view.expect("viewcache; fwd=partial; stored");
    project.stored(0, SECOND, second.len()).await.unwrap();
    // Each byte came from the origin once.
    let entity = project.entity(0, SECOND).await.unwrap().unwrap();
    assert_eq!(entity["bytes_from_origin"], second.len(), "{entity}");

    hardened(&project).await;
    closed(&project).await;

    // Without the sidecar the origin answers; with a new container of it, what was stored is there.
    let (code, took) = project.stop("sidecar").await.unwrap();
    assert_eq!(code, 0, "the sidecar ended by itself");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let view = project.view(FIRST, None).await.unwrap();
    view.expect("viewcache; fwd=bypass; detail=");
    project
        .compose(&[
            "up",
            "-d",
            "--no-build",
            "--force-recreate",
            "--no-deps",
            "sidecar",
        ])
        .await
        .unwrap();
    project.becomes_hit(FIRST).await.unwrap();
    project.compose(&["restart", "sidecar"]).await.unwrap();
    project.becomes_hit(FIRST).await.unwrap();

    // All at once, in whichever order.
    project.compose(&["restart"]).await.unwrap();
    project.healthy().await.unwrap();
    project.becomes_hit(FIRST).await.unwrap();

    // With no origin at all, what is stored is still served.
    project.compose(&["stop", "origin"]).await.unwrap();
    for target in [FIRST, SECOND] {
        let view = project.view(target, None).await.unwrap();
        view.expect("viewcache; hit; ttl=");
    }
    project.compose(&["start", "origin"]).await.unwrap();

    // Data and tokens outlive the containers.
    let token = project.read_token().await.unwrap();
    project.compose(&["down"]).await.unwrap();
    project.compose(&["up", "-d", "--no-build"]).await.unwrap();
    project.healthy().await.unwrap();
    assert_eq!(project.read_token().await.unwrap(), token);
    project.becomes_hit(SECOND).await.unwrap();

    for service in ["envoy", "sidecar", "origin"] {
        let (code, took) = project.stop(service).await.unwrap();
        assert_eq!(code, 0, "{service} ended by itself");
        assert!(took < Duration::from_secs(10), "{service}: {took:?}");
        eprintln!(
            "{service:24} ended with {code} after {:.1} s",
            took.as_secs_f64()
        );
    }
    project.down().await.unwrap();
}

/// Nobody is root, and nothing can be written but to volumes and /tmp.
async fn hardened(project: &Project) {
    for service in ["envoy", "sidecar", "origin"] {
        let status = project.exec(service, &["cat", "/proc/1/status"]).await;
        let status = status.unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().split_whitespace().next().unwrap().to_owned()
        };
        assert_eq!(field("Uid:"), "10001", "{service}");
        assert_eq!(field("CapEff:"), "0000000000000000", "{service}");
        assert_eq!(field("NoNewPrivs:"), "1", "{service}");
        let write = project.exec(service, &["touch", "/usr/local/x"]).await;
        let refused = write.unwrap_err().to_string();
        assert!(refused.contains("Read-only file system"), "{refused}");
        let limits = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}";
        let limits = project.inspect(service, limits).await.unwrap();
        let bounded = |limit: &str| limit.parse::<u64>().is_ok_and(|limit| 0 < limit);
        assert!(limits.split(' ').all(bounded), "{service}: {limits}");
    }
}

/// Only viewers' port and the management port are published, on loopback; the latter demands a
/// token, and the origin's container cannot pass for a sidecar or for Envoy.
async fn closed(project: &Project) {
    let template = "{{range $port, $at := .NetworkSettings.Ports}}{{range $at}}{{$port}}={{.HostIp}} {{end}}{{end}}";
    for (service, expected) in [
        ("envoy", "10000/tcp=127.0.0.1"),
        ("sidecar", "7070/tcp=127.0.0.1"),
        ("origin", ""),
    ] {
        let published = project.inspect(service, template).await.unwrap();
        assert_eq!(published.trim(), expected, "{service}");
    }
    for token in [None, Some("0123456789abcdef0123456789abcdef")] {
        let (status, body) = project.ask_with(0, "/v1/entities", token).await.unwrap();
        assert_eq!(status, 401, "{body}");
    }
    let (status, metrics) = project.ask(0, "/metrics").await.unwrap();
    assert!(status == 200 && metrics.contains("viewcache_"), "{metrics}");

    let knock = |address: &str| {
        let (host, port) = address.split_once(':').unwrap();
        format!(
            "exec 3<>/dev/tcp/{host}/{port} && \
             printf 'GET /videos/first.mp4 HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' >&3 && \
             head -n1 <&3"
        )
    };
    let egress = knock("envoy:10001");
    let answer = project
        .exec("origin", &["bash", "-c", &egress])
        .await
        .unwrap();
    assert!(answer.contains(" 403 "), "{answer}");
    let data = knock("sidecar:7071");
    project
        .exec("origin", &["bash", "-c", &data])
        .await
        .unwrap_err();
    let answer = project.exec("envoy", &["bash", "-c", &data]).await.unwrap();
    assert!(answer.contains(" 403 "), "{answer}");
}

#[tokio::test]
async fn images_are_small() {
    let checkout = Checkout::find().unwrap();
    let tag = std::env::var("VIEWCACHE_TAG").unwrap();
    let dockerfile = checkout.path("deploy/Dockerfile");
    let debian = image_size(&base(&dockerfile, "debian").unwrap())
        .await
        .unwrap();
    let image = format!("viewcache-envoy:{tag}");
    let run = ["run", "--rm", "--network", "none", "--entrypoint", "stat"];
    let stat = [
        &run[..],
        &[image.as_str(), "-c", "%s", "/usr/local/bin/envoy"],
    ]
    .concat();
    let envoy: u64 = docker(&stat).await.unwrap().parse().unwrap();
    for (name, given) in [
        ("viewcache-envoy", debian + envoy),
        ("viewcache-sidecar", debian),
        ("viewcache-demo-origin", debian),
    ] {
        let size = image_size(&format!("{name}:{tag}")).await.unwrap();
        let added = size - given;
        eprintln!(
            "{name:24} {:.1} MB, {:.1} MB of it ours",
            size as f64 / 1e6,
            added as f64 / 1e6
        );
        assert!(added < MOST_ADDED, "{name} adds {added} bytes");
    }
}
