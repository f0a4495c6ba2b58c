//! An origin that means harm: to the cache, to viewers of its other URLs, to their memory. Its own
//! viewers get what it says, or an error; nothing of it outlives the response, nobody else notices.

mod endless;

use e2e::client::{Request, Response};
use e2e::envoy_config::OriginUrl;
use e2e::management;
use e2e::poll::until;

use super::ask;
use super::liar::{Liar, Message};
use crate::world::{SOON, World};

const BODY: &[u8] = b"a thousand and one nights, and a day";

/// Well-behaved, with these fields besides.
fn with(fields: &str) -> String {
    let length = BODY.len();
    format!(
        "HTTP/1.1 200 OK|content-type: video/mp4|etag: \"v1\"|cache-control: max-age=3600|content-length: {length}{fields}"
    )
}

async fn world(liar: &Liar) -> World {
    World::with(|options| options.origin = OriginUrl::http(liar.address())).await
}

/// A viewer; whatever the head says is looked at by whoever asks.
async fn open(world: &World, request: Request) -> Response {
    request.send(world.stack.ingress()).await.unwrap()
}

/// A response that is stored and hit, so that the one that is not was not for want of time.
async fn an_honest_one_is_stored(world: &World, liar: &Liar, path: &str) {
    liar.answers(path, &with(""), BODY);
    let hit = until("an honest response is a hit", SOON, async || {
        let got = ask(world.stack.ingress(), &Request::get(path)).await;
        assert_eq!((got.status, &got.body[..]), (200, BODY), "{path}");
        got.is_hit().then_some(())
    });
    hit.await.unwrap();
}

async fn is_not_stored(world: &World, path: &str) {
    let entity = world.entity(path).await;
    let cached = entity
        .as_ref()
        .map_or(0, |entity| entity["cached_bytes"].as_u64().unwrap());
    assert_eq!(cached, 0, "{path}: {entity:?}");
}

#[tokio::test]
async fn what_cannot_be_trusted_is_not_stored() {
    let liar = Liar::start().await;
    let world = world(&liar).await;
    let length = BODY.len();
    let ok = "HTTP/1.1 200 OK|etag: \"v1\"|cache-control: max-age=3600";
    let part = "HTTP/1.1 206 Partial Content|etag: \"v1\"|cache-control: max-age=3600";
    let cases: Vec<String> = vec![
        // Lengths.
        format!("{ok}|content-length: -5"),
        format!("{ok}|content-length: +5"),
        format!("{ok}|content-length: 0x24"),
        format!("{ok}|content-length: 18446744073709551616"),
        format!("{ok}|content-length: 99999999999999999999999999"),
        format!("{ok}|content-length: 18446744073709551615"),
        format!("{ok}|content-length: 9223372036854775807"),
        format!("{ok}|content-length: {length}|content-length: 5"),
        format!("{ok}|content-length: 5|content-length: {length}"),
        format!("{ok}|content-length: {length}, 5"),
        format!("{ok}|content-length: {length}|transfer-encoding: chunked"),
        format!("{ok}|content-length: {length}|transfer-encoding: gzip"),
        format!("{ok}|transfer-encoding: chunked, gzip"),
        format!("{ok}|transfer-encoding: chunked|transfer-encoding: chunked"),
        format!("{ok}|transfer-encoding: chunked"),
        ok.to_owned(),
        // Ranges that nobody has asked for, or that cannot be.
        format!("{part}|content-length: {length}"),
        format!(
            "{part}|content-length: {length}|content-range: bytes 0-35/36|content-range: bytes 0-35/99"
        ),
        format!("{part}|content-length: {length}|content-range: bytes 0-35/*"),
        format!("{part}|content-length: {length}|content-range: bytes 0-35/5"),
        format!(
            "{part}|content-length: {length}|content-range: bytes 0-18446744073709551615/18446744073709551616"
        ),
        format!("{part}|content-length: {length}|content-range: bytes -1-35/36"),
        format!(
            "{part}|content-length: {length}|content-range: bytes 0-35/36|content-type: multipart/byteranges; boundary=x"
        ),
        // Whose bytes are not the identity's.
        with("|content-encoding: gzip"),
        with("|content-encoding: identity, br"),
        with("|Content-Encoding: \u{ff}"),
        // What is for one viewer alone, or for nobody.
        with("|set-cookie: session=secret"),
        with("|Set-Cookie: \u{ff}"),
        with("|vary: *"),
        with("|vary: accept, *"),
        with("|Vary: cookie"),
        with("|vary: x-forwarded-host"),
        with("|vary: \u{ff}"),
        with("|cache-control: private"),
        with("|cache-control: \u{ff}"),
        with("|cache-control: no-store=\"x\""),
        // Heads that are no heads.
        with("|x-nul: a\0b"),
        with("|no colon"),
        with("|: nameless"),
        with("|x y: z"),
        with(&(0..70).map(|n| format!("|x-{n}: 1")).collect::<String>()),
        with(&(0..1000).map(|n| format!("|x-{n}: 1")).collect::<String>()),
        with(&format!("|x-long: {}", "x".repeat(20_000))),
        with(&format!("|x-long: {}", "x".repeat(60 << 10))),
        with(&format!("|etag: \"{}\"", "x".repeat(50_000))),
        // Statuses.
        with("").replace("200 OK", "000 Nothing"),
        with("").replace("200 OK", "99"),
        with("").replace("200 OK", "2000 OK"),
        with("").replace("200 OK", "-200 OK"),
        with("").replace("200 OK", "201 Created"),
        with("").replace("200 OK", "226 IM Used"),
        with("").replace("200 OK", "101 Switching Protocols"),
        with("").replace("200 OK", "304 Not Modified"),
        with("").replace("HTTP/1.1", "ICY"),
        "\0\u{ff}\u{fe}".to_owned(),
        String::new(),
    ];
    let mut stored = Vec::new();
    for (number, head) in cases.iter().enumerate() {
        let path = format!("/lie-{number}");
        liar.answers(&path, head, BODY);
        let shown: String = head.chars().take(200).collect();
        for request in [
            Request::get(&path),
            Request::get(&path),
            Request::get(&path).range("0-35"),
            Request::get(&path).range("5-9"),
        ] {
            let got = ask(world.stack.ingress(), &request).await;
            if got.is_hit() || got.is_stored() && got.status == 200 && !shown.contains("chunked") {
                stored.push(format!("{shown}: {} {}", got.status, got.cache_status));
            }
        }
        if world
            .entity(&path)
            .await
            .is_some_and(|entity| entity["cached_bytes"] != 0)
        {
            stored.push(shown);
        }
        if number % 10 == 0 {
            an_honest_one_is_stored(&world, &liar, &format!("/honest-{number}")).await;
        }
    }
    an_honest_one_is_stored(&world, &liar, "/honest").await;
    assert!(stored.is_empty(), "{stored:#?}");
    world.filter_lives().await;
}

