//! Who is let in, through the shipped Envoy: a secret between Envoy and the sidecar, tokens for
//! people, and what viewers and strangers gain, which is nothing.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::checkout::Checkout;
use e2e::client::{HOST, Request};
use e2e::http1::Head;
use e2e::management::{self, envoy_stat};
use e2e::origin::{Gate, Script};
use e2e::poll::until;
use e2e::stack::Options;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{KIB, MIB, SOON, World};

const SECRET: &str = "hush-0123456789abcdef";
const READ: &str = "reader-reader-reader";
const ADMIN: &str = "keeper-keeper-keeper";

/// How often the sidecar has not let somebody in for want of the secret.
async fn denied(world: &World) -> u64 {
    let metrics = management::get(world.stack.manage(0), "/metrics").await;
    let line = "viewcache_denied_requests_total{reason=\"secret\"} ";
    let metrics = metrics.unwrap();
    let mut counts = metrics.lines().filter_map(|l| l.strip_prefix(line));
    counts.next().map_or(0, |count| count.parse().unwrap())
}

/// Everything that a viewer could send to be taken for Envoy.
fn forged(request: Request) -> Request {
    request
        .field("x-viewcache-secret", SECRET)
        .field("X-Viewcache-Secret", "another")
        .field("x-viewcache-route", "hit")
        .field("x-viewcache-entity", "generic:http://media.test/other")
        .field("x-viewcache-origin-path", "/other")
}

/// A miss, a hit, a remembered hit and a partial, each by viewers who forge and who do not. That
/// no header of ours reaches the origin or a viewer is checked of every request of every test.
async fn everything_works(world: &World, name: &str) {
    let path = |what: &str| format!("/{name}/{what}");
    for (what, request) in [
        ("plain", Request::get(&path("plain"))),
        ("forged", forged(Request::get(&path("forged")))),
    ] {
        let content = world.serve(&path(what), MIB);
        let miss = world.view(&request, content).await;
        miss.expect(200, &["fwd=uri-miss", "stored"]);
        // Each byte came through a callout of the filter's.
        world.stored(&path(what), &[(0, MIB)]).await;
        for _ in 0..3 {
            world.hit(&request, content).await.expect(200, &["hit"]);
        }
        let seek = request.clone().range("1000-1999");
        assert_eq!(world.hit(&seek, content).await.bytes, (1000, 2000));

        let half = format!("{}/half", path(what));
        let content = world.serve(&half, MIB);
        let request = match what {
            "plain" => Request::get(&half),
            _ => forged(Request::get(&half)),
        };
        world.view(&request.clone().range("0-99999"), content).await;
        world.stored(&half, &[(0, 100_000)]).await;
        let partial = world.view(&request, content).await;
        partial.expect(200, &["fwd=partial", "stored"]);
        world.stored(&half, &[(0, MIB)]).await;
        assert_eq!(world.origin.sent(&half), MIB, "each byte was sent once");
        // Changes by viewers are told to the sidecar, too.
        let post = Request::new("POST", &half).field("content-length", "0");
        world.open(&post).await.rest().await.unwrap();
        world
            .view(&request, content)
            .await
            .expect(200, &["fwd=stale"]);
    }
    assert_eq!(denied(world).await, 0);
    world.counted("remembered", 4).await;
}

/// The sidecar dies: whatever way leads to the origin, none of ours goes along.
async fn fails_over(world: &mut World) {
    let content = world.serve("/late", 64 * KIB);
    let request = forged(Request::get("/late"));
    world.view(&request, content).await;
    world.stored("/late", &[(0, 64 * KIB)]).await;
    world.hit(&request, content).await;
    world.stack.sidecar(0).kill().await.unwrap();
    let before = world.count("failover").await;
    for _ in 0..10 {
        // The first ones are remembered hits, which only the fail-over brings to the origin.
        let view = world.view(&request, content).await;
        assert!(!view.expect(200, &["fwd=bypass"]).is_hit());
    }
    world.counted("failover", before + 1).await;
    assert!(1 < world.origin.seen("/late").len());
    world.stack.start_sidecar(0).await.unwrap();
    world.becomes_hit(&request, content).await;
}

