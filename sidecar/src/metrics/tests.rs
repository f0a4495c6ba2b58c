use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use viewcache_filter::counter::{Counter, Reason};

use super::*;

fn open_metrics(metrics: &Metrics) -> String {
    metrics.text(Exposition::OpenMetrics, Levels::default())
}

/// What a metric is, as the exposition says.
#[derive(Debug, Default)]
struct Described {
    name: String,
    kind: String,
    help: String,
    /// The values of each label.
    labels: BTreeMap<String, Vec<String>>,
}

/// Reads the exposition as Prometheus would.
fn described(text: &str) -> Vec<Described> {
    let mut all: Vec<Described> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            all.push(Described {
                name: name.to_owned(),
                help: help.to_owned(),
                ..Described::default()
            });
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let last = all.last_mut().unwrap();
            assert_eq!(last.name, name, "type without help");
            last.kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let last = all.last_mut().unwrap();
            assert!(line.starts_with(&last.name), "{line} is not {}", last.name);
            let Some((_, rest)) = line.split_once('{') else {
                continue;
            };
            let (labels, _) = rest.rsplit_once('}').unwrap();
            for label in labels.split(',') {
                let (name, value) = label.split_once('=').unwrap();
                let values = last.labels.entry(name.to_owned()).or_default();
                let value = value.trim_matches('"').to_owned();
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
    }
    all
}

/// `docs/METRICS.md`, as it should be.
fn document() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         What the sidecar measures stands at `/metrics` of its management port, in Prometheus' text format, or as OpenMetrics where Accept asks for that.\n\
         What the filter counts is among Envoy's statistics (`/stats`, `/stats/prometheus`).\n\
         A dashboard for both and rules for alerts are in [`deploy/observability`](../deploy/observability).\n\n\
         This file is written by `UPDATE_DOCS=1 cargo test --release --locked --workspace --lib metrics`, and checked by the same test without the variable.\n\n\
         ## The sidecar\n\n\
         Times are in seconds and sizes in bytes.\n\
         Counters begin at 0 with the process; all values of a label are there from the start.\n\n\
         | metric | type | meaning | labels |\n|---|---|---|---|\n",
    );
    for Described {
        name,
        kind,
        help,
        labels,
    } in described(&open_metrics(&Metrics::default()))
    {
        let suffix = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let values = |(name, values): (&String, &Vec<String>)| {
            let values: Vec<String> = values.iter().map(|v| format!("`{v}`")).collect();
            match &name[..] {
                // What a bucket ends at, and what a release is called, need no list.
                "le" => None,
                "version" => Some("`version`".to_owned()),
                _ => Some(format!("`{name}`: {}", values.join(", "))),
            }
        };
        let labels: Vec<String> = labels.iter().filter_map(values).collect();
        let (help, labels) = (help.trim_end_matches('.'), labels.join("; "));
        let kind = match kind.as_str() {
            "info" => "gauge",
            other => other,
        };
        writeln!(text, "| `{name}{suffix}` | {kind} | {help} | {labels} |").unwrap();
    }
    text += "\n## The filter\n\n\
             Each worker tells Envoy its counts once a second.\n\
             With Prometheus, `wasmcustom.viewcache.hit` is `viewcache_hit`.\n\
             What has a reason is counted once more by each: `wasmcustom.viewcache.bypass_reason.no-cache` is `viewcache_bypass_reason{reason=\"no-cache\"}`, because `stats_config` in [`envoy/envoy.yaml`](../envoy/envoy.yaml) makes a label of it.\n\n\
             | statistic | meaning | reasons |\n|---|---|---|\n";
    for counter in Counter::ALL {
        let reasons = Reason::all().filter(|reason| reason.counter() == counter);
        let reasons: Vec<String> = reasons.map(|r| format!("`{}`", r.as_str())).collect();
        writeln!(
            text,
            "| `wasmcustom.{}` | {} | {} |",
            counter.name(),
            counter.help(),
            reasons.join(", ")
        )
        .unwrap();
    }
    text += "| `wasmcustom.viewcache.mirrors` | Responses being mirrored now (a gauge) |  |\n";
    text
}

#[test]
fn the_document_says_what_there_is() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
    let expected = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/METRICS.md is not what it should be; write it again with UPDATE_DOCS=1"
    );
}

