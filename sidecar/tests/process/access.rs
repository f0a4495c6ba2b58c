//! Who is let in, at both ports, over HTTP.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json, to_string};
use viewcache_protocol::message::Step;
use viewcache_protocol::{
    ChunkHead, DecideRequest, End, FillId, GenerationId, Invalidate, Outcome, Profile,
};

use crate::harness::{Got, Sidecar, begin, generation, key, wanted};
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;
const SECRET: &str = "hush-hush-hush-hush";
const READ: &str = "reader-reader-reader";
const ADMIN: &str = "keeper-keeper-keeper";

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn call(sidecar: &Sidecar, method: &str, path: &str, token: Option<&str>) -> Got {
    let token = token.map(bearer);
    let fields: Vec<_> = token.iter().map(|t| ("authorization", &t[..])).collect();
    sidecar
        .manage_as(method, path, &fields, String::new())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_its_role_may() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let variables = [
        ("VIEWCACHE_READ_TOKEN", READ),
        ("VIEWCACHE_ADMIN_TOKEN", ADMIN),
    ];
    let sidecar = Sidecar::start_in(dir.path(), origin.addr, &[], &variables).await;
    assert!(sidecar.routed("").await.whole);
    let entity = format!("/v1/entities/{}", key().id());
    let pin = format!("{entity}/pin");
    for path in [
        "/v1/entities",
        &entity,
        "/metrics",
        "/v1/policy",
        "/v1/channels",
        "/nothing",
    ] {
        let got = call(&sidecar, "GET", path, None).await;
        assert_eq!(
            (got.status.as_u16(), &got.body.is_empty()),
            (401, &false),
            "{path}"
        );
        assert_eq!(got.field("www-authenticate"), "Bearer realm=\"viewcache\"");
        assert_eq!(got.field("content-type"), "application/problem+json");
        let got = call(&sidecar, "GET", path, Some("somebody-elses-token")).await;
        assert_eq!(got.status, 401, "{path}");
        let challenge = "Bearer realm=\"viewcache\", error=\"invalid_token\"";
        assert_eq!(got.field("www-authenticate"), challenge);
        assert!(!String::from_utf8_lossy(&got.body).contains("somebody-elses"));
        for token in [READ, ADMIN] {
            let expect = if path == "/nothing" { 404 } else { 200 };
            let got = call(&sidecar, "GET", path, Some(token)).await;
            assert_eq!(got.status, expect, "{path}");
            assert_eq!(got.field("x-content-type-options"), "nosniff");
            assert_eq!(got.field("cross-origin-resource-policy"), "same-origin");
        }
    }
    for (method, path) in [("PUT", &pin), ("DELETE", &pin), ("DELETE", &entity)] {
        assert_eq!(call(&sidecar, method, path, None).await.status, 401);
        let got = call(&sidecar, method, path, Some(READ)).await;
        assert_eq!(got.status, 403, "{method} {path}");
        let challenge = "Bearer realm=\"viewcache\", error=\"insufficient_scope\", scope=\"admin\"";
        assert_eq!(got.field("www-authenticate"), challenge);
        let problem: Value = serde_json::from_slice(&got.body).unwrap();
        let detail = "authorization: the bearer token's role is not admin";
        assert_eq!(
            problem,
            json!({
                "status": 403,
                "title": "Forbidden",
                "detail": detail,
                "field": "authorization",
                "value": null,
            })
        );
    }
    let seen = call(&sidecar, "GET", &entity, Some(READ)).await;
    let seen: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(
        (&seen["pinned"], &seen["cached_bytes"]),
        (&json!(false), &json!(N))
    );
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            call(&sidecar, "GET", path, None).await.status,
            200,
            "{path}"
        );
    }
    assert_eq!(call(&sidecar, "PUT", &pin, Some(ADMIN)).await.status, 204);
    assert_eq!(
        call(&sidecar, "DELETE", &entity, Some(ADMIN)).await.status,
        200
    );
    assert_eq!(call(&sidecar, "GET", &entity, Some(READ)).await.status, 404);
    let metrics = call(&sidecar, "GET", "/metrics", Some(READ)).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    for (reason, count) in [("no-token", 9), ("wrong-token", 6), ("role", 3)] {
        let line = format!("viewcache_denied_requests_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_site_reaches_it() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Sidecar::start(
        dir.path(),
        origin.addr,
        &["--allowed-hosts", "cache.example"],
    )
    .await;
    let policy = || async { sidecar.manage("GET", "/v1/policy").await.body };
    let before = policy().await;
    let patch = r#"{"keep": "complete"}"#;
    let json = ("content-type", "application/json");
    for (fields, status, detail) in [
        (
            vec![("host", "evil.example:7070"), json],
            421,
            "host: \"evil.example:7070\" is not",
        ),
        (
            vec![("origin", "http://evil.example"), json],
            403,
            "origin: \"http://evil.example\" is not",
        ),
        (
            vec![("origin", "null"), json],
            403,
            "origin: \"null\" is not",
        ),
        (
            vec![("sec-fetch-site", "cross-site"), json],
            403,
            "sec-fetch-site: \"cross-site\" is",
        ),
        (
            vec![("content-type", "text/plain")],
            415,
            "content-type: \"text/plain\" is not",
        ),
        (vec![], 415, "content-type: nothing is not application/json"),
    ] {
        let got = sidecar
            .manage_as("PATCH", "/v1/policy", &fields, patch.to_owned())
            .await;
        assert_eq!(got.status, status, "{fields:?}");
        let problem: Value = serde_json::from_slice(&got.body).unwrap();
        let said = problem["detail"].as_str().unwrap();
        assert!(said.starts_with(detail), "{fields:?}: {said}");
        assert_eq!(policy().await, before, "{fields:?}");
    }
    for field in [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "same-site"),
    ] {
        let got = sidecar
            .manage_as("GET", "/v1/entities", &[field], String::new())
            .await;
        assert!(got.status.is_client_error(), "{field:?}");
        let probe = sidecar
            .manage_as("GET", "/healthz", &[field], String::new())
            .await;
        assert_eq!(probe.status, 200, "{field:?}");
    }
    // As its own page, and as a program by the name that is allowed.
    for fields in [
        vec![
            ("host", "cache.example"),
            ("origin", "https://cache.example"),
            ("sec-fetch-site", "same-origin"),
            json,
        ],
        vec![
            ("host", "localhost:7070"),
            ("content-type", "application/merge-patch+json"),
        ],
    ] {
        let got = sidecar
            .manage_as("PATCH", "/v1/policy", &fields, patch.to_owned())
            .await;
        assert_eq!(got.status, 200, "{fields:?}");
    }
    assert_ne!(policy().await, before);
    sidecar.stop().await;
}