#[tokio::test]
async fn with_a_secret_all_is_as_without() {
    let mut world = World::with(|options| options.secret = Some(SECRET.to_owned())).await;
    everything_works(&world, "v").await;
    fails_over(&mut world).await;
}

/// What the guide changes in the shipped configuration, under a heading: literals and what to put
/// in their place.
fn guide(heading: &str) -> Vec<(String, String)> {
    let path = Checkout::find().unwrap().path("docs/SEPARATE-HOSTS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```diff\n").skip(1);
    let side = |block: &str, marker: char| -> String {
        let lines = block.lines().filter(|line| line.starts_with([' ', marker]));
        lines.map(|line| format!("{}\n", &line[1..])).collect()
    };
    blocks
        .map(|block| block.split("```").next().unwrap())
        .map(|block| {
            let edit = (side(block, '-'), side(block, '+'));
            (
                edit.0,
                edit.1.replace("\"SECRET\"", &format!("\"{SECRET}\"")),
            )
        })
        .collect()
}

/// Whoever shows the egress listener no secret, or another, gets nothing from the origin.
async fn the_egress_is_closed(world: &World) {
    let content = world.serve("/egress", 1000);
    let egress = world.stack.egress();
    for shown in ["", "hush", "hush-0123456789abcdeF", "-"] {
        let request = Request::get("/egress").field("x-viewcache-secret", shown);
        assert_eq!(request.send(egress).await.unwrap().status, 403, "{shown}");
    }
    let bare = Request::get("/egress").send(egress).await.unwrap();
    assert_eq!(bare.status, 403);
    assert_eq!(world.origin.seen("/egress").len(), 0);
    let request = Request::get("/egress").field("x-viewcache-secret", SECRET);
    let mut response = request.send(egress).await.unwrap();
    let body = response.rest().await.unwrap();
    assert_eq!((response.status, body.len()), (200, 1000));
    content.check(0, &body).unwrap();
}

async fn dump(world: &World) -> String {
    management::get(world.stack.admin(), "/config_dump")
        .await
        .unwrap()
}

#[tokio::test]
async fn the_guide_puts_the_secret_into_the_configuration() {
    let mut edits = guide("In Envoy's configuration");
    assert_eq!(edits.len(), 3);
    // The filter's configuration is the harness's to write.
    let (_, filter) = edits.remove(0);
    let mut world = World::with(|options| {
        options.secret = Some(SECRET.to_owned());
        assert!(filter.contains(&options.filter_json()), "{filter}");
        options.edits = edits;
    })
    .await;
    the_egress_is_closed(&world).await;
    everything_works(&world, "v").await;
    fails_over(&mut world).await;
    assert!(dump(&world).await.contains(SECRET), "as the guide says");
}

#[tokio::test]
async fn the_guide_leaves_the_secret_in_the_environment() {
    let mut edits = guide("In Envoy's environment");
    assert_eq!(edits.len(), 4);
    let filter = format!(", \"secret\": \"{SECRET}\"");
    edits.push((filter, String::new()));
    let mut world = World::with(|options| {
        options.secret = Some(SECRET.to_owned());
        options.edits = edits;
        let variable = ("VIEWCACHE_SECRET".to_owned(), SECRET.to_owned());
        options.envoy_variables = vec![variable];
    })
    .await;
    the_egress_is_closed(&world).await;
    everything_works(&world, "v").await;
    fails_over(&mut world).await;
    assert!(!dump(&world).await.contains(SECRET), "it can be seen");
}

#[tokio::test]
async fn with_another_secret_viewers_get_the_origins_answers() {
    let other = ("hush-0123456789abcdef", "hush-fedcba9876543210");
    let edits = vec![(format!("\"{}\"", other.0), format!("\"{}\"", other.1))];
    let world = World::with(|options| {
        options.secret = Some(SECRET.to_owned());
        options.edits = edits;
    })
    .await;
    let content = world.serve("/v", 100_000);
    for request in [Request::get("/v"), forged(Request::get("/v"))] {
        for _ in 0..3 {
            let view = world.view(&request, content).await;
            view.expect(200, &["fwd=bypass", "detail=decide-refused"]);
        }
    }
    assert_eq!(world.entity("/v").await, None);
    assert_eq!(denied(&world).await, 6);
    // Ejected, it would cost viewers nothing either; but it is well, and shows so.
    let ejections = "cluster.viewcache_decide.outlier_detection.ejections_enforced_total";
    assert_eq!(envoy_stat(world.stack.admin(), ejections).await.unwrap(), 0);
}

