//! Thousands of random and hostile requests: whatever is answered agrees with itself and with the
//! origin's bytes, the filter and the sidecar live, and memory is flat.
//!
//! `VIEWCACHE_SEED` repeats a run, `VIEWCACHE_REQUESTS` makes it longer.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail, ensure};
use e2e::client::{Request, Response};
use e2e::content::Content;
use e2e::multipart;
use e2e::origin::{Framing, Origin, Script};
use e2e::process;

use crate::world::{MIB, World, first_position};

const REQUESTS: u64 = 4_000;

/// Viewers at once.
const VIEWERS: u64 = 8;

/// Numbers that look random; the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Entities of every kind, none of which changes.
fn entities(origin: &Origin) -> Vec<(String, Content)> {
    type Change = fn(Script) -> Script;
    let kinds: [(&str, u64, Change); 9] = [
        ("/plain", 300_000, |script| script),
        ("/large", 3_000_000, |script| script),
        ("/byte", 1, |script| script),
        ("/dated", 100_000, |mut script| {
            script.etag = None;
            script.last_modified = Some("Sun, 06 Nov 1994 08:00:00 GMT".to_owned());
            script.field("date", "Sun, 06 Nov 1994 09:00:00 GMT")
        }),
        ("/nameless", 100_000, |mut script| {
            script.etag = None;
            script
        }),
        ("/weak", 100_000, |mut script| {
            script.etag = Some("W/\"v1\"".to_owned());
            script
        }),
        ("/vary", 100_000, |script| script.field("vary", "origin")),
        ("/chunked", 100_000, |mut script| {
            script.framing = Framing::Chunked;
            script
        }),
        ("/stale", 100_000, |mut script| {
            script.fields.retain(|(name, _)| name != "cache-control");
            script.field("cache-control", "no-cache")
        }),
    ];
    let entities = kinds.into_iter().map(|(path, length, change)| {
        let content = Content::new(path, length);
        origin.script(path, change(Script::new(content)));
        (path.to_owned(), content)
    });
    entities.collect()
}

fn position(random: &mut Random, length: u64) -> String {
    match random.below(12) {
        0 => String::new(),
        1 => u64::MAX.to_string(),
        2 => "99999999999999999999999999".to_owned(),
        3 => "-1".to_owned(),
        4 => "x".to_owned(),
        5 => length.to_string(),
        6 => (length - 1).to_string(),
        7 => "0".to_owned(),
        _ => random.below(length + 10).to_string(),
    }
}

fn range(random: &mut Random, length: u64) -> String {
    let unit = match random.below(20) {
        0 => "items=",
        1 => "",
        2 => " Bytes = ",
        3 => "bytes",
        _ => "bytes=",
    };
    let mut text = unit.to_owned();
    let parts = match random.below(8) {
        0 => random.below(6),
        1 => 2,
        _ => 1,
    };
    let mut from = 0;
    for part in 0..parts {
        let comma = if part == 0 {
            ""
        } else {
            random.pick(&[",", ", ", ",,"])
        };
        if random.once_in(2) {
            let (first, last) = (position(random, length), position(random, length));
            let _ = write!(text, "{comma}{first}-{last}");
        } else {
            // In order, as a player asks.
            let first = from + random.below(length);
            from = first + 1 + random.below(length / 4 + 1);
            let _ = write!(text, "{comma}{first}-{}", from - 1);
        }
    }
    text
}

fn request(random: &mut Random, path: &str, length: u64) -> Request {
    let method = match random.below(30) {
        0 => "POST",
        1 => "OPTIONS",
        2..5 => "HEAD",
        _ => "GET",
    };
    let mut request = Request::new(method, path);
    if method == "POST" {
        request = request.field("content-length", "0");
    }
    if !random.once_in(4) {
        request = request.field("range", range(random, length));
    }
    let tags = [
        "\"v1\"",
        "W/\"v1\"",
        "\"v2\"",
        "*",
        "v1",
        "\"",
        "\"a\", \"v1\"",
    ];
    let dates = [
        "Sun, 06 Nov 1994 08:00:00 GMT",
        "Mon, 07 Nov 1994 08:00:00 GMT",
        "now",
        "",
    ];
    for name in ["if-none-match", "if-match", "if-range"] {
        if random.once_in(10) {
            request = request.field(name, random.pick(&tags));
        }
    }
    for name in ["if-modified-since", "if-unmodified-since", "if-range"] {
        if random.once_in(20) {
            request = request.field(name, random.pick(&dates));
        }
    }
    let others: [(&str, &[u8]); 14] = [
        ("cache-control", b"no-cache"),
        ("cache-control", b"no-store, max-age=0"),
        ("cache-control", b"max-age=0"),
        ("cache-control", b"\"unclosed, only-if-cached"),
        ("pragma", b"no-cache"),
        ("origin", b"https://a.test"),
        ("origin", b"\xff"),
        ("accept-encoding", b"gzip, br"),
        ("authorization", b"x"),
        ("cache-status", b"viewcache; hit"),
        ("x-viewcache-route", b"hit"),
        ("x-viewcache-entity", b"generic:http://media.test/plain"),
        ("x-viewcache-range", b"0-0"),
        ("te", b"trailers"),
    ];
    for _ in 0..random.below(4) {
        let (name, value) = others[random.below(others.len() as u64) as usize];
        request = request.field(name, value);
    }
    request
}