#[test]
fn what_the_readme_names_is_there() {
    let text = document();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // Clusters and crates.
    let others = ["decide", "ingest", "serve", "sidecar"];
    let words = include_str!("../../../README.md").split(|c| !is_name(c));
    let names = words.filter_map(|word| word.strip_prefix("viewcache_"));
    let mut checked = 0;
    for name in names.filter(|name| !others.contains(name)) {
        let sidecars = format!("`viewcache_{name}`");
        let base = name.strip_suffix("_reason").unwrap_or(name);
        let filters = format!("`wasmcustom.viewcache.{base}`");
        assert!(
            text.contains(&sidecars) || text.contains(&filters),
            "the README names viewcache_{name}, which is not there"
        );
        checked += 1;
    }
    assert!(10 < checked, "only {checked} names were found");
}

#[test]
fn names_and_units_are_as_prometheus_wants_them() {
    let all = described(&open_metrics(&Metrics::default()));
    assert!(40 < all.len(), "only {} metrics were found", all.len());
    for Described {
        name, kind, help, ..
    } in &all
    {
        assert!(
            name.starts_with("viewcache_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(10 < help.len() && !help.contains('"'), "{name}: {help}");
        // The exposition adds it.
        assert!(!name.ends_with("_total"), "{name}");
        let timed = kind == "histogram";
        assert!(!timed || name.ends_with("_seconds"), "{name}");
        for scaled in ["milli", "micro", "_ms", "_kb", "_mb", "kib", "minutes"] {
            assert!(!name.contains(scaled), "{name}");
        }
    }
    // Two jobs are scraped, and what both have must mean the same.
    let filter = Counter::ALL.into_iter().map(|counter| counter.name());
    for name in filter.map(|name| name.replace('.', "_")) {
        assert!(all.iter().all(|metric| metric.name != name), "{name}");
    }
}

#[test]
fn every_label_is_there_from_the_start_and_counts_alone() {
    let metrics = Metrics::default();
    metrics.refused.add(Refusal::Full, 7);
    metrics.refused.inc(Refusal::Busy);
    let text = open_metrics(&metrics);
    for (reason, count) in [("full", 7), ("busy", 1), ("dead", 0)] {
        let line = format!("viewcache_refused_bytes_total{{reason=\"{reason}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    assert_eq!(metrics.refused.get(Refusal::Full), 7);
}

#[test]
fn the_values_of_a_label_differ() {
    fn check<L: Label>() {
        let mut values: Vec<&str> = L::VARIANTS.iter().map(|&label| label.value()).collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), L::VARIANTS.len(), "{values:?}");
    }
    check::<DeclineReason>();
    check::<Fetched>();
    check::<HandBack>();
    check::<Refusal>();
    check::<Evicted>();
    check::<Damage>();
    check::<Fault>();
    check::<crate::policy::Reason>();
}

#[test]
fn a_histogram_adds_up() {
    let metrics = Metrics::default();
    for micros in [4, 5, 6, 3_000_000] {
        metrics.decide.observe(Duration::from_micros(micros));
    }
    metrics.first_byte.observe(Served::Hit, Duration::ZERO);
    let text = open_metrics(&metrics);
    let buckets = "viewcache_decide_duration_seconds_bucket";
    for line in [
        format!("{buckets}{{le=\"0.000005\"}} 2"),
        format!("{buckets}{{le=\"0.00001\"}} 3"),
        format!("{buckets}{{le=\"1.0\"}} 3"),
        format!("{buckets}{{le=\"+Inf\"}} 4"),
        "viewcache_decide_duration_seconds_count 4".to_owned(),
        "viewcache_decide_duration_seconds_sum 3.000015".to_owned(),
        "viewcache_serve_first_byte_seconds_count{outcome=\"hit\"} 1".to_owned(),
        "viewcache_serve_first_byte_seconds_count{outcome=\"partial\"} 0".to_owned(),
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
    }
}

#[test]
fn a_follower_is_counted_while_it_waits() {
    let metrics = Metrics::default();
    let followers = |expected: u64| {
        let line = format!("viewcache_followers {expected}\n");
        assert!(open_metrics(&metrics).contains(&line));
    };
    followers(0);
    let follower = metrics.follow();
    followers(1);
    drop(follower);
    followers(0);
}