/// A sidecar that hands back whatever is routed to it, and remembers what it was sent.
async fn play(stream: TcpStream, heads: Arc<Mutex<Vec<Head>>>) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(head) = Head::read(&mut stream).await? {
        let length: u64 = head.get("content-length").unwrap_or("0").parse()?;
        let body = &mut (&mut stream).take(length);
        body.read_to_end(&mut Vec::new()).await?;
        let miss = r#"{"decision":"miss","forward":"uri-miss","grant":{"fill":"0000000000000007","ttl_ms":5000}}"#;
        let hit = r#"{"decision":"hit"}"#;
        heads.lock().unwrap().push(head.clone());
        let first = heads
            .lock()
            .unwrap()
            .iter()
            .filter(|head| head.path() == "/decide")
            .count()
            == 1;
        let answer = match head.path() {
            "/decide" => {
                let decision = if first { miss } else { hit };
                format!(
                    "200 OK\r\ncontent-length: {}\r\n\r\n{decision}",
                    decision.len()
                )
            }
            _ if head.get("x-viewcache-route").is_some() => {
                "421 Misdirected Request\r\nx-viewcache-handback: late\r\ncontent-length: 0\r\n\r\n"
                    .to_owned()
            }
            _ => "204 No Content\r\n\r\n".to_owned(),
        };
        stream
            .write_all(format!("HTTP/1.1 {answer}").as_bytes())
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_call_of_envoys_shows_the_secret() {
    let mut world = World::with(|options| {
        options.secret = Some(SECRET.to_owned());
        options.start_sidecars = false;
    })
    .await;
    let heads = Arc::<Mutex<Vec<Head>>>::default();
    let listener = TcpListener::bind(world.stack.free_data_port(0))
        .await
        .unwrap();
    let playing = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play(stream, Arc::clone(&playing)));
        }
    });
    let content = world.serve("/v", MIB);
    let seen = |path: fn(&Head) -> bool| {
        let heads = heads.lock().unwrap();
        heads
            .iter()
            .filter(|head| path(head))
            .cloned()
            .collect::<Vec<_>>()
    };
    let told = until("the fill has ended", SOON, async || {
        world.view(&forged(Request::get("/v")), content).await;
        (!seen(|head| head.path().ends_with("/end")).is_empty()).then_some(())
    });
    told.await.unwrap();
    // Handed back, the origin answers; that it sees none of ours is checked at the end.
    let handed = until("a request is handed back", SOON, async || {
        world.view(&forged(Request::get("/v")), content).await;
        (!seen(|head| head.get("x-viewcache-route").is_some()).is_empty()).then_some(())
    });
    handed.await.unwrap();
    for (what, is) in [
        (
            "decide",
            (|head| head.path() == "/decide") as fn(&Head) -> bool,
        ),
        ("begin", |head| head.path().ends_with("/begin")),
        ("chunks", |head| head.path().ends_with("/chunks")),
        ("end", |head| head.path().ends_with("/end")),
        ("routed", |head| head.get("x-viewcache-route").is_some()),
    ] {
        let heads = seen(is);
        assert!(!heads.is_empty(), "{what}");
        for head in heads {
            let shown = head
                .fields
                .iter()
                .filter(|(name, _)| name == "x-viewcache-secret");
            let shown: Vec<_> = shown.map(|(_, value)| &value[..]).collect();
            assert_eq!(shown, [SECRET], "{what}: {head:?}");
        }
    }
}