/// Whether status, fields and body agree with each other and with the content.
async fn check(response: &mut Response, content: Content, path: &str) -> Result<()> {
    let length = content.length();
    let field = |name: &str| response.head.get(name).map(str::to_owned);
    let (content_range, content_type) = (field("content-range"), field("content-type"));
    let told = field("content-length").and_then(|n| n.parse::<u64>().ok());
    ensure!(
        !response
            .head
            .fields
            .iter()
            .any(|(name, _)| name.starts_with("x-viewcache")),
        "a control header"
    );
    let body = response.rest().await?;
    let bodiless = body.is_empty();
    match response.status {
        200 if bodiless => {
            let is = path == "/chunked" || told == Some(length) || told == Some(0);
            ensure!(is, "a head of {told:?} bytes");
        }
        200 => {
            ensure!(content_range.is_none(), "a 200 with Content-Range");
            ensure!(body.len() as u64 == length, "a 200 of {} bytes", body.len());
            content.check(0, &body)?;
        }
        206 if content_range.is_none() => {
            let content_type = content_type.context("a 206 of nothing")?;
            for part in multipart::parts(&content_type, &body)? {
                compare(&part.content_range, &part.bytes, content)?;
            }
        }
        206 if bodiless => {}
        206 => compare(&content_range.unwrap_or_default(), &body, content)?,
        304 | 412 | 504 => ensure!(bodiless || response.status == 504, "a body"),
        416 => ensure!(
            content_range == Some(format!("bytes */{length}")),
            "{content_range:?}"
        ),
        status => bail!("status {status}"),
    }
    Ok(())
}

fn compare(content_range: &str, bytes: &[u8], content: Content) -> Result<()> {
    let start = first_position(content_range);
    content.check(start, bytes)?;
    let last = start + bytes.len() as u64 - 1;
    let expected = format!("bytes {start}-{last}/{}", content.length());
    ensure!(content_range == expected, "{content_range}, not {expected}");
    Ok(())
}

#[tokio::test]
async fn whatever_is_asked_the_answer_is_right() {
    let variable = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seed = variable("VIEWCACHE_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        now.unwrap_or_default().as_secs()
    });
    let requests = variable("VIEWCACHE_REQUESTS").unwrap_or(REQUESTS);
    eprintln!("VIEWCACHE_SEED={seed} VIEWCACHE_REQUESTS={requests}");
    let mut world = World::start().await;
    let entities = Arc::new(entities(&world.origin));
    let ingress = world.stack.ingress();
    let sent = Arc::new(AtomicU64::new(0));
    let pids = [world.stack.envoy().pid(), world.stack.sidecar(0).pid()];
    let memory = move || pids.map(|pid| process::rss(pid).unwrap_or_default());
    let warm = Arc::new(OnceLock::new());
    let mut viewers = tokio::task::JoinSet::new();
    for viewer in 0..VIEWERS {
        let (entities, sent) = (Arc::clone(&entities), Arc::clone(&sent));
        let warm = Arc::clone(&warm);
        viewers.spawn(async move {
            let mut random = Random(seed ^ viewer << 48);
            loop {
                let before = sent.fetch_add(1, Ordering::Relaxed);
                if requests <= before {
                    return anyhow::Ok(());
                }
                if requests / 4 <= before {
                    warm.get_or_init(memory);
                }
                let (path, content) = &entities[random.below(entities.len() as u64) as usize];
                let request = request(&mut random, path, content.length());
                let mut response = request.send(ingress).await?;
                if random.once_in(10) {
                    // A viewer that leaves.
                    continue;
                }
                let checked = check(&mut response, *content, path).await;
                checked.with_context(|| {
                    format!("{request:?}: {} {:?}", response.status, response.head)
                })?;
            }
        });
    }
    while let Some(viewer) = viewers.join_next().await {
        viewer.unwrap().unwrap();
    }
    let before = warm.get().copied().unwrap_or_default();
    for (before, after) in before.into_iter().zip(memory()) {
        let most = before + 64 * MIB;
        assert!(after <= most, "memory grew from {before} to {after}");
    }
    for (path, content) in &*entities {
        world.view(&Request::get(path), *content).await;
    }
    world.filter_lives().await;
}
