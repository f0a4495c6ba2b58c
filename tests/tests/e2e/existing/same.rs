//! What the shipped configuration says stands in several files, since Envoy's files cannot include
//! each other: it must say the same in all of them.

use serde_json::Value;

use super::shipped;

const FILES: [&str; 6] = [
    "envoy/envoy.yaml",
    "envoy/existing/listeners.yaml",
    "envoy/existing/clusters.yaml",
    "envoy/examples/opt-in.yaml",
    "envoy/kubernetes/envoy-gateway.yaml",
    "envoy/kubernetes/istio.yaml",
];

/// The objects with this name, wherever they stand in a file.
fn named(value: &Value, name: &str, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            if value["name"] == name && (fields.contains_key("route") || is_cluster(value)) {
                found.push(value.clone());
            }
            fields.values().for_each(|value| named(value, name, found));
        }
        Value::Array(items) => items.iter().for_each(|value| named(value, name, found)),
        _ => {}
    }
}

fn is_cluster(value: &Value) -> bool {
    value.get("connect_timeout").is_some()
}

/// The same objects in all files, without what may differ.
fn same(names: &[&str], least: usize, part: impl Fn(&mut Value) -> Value) {
    let mut all: Vec<(&str, Value)> = Vec::new();
    for file in FILES {
        for document in serde_saphyr::from_multiple::<Value>(&shipped(file)).unwrap() {
            for name in names {
                let mut found = Vec::new();
                named(&document, name, &mut found);
                all.extend(found.iter_mut().map(|object| (file, part(object))));
            }
        }
    }
    assert!(least <= all.len(), "{names:?}: {} found", all.len());
    for (file, value) in &all {
        assert_eq!(*value, all[0].1, "{names:?} in {file}");
    }
}

#[test]
fn the_routes_to_the_sidecar_are_the_same_everywhere() {
    for name in ["hit", "partial"] {
        let other = format!("viewcache/{name}");
        same(&[name, &other], 5, |route| {
            assert_eq!(route["match"]["headers"][0]["string_match"]["exact"], name);
            route["route"].take()
        });
    }
}

#[test]
fn the_clusters_of_the_sidecar_are_the_same_everywhere() {
    for name in ["viewcache_decide", "viewcache_ingest", "viewcache_serve"] {
        same(&[name], 4, |cluster| {
            let cluster = cluster.as_object_mut().unwrap();
            // A pod's own sidecar has an address and no name.
            cluster.remove("type");
            cluster.remove("@type");
            Value::Object(cluster.clone())
        });
    }
    same(&["viewcache_serve_then_origin"], 4, |cluster| {
        cluster["circuit_breakers"].take()
    });
}

/// A part of the requests for healthy nodes would go to the aggregate's next member otherwise.
#[test]
fn requests_stay_at_the_healthy_nodes_everywhere() {
    same(&["viewcache_serve"], 4, |cluster| {
        let policy = &cluster["load_assignment"]["policy"];
        // A node of a thousand is enough.
        assert!(Some(100_000) <= policy["overprovisioning_factor"].as_u64());
        policy.clone()
    });
}

/// The connection managers of the files with this prefix of their statistics, and in which.
fn managers(prefix: &str) -> Vec<(&'static str, Value)> {
    fn find(value: &Value, prefix: &str, found: &mut Vec<Value>) {
        match value {
            Value::Object(fields) => {
                if value["stat_prefix"] == prefix {
                    found.push(value.clone());
                }
                fields.values().for_each(|value| find(value, prefix, found));
            }
            Value::Array(items) => items.iter().for_each(|value| find(value, prefix, found)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    for file in FILES {
        for document in serde_saphyr::from_multiple::<Value>(&shipped(file)).unwrap() {
            let mut found = Vec::new();
            find(&document, prefix, &mut found);
            all.extend(found.into_iter().map(|manager| (file, manager)));
        }
    }
    all
}

/// The sidecar shows its secret to the egress listener, whose origin must not see it. In
/// envoy/envoy.yaml the origin's cluster sees to that.
#[test]
fn no_control_header_passes_the_egress_listener() {
    let managers = managers("viewcache_egress");
    assert_eq!(managers.len(), 4);
    let removes =
        serde_json::json!([{"remove_on_match": {"key_matcher": {"prefix": "x-viewcache-"}}}]);
    for (file, manager) in managers {
        let filters = manager["http_filters"].as_array().unwrap();
        let [strip, router] = &filters[..] else {
            panic!("{file}: {filters:?}");
        };
        assert_eq!(router["name"], "envoy.filters.http.router", "{file}");
        let route = &manager["route_config"]["virtual_hosts"][0]["routes"][0];
        let mutations = match &strip["typed_config"]["mutations"] {
            Value::Null => &route["typed_per_filter_config"]["strip"]["mutations"],
            mutations => mutations,
        };
        for side in ["request_mutations", "response_mutations"] {
            assert_eq!(mutations[side], removes, "{file}: {side}");
        }
    }
}

/// What the edge has let pass comes to these with some fields more.
#[test]
fn what_the_edge_has_let_pass_is_not_too_much_behind_it() {
    let mut checked = 0;
    for prefix in ["strip", "viewcache", "viewcache_strip", "viewcache_egress"] {
        for (file, manager) in managers(prefix) {
            // In the guide's files only the sidecar's own requests come to this one.
            if (file, prefix) == ("envoy/existing/listeners.yaml", "viewcache_egress") {
                continue;
            }
            let count = &manager["common_http_protocol_options"]["max_headers_count"];
            assert_eq!(*count, 256, "{prefix} in {file}");
            assert_eq!(
                manager["max_request_headers_kb"], 8192,
                "{prefix} in {file}"
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 9);
}