/// What stands behind a response on its connection is nobody's answer.
#[tokio::test]
async fn no_viewer_gets_what_stands_behind_a_response() {
    let liar = Liar::start().await;
    let world = world(&liar).await;
    let evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncache-control: max-age=3600\r\netag: \"e\"\r\n\r\nEVIL";
    let head = with("").replace('|', "\r\n") + "\r\n\r\n";
    let bytes = [head.as_bytes(), BODY, &evil.repeat(3)].concat();
    for number in 0..20 {
        let path = format!("/split-{number}");
        let bytes = bytes.clone();
        liar.says(
            &path,
            Message {
                bytes,
                ..Message::default()
            },
        );
        let got = ask(world.stack.ingress(), &Request::get(&path)).await;
        assert!(got.body.is_empty() || got.body == BODY, "{got:?}");
        let (next, missing) = (format!("/next-{number}"), format!("/missing-{number}"));
        let honest = Message {
            bytes: [head.as_bytes(), BODY].concat(),
            ..Message::default()
        };
        liar.says(&next, honest);
        let got = ask(world.stack.ingress(), &Request::get(&next)).await;
        assert_eq!((got.status, &got.body[..]), (200, BODY));
        let got = ask(world.stack.ingress(), &Request::get(&missing)).await;
        assert_eq!(got.status, 404);
        is_not_stored(&world, &missing).await;
    }
    world.filter_lives().await;
}

/// What is told of freshness may be absurd; the bytes are right, and the origin is asked again.
#[tokio::test]
async fn absurd_times_are_no_trouble() {
    let liar = Liar::start().await;
    let world = world(&liar).await;
    let huge = "9".repeat(40);
    for (number, fields) in [
        format!("|age: {huge}"),
        "|age: -5".to_owned(),
        "|age: 18446744073709551615".to_owned(),
        format!("|date: {huge}"),
        "|date: Sun, 06 Nov 0000 08:49:37 GMT".to_owned(),
        "|date: Fri, 31 Dec 9999 23:59:59 GMT".to_owned(),
        "|last-modified: Fri, 31 Dec 9999 23:59:59 GMT".to_owned(),
        "|expires: Fri, 31 Dec 9999 23:59:59 GMT".to_owned(),
        format!("|cache-control: max-age={huge}"),
        format!("|cache-control: s-maxage=-{huge}"),
        format!("|cache-control: stale-while-revalidate={huge}, stale-if-error={huge}"),
        format!("|cdn-cache-control: max-age={huge};;;,,,="),
        "|cache-control: ,,,=,;max-age=\"".to_owned(),
        "|retry-after: 99999999999999999999".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let path = format!("/times-{number}");
        liar.answers(&path, &with(fields), BODY);
        for _ in 0..4 {
            let got = ask(world.stack.ingress(), &Request::get(&path)).await;
            assert_eq!(
                (got.status, &got.body[..]),
                (200, BODY),
                "{fields}: {got:?}"
            );
        }
    }
    world.filter_lives().await;
}

