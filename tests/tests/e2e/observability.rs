//! What an operator sees: the dashboard and the alerts name what there is, Prometheus reads it, and
//! a request has one name in every log.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::checkout::Checkout;
use e2e::client::Request;
use e2e::management;
use e2e::poll::until;
use e2e::ports::Port;
use e2e::process::{Output, Process};
use serde_json::Value;

use crate::world::{MIB, SOON, World, rules};

const DASHBOARD: &str = "deploy/observability/grafana/dashboards/viewcache.json";
const ALERTS: &str = "deploy/observability/alerts.yml";
const CONFIG: &str = "deploy/observability/prometheus.yml";

fn shipped(path: &str) -> String {
    fs::read_to_string(Checkout::find().unwrap().path(path)).unwrap()
}

/// A world in which a little of everything has happened.
async fn seen() -> World {
    let world = World::start().await;
    let content = world.serve("/v.mp4", MIB);
    let half = Request::get("/v.mp4").range("0-524287");
    world.view(&half, content).await;
    world.stored("/v.mp4", &[(0, MIB / 2)]).await;
    world.view(&Request::get("/v.mp4"), content).await;
    world.stored("/v.mp4", &[(0, MIB)]).await;
    world.hit(&Request::get("/v.mp4"), content).await;
    let bypass = Request::get("/v.mp4").field("authorization", "Basic x");
    world.view(&bypass, content).await;
    world.counted("bypass", 1).await;
    world
}

/// The queries of the dashboard's panels, as Grafana would send them.
fn queries(dashboard: &str) -> Vec<String> {
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    let queries = targets.flatten().map(|target| {
        let query = target["expr"].as_str().unwrap();
        query
            .replace("$sidecar", ".*")
            .replace("$envoy", ".*")
            .replace("$__rate_interval", "1m")
    });
    queries.collect()
}

/// The metrics that a text names: of the sidecar, of Envoy, or of a process.
fn names(text: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !is_name(c));
    let ours = ["viewcache_", "envoy_", "process_"];
    let named = words.filter(|word| ours.iter().any(|prefix| word.starts_with(prefix)));
    let mut names: Vec<String> = named.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// The names of the samples in an exposition.
fn samples(exposition: &str) -> Vec<String> {
    let samples = exposition.lines().filter(|line| !line.starts_with('#'));
    let name = |line: &str| line.split(['{', ' ']).next().map(str::to_owned);
    samples.filter_map(name).collect()
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_name_what_there_is() {
    let world = seen().await;
    let sidecar = management::get(world.stack.manage(0), "/metrics").await;
    let envoy = management::get(world.stack.admin(), "/stats/prometheus").await;
    let there = [samples(&sidecar.unwrap()), samples(&envoy.unwrap())].concat();
    let mut checked = 0;
    for (place, text) in [
        (DASHBOARD, queries(&shipped(DASHBOARD)).join("\n")),
        (ALERTS, shipped(ALERTS)),
    ] {
        for name in names(&text) {
            assert!(
                there.contains(&name),
                "{place} names {name}, which is not there"
            );
            checked += 1;
        }
    }
    assert!(70 < checked, "only {checked} names were found");
    // And the other way round: what is counted is shown.
    let shown = names(&queries(&shipped(DASHBOARD)).join("\n"));
    let ours = there.iter().filter(|name| name.starts_with("viewcache_"));
    for name in ours {
        let family = ["_bucket", "_sum", "_count"];
        let base = family.iter().find_map(|suffix| name.strip_suffix(suffix));
        let bucket = base.map(|base| format!("{base}_bucket"));
        let about = ["viewcache_build_info"];
        // Those whose reasons are shown are not shown once more.
        let by_reason = shown.contains(&format!("{name}_reason"));
        let is_shown = shown.contains(name) || bucket.is_some_and(|b| shown.contains(&b));
        let beside = [
            "viewcache_mirror_started",
            "viewcache_evictions_total",
            "viewcache_decisions_total",
        ];
        assert!(
            is_shown || by_reason || about.contains(&&name[..]) || beside.contains(&&name[..]),
            "{name} is not on the dashboard"
        );
    }
}

#[tokio::test]
async fn the_filter_counts_by_reason_under_one_name() {
    let world = seen().await;
    let counted = async |name: &str| world.count(name).await;
    assert_eq!(counted("bypass_reason.authorization").await, 1);
    assert_eq!(counted("bypass_reason.no-cache").await, 0);
    let directive = Request::get("/v.mp4").field("cache-control", "no-cache");
    let content = e2e::content::Content::new("/v.mp4", MIB);
    world.view(&directive, content).await;
    world.counted("bypass_reason.no-cache", 1).await;
    world.counted("bypass", 2).await;
    let text = management::get(world.stack.admin(), "/stats/prometheus").await;
    let text = text.unwrap();
    for line in [
        "viewcache_bypass_reason{reason=\"authorization\"} 1",
        "viewcache_bypass_reason{reason=\"no-cache\"} 1",
        "viewcache_decide_failure_reason{reason=\"decide-timeout\"} 0",
        "viewcache_mirror_shed_reason{reason=\"streams\"} 0",
        "viewcache_mirror_declined_reason{reason=\"no-store\"} 0",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}");
    }
}