/// A stranger who reaches the data port while a viewer watches.
#[tokio::test]
async fn a_stranger_at_the_data_port_changes_nothing() {
    let world = World::with(|options| options.secret = Some(SECRET.to_owned())).await;
    let content = world.serve("/v", MIB);
    let gate = Gate::at_byte(512 * KIB);
    let script = Script {
        gate: Some(gate.clone()),
        ..Script::new(content)
    };
    world.origin.script("/v", script);
    let mut viewer = world.open(&Request::get("/v")).await;
    let first = viewer.take(400_000).await.unwrap();
    content.check(0, &first).unwrap();
    let data = world.stack.data_port(0);
    let key = format!("generic:http://{HOST}/v");
    let invalidate = format!(r#"{{"version": 3, "key": "{key}"}}"#);
    let decide = format!(r#"{{"version": 3, "wanted": {{"key": "{key}"}}}}"#);
    let forge = Request::get("/v")
        .field("x-viewcache-route", "partial")
        .field("x-viewcache-entity", &key)
        .field("x-viewcache-origin-path", "/elsewhere");
    for request in [
        Request::new("POST", "/invalidate").body(&invalidate),
        Request::new("POST", "/decide").body(&decide),
        forge.clone(),
        forge.field("x-viewcache-secret", "hush-0123456789abcdeF"),
    ] {
        let response = request.send(data).await.unwrap();
        assert_eq!(response.status, 403, "{request:?}");
    }
    assert_eq!(world.origin.seen("/elsewhere").len(), 0);
    gate.open();
    content
        .check(400_000, &viewer.rest().await.unwrap())
        .unwrap();
    world.stored("/v", &[(0, MIB)]).await;
    world.hit(&Request::get("/v"), content).await;
    assert_eq!(denied(&world).await, 4);
}

/// A file of tokens, and the folder that it is in.
fn tokens() -> (PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, format!("read {READ}\nadmin {ADMIN}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    (file, folder)
}

async fn managed(to: SocketAddr, method: &str, target: &str, token: Option<&str>) -> (u16, String) {
    let mut request = management::request(method, to, target);
    if let Some(token) = token {
        request = request.field("authorization", format!("Bearer {token}"));
    }
    let mut response = request.send(to).await.unwrap();
    let body = response.rest().await.unwrap();
    (response.status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn with_tokens_the_stack_may_be_managed_from_elsewhere() {
    let (file, _folder) = tokens();
    let start = |options: &mut Options| {
        options.manage = Some(([0, 0, 0, 0], 0).into());
        options.tokens_file = Some(file);
        options.secret = Some(SECRET.to_owned());
    };
    let world = World::with(start).await;
    let content = world.serve("/v", 10_000);
    world
        .view(&Request::get("/v"), content)
        .await
        .expect(200, &["fwd=uri-miss"]);
    let hit = until("a hit", SOON, async || {
        world
            .view(&Request::get("/v"), content)
            .await
            .is_hit()
            .then_some(())
    });
    hit.await.unwrap();
    let manage = world.stack.manage(0);
    for (method, target, nobody, reader, admin) in [
        ("GET", "/v1/entities", 401, 200, 200),
        ("GET", "/metrics", 401, 200, 200),
        ("GET", "/healthz", 200, 200, 200),
        (
            "DELETE",
            "/v1/entities/00000000000000000000000000000000",
            401,
            403,
            404,
        ),
    ] {
        for (token, expect) in [(None, nobody), (Some(READ), reader), (Some(ADMIN), admin)] {
            let (status, body) = managed(manage, method, target, token).await;
            assert_eq!(status, expect, "{method} {target} {token:?}: {body}");
        }
    }
    let (_, list) = managed(manage, "GET", "/v1/entities", Some(READ)).await;
    assert!(list.contains("\"cached_bytes\":10000"), "{list}");
}

#[tokio::test]
async fn without_tokens_the_stack_is_not_managed_from_elsewhere() {
    let origin = e2e::origin::Origin::start().await.unwrap();
    let mut options = Options::new(e2e::envoy_config::OriginUrl::http(origin.address()));
    options.manage = Some(([0, 0, 0, 0], 0).into());
    let started = tokio::time::timeout(Duration::from_secs(60), e2e::stack::Stack::start(options));
    let error = format!("{:?}", started.await.unwrap().unwrap_err());
    assert!(error.contains("exit status: 64"), "{error}");
    assert!(
        error.contains("is not a loopback address, and there are no tokens"),
        "{error}"
    );
}
