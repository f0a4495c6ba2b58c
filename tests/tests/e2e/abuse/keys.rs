//! Whose bytes a request gets: path tricks, queries, encodings, Host games. What is stored for one
//! URL is served for no other, whatever comes first.

use e2e::client::Request;
use e2e::envoy_config::OriginUrl;
use e2e::poll::until;

use super::echo::{Echo, LENGTH, to_the_byte};
use super::{Got, ask};
use crate::world::{KIB, SOON, World};

/// Targets that some take for one another.
const TARGETS: &[&str] = &[
    "/film",
    "/film?",
    "/film??",
    "/film?&",
    "/Film",
    "/film/",
    "/film//",
    "//film",
    "///film",
    "//other.test/film",
    "/./film",
    "/film/.",
    "/film/..",
    "/film/../film",
    "/other/../film",
    "/other/%2e%2e/film",
    "/other/%2E%2E/film",
    "/other/..%2ffilm",
    "/other/..%2Ffilm",
    "/other/..\\film",
    "/other\\..\\film",
    "/other/..%5cfilm",
    "/..;/film",
    "/film;",
    "/film;x=1",
    "/%66ilm",
    "/%2566ilm",
    "/fil%6D",
    "/fil%6d",
    "/film%",
    "/film%2",
    "/film%zz",
    "/film%00",
    "/film%00.mp4",
    "/film%0a",
    "/film%0d%0ax-viewcache-route:%20hit",
    "/film%20",
    "/film+",
    "/film%2f",
    "/film%2F",
    "/film%3f",
    "/film%3Fa=1",
    "/film%23",
    "/film#",
    "/film#a",
    "/film?#a",
    "/film?a=1#b",
    "/film?a=1",
    "/film?a=1&",
    "/film?&a=1",
    "/film?a=1&&b=2",
    "/film?a=1&b=2",
    "/film?b=2&a=1",
    "/film?a=1;b=2",
    "/film?a=1%26b=2",
    "/film?a=1&a=2",
    "/film?a=2&a=1",
    "/film?%61=1",
    "/film?a=%31",
    "/film?a=%2f",
    "/film?a=%2F",
    "/film?a=/../other",
    "/film?a=1+2",
    "/film?a=1%202",
    "/film?a",
    "/film?a=",
    "/film?range=0-9",
    "/film?x-viewcache-route=hit",
    "/fi<lm",
    "/fi>lm",
    "/fi`lm",
    "/fi\"lm",
    "/fi{lm}",
    "/fi|lm",
    "/fi^lm",
    "/fi'lm",
    "/fi*lm",
    "/@other.test/film",
    "/:80/film",
    "/film?\"",
    "/film?<",
    "/film?>",
    "/film?`",
    "/film?{|}",
    "/film?[]",
    "/film?a=\\",
    "?film",
    "film",
    "*",
    "@other.test/film",
    "http://media.test/film",
    "http://media.test",
    "http://media.test?film",
    "http://MEDIA.test/film",
    "http://media.test:80/film",
    "http://media.test:8080/film",
    "http://media.test./film",
    "http://user@media.test/film",
    "http://media.test@other.test/film",
    "http://other.test/film",
    "http://media.test//film",
    "http:///film",
    "http:/film",
    "https://media.test/film",
    "ftp://media.test/film",
    "file:///film",
    "HTTP://media.test/film",
];

/// What can stand in Host, one or several.
const HOSTS: &[&[&str]] = &[
    &["MEDIA.TEST"],
    &["media.test."],
    &["media.test:80"],
    &["media.test:080"],
    &["media.test:8080"],
    &["media.test:"],
    &["user@media.test"],
    &["media.test@other.test"],
    &["media.test/film"],
    &["media.test/other/.."],
    &["media.test?x"],
    &["media.test#x"],
    &["media.test\\other.test"],
    &["media.test, other.test"],
    &["media.test other.test"],
    &["media%2etest"],
    &["media.test%00"],
    &["other.test"],
    &["127.0.0.1"],
    &["2130706433"],
    &["0x7f.1"],
    &["[::1]"],
    &["[::ffff:127.0.0.1]"],
    &["localhost"],
    &["m\u{e9}dia.test"],
    &[""],
    &[],
    &["media.test", "media.test"],
    &["media.test", "other.test"],
    &["other.test", "media.test"],
];

fn requests() -> Vec<Request> {
    let mut requests: Vec<Request> = TARGETS.iter().map(|target| Request::get(target)).collect();
    for hosts in HOSTS {
        let head = Request::raw("GET /film HTTP/1.1\r\n");
        requests.push(
            hosts
                .iter()
                .fold(head, |head, host| head.field("host", host)),
        );
    }
    // A Host that the target contradicts, and names under which others hide.
    for (target, name, value) in [
        ("http://other.test/film", "host", "media.test"),
        ("/film", "x-forwarded-host", "other.test"),
        ("/film", "x-forwarded-proto", "https"),
        ("/film", "x-host", "other.test"),
        ("/film", "x-envoy-original-path", "/other"),
        ("/film", "x-original-url", "/other"),
        ("/film", "x-rewrite-url", "/other"),
        ("/film", "x-http-method-override", "DELETE"),
        ("/film", ":path", "/other"),
        ("/film", ":authority", "other.test"),
        ("/film", "host ", "other.test"),
        ("/film", " host", "other.test"),
    ] {
        requests.push(Request::get(target).field(name, value));
    }
    for target in [
        &b"/fi\xfflm"[..],
        "/fi\u{e9}lm".as_bytes(),
        b"/film?\xff",
        b"/fi\0lm",
    ] {
        let line = [b"GET ", target, b" HTTP/1.1\r\nhost: media.test\r\n"].concat();
        requests.push(Request::raw(line));
    }
    for version in [
        "HTTP/1.0",
        "HTTP/0.9",
        "HTTP/2.0",
        "HTTP/1.1 ",
        "http/1.1",
        "",
    ] {
        requests.push(Request::raw(format!(
            "GET /film {version}\r\nhost: media.test\r\n"
        )));
    }
    requests
}