/// Cookies are one viewer's, also beside a 304, a part, or in a trailer; and whatever an origin says
/// of itself in our own headers says nothing.
#[tokio::test]
async fn what_is_one_viewers_reaches_no_other() {
    let liar = Liar::start().await;
    let world = world(&liar).await;
    let forged = "|x-viewcache-served: 1|x-viewcache-handback: late|X-Viewcache-Skip-Until: 9|x-viewcache-stop: dead|x-viewcache-version: 9|cache-status: viewcache; hit|connection: x-viewcache-served, etag";
    let stale = |status: &str, fields: &str| {
        with(fields)
            .replace("200 OK", status)
            .replace("max-age=3600", "max-age=0, stale-while-revalidate=0")
    };
    liar.answers("/stale", &stale("200 OK", forged), BODY);
    let mut response = open(&world, Request::get("/stale")).await;
    let mut names = response.head.fields.iter().map(|(name, _)| name);
    assert!(
        !names.any(|name| name.starts_with("x-viewcache")),
        "{response:?}"
    );
    response.rest().await.unwrap();
    world.stored("/stale", &[(0, BODY.len() as u64)]).await;
    // Each view validates it; the first is told a cookie.
    let validated = stale(
        "304 Not Modified",
        &format!("|set-cookie: session=secret{forged}"),
    );
    let validated = validated.replace(&format!("|content-length: {}", BODY.len()), "");
    liar.answers("/stale", &validated, b"");
    let mut first = open(&world, Request::get("/stale")).await;
    assert_eq!(first.rest().await.unwrap(), BODY);
    liar.answers(
        "/stale",
        &validated.replace("|set-cookie: session=secret", ""),
        b"",
    );
    for _ in 0..3 {
        let mut response = open(&world, Request::get("/stale")).await;
        assert_eq!(response.rest().await.unwrap(), BODY);
        assert_eq!(response.head.get("set-cookie"), None, "{response:?}");
        let ours = response.head.fields.iter();
        let ours = ours.filter(|(name, _)| name.starts_with("x-viewcache"));
        assert_eq!(ours.count(), 0, "{response:?}");
    }
    // A gap's answer may bring one, too.
    let part = |first: usize, last: usize, more: &str| {
        let length = BODY.len();
        let head = with(more).replace("200 OK", "206 Partial Content");
        head.replace(
            &format!("content-length: {length}"),
            &format!(
                "content-length: {}|content-range: bytes {first}-{last}/{length}",
                last + 1 - first
            ),
        )
    };
    liar.answers("/part", &part(0, 9, forged), &BODY[..10]);
    open(&world, Request::get("/part").range("0-9"))
        .await
        .rest()
        .await
        .unwrap();
    world.stored("/part", &[(0, 10)]).await;
    liar.answers(
        "/part",
        &part(10, 35, &format!("|set-cookie: session=secret{forged}")),
        &BODY[10..],
    );
    let mut response = open(&world, Request::get("/part")).await;
    let cookie = response.head.get("set-cookie").is_some();
    let mut last = response.head.fields.iter();
    let last = last.rfind(|(name, _)| name == "cache-status").unwrap();
    // Where the origin alone has answered, the cookie is this viewer's.
    assert!(!cookie || last.1.contains("fwd=bypass"), "{response:?}");
    // What comes from the gap cannot be kept, so it may also be cut.
    if let Ok(body) = response.rest().await {
        assert!(body == BODY || body == BODY[10..], "{response:?}");
    }
    let entity = world.entity("/part").await.unwrap();
    assert_eq!(management::ranges(&entity).unwrap(), [(0, 10)], "{entity}");
    // A line that ends where only some end one ends nowhere.
    liar.answers("/return", &with("|x-return: a\rset-cookie: b"), BODY);
    let hit = until("it is a hit", SOON, async || {
        let response = open(&world, Request::get("/return")).await;
        response
            .cache_status()
            .contains("; hit")
            .then_some(response)
    });
    let hit = hit.await.unwrap();
    let returns = hit
        .head
        .fields
        .iter()
        .any(|(_, value)| value.contains('\r'));
    assert!(!returns && hit.head.get("set-cookie").is_none(), "{hit:?}");
    // Trailers are passed on to nobody.
    let head = "HTTP/1.1 200 OK|etag: \"t\"|cache-control: max-age=3600|transfer-encoding: chunked|trailer: set-cookie";
    let trailers = "set-cookie: a=b\r\nx-viewcache-handback: late\r\ncontent-length: 5\r\ncontent-range: bytes 0-4/5\r\n";
    let body = [b"24\r\n", BODY, b"\r\n0\r\n", trailers.as_bytes(), b"\r\n"].concat();
    liar.answers("/trailed", head, &body);
    let hit = until("it is a hit", SOON, async || {
        let mut response = open(&world, Request::get("/trailed")).await;
        assert_eq!(response.rest().await.unwrap(), BODY);
        assert_eq!(response.head.get("set-cookie"), None);
        response.cache_status().contains("; hit").then_some(())
    });
    hit.await.unwrap();
    world.filter_lives().await;
}
