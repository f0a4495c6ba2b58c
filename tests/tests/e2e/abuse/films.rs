//! Keys that leave parts of the URL out: what a viewer says twice, hides in an encoding or says by
//! another path makes nothing of one film's another's. The origin here reads its URLs as freely as
//! any does, and of a parameter that stands twice takes the first, or the last.

use e2e::client::Request;
use e2e::envoy_config::OriginUrl;
use e2e::poll::until;
use e2e::stack::Profile;

use super::ask;
use super::echo::{Echo, Head, LENGTH, Meaning, Meant};
use crate::world::{SOON, World};

/// What a text stands for; a plus is a space to some.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.filter(|_| *first == b'%');
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    bytes
}

/// The path that a path leads to: decoded, cut at a NUL, slashes turned and joined, without dot
/// segments and without what stands behind a semicolon.
fn resolved(path: &[u8]) -> Vec<String> {
    let bytes = decoded(path);
    let bytes = bytes.split(|&b| b == 0).next().unwrap_or_default();
    let mut segments: Vec<String> = Vec::new();
    for segment in bytes.split(|&b| b == b'/' || b == b'\\') {
        let name = segment.split(|&b| b == b';').next().unwrap_or_default();
        match name {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            name => segments.push(String::from_utf8_lossy(name).into_owned()),
        }
    }
    segments
}

struct Query(Vec<(String, String)>);

impl Query {
    fn read(target: &[u8], last: bool) -> (Vec<String>, Self) {
        let mut halves = target.splitn(2, |&b| b == b'?');
        let path = resolved(halves.next().unwrap_or_default());
        let query = halves.next().unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(&decoded(bytes)).into_owned();
        let pairs = query.split(|&b| b == b'&').map(|pair| {
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let name = text(halves.next().unwrap_or_default());
            (name, text(halves.next().unwrap_or_default()))
        });
        let mut pairs: Vec<_> = pairs.collect();
        if last {
            pairs.reverse();
        }
        (path, Self(pairs))
    }

    fn get(&self, names: &[&str]) -> Option<String> {
        let mut pairs = self.0.iter();
        let value = pairs
            .find(|(name, _)| names.contains(&&name[..]))?
            .1
            .clone();
        Some(value).filter(|value| !value.is_empty())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }
}

fn film(head: &Head, last: bool) -> Meant {
    let (path, query) = Query::read(head.target(), last);
    let id = path.get(1).cloned().unwrap_or_default();
    // One that is there and empty is not the one that is meant by none.
    let absent = if query.has("quality") { "none" } else { "" };
    let quality = query.get(&["quality"]).unwrap_or(absent.to_owned());
    Meant {
        name: format!("{id}|{quality}"),
        range: query.get(&["bytes"]),
        in_words: false,
    }
}

fn video(head: &Head, last: bool) -> Meant {
    let (_, query) = Query::read(head.target(), last);
    let part = |names: &[&str]| query.get(names).unwrap_or_default();
    let id = part(&["v", "video_id", "vid"]);
    let name = format!(
        "{id}|{}|{}|{}",
        part(&["itag"]),
        part(&["lmt"]),
        part(&["xtags"])
    );
    let framed = ["ump", "sabr"]
        .into_iter()
        .any(|name| query.get(&[name]).is_some());
    Meant {
        name: if framed {
            format!("{name} in frames")
        } else {
            name
        },
        range: query.get(&["range"]),
        in_words: query.get(&["alr"]).is_some(),
    }
}

const PROFILES: &str = r#""profiles": [{
    "name": "films", "path": "/films/{id}/{file*}", "key": ["{id}", "?quality", "?size"],
    "range_parameter": "bytes", "length_parameter": "size"
}]"#;

