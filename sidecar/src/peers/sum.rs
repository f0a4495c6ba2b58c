//! The statistics of several nodes as if they were one.

use std::collections::{BTreeMap, BTreeSet};

use super::Answer;
use crate::service::Stats;
use crate::traffic::{MAX_CHANNELS, WindowReports};

/// This node's statistics together with those of the others that have told theirs. A node counts
/// once, by however many addresses it was reached, and this one too if it is among them.
pub fn sum(mut all: Stats, answers: Vec<Answer>) -> Stats {
    let mut counted = BTreeSet::from([all.instance.clone()]);
    let mut nodes = Vec::with_capacity(answers.len());
    for Answer { peer, stats } in answers {
        if let Some(stats) = stats
            && counted.insert(stats.instance.clone())
        {
            add(&mut all, stats);
        }
        nodes.push(peer);
    }
    if let Some(channels) = &mut all.channels {
        bound(channels);
    }
    all.nodes = Some(nodes);
    all
}

fn add(all: &mut Stats, more: Stats) {
    // All are told in one form, in which the earlier one is the lesser one.
    all.started_at = std::mem::take(&mut all.started_at).min(more.started_at);
    for (sum, more) in [
        (&mut all.entities, more.entities),
        (&mut all.throughput.from_cache, more.throughput.from_cache),
        (&mut all.throughput.from_origin, more.throughput.from_origin),
        (&mut all.throughput.to_viewers, more.throughput.to_viewers),
        (&mut all.disk.used, more.disk.used),
        (&mut all.disk.max, more.disk.max),
        (&mut all.disk.free, more.disk.free),
        (&mut all.disk.total, more.disk.total),
        (&mut all.disk.floor, more.disk.floor),
        (&mut all.disk.index, more.disk.index),
        (
            &mut all.pools.provisional.bytes,
            more.pools.provisional.bytes,
        ),
        (&mut all.pools.admitted.bytes, more.pools.admitted.bytes),
        (&mut all.pools.pinned.bytes, more.pools.pinned.bytes),
    ] {
        *sum = sum.saturating_add(more);
    }
    for (sum, more) in [
        (&mut all.viewers, more.viewers),
        (&mut all.fills, more.fills),
        (&mut all.subscribers, more.subscribers),
    ] {
        *sum = sum.saturating_add(more);
    }
    for (sum, more) in [
        (&mut all.pools.provisional.max, more.pools.provisional.max),
        (&mut all.pools.admitted.max, more.pools.admitted.max),
        (&mut all.pools.pinned.max, more.pools.pinned.max),
    ] {
        // What is not bounded on one node is not bounded.
        *sum = sum.zip(more).map(|(sum, more)| sum.saturating_add(more));
    }
    all.windows = all.windows.with(&more.windows);
    merge(&mut all.profiles, more.profiles);
    merge(&mut all.channels, more.channels);
}

type Parts = BTreeMap<String, WindowReports>;

fn merge(all: &mut Option<Parts>, more: Option<Parts>) {
    let Some(all) = all else { return };
    for (name, windows) in more.into_iter().flatten() {
        let sum = all.get(&name).map(|known| known.with(&windows));
        all.insert(name, sum.unwrap_or(windows));
    }
}

/// Leaves as many channels as one node tells of: those that were asked for most in the last day.
fn bound(channels: &mut Parts) {
    if channels.len() <= MAX_CHANNELS {
        return;
    }
    let mut all: Vec<_> = std::mem::take(channels).into_iter().collect();
    all.sort_by_key(|(_, windows)| std::cmp::Reverse(windows.day.requests));
    all.truncate(MAX_CHANNELS);
    channels.extend(all);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Peer;
    use super::*;

    /// A node's statistics in which every figure is `figure`.
    fn stats(instance: &str, figure: u64) -> Stats {
        let counts = json!({
            "requests": 3 * figure, "hits": figure, "partials": figure, "misses": figure,
            "hit_ratio": 1.0 / 3.0, "bytes_from_cache": figure, "bytes_to_viewers": 2 * figure,
            "bytes_from_origin": figure, "byte_hit_ratio": 0.5, "origin_bytes_saved": figure,
        });
        let windows = json!({"minute": counts, "hour": counts, "day": counts, "total": counts});
        let pool = json!({"bytes": figure, "max": figure});
        let told = json!({
            "at": "2026-01-01T00:00:00.000Z",
            "started_at": format!("2025-01-01T00:00:0{}.000Z", figure % 10),
            "version": "1.0.0", "instance": instance,
            "entities": figure, "viewers": figure, "fills": figure, "subscribers": figure,
            "throughput": {"from_cache": figure, "from_origin": figure, "to_viewers": figure},
            "windows": windows,
            "profiles": {"generic": windows, instance: windows},
            "channels": {instance: windows},
            "disk": {
                "used": figure, "max": figure, "free": figure, "total": figure, "floor": figure,
                "index": figure,
            },
            "pools": {
                "provisional": pool, "admitted": pool, "pinned": {"bytes": figure, "max": null},
            },
        });
        serde_json::from_value(told).unwrap()
    }

    fn answer(stats: Option<Stats>) -> Answer {
        let peer = Peer {
            address: "http://a:1".to_owned(),
            reachable: stats.is_some(),
            error: stats.is_none().then(|| "it answers 500".to_owned()),
            itself: false,
            version: None,
            took_ms: 1,
        };
        Answer { peer, stats }
    }

    #[test]
    fn every_figure_is_a_sum_and_no_node_counts_twice() {
        let answers = vec![
            answer(Some(stats("b", 5))),
            answer(None),
            // Itself, and one that was reached before.
            answer(Some(stats("a", 2))),
            answer(Some(stats("b", 5))),
        ];
        let all = sum(stats("a", 2), answers);
        let nodes = all.nodes.clone().unwrap();
        assert_eq!(nodes.len(), 4);
        assert_eq!(nodes.iter().filter(|node| node.reachable).count(), 3);
        let mut told = serde_json::to_value(&all).unwrap();
        let mut expected = serde_json::to_value(stats("a", 7)).unwrap();
        assert_eq!(told["started_at"], "2025-01-01T00:00:02.000Z");
        assert_eq!(
            told["profiles"]["b"],
            serde_json::to_value(stats("b", 5).windows).unwrap()
        );
        assert_eq!(
            told["channels"]["a"],
            serde_json::to_value(stats("a", 2).windows).unwrap()
        );
        assert_eq!(told["profiles"]["generic"], expected["profiles"]["generic"]);
        for value in [&mut told, &mut expected] {
            for member in ["started_at", "profiles", "channels", "nodes"] {
                value[member] = Value::Null;
            }
        }
        assert_eq!(told, expected);
    }

    #[test]
    fn absurd_figures_and_many_channels_are_bounded() {
        let mut many = stats("b", u64::MAX / 8);
        let (windows, least) = (many.windows, stats("c", 1).windows);
        let names = (0..MAX_CHANNELS).map(|number| (format!("UC{number}"), windows));
        many.channels = Some(names.collect());
        let mut own = stats("a", u64::MAX / 8);
        own.channels = Some(BTreeMap::from([("small".to_owned(), least)]));
        let answers = (0..20).map(|number| {
            let mut stats = many.clone();
            stats.instance = number.to_string();
            answer(Some(stats))
        });
        let all = sum(own, answers.collect());
        assert_eq!(all.entities, u64::MAX);
        let channels = all.channels.unwrap();
        assert_eq!(channels.len(), MAX_CHANNELS);
        assert!(!channels.contains_key("small"));
    }
}