/// Writes the file at once, as whoever changes a secret does.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

async fn becomes(sidecar: &Sidecar, token: &str, status: u16) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while call(sidecar, "GET", "/v1/entities", Some(token))
        .await
        .status
        != status
    {
        assert!(Instant::now() < deadline, "{token} is not {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_tokens_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let file = dir.path().join("tokens");
    replace(&file, &format!("read {READ}"));
    let flags = ["--tokens-file", file.to_str().unwrap()];
    let variables = [("VIEWCACHE_ADMIN_TOKEN", ADMIN)];
    let data = dir.path().join("data");
    let mut sidecar = Sidecar::start_in(&data, origin.addr, &flags, &variables).await;
    let other = "other-other-other";
    becomes(&sidecar, READ, 200).await;
    becomes(&sidecar, other, 401).await;

    replace(&file, &format!("read {other}\n"));
    becomes(&sidecar, other, 200).await;
    becomes(&sidecar, READ, 401).await;
    becomes(&sidecar, ADMIN, 200).await;

    // What cannot be used changes nothing.
    sidecar.token = Some(ADMIN);
    for (number, unusable) in (1..).zip(["", "read short", "nonsense"]) {
        replace(&file, unusable);
        let deadline = Instant::now() + Duration::from_secs(10);
        let unusables = "viewcache_token_reads_total{result=\"unusable\"}";
        while sidecar.metric(unusables).await < number {
            assert!(Instant::now() < deadline, "{unusable:?} is not seen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for (token, status) in [(other, 200), (READ, 401), (ADMIN, 200)] {
            let got = call(&sidecar, "GET", "/v1/entities", Some(token)).await;
            assert_eq!(got.status, status, "{unusable:?} {token}");
        }
        let got = call(&sidecar, "GET", "/v1/entities", None).await;
        assert_eq!(got.status, 401, "{unusable:?}");
    }
    replace(&file, &format!("admin {READ}"));
    becomes(&sidecar, READ, 200).await;
    becomes(&sidecar, other, 401).await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_knows_who_calls_it_listens_to_all() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let (secret, tokens) = (dir.path().join("secret"), dir.path().join("tokens"));
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    std::fs::write(&tokens, format!("# all\nadmin {ADMIN}\n")).unwrap();
    let flags = [
        "--secret-file",
        secret.to_str().unwrap(),
        "--tokens-file",
        tokens.to_str().unwrap(),
    ];
    let data = dir.path().join("data");
    let any = Ipv4Addr::UNSPECIFIED;
    let (mut sidecar, mut process) = Sidecar::spawn_at(any, &data, origin.addr, &flags).await;
    assert_eq!(sidecar.manage("GET", "/v1/entities").await.status, 401);
    sidecar.token = Some(ADMIN);
    assert_eq!(sidecar.manage("GET", "/v1/entities").await.status, 200);
    assert_eq!(sidecar.routed("0-99").await.status, 403);
    sidecar.secret = Some(SECRET);
    let got = sidecar.routed("0-99").await;
    assert!(
        got.status == 206 && got.body == body(1, 0, 100),
        "{}",
        got.status
    );
    process.kill().unwrap();
    process.wait().unwrap();
}

/// How the program ends with these flags, what it says, and that it says no secret.
fn refused(flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viewcache-sidecar"));
    let output = command.args(flags).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!said.contains(SECRET) && !said.contains(READ), "{said}");
    (output.status.code(), said)
}

#[test]
fn it_does_not_start_where_it_knows_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let check = |flags: &[&str], expect: &str| {
        let flags = [&["--data-dir", data.to_str().unwrap()], flags].concat();
        let (code, said) = refused(&flags);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(expect), "{said}");
        assert!(!data.exists(), "{flags:?}: it has begun");
    };
    check(
        &["--manage-listen", "0.0.0.0:0"],
        "manage_listen: \"0.0.0.0:0\" is not a loopback address, and there are no tokens",
    );
    check(
        &["--data-listen", "0.0.0.0:0"],
        "data_listen: \"0.0.0.0:0\" is not a loopback address, and there is no secret",
    );
    let file = dir.path().join("file");
    let path = file.to_str().unwrap();
    for (flag, text) in [
        ("--tokens-file", "read reader-reader-reader"),
        ("--secret-file", SECRET),
    ] {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        check(&[flag, path], "mode 0666 lets others write it");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (code, said) = refused(&[flag, path, "--check-config"]);
        assert!(
            code == Some(0) && said.contains("others can read it"),
            "{code:?} {said}"
        );
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(
            refused(&[flag, path, "--check-config"]),
            (Some(0), String::new())
        );
    }
}