/// `V` is whom the request is meant to harm, and `O` another.
const FILMS: &[&str] = &[
    "/films/V/../O/a.mp4?quality=hd",
    "/films/V/%2e%2e/O/a.mp4?quality=hd",
    "/films/V/.%2E/O/a.mp4?quality=hd",
    "/films/V/..;/O/a.mp4?quality=hd",
    "/films/V/x/../../O/a.mp4?quality=hd",
    "/films/V/..%2fO/a.mp4?quality=hd",
    "/films/V/..%2FO%2Fa.mp4?quality=hd",
    "/films/V%2f..%2fO/a.mp4?quality=hd",
    "/films/V/..\\O/a.mp4?quality=hd",
    "/films/V/..%5cO/a.mp4?quality=hd",
    "/films/O/..//V/a.mp4?quality=hd",
    "/films//V/a.mp4?quality=hd",
    "/films/V//a.mp4?quality=hd",
    "/films/./V/a.mp4?quality=hd",
    "/films/V%00/a.mp4?quality=hd",
    "/films/V;x/a.mp4?quality=hd",
    "/films/V/a.mp4?quality=hd&quality=sd",
    "/films/V/a.mp4?quality=sd&quality=hd",
    "/films/V/a.mp4?quality=hd&%71uality=sd",
    "/films/V/a.mp4?%71uality=sd&quality=hd",
    "/films/V/a.mp4?%71uality=hd",
    "/films/V/a.mp4?quality=%68d",
    "/films/V/a.mp4?quality=hd&Quality=sd",
    "/films/V/a.mp4?quality=hd;quality=sd",
    "/films/V/a.mp4?quality=hd&quality=",
    "/films/V/a.mp4?quality=&quality=hd",
    "/films/V/a.mp4?quality=hd%26quality=sd",
    "/films/V&quality=hd/a.mp4",
    "/films/V/a.mp4?quality=hd&bytes=0-99",
    "/films/V/a.mp4?quality=hd&size=20000&bytes=0-99",
    "/films/V/a.mp4?quality=hd&size=20000&bytes=100-199&bytes=0-99",
    "/films/V/a.mp4?quality=hd&size=20000&%62ytes=0-99",
    "/films/V/a.mp4?quality=hd&%62ytes=0-99",
    "/films/V/a.mp4?quality=hd&size=20000&bytes=0-99&%62ytes=100-199",
    "/films/V/a.mp4?quality=hd&size=100&bytes=0-99",
    "/films/V/a.mp4?quality=hd&size=18446744073709551616",
    "/films/V/a.mp4?quality=hd&size=20000&size=100&bytes=0-99",
    "/films/V/a.mp4?quality=hd&size=20000&s%69ze=100&bytes=0-99",
    "/films/V/a.mp4?quality=hd&size=20000&bytes=-99",
    "/films/V/a.mp4?quality=hd&size=20000&bytes=0-9,20-29",
    "/films/V/a.mp4?quality=hd&size=20000&bytes=18446744073709551615-",
    "/films/V/a.mp4?quality=hd&size=20000&bytes=0-99999999999999999999",
];

const VIDEOS: &[&str] = &[
    "v=V&v=O&itag=22&lmt=1",
    "v=O&v=V&itag=22&lmt=1",
    "v=V&%76=O&itag=22&lmt=1",
    "%76=O&v=V&itag=22&lmt=1",
    "v=V&video_id=O&itag=22&lmt=1",
    "v=V&%76ideo_id=O&itag=22&lmt=1",
    "vid=O&v=V&itag=22&lmt=1",
    "v=V&itag=22&itag=18&lmt=1",
    "v=V&itag=22&%69tag=18&lmt=1",
    "v=V&%69tag=18&itag=22&lmt=1",
    "v=V&itag=%32%32&lmt=1",
    "v=V&itag=22&lmt=1&lmt=2",
    "v=V&itag=22&lmt=1&%6cmt=2",
    "v=V&itag=22&lmt=1&xt%61gs=drc%3D1",
    "v=V&itag=22&lmt=1&xtags=",
    "v=V&itag=22&lmt=1&clen=100",
    "v=V&itag=22&lmt=1&range=0-99&range=100-199",
    "v=V&itag=22&lmt=1&range=0-99&r%61nge=100-199",
    "v=V&itag=22&lmt=1&%72ange=0-99",
    "v=V&itag=22&lmt=1&%72ange=100-199&range=0-99",
    "v=V&itag=22&lmt=1&range=0-99,200-299",
    "v=V&itag=22&lmt=1&range=-99",
    "v=V&itag=22&lmt=1&range=99-0",
    "v=V&itag=22&lmt=1&range=0-99999999999999999999",
    "v=V&itag=22&lmt=1&range=18446744073709551615-",
    "v=V&itag=22&lmt=1&range=0%2d99",
    "v=V&itag=22&lmt=1&ump=1",
    "v=V&itag=22&lmt=1&%75mp=1",
    "v=V&itag=22&lmt=1&range=0-99&%73abr=1",
    "v=V&itag=22&lmt=1&alr=yes",
    "v=V&itag=22&lmt=1&alr=yes&range=0-99",
    "v=V&itag=22&lmt=1;itag=18",
    "v=V%26itag=18&itag=22&lmt=1",
];

