//! Where the sidecar can be made to ask: at Envoy's egress listener, and nowhere else. A canary
//! listens on this machine under the names that downloads, resolvers and redirects give it; nobody
//! ever comes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::client::{HOST, Request};
use e2e::content::Content;
use e2e::envoy_config::OriginUrl;
use e2e::origin::Script;
use e2e::poll::until;
use e2e::stack::Profile;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::ask;
use super::liar::Liar;
use crate::downloads::{becomes, call, report, start};
use crate::world::{MIB, SOON, World, rules};

/// Somebody whom nobody is to ask.
struct Canary {
    address: SocketAddr,
    visits: Arc<AtomicUsize>,
}

impl Canary {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let visits = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&visits);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            visits,
        }
    }

    /// Its address in every way in which it can be written.
    fn authorities(&self) -> Vec<String> {
        let port = self.address.port();
        let hosts = [
            "127.0.0.1",
            "localhost",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "0",
        ];
        hosts.map(|host| format!("{host}:{port}")).into()
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.visits.load(Ordering::Relaxed), 0, "somebody came");
        }
    }
}

#[tokio::test]
async fn a_download_asks_the_origin_whatever_its_url() {
    let canary = Canary::start().await;
    let world = World::start().await;
    world.serve("/v", MIB);
    for authority in canary.authorities() {
        let asked = world.origin.seen("/v").len();
        let body = json!({"url": format!("http://{authority}/v")});
        let (status, told) = call(&world, "POST", "/v1/downloads", body).await;
        if status == 202 {
            // It is the origin that is asked, under that name.
            let id = told["id"].as_str().unwrap();
            let ended = until("the download ends", SOON, async || {
                let status = report(&world, id).await["status"].clone();
                let ended = ["complete", "failed", "waiting"].map(Value::from);
                ended.contains(&status).then_some(())
            });
            ended.await.unwrap();
            let seen = world.origin.seen("/v");
            assert!(asked < seen.len(), "{authority}");
            assert_eq!(seen.last().unwrap().head.get("host"), Some(&authority[..]));
        }
    }
    let port = canary.address.port();
    let listed = async || {
        let manage = world.stack.manage(0);
        let list = e2e::management::json(manage, "/v1/downloads")
            .await
            .unwrap();
        list["items"].as_array().unwrap().len()
    };
    let before = listed().await;
    for url in [
        format!("http://{HOST}@127.0.0.1:{port}/v"),
        format!("http://{HOST}:80@127.0.0.1:{port}/v"),
        format!("http://user:secret@{HOST}/v"),
        format!("http://{HOST}\\@127.0.0.1:{port}/v"),
        format!("http://{HOST}\r\nhost: 127.0.0.1:{port}/v"),
        format!("http://{HOST}/v\r\nx-viewcache-route: hit"),
        format!("http://{HOST}/v HTTP/1.1\r\n\r\nGET /w"),
        format!("http://{HOST}/v\nx: y"),
        format!("http://{HOST}/v\0"),
        format!("http://{HOST}/\u{e9}"),
        format!("http://{HOST}/{}", "x".repeat(9000)),
        format!("http:///127.0.0.1:{port}/v"),
        format!("//127.0.0.1:{port}/v"),
        format!("ftp://127.0.0.1:{port}/v"),
        format!("gopher://127.0.0.1:{port}/v"),
        "file:///etc/passwd".to_owned(),
        "unix:/run/x.sock".to_owned(),
        "data:text/plain,x".to_owned(),
        "http://".to_owned(),
        "http://:80/".to_owned(),
        "http://[::1/v".to_owned(),
        "*".to_owned(),
        String::new(),
    ] {
        let got = call(&world, "POST", "/v1/downloads", json!({"url": url})).await;
        assert_eq!(got.0, 400, "{url:?}: {}", got.1);
    }
    assert_eq!(listed().await, before);
    for seen in world.origin.seen_at_all() {
        assert_eq!(seen.head.target(), "/v");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let canary = Canary::start().await;
    let liar = Liar::start().await;
    let world = World::with(|options| options.origin = OriginUrl::http(liar.address())).await;
    let away = format!("http://{}/v", canary.address);
    for (number, status) in [301, 302, 303, 307, 308, 300, 305].into_iter().enumerate() {
        let path = format!("/moved-{number}");
        let head = format!(
            "HTTP/1.1 {status} Moved|location: {away}|refresh: 0;{away}|cache-control: max-age=99|content-length: 0"
        );
        liar.answers(&path, &head, b"");
        let id = start(&world, json!({"url": format!("http://{HOST}{path}")})).await;
        let ended = until("it fails, or waits", SOON, async || {
            let report = report(&world, &id).await;
            let ended = report["status"] == "failed" || report["status"] == "waiting";
            (ended && 0 < liar.asked(&path)).then_some(report)
        });
        assert_eq!(ended.await.unwrap()["cached_bytes"], 0);
    }
}

/// Answers like an HTTP endpoint.
async fn resolver(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut head = vec![0; 16 << 10];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let _ = stream.write_all(&answer(&head)).await;
            });
        }
    });
    port
}

const N: u64 = MIB;

fn video(id: &str, more: &str) -> String {
    format!("/videoplayback?v={id}&itag=22&lmt=17&clen={N}{more}")
}

/// One whose URLs have expired, so that the resolver is asked at once.
async fn expired(settings: &str) -> (World, tempfile::TempDir) {
    let (file, folder) = rules(settings);
    let world = World::with(|options| {
        options.profile = Profile::Youtube;
        options.sidecar_config = Some(file);
    });
    let world = world.await;
    let content = Content::new("video", N);
    world.origin.script("/videoplayback", Script::new(content));
    (world, folder)
}

