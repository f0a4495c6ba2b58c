//! What is worth keeping, by what is watched of it.

use std::time::Duration;

use serde_json::{Value, json};
use viewcache_protocol::{Outcome, Profile};

use crate::harness::{Sidecar, generation, key_at};
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;
const WATCHED: &str = "viewcache_admissions_total{reason=\"watched\"}";

/// Waits until the report of an entity says this.
async fn reported(sidecar: &Sidecar, path: &str, field: &str, expected: Value) {
    let mut last = Value::Null;
    for _ in 0..200 {
        last = sidecar.entity_at(path).await;
        if last[field] == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path}: {field} is not {expected}: {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_enough_makes_it_worth_keeping() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    // Heads and tails, again and again, by many: nobody watches a tenth.
    for viewer in ["a", "b", "c", "d"] {
        for range in ["0-49999", "0-49999", "960000-999999"] {
            assert!(sidecar.routed_for(viewer, "/video", range).await.whole);
        }
    }
    reported(&sidecar, "/video", "watched_percent", 9.into()).await;
    assert_eq!(sidecar.entity().await["provisional"], true);
    // It is served like any other, and what was watched outlives a restart.
    sidecar.stop().await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let asked = origin.requests().len();
    assert!(sidecar.routed_for("d", "/video", "0-49999").await.body == body(1, 0, 50_000));
    assert_eq!(origin.requests().len(), asked);
    assert_eq!(sidecar.entity().await["provisional"], true);
    sidecar.routed_for("d", "/video", "50000-59999").await;
    reported(&sidecar, "/video", "provisional", false.into()).await;
    assert_eq!(sidecar.metric(WATCHED).await, 1);
    sidecar.stop().await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    assert_eq!(sidecar.entity().await["provisional"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mirrored_counts_as_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let fill = sidecar.granted("").await;
    let living = generation(1, N);
    let id = living.id(Profile::Generic, "");
    sidecar.begin(fill, &living, 0, N).await;
    sidecar.chunk(fill, id, 0, body(1, 0, 99_999)).await;
    assert_eq!(sidecar.entity().await["provisional"], true);
    sidecar
        .chunk(fill, id, 99_999, body(1, 99_999, 100_000))
        .await;
    reported(&sidecar, "/video", "provisional", false.into()).await;
    sidecar.end(fill, Outcome::Complete).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_viewers_may_be_enough_and_each_profile_has_its_own_rules() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    sidecar.policy(json!({"admit": {"viewers": 3}})).await;
    for viewer in ["a", "b", "a"] {
        sidecar.routed_for(viewer, "/video", "0-9").await;
    }
    assert_eq!(sidecar.entity().await["provisional"], true);
    sidecar.routed_for("c", "/video", "5-9").await;
    reported(&sidecar, "/video", "provisional", false.into()).await;
    let at_once = json!({"profiles": {"generic": {"watched_percent": 0}}});
    sidecar.policy(at_once).await;
    sidecar.routed_for("a", "/other", "0-0").await;
    reported(&sidecar, "/other", "provisional", false.into()).await;
}

/// A thousand files are looked at, and nothing is worth keeping of them: the films stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_admits_nothing_and_evicts_nothing_admitted() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let flags = ["--max-bytes", "32MiB"];
    let sidecar = Sidecar::start(dir.path(), origin.addr, &flags).await;
    // More than there is room for.
    for n in 0..40 {
        let path = format!("/film{n}");
        assert!(sidecar.routed_for("viewer", &path, "").await.whole);
        reported(&sidecar, &path, "provisional", false.into()).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let films = async || {
        let page = sidecar.manage("GET", "/v1/entities?limit=1000").await;
        let page: Value = serde_json::from_slice(&page.body).unwrap();
        let items = page["items"].as_array().unwrap().iter();
        let mut films: Vec<(String, u64)> = items
            .filter(|item| item["provisional"] == false)
            .map(|item| {
                let key = item["key"].as_str().unwrap().to_owned();
                (key, item["cached_bytes"].as_u64().unwrap())
            })
            .collect();
        films.sort();
        films
    };
    let before = films().await;
    let kept: u64 = before.iter().map(|(_, bytes)| bytes).sum();
    assert!((24 << 20..30 << 20).contains(&kept), "{kept}");
    for n in 0..1000 {
        let path = format!("/scanned{n}");
        for range in ["0-39999", "960000-999999"] {
            let got = sidecar.routed_for("scanner", &path, range).await;
            assert!(got.whole, "{path}");
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(films().await, before);
    assert_eq!(sidecar.metric(WATCHED).await, 40);
}

/// A full cache takes in only so much of what one viewer alone asks for, and says so; what a second
/// one asks for is stored at once, from its first byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_cache_is_turned_over_by_what_several_ask_for() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &["--max-bytes", "16MiB"]).await;
    // A tenth of it at once: less than one film.
    let slowly = json!({"turnover_percent": 1, "turnover_min_bytes": 4 * N});
    sidecar.policy(slowly).await;
    let watch = async |viewer, n: u32| {
        let got = sidecar.routed_for(viewer, &format!("/film{n}"), "").await;
        assert!(got.whole && got.body == body(1, 0, N), "{n}");
    };
    for n in 0..40 {
        watch("a", n).await;
    }
    const REFUSED: &str = "viewcache_refused_bytes_total{reason=\"turnover\"}";
    // There is room for less than half of them.
    assert!(20 * N < sidecar.metric(REFUSED).await);
    // The oldest has made room for what little came after it.
    reported(&sidecar, "/film4", "cached_bytes", N.into()).await;
    reported(&sidecar, "/film39", "cached_bytes", 0.into()).await;
    let id = key_at("/film39").id();
    let history = format!("/v1/entities/{id}/history");
    let history = sidecar.manage("GET", &history).await.body;
    let history: Value = serde_json::from_slice(&history).unwrap();
    assert!(
        history["declined"]["turnover"]["times"].is_u64(),
        "{history}"
    );
    watch("b", 39).await;
    sidecar.stored_at("/film39", N).await;
    // Without the limit whoever comes last is stored.
    sidecar.policy(json!({"turnover_percent": 0})).await;
    watch("a", 38).await;
    sidecar.stored_at("/film38", N).await;
}

/// Who has watched outlives the bytes: for the second viewer they are admitted as they come.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_viewer_admits_what_is_not_stored_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &["--max-bytes", "16MiB"]).await;
    let crowd = json!({"admit": {"watched_percent": "never", "viewers": 2}});
    sidecar.policy(crowd).await;
    // The share of what is provisional is less than two of them.
    for n in 0..20 {
        let path = format!("/film{n}");
        assert!(sidecar.routed_for("a", &path, "").await.whole);
    }
    for n in 0..10 {
        let path = format!("/film{n}");
        assert!(sidecar.routed_for("b", &path, "").await.whole);
        sidecar.stored_at(&path, N).await;
        reported(&sidecar, &path, "provisional", false.into()).await;
    }
    const VIEWERS: &str = "viewcache_admissions_total{reason=\"viewers\"}";
    assert_eq!(sidecar.metric(VIEWERS).await, 10);
}

#[tokio::test]
async fn a_policy_is_checked_kept_and_merged() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    let read = async |sidecar: &Sidecar| -> Value {
        serde_json::from_slice(&sidecar.manage("GET", "/v1/policy").await.body).unwrap()
    };
    let default = read(&sidecar).await;
    let admit = json!({"watched_percent": 10, "viewers": 0});
    assert_eq!(default["admit"], admit);
    assert_eq!(default["keep"], "watched");
    assert_eq!(default["provisional_percent"], 10);
    for (method, policy, names) in [
        (
            "PUT",
            r#"{"admit": {"watched_percent": 101}}"#,
            "admit.watched_percent: 101",
        ),
        ("PUT", r#"{"admitt": {}}"#, "admitt"),
        ("PATCH", r#"{"keep": "all"}"#, "all"),
        (
            "PATCH",
            r#"{"completion": {"parallel": 0}}"#,
            "completion.parallel: 0",
        ),
        (
            "PATCH",
            r#"{"admit": {"watched_percent": "soon"}}"#,
            "neither 0 to 100 nor",
        ),
        (
            "PATCH",
            r#"{"profiles": {"youtube": {"viewers": 65}}}"#,
            "profiles.youtube.viewers: 65",
        ),
        ("PATCH", "[]", "not a JSON object"),
        ("PUT", "{", "body: "),
    ] {
        let got = sidecar
            .manage_with(method, "/v1/policy", policy.to_owned())
            .await;
        assert_eq!(got.status, 400, "{policy}");
        assert_eq!(got.field("content-type"), "application/problem+json");
        let detail = String::from_utf8(got.body).unwrap();
        assert!(detail.contains(names), "{policy}: {detail}");
    }
    assert_eq!(read(&sidecar).await, default);
    sidecar
        .policy(json!({"profiles": {"youtube": {"watched_percent": 5}}}))
        .await;
    sidecar.policy(json!({"provisional_percent": 20})).await;
    let changed = read(&sidecar).await;
    let expected = json!({"youtube": {"watched_percent": 5}});
    assert_eq!(changed["profiles"], expected);
    assert_eq!(changed["admit"], admit);
    assert_eq!(changed["provisional_percent"], 20);
    sidecar.stop().await;
    let sidecar = Sidecar::start(dir.path(), origin.addr, &[]).await;
    assert_eq!(read(&sidecar).await, changed);
    sidecar.policy(json!({"profiles": null})).await;
    assert_eq!(read(&sidecar).await["profiles"], json!({}));
    let put = sidecar
        .manage_with("PUT", "/v1/policy", "{}".to_owned())
        .await;
    assert_eq!(put.status, 200);
    assert_eq!(read(&sidecar).await, default);
}
