//! The management port while things go on: events, purges during fills, very long lists.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use viewcache_protocol::{EntityKey, Generation, Outcome, Profile, Selecting, Validator};
use viewcache_sidecar::store::{
    Change, Class, EntityRecord, GenerationRecord, Row, SegmentChange, SegmentRecord, Store,
    Update, millis,
};

use crate::harness::{HIT, Sidecar, generation, key, key_at};
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;

async fn start(dir: &Path) -> (Origin, Sidecar) {
    let origin = Origin::start(Script {
        complete_length: N,
        ..Script::default()
    })
    .await;
    let sidecar = Sidecar::start(dir, origin.addr, &[]).await;
    (origin, sidecar)
}

async fn purge(sidecar: &Sidecar, selector: Value) -> Value {
    let got = sidecar.manage_with("POST", "/v1/purges", selector.to_string());
    let got = got.await;
    assert_eq!(got.status, 200, "{selector}");
    serde_json::from_slice(&got.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_in_the_order_in_which_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let (_origin, sidecar) = start(dir.path()).await;
    let mut listener = sidecar.listen("", None).await;
    sidecar.mirror("", 0, N).await;
    let id = key().id().to_string();
    let mut stored = Vec::new();
    let (mut names, mut last) = (Vec::new(), String::new());
    while !names.contains(&"completed".to_owned()) || stored.is_empty() {
        let event = listener.next().await;
        if ["stats", "activity"].contains(&&event.name[..]) {
            assert_eq!(event.id, None);
            continue;
        }
        assert_eq!(event.data["id"], id, "{}", event.name);
        assert!(event.data["at"].is_string() && event.data["video_id"].is_string());
        if event.name == "stored" {
            stored.push(event.data["ranges"].clone());
        }
        last = event.id.unwrap();
        names.push(event.name);
    }
    assert_eq!(names[0], "appeared");
    assert_eq!(stored, [json!([[0, N]])]);
    // Whoever leaves and comes back misses nothing.
    drop(listener);
    let pin = format!("/v1/entities/{id}/pin");
    assert_eq!(sidecar.manage("PUT", &pin).await.status, 204);
    sidecar.policy(json!({"mode": "manual"})).await;
    let purged = purge(&sidecar, json!({"all": true})).await;
    assert_eq!(purged, json!({"entities": 1, "bytes": N}));
    let mut listener = sidecar
        .listen("?types=pinned,policy,purged", Some(&last))
        .await;
    for (name, member, value) in [
        ("pinned", "pinned", json!(true)),
        ("policy", "policy", Value::Null),
        ("purged", "bytes", json!(N)),
    ] {
        let event = listener.next().await;
        assert_eq!(event.name, name);
        if name == "policy" {
            assert_eq!(event.data["policy"]["mode"], "manual");
        } else {
            assert_eq!(event.data[member], value);
        }
    }
    let mut late = sidecar.listen("?types=policy", Some("7-7")).await;
    assert_eq!(late.next().await.name, "reset");
    // Nobody keeps the process from stopping.
    let began = Instant::now();
    sidecar.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_and_activity_are_told_every_second() {
    let dir = tempfile::tempdir().unwrap();
    // More than the buffers of a connection take.
    const LONG: u64 = 32 << 20;
    let (origin, sidecar) = start(dir.path()).await;
    origin.change(|script| script.complete_length = LONG);
    let mut listener = sidecar.listen("?types=stats,activity", None).await;
    let mut viewer = sidecar.routed_slowly("").await;
    let first = viewer.read(1000).await;
    let (mut watched, mut told) = (false, 0);
    while !watched || told < 2 {
        let event = listener.next().await;
        if event.name == "stats" {
            assert_eq!(event.data.get("profiles"), None);
            assert!(event.data["disk"]["max"].is_u64());
            told += 1;
        } else if event.data["entities"][0]["viewers"] == 1 {
            let doings = &event.data["entities"][0];
            assert_eq!(doings["id"], key().id().to_string());
            let at = doings["reading"][0].as_u64().unwrap();
            assert!(first.len() as u64 <= at, "{doings}");
            watched = true;
        }
    }
    let rest = viewer.read(usize::MAX).await;
    assert!([first, rest].concat() == body(1, 0, LONG), "wrong bytes");
    // When all is over, that is told as well.
    loop {
        let event = listener.next().await;
        if event.name == "activity" && event.data["entities"] == json!([]) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_that_is_being_filled_is_purged_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_origin, sidecar) = start(dir.path()).await;
    let living = generation(1, N);
    let fill = sidecar.granted("").await;
    sidecar.begin(fill, &living, 0, N).await;
    let id = living.id(Profile::Generic, "");
    assert_eq!(
        sidecar.chunk(fill, id, 0, body(1, 0, 300_000)).await.status,
        204
    );
    let mut viewer = sidecar.routed_slowly("0-").await;
    let first = viewer.read(1000).await;
    let prefix = json!({"prefix": "generic:http://origin.test/"});
    assert_eq!(
        purge(&sidecar, prefix).await,
        json!({"entities": 1, "bytes": 300_000})
    );
    // What of it still comes is of the dead.
    assert_eq!(
        sidecar
            .chunk(fill, id, 300_000, body(1, 300_000, 400_000))
            .await
            .status,
        410
    );
    sidecar.end(fill, Outcome::Complete).await;
    let rest = viewer.read(usize::MAX).await;
    assert!([first, rest].concat() == body(1, 0, N), "wrong bytes");
    // The response in flight has gone on under its validator, and brought the rest again.
    let again = sidecar.routed("").await;
    assert!(again.whole && again.body == body(1, 0, N), "wrong bytes");
    sidecar.stored(N).await;
    assert_eq!(sidecar.decide("").await, crate::harness::MEMORABLE_HIT);
    assert_eq!(purge(&sidecar, json!({"all": true})).await["entities"], 1);
    assert_ne!(sidecar.decide("").await, HIT);
}

/// What a purge has removed gives its room back soon, whatever the size.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_what_is_purged_go_soon() {
    let dir = tempfile::tempdir().unwrap();
    let (_origin, sidecar) = start(dir.path()).await;
    for path in ["/a", "/b"] {
        assert!(sidecar.routed_at(path, "").await.whole);
        sidecar.stored_at(path, N).await;
    }
    // One of them is not in memory.
    sidecar.stop().await;
    let (_origin, sidecar) = start(dir.path()).await;
    assert_eq!(sidecar.entity_at("/a").await["cached_bytes"], N);
    let purged = purge(&sidecar, json!({"all": true})).await;
    assert_eq!(purged, json!({"entities": 2, "bytes": 2 * N}));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let stats: Value =
            serde_json::from_slice(&sidecar.manage("GET", "/v1/stats").await.body).unwrap();
        if stats["disk"]["used"] == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{stats}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sidecar.stop().await;
    let (report, problems) = crate::harness::check(dir.path()).await;
    assert_eq!(
        (report.entities, report.unindexed, problems.len()),
        (0, 0, 0)
    );
}

/// Puts so many entities into an index, each with a stored byte that no file has.
fn fill_index(dir: &Path, count: u32) {
    let store = Store::open(dir).unwrap();
    let now = SystemTime::now();
    for number in 0..count {
        let rest = format!("v=video{}&itag={}&clen=1000", number / 2, number % 2);
        let key = EntityKey::new(Profile::Youtube, &rest).unwrap();
        let generation = GenerationRecord {
            seq: store.next_seq(),
            segment_size: 1 << 16,
            identity: Generation {
                validator: Some(Validator::Etag("\"v1\"".to_owned())),
                complete_length: 1000,
            },
            transfer: String::new(),
            headers: vec![("content-type".to_owned(), "video/mp4".to_owned())],
            received_at: millis(now),
            selecting: Selecting::default(),
            governing: None,
            original: None,
        };
        let place = generation.place(key.id());
        let record = EntityRecord {
            generation: Some(generation),
            hits: u64::from(number) * 7919 % u64::from(count),
            admitted: true,
            ..EntityRecord::new(key.clone(), now)
        };
        store.put(key.id(), &record).unwrap();
        let segment = SegmentChange {
            segment: 0,
            before: None,
            after: Some(SegmentRecord {
                class: Class::Admitted,
                used_at: u64::from(number),
                allocated: 4096,
            }),
        };
        let update = Update {
            rows: Change {
                delete: Vec::new(),
                put: vec![(0, Row::of(0, b"x"))],
            },
            segments: vec![segment],
            record: None,
        };
        store.update(place, &update).unwrap();
    }
    store.sync().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn very_long_lists_neither_block_nor_take_memory() {
    let count: u32 = std::env::var("ENTITIES").map_or(100_000, |count| count.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let filled = data.clone();
    tokio::task::spawn_blocking(move || fill_index(&filled, count))
        .await
        .unwrap();
    // Each has a block of the file system, and nothing is to be evicted meanwhile.
    let room = ["--max-bytes", "100GiB"];
    let origin = Origin::start(Script::default()).await;
    let (sidecar, mut process) = Sidecar::spawn(&data, origin.addr, &room).await;
    let get = async |path: &str| -> Value {
        let got = sidecar.manage("GET", path).await;
        assert_eq!(got.status, 200, "{path}");
        serde_json::from_slice(&got.body).unwrap()
    };
    assert_eq!(get("/v1/stats").await["entities"], count);
    get("/v1/entities").await;
    let before = process.peak();
    let (mut listed, mut cursor, mut last) = (0, String::new(), String::new());
    loop {
        let page = get(&format!("/v1/entities?limit=1000{cursor}")).await;
        for item in page["items"].as_array().unwrap() {
            let id = item["id"].as_str().unwrap();
            assert!(*last < *id, "{last} {id}");
            assert_eq!(item["cached_bytes"], 1);
            last = id.to_owned();
            listed += 1;
        }
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed, count);
    let listing = process.peak() - before;
    // The best of all of them: the port and decisions answer meanwhile.
    let sorting = async {
        let first = get("/v1/entities?sort=-hits&limit=100").await;
        let hits: Vec<u64> = first["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["hits"].as_u64().unwrap())
            .collect();
        let most = u64::from(count);
        assert_eq!(hits, Vec::from_iter((most - 100..most).rev()));
        let videos = get("/v1/videos?sort=-hits&limit=10").await;
        assert_eq!(videos["items"].as_array().unwrap().len(), 10);
        let none = get("/v1/entities?prefix=generic&limit=5&sort=hits").await;
        assert_eq!(none, json!({"items": [], "next": null}));
    };
    let mut sorting = std::pin::pin!(sorting);
    let mut slowest = Duration::ZERO;
    let mut answered = 0;
    loop {
        tokio::select! {
            biased;
            () = &mut sorting => break,
            took = async {
                let began = Instant::now();
                sidecar.decide_at("/elsewhere").await;
                began.elapsed()
            } => {
                slowest = slowest.max(took);
                answered += 1;
            }
        }
    }
    let grown = process.peak() - before;
    eprintln!("{answered} decisions meanwhile, the slowest after {slowest:?}");
    eprintln!("{listing} bytes more after listing, {grown} after sorting");
    assert!(
        10 < answered && slowest < Duration::from_secs(2),
        "{answered} {slowest:?}"
    );
    assert!(grown < 64 << 20, "{grown} bytes");
    // All of them go, and nothing is left.
    assert_eq!(
        purge(&sidecar, json!({"prefix": "youtube:v=video7&"})).await["entities"],
        2
    );
    let purged = purge(&sidecar, json!({"all": true})).await;
    assert_eq!(purged, json!({"entities": count - 2, "bytes": count - 2}));
    assert_eq!(get("/v1/entities").await["items"], json!([]));
    assert_eq!(get("/v1/stats").await["entities"], 0);
    process.kill().unwrap();
    process.wait().unwrap();
}

/// A filter that finds nothing ends a page after a bounded look, and the next goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_finds_little_says_where_to_go_on() {
    const COUNT: u32 = 30_000;
    let dir = tempfile::tempdir().unwrap();
    let filled = dir.path().to_owned();
    tokio::task::spawn_blocking(move || fill_index(&filled, COUNT))
        .await
        .unwrap();
    let (_origin, sidecar) = start(dir.path()).await;
    let mut cursor = String::new();
    let (mut pages, mut found) = (0, 0);
    loop {
        let path = format!("/v1/entities?prefix=youtube:v%3Dvideo77%26{cursor}");
        let page: Value = serde_json::from_slice(&sidecar.manage("GET", &path).await.body).unwrap();
        pages += 1;
        found += page["items"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert!((2..=30).contains(&pages), "{pages}");
    assert_eq!(found, 2);
    let id = key_at("/nothing").id();
    let got = sidecar.manage("GET", &format!("/v1/entities/{id}")).await;
    assert_eq!(got.status, 404);
}