#[tokio::test]
async fn what_must_not_be_stored_is_counted_by_reason() {
    let world = World::start().await;
    let content = world.serve("/v.mp4", MIB);
    let script = e2e::origin::Script::new(content);
    world
        .origin
        .script("/v.mp4", script.field("cache-control", "no-store"));
    world.view(&Request::get("/v.mp4"), content).await;
    world.counted("mirror_declined_reason.no-store", 1).await;
    let reason = "viewcache_declines_total{reason=\"no-store\"} 1\n";
    let declined = until("the sidecar has heard", SOON, async || {
        let metrics = management::get(world.stack.manage(0), "/metrics").await;
        metrics.unwrap().contains(reason).then_some(())
    });
    declined.await.unwrap();
}

/// Prometheus, with the shipped configuration but for addresses and intervals.
struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// `None` where it is not installed.
    async fn start(world: &World) -> Option<Self> {
        if Command::new("prometheus")
            .arg("--version")
            .output()
            .is_err()
        {
            eprintln!("skipped: there is no prometheus here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, "a-token\n").unwrap();
        let mut config = shipped(CONFIG);
        for (literal, new) in [
            ("sidecar:7070", world.stack.manage(0).to_string()),
            ("envoy:9902", world.stack.admin().to_string()),
            ("/run/viewcache/read-token", token.display().to_string()),
            ("scrape_interval: 15s", "scrape_interval: 500ms".to_owned()),
            (
                "evaluation_interval: 15s",
                "evaluation_interval: 1s".to_owned(),
            ),
        ] {
            assert_eq!(config.matches(literal).count(), 1, "{literal}");
            config = config.replace(literal, &new);
        }
        let path = folder.path().join("prometheus.yml");
        fs::write(&path, config).unwrap();
        fs::write(folder.path().join("alerts.yml"), shipped(ALERTS)).unwrap();
        let mut port = Port::exclusive(None).unwrap();
        port.release();
        let address = port.address;
        let args = [
            format!("--config.file={}", path.display()),
            format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ),
            format!("--web.listen-address={address}"),
        ];
        let program = which("prometheus");
        let output = Output::Files(folder.path().to_owned());
        let process = Process::spawn("prometheus", Path::new(&program), args, &output).unwrap();
        let this = Self {
            address,
            _process: process,
            _folder: folder,
        };
        let scraped = "min(count_over_time(up[1m])) >= 4 and min(up) == 1";
        let ready = until(
            "both jobs were scraped",
            Duration::from_secs(30),
            async || {
                let result = this.query(scraped).await?;
                (!result.is_empty()).then_some(())
            },
        );
        ready.await.unwrap();
        Some(this)
    }

    async fn get(&self, target: &str) -> Option<Value> {
        let answer = management::json(self.address, target).await.ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// The samples of an instant query; `None` when it is refused.
    async fn query(&self, query: &str) -> Option<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.get(&format!("/api/v1/query?query={encoded}")).await?;
        data["result"].as_array().cloned()
    }
}

/// Where a program is.
fn which(program: &str) -> String {
    let folders = std::env::var("PATH").unwrap();
    let paths = folders
        .split(':')
        .map(|folder| format!("{folder}/{program}"));
    paths
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap()
}