/// Everything that a rogue process could change, as seen by the operator and the origin.
async fn world(sidecar: &Sidecar, origin: &Origin) -> (Value, u64, u64, u64, usize) {
    let mut entities: Value =
        serde_json::from_slice(&sidecar.manage("GET", "/v1/entities").await.body).unwrap();
    for entity in entities["items"].as_array_mut().unwrap() {
        // Somebody may be just leaving.
        entity["viewers"] = Value::Null;
    }
    let decisions = sidecar.metric("viewcache_decisions_total").await;
    let served = sidecar.metric("viewcache_served_total").await;
    let stored = sidecar.metric("viewcache_stored_bytes_total").await;
    (entities, decisions, served, stored, origin.requests().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_secret_the_data_port_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let variables = [("VIEWCACHE_SECRET", SECRET)];
    let mut sidecar = Sidecar::start_in(dir.path(), origin.addr, &[], &variables).await;
    sidecar.secret = Some(SECRET);
    let living = generation(1, N);
    let identity = living.id(Profile::Generic, "");
    let fill = sidecar.granted("").await;
    sidecar.begin(fill, &living, 0, N).await;
    let chunk = sidecar.chunk(fill, identity, 0, body(1, 0, 65_536)).await;
    assert_eq!(chunk.status, 204);
    let deadline = Instant::now() + Duration::from_secs(10);
    while sidecar.entity().await["cached_bytes"] != 65_536 {
        assert!(Instant::now() < deadline, "the chunk is not stored");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let calls = calls(fill, identity);
    let before = world(&sidecar, &origin).await;
    for shown in [
        &[][..],
        &["wrong-wrong-wrong-wrong"],
        &["-"],
        &[SECRET, SECRET],
    ] {
        for call in &calls {
            let got = call.send(&sidecar, shown).await;
            assert_eq!(got.status, 403, "{call:?}");
            // A viewer behind an Envoy with another secret gets the origin's answer.
            assert_eq!(got.field("x-viewcache-handback"), "secret");
            assert!(got.body.len() < 100, "{call:?}");
        }
    }
    assert_eq!(world(&sidecar, &origin).await, before);
    assert_eq!(
        sidecar.metric("viewcache_denied_requests_total").await,
        4 * (calls.len() as u64 - 1),
        "the health check does not count"
    );

    // So it was the secret that they lacked.
    for call in &calls {
        let got = call.send(&sidecar, &[SECRET]).await;
        assert_eq!(got.status, call.status, "{call:?}");
    }
    assert_ne!(world(&sidecar, &origin).await, before);
    sidecar.stop().await;
}

/// A call of the data port.
#[derive(Debug)]
struct Call {
    method: &'static str,
    path: String,
    fields: Vec<(&'static str, String)>,
    body: String,
    /// What it gets who shows the secret.
    status: u16,
}

impl Call {
    async fn send(&self, sidecar: &Sidecar, shown: &[&str]) -> Got {
        let fields = self.fields.iter().map(|(name, value)| (*name, &value[..]));
        let shown = shown.iter().map(|shown| ("x-viewcache-secret", *shown));
        let fields: Vec<_> = fields.chain(shown).collect();
        let body = self.body.clone();
        sidecar
            .data_as(self.method, &self.path, &fields, body)
            .await
    }
}

/// Everything that the data port takes.
fn calls(fill: FillId, identity: GenerationId) -> Vec<Call> {
    let call = |method, path: &str, status| Call {
        method,
        path: path.to_owned(),
        fields: Vec::new(),
        body: String::new(),
        status,
    };
    let post = |path: &str, message: String, status| Call {
        body: message,
        ..call("POST", path, status)
    };
    let routed = |method, path: &str, route: &str, status| Call {
        fields: [("x-viewcache-route", route.to_owned())]
            .into_iter()
            .chain(wanted("0-99").to_headers())
            .collect(),
        ..call(method, path, status)
    };
    let decide = DecideRequest::from(wanted(""));
    let end = End {
        key: key(),
        viewer: "rogue".to_owned(),
        delivered: None,
        outcome: Outcome::Complete,
    };
    let invalidate = Invalidate { key: key() };
    let chunk = ChunkHead {
        entity: key().id(),
        generation: identity,
        offset: 65_536,
    };
    vec![
        post("/decide", to_string(&decide).unwrap(), 200),
        post(
            &Step::Begin.path(fill),
            to_string(&begin(&generation(1, N), 0, N)).unwrap(),
            204,
        ),
        Call {
            fields: chunk.to_headers().into(),
            ..post(&Step::Chunks.path(fill), "x".repeat(65_536), 204)
        },
        routed("GET", "/video", "hit", 206),
        routed("GET", "/video", "partial", 206),
        routed("HEAD", "/video", "hit", 206),
        post(&Step::End.path(fill), to_string(&end).unwrap(), 204),
        post("/invalidate", to_string(&invalidate).unwrap(), 204),
        call("GET", "/healthz", 405),
        call("DELETE", "/anything", 405),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_egress_listener_is_shown_the_secret() {
    for secret in [None, Some(SECRET)] {
        let dir = tempfile::tempdir().unwrap();
        let origin = Origin::start(Script::default()).await;
        let variables: Vec<_> = secret
            .map(|text| ("VIEWCACHE_SECRET", text))
            .into_iter()
            .collect();
        let mut sidecar = Sidecar::start_in(dir.path(), origin.addr, &[], &variables).await;
        sidecar.secret = secret;
        let got = sidecar.routed("").await;
        assert!(got.whole && got.body == body(1, 0, N));
        let requests = origin.requests();
        let shown = requests.iter().flatten();
        let shown: Vec<_> = shown
            .filter_map(|line| line.strip_prefix("x-viewcache-secret: "))
            .collect();
        assert_eq!(shown, secret.iter().copied().collect::<Vec<_>>());
        // Of what the viewer's request had nothing else of ours goes on.
        assert!(
            !requests
                .iter()
                .flatten()
                .any(|line| line.contains("x-viewcache-route"))
        );
        sidecar.stop().await;
    }
}
