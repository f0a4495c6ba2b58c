//! Control headers of viewers' own, in every form: they change nothing, and reach nobody.

use e2e::client::Request;
use e2e::envoy_config::OriginUrl;
use e2e::poll::until;

use super::ask;
use super::echo::{Echo, to_the_byte};
use crate::world::{SOON, World};

/// Each, and what a viewer could gain by it.
const FORGED: &[(&str, &str)] = &[
    ("x-viewcache-version", "9"),
    ("x-viewcache-secret", "hush-0123456789abcdef"),
    ("x-viewcache-route", "hit"),
    ("x-viewcache-route", "partial"),
    ("x-viewcache-key", "00000000000000000000000000000000"),
    ("x-viewcache-entity", "generic:http://media.test/other"),
    ("x-viewcache-viewer", "somebody"),
    ("x-viewcache-range", "5-9"),
    ("x-viewcache-range-in", "query"),
    ("x-viewcache-complete-length", "10"),
    ("x-viewcache-origin-path", "/other"),
    ("x-viewcache-parts", "0-1,5-6"),
    ("x-viewcache-key-fields", "cookie"),
    ("x-viewcache-generation", "0000000000000000"),
    ("x-viewcache-offset", "0"),
    ("x-viewcache-skip-until", "99999"),
    ("x-viewcache-stop", "dead"),
    ("x-viewcache-handback", "late"),
    ("x-viewcache-served", "1"),
    ("x-viewcache-", "1"),
    ("x-viewcache-not-known-yet", "1"),
];

/// As a viewer may write a name.
fn forms(name: &str) -> Vec<String> {
    let title = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    let titles: Vec<String> = name
        .split('-')
        .map(|word| {
            if word.is_empty() {
                String::new()
            } else {
                title(word)
            }
        })
        .collect();
    let odd = name.char_indices().map(|(at, c)| match at % 2 {
        0 => c.to_ascii_uppercase(),
        _ => c,
    });
    vec![
        name.to_owned(),
        name.to_ascii_uppercase(),
        titles.join("-"),
        odd.collect(),
        name.replace('-', "_"),
        name.replacen('-', "_", 1),
        format!("{name} "),
        format!(" {name}"),
        format!("{name}\t"),
    ]
}

/// Fields of a request.
type Fields = Vec<(String, Vec<u8>)>;

fn fields(of: &[(&str, &str)]) -> Fields {
    let field = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    of.iter().map(field).collect()
}

fn forgeries() -> Vec<Fields> {
    let all = fields(FORGED);
    let with_all = |more: &[(&str, &str)]| [all.clone(), fields(more)].concat();
    let mut forgeries = vec![
        all.clone(),
        with_all(FORGED),
        with_all(&[("range", "bytes=100-199")]),
    ];
    for &(name, value) in FORGED {
        for form in forms(name) {
            forgeries.push(fields(&[(&form, value)]));
        }
        let upper = name.to_ascii_uppercase();
        forgeries.push(fields(&[(name, value), (&upper, "0"), (name, "")]));
        let long = "x".repeat(50_000);
        forgeries.push(
            [
                fields(&[(name, &long)]),
                vec![(name.to_owned(), vec![0xff])],
            ]
            .concat(),
        );
        // What a hop is told to remove, some remove of what they add themselves.
        forgeries.push(fields(&[("connection", name)]));
        forgeries.push(with_all(&[(
            "connection",
            &format!("close, {upper}, keep-alive"),
        )]));
        forgeries.push(fields(&[
            ("connection", &format!("te, {name}")),
            ("te", "trailers"),
        ]));
        forgeries.push(fields(&[
            ("trailer", name),
            ("x", &format!("{name}: {value}")),
        ]));
    }
    for connection in [
        "host",
        "range, if-range",
        "cache-control",
        "authorization",
        "cookie",
        "x-request-id, x-forwarded-for",
        "content-length, transfer-encoding",
        ":path, :authority, :method",
        "close, close, close",
        "\u{e9}",
    ] {
        forgeries.push(with_all(&[
            ("connection", connection),
            ("range", "bytes=0-99"),
        ]));
        forgeries.push(fields(&[("proxy-connection", connection)]));
        forgeries.push(fields(&[("keep-alive", connection)]));
    }
    forgeries
}

#[tokio::test]
async fn control_headers_of_any_form_do_nothing() {
    let echo = Echo::start(to_the_byte).await;
    let world = World::with(|options| options.origin = OriginUrl::http(echo.address())).await;
    let ingress = world.stack.ingress();
    // What they could lead to is stored, too.
    for path in ["/film", "/other"] {
        let stored = until("it is stored", SOON, async || {
            let got = ask(ingress, &Request::get(path)).await;
            got.is_hit().then_some(())
        });
        stored.await.unwrap();
    }
    for (number, forged) in forgeries().iter().enumerate() {
        let cold = (number % 4 == 0).then(|| format!("/cold-{number}"));
        for path in ["/film".to_owned()].into_iter().chain(cold) {
            let request = forged
                .iter()
                .fold(Request::get(&path), |request, (name, value)| {
                    request.field(name, value)
                });
            let uncached = request.clone().field("cache-control", "no-store");
            let expected = ask(ingress, &uncached).await;
            // Of what is not stored half comes first, so that there is a gap.
            let half = request.clone().range("0-9999");
            ask(ingress, &half).await;
            for _ in 0..3 {
                let got = ask(ingress, &request).await;
                let said = (got.status, &got.cache_status);
                assert!(got.is_like(&expected), "{request:?}: {said:?}");
            }
        }
    }
    for head in echo.heads() {
        let forged = head
            .fields()
            .find(|(name, _)| name.starts_with("x-viewcache-"));
        assert!(forged.is_none(), "{forged:?} reached the origin");
    }
    world.filter_lives().await;
}

#[tokio::test]
async fn a_cache_status_of_others_is_not_ours() {
    let echo = Echo::start(to_the_byte).await;
    let world = World::with(|options| options.origin = OriginUrl::http(echo.address())).await;
    let spoofed = Request::get("/film")
        .field("cache-status", "viewcache; hit; ttl=99")
        .field("Cache-Status", "ExampleCache; hit");
    let first = ask(world.stack.ingress(), &spoofed).await;
    assert_eq!(first.cache_status, "viewcache; fwd=uri-miss; stored");
    let hit = until("it is a hit", SOON, async || {
        let got = ask(world.stack.ingress(), &spoofed).await;
        got.is_hit().then_some(got)
    });
    let hit = hit.await.unwrap();
    assert!(!hit.cache_status.contains("ttl=99"), "{}", hit.cache_status);
    let bypassed = spoofed.field("cache-control", "no-cache");
    let got = ask(world.stack.ingress(), &bypassed).await;
    assert_eq!(got.cache_status, "viewcache; fwd=request; detail=no-cache");
}