#[tokio::test]
async fn prometheus_answers_every_query_of_the_dashboard() {
    let world = seen().await;
    let Some(prometheus) = Prometheus::start(&world).await else {
        return;
    };
    let queries = queries(&shipped(DASHBOARD));
    assert!(50 < queries.len());
    for query in queries {
        let samples = prometheus.query(&query).await;
        let samples = samples.unwrap_or_else(|| panic!("refused: {query}"));
        // What is shown only when it happens need not have.
        assert!(
            query.ends_with("> 0") || !samples.is_empty(),
            "nothing: {query}"
        );
    }
    let bypasses = "sum(viewcache_bypass_reason{reason=\"authorization\"}) == 1";
    assert_eq!(prometheus.query(bypasses).await.unwrap().len(), 1);
    let help = prometheus
        .get("/api/v1/metadata?metric=viewcache_served")
        .await;
    assert!(help.unwrap().to_string().contains("routed requests"));
    let evaluated = until("the rules are evaluated", SOON, async || {
        let data = prometheus.get("/api/v1/rules").await?;
        let groups = data["groups"].as_array().unwrap().iter();
        let rules: Vec<Value> = groups
            .flat_map(|group| group["rules"].as_array().unwrap().clone())
            .collect();
        let known = rules.iter().all(|rule| rule["health"] != "unknown");
        known.then_some(rules)
    });
    let rules = evaluated.await.unwrap();
    assert!(10 < rules.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        // What looks back for longer than Envoy runs waits.
        assert_ne!(rule["state"], "firing", "{rule}");
    }
}

/// The sidecar's log lines with this message.
fn told(world: &mut World, message: &str) -> Vec<Value> {
    let log = world.stack.sidecar(0).log().unwrap();
    let text = fs::read_to_string(log).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["message"] == message)
        .collect()
}

async fn until_told(world: &mut World, message: &str, field: &str, value: &str) -> Value {
    let mut last = Vec::new();
    let found = until(message, SOON, async || {
        last = told(world, message);
        last.iter().find(|line| line[field] == value).cloned()
    });
    let found = found.await;
    found.unwrap_or_else(|error| panic!("{field} {value}: {error}: {last:?}"))
}

#[tokio::test]
async fn a_request_has_one_name_in_every_log() {
    let (file, _folder) = rules("log = \"debug\"\nlog_format = \"json\"\n");
    let mut world = World::with(|options| options.sidecar_config = Some(file)).await;
    let content = world.serve("/v.mp4", MIB);
    let name = |line: &Value| line["request_id"].as_str().unwrap().to_owned();

    // Mirrored: the origin sees the request itself, under the name that Envoy gives it.
    let first = Request::get("/v.mp4").range("0-499999");
    world.view(&first, content).await;
    let mirrored = until_told(&mut world, "fill", "role", "mirror").await;
    assert_eq!(mirrored["origin_bytes"], 500_000, "{mirrored}");
    let decided = until_told(&mut world, "decided", "decision", "miss").await;
    assert_eq!(name(&decided), name(&mirrored));
    world.stored("/v.mp4", &[(0, 500_000)]).await;

    // Partial: the sidecar asks in its name.
    world.view(&Request::get("/v.mp4"), content).await;
    let partial = until_told(&mut world, "exchange", "outcome", "partial").await;
    assert_eq!(partial["cache_bytes"], 500_000, "{partial}");
    let fetched = until_told(&mut world, "fill", "role", "own").await;
    assert_eq!(name(&fetched), name(&partial));
    let seen = world.origin.seen("/v.mp4");
    let seen: Vec<_> = seen
        .iter()
        .map(|seen| seen.head.get("x-request-id"))
        .collect();
    let names = [name(&mirrored), name(&partial)];
    assert_eq!(seen, [Some(&names[0][..]), Some(&names[1][..])]);

    // A hit, of which the origin sees nothing.
    world.stored("/v.mp4", &[(0, MIB)]).await;
    world.hit(&Request::get("/v.mp4"), content).await;
    let hit = until_told(&mut world, "exchange", "outcome", "hit").await;

    // Envoy writes its log out when it ends, at the latest.
    let log = world.stack.envoy().log().unwrap().to_owned();
    world.stack.stop().await.unwrap();
    let log = fs::read_to_string(log).unwrap();
    for name in [&names[0], &names[1], &name(&hit)] {
        assert_eq!(name.len(), 36, "{name}");
        let end = format!(" id={name}");
        let lines = log.lines().filter(|line| line.ends_with(&end));
        assert_eq!(lines.count(), 1, "{name}:\n{log}");
    }
}