/// What a request gets, which is this.
async fn right(world: &World, request: &Request, expected: &Got) -> Got {
    let got = ask(world.stack.ingress(), request).await;
    let said = (got.status, &got.cache_status);
    assert!(got.is_like(expected), "{said:?}");
    got
}

/// What the origin has to say to a request: one that no cache may answer.
async fn told(world: &World, request: &Request) -> Got {
    let uncached = request.clone().field("cache-control", "no-store");
    let got = ask(world.stack.ingress(), &uncached).await;
    assert!(!got.is_hit() && !got.is_stored(), "{request:?}: {got:?}");
    got
}

/// Asks for a part, for what is missing beside it, and for all, until the cache answers, if it
/// does. Each time the answer is the origin's.
async fn check(world: &World, request: &Request) -> bool {
    let ingress = world.stack.ingress();
    let whole = told(world, request).await;
    let half = request.clone().range("0-9999");
    let part = told(world, &half).await;
    let right = |got: &Got, expect: &Got| {
        let head = format!("{} {:?}", got.status, got.cache_status);
        assert!(
            got.is_like(expect),
            "{request:?}: {head}, not {}",
            expect.status
        );
    };
    let mut cached = false;
    for (request, expect) in [(&half, &part), (request, &whole)] {
        let first = ask(ingress, request).await;
        right(&first, expect);
        if first.is_stored() || first.is_hit() {
            let hit = until("it is a hit", SOON, async || {
                let got = ask(ingress, request).await;
                right(&got, expect);
                got.is_hit().then_some(())
            });
            hit.await
                .unwrap_or_else(|error| panic!("{request:?}: {error}"));
            cached = true;
        }
        // Once more, by a remembered decision.
        right(&ask(ingress, request).await, expect);
    }
    if cached {
        assert_eq!(whole.body.len() as u64, LENGTH, "{request:?}");
    }
    cached
}

#[tokio::test]
async fn what_is_stored_for_one_url_is_served_for_no_other() {
    let echo = Echo::start(to_the_byte).await;
    let world = World::with(|options| options.origin = OriginUrl::http(echo.address())).await;
    let requests = requests();
    let mut cached = 0;
    for request in &requests {
        cached += usize::from(check(&world, request).await);
    }
    assert!(60 < cached, "only {cached} are cached");
    // When everything is stored, and the other way round.
    for request in requests.iter().rev() {
        check(&world, request).await;
    }
    world.filter_lives().await;
}

/// Of a request that is as long as Envoy lets it be, everything gets through, whichever way it
/// goes.
#[tokio::test]
async fn what_envoy_lets_pass_is_refused_by_nobody_behind_it() {
    let echo = Echo::start(to_the_byte).await;
    let mut world = World::with(|options| options.origin = OriginUrl::http(echo.address())).await;
    let many = |count: usize, path: &str| {
        (0..count).fold(Request::get(path), |request, n| {
            request.field(&format!("x-field-{n}"), "1")
        })
    };
    let long = |path: &str| Request::get(path).field("x-long", "x".repeat(56 * KIB as usize));
    let url = format!("/{}", "u".repeat(7900));
    let requests = [
        Request::get(&url),
        long("/film"),
        // Envoy takes a hundred, pseudo-headers among them.
        many(90, "/film"),
        many(85, "/fields"),
        Request::get("/film").field("x-bytes", (128..=255).collect::<Vec<u8>>()),
        Request::get("/film").field("cookie", "a=\u{e9}; b=\u{fffd}"),
        Request::get("/film").field("user-agent", b"\xff\xfe\x80"),
        Request::get("/film").field("referer", b"http://\xff/"),
        Request::get("/film").field("accept-language", b"\xff"),
    ];
    for request in &requests {
        assert_eq!(told(&world, request).await.status, 200, "{request:?}");
        check(&world, request).await;
    }
    for (request, status) in [
        (many(101, "/film"), 431),
        (
            long("/film").field("x-longer", "x".repeat(8 * KIB as usize)),
            431,
        ),
        (Request::get("/film").field("x-nul", b"a\0b"), 400),
        (Request::get("/film").field("x-nul\0", "a"), 400),
        (Request::get("/film").field("x\u{e9}", "a"), 400),
    ] {
        let got = ask(world.stack.ingress(), &request).await;
        assert_eq!(got.status, status, "{request:?}");
    }
    // The way of a remembered hit whose sidecar is gone.
    let both = many(90, "/film").field("x-long", "x".repeat(52 * KIB as usize));
    let expected = told(&world, &both).await;
    let remembered = until("it is remembered", SOON, async || {
        let before = world.count("remembered").await;
        right(&world, &both, &expected).await;
        (before < world.count("remembered").await).then_some(())
    });
    remembered.await.unwrap();
    world.stack.sidecar(0).kill().await.unwrap();
    let got = right(&world, &both, &expected).await;
    assert!(
        got.cache_status.contains("detail=failover"),
        "{}",
        got.cache_status
    );
}