/// What a viewer who means no harm asks for, as often as it takes to be stored; each time the bytes
/// are the origin's.
async fn watched(world: &World, target: &str) {
    for range in [None, Some("0-99"), Some("50-199")] {
        let request = Request::get(target);
        let request = range
            .iter()
            .fold(request, |request, range| request.range(range));
        let uncached = request.clone().field("cache-control", "no-store");
        let expected = ask(world.stack.ingress(), &uncached).await;
        let hit = until("it is a hit", SOON, async || {
            let got = ask(world.stack.ingress(), &request).await;
            assert!(
                got.is_like(&expected),
                "{request:?}: {} {} {} bytes",
                got.status,
                got.cache_status,
                got.body.len()
            );
            got.is_hit().then_some(())
        });
        hit.await
            .unwrap_or_else(|error| panic!("{request:?}: {error}"));
    }
}

/// The same request over and over, with and without a Range.
async fn harms(world: &World, target: &str) {
    for range in [None, Some("0-99")] {
        let request = Request::get(target);
        let request = range
            .iter()
            .fold(request, |request, range| request.range(range));
        let uncached = request.clone().field("cache-control", "no-store");
        let expected = ask(world.stack.ingress(), &uncached).await;
        for _ in 0..4 {
            let got = ask(world.stack.ingress(), &request).await;
            let said = (got.status, &got.cache_status, got.body.len());
            // Who wants words where there may be a redirect gets the video where there is none.
            let words = target.contains("alr=") && got.is_hit();
            assert!(words || got.is_like(&expected), "{request:?}: {said:?}");
        }
    }
}

/// Each trick with a film of its own, before and after that is stored.
async fn all(world: &World, tricks: &[&str], victim: &str) {
    for (number, trick) in tricks.iter().enumerate() {
        let number = format!("{number}-{}", victim.len());
        let named = |text: &str, when: &str| {
            let text = text.replace('V', &format!("{when}{number}"));
            text.replace('O', &format!("other{number}"))
        };
        harms(world, &named(trick, "first")).await;
        watched(world, &named(victim, "first")).await;
        watched(world, &named(victim, "then")).await;
        harms(world, &named(trick, "then")).await;
        watched(world, &named(victim, "then")).await;
    }
    world.filter_lives().await;
}

#[tokio::test]
async fn a_film_named_by_parts_of_its_url_is_no_other() {
    let meanings: [Meaning; 2] = [|head| film(head, false), |head| film(head, true)];
    for meaning in meanings {
        let echo = Echo::start(meaning).await;
        let world = World::with(|options| {
            options.origin = OriginUrl::http(echo.address());
            options.filter_fields = Some(PROFILES.replace('\n', " "));
        });
        let world = world.await;
        for victim in [
            "/films/V/a.mp4?quality=hd",
            "/films/V/a.mp4?quality=hd&size=20000",
        ] {
            all(&world, FILMS, victim).await;
        }
        let empty = ["/films/V/a.mp4?quality=", "/films/V/a.mp4?%71uality"];
        all(&world, &empty, "/films/V/a.mp4").await;
    }
}

#[tokio::test]
async fn a_video_named_by_its_parameters_is_no_other() {
    let meanings: [Meaning; 2] = [|head| video(head, false), |head| video(head, true)];
    for meaning in meanings {
        let echo = Echo::start(meaning).await;
        let world = World::with(|options| {
            options.origin = OriginUrl::http(echo.address());
            options.profile = Profile::Youtube;
        });
        let url = |query: &&str| match query.contains("clen=") {
            true => format!("/videoplayback?{query}"),
            false => format!("/videoplayback?{query}&clen={LENGTH}"),
        };
        let tricks: Vec<String> = VIDEOS.iter().map(url).collect();
        let tricks: Vec<&str> = tricks.iter().map(String::as_str).collect();
        all(&world.await, &tricks, &url(&"v=V&itag=22&lmt=1")).await;
    }
}