/// What of the resolver's answers is used: URLs of the same video, asked of the origin.
#[tokio::test]
async fn a_resolvers_answer_leads_nowhere_else() {
    let canary = Canary::start().await;
    let address = canary.address;
    let port = resolver(move |head| {
        let line = head.lines().next().unwrap_or_default();
        let case = line
            .split_once("video_id=case-")
            .map_or("", |(_, rest)| rest);
        let case = case.split('&').next().unwrap_or_default();
        let id = format!("case-{case}");
        let same = video(&id, "&expire=4000000000");
        let json = |url: String| format!("{{\"url\": {}}}", json!(url));
        let body = match case {
            "elsewhere" => json(format!("http://{address}{same}")),
            "userinfo" => json(format!("http://{HOST}@{address}{same}")),
            "injected" => json(format!(
                "http://{HOST}{same} HTTP/1.1\r\nhost: {address}\r\n\r\n"
            )),
            "file" => json("file:///etc/passwd".to_owned()),
            "gopher" => json(format!("gopher://{address}/1")),
            "other" => json(format!(
                "http://{HOST}{}",
                video("x", "&expire=4000000000").replace("lmt=17", "lmt=18")
            )),
            "text" => "\u{fffd}".repeat(1000),
            "nested" => format!("{{\"url\": {}", "[".repeat(60_000)),
            "number" => "{\"url\": 1e999}".to_owned(),
            "huge" => "x".repeat(8 << 20),
            _ => String::new(),
        };
        let length = body.len();
        let head = match case {
            "redirect" => format!(
                "HTTP/1.1 302 Found\r\nlocation: http://{address}/\r\ncontent-length: 0\r\n\r\n"
            ),
            "silent" => return Vec::new(),
            "lies" => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", u64::MAX),
            _ => {
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
            }
        };
        let mut bytes = (head + &body).into_bytes();
        if case == "text" {
            bytes.extend(b"\xff\xfe\n");
        }
        bytes
    })
    .await;
    let settings =
        format!("[resolver]\nhttp = 'http://127.0.0.1:{port}/'\ntimeout = '1s'\nper_hour = 1000\n");
    let (mut world, _folder) = expired(&settings).await;
    let cases = [
        "userinfo", "injected", "file", "gopher", "other", "text", "nested", "number", "huge",
        "redirect", "silent", "lies", "empty",
    ];
    for case in cases {
        let body = json!({"url": format!("http://{HOST}{}", video(&format!("case-{case}"), "&expire=1000000000"))});
        let id = start(&world, body).await;
        becomes(&world, &id, "waiting").await;
    }
    let failed = until("every answer is refused", SOON, async || {
        let metrics = e2e::management::get(world.stack.manage(0), "/metrics")
            .await
            .ok()?;
        let counts = metrics
            .lines()
            .filter(|line| line.starts_with("viewcache_resolved_total{"));
        let refused = counts
            .filter(|line| !line.contains("\"renewed\"") && !line.contains("\"found\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        (cases.len() <= refused.sum()).then_some(())
    });
    failed.await.unwrap();
    let seen = world.origin.seen_at_all();
    assert!(seen.is_empty(), "it was asked for: {seen:?}");
    // By its own name the origin is asked, and by nobody else's address.
    let url = format!(
        "http://{HOST}{}",
        video("case-elsewhere", "&expire=1000000000")
    );
    let id = start(&world, json!({"url": url})).await;
    becomes(&world, &id, "complete").await;
    let host = address.to_string();
    assert_eq!(
        world.origin.seen_at_all()[0].head.get("host"),
        Some(&host[..])
    );
    let peak = e2e::process::rss(world.stack.sidecar(0).pid()).unwrap();
    assert!(peak < 512 * MIB, "{peak}");
}

/// What a viewer's URL says is an argument of the operator's program, never an option or another
/// argument, and no part of the endpoint's URL but a value.
#[tokio::test]
async fn a_viewers_words_are_no_options_of_the_resolvers() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("marker");
    let told = folder.path().join("told");
    let program = folder.path().join("program");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >>{}\nfor word; do case $word in --exec=*) ${{word#--exec=}} {} ;; esac; done\n",
        told.display(),
        marker.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .unwrap();
    let settings = format!(
        "[resolver]\ncommand = ['/bin/sh', '{}', '-f', '{{itag}}', '{{video_id}}']\nper_hour = 1000\n",
        program.display()
    );
    let (world, _folder) = expired(&settings).await;
    for id in [
        "--exec=touch",
        "%2D-exec=touch",
        "-%2Dexec=touch",
        "a%20--exec=touch",
        "$(touch)",
        "`touch`",
        "a;touch",
        "a%0a--exec=touch",
    ] {
        let body = json!({"url": format!("http://{HOST}{}", video(id, "&expire=1000000000"))});
        let (status, told) = call(&world, "POST", "/v1/downloads", body).await;
        // A viewer's request for the same is another way to it.
        ask(
            world.stack.ingress(),
            &Request::get(&video(id, "&expire=1000000000")).range("0-9"),
        )
        .await;
        if status == 202 {
            becomes(&world, told["id"].as_str().unwrap(), "waiting").await;
        }
    }
    let body = json!({"url": format!("http://{HOST}{}", video("last", "&expire=1000000000"))});
    start(&world, body).await;
    let asked = until("the program is asked", SOON, async || {
        let told = std::fs::read_to_string(&told).ok()?;
        told.lines().any(|line| line == "last").then_some(told)
    });
    let told = asked.await.unwrap();
    assert!(!marker.exists(), "the program was told what to do: {told}");
    for line in told.lines() {
        assert!(!line.starts_with("--"), "{told}");
    }
}
