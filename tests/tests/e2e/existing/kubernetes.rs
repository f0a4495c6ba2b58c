//! The manifests: they fit the published schemas, and what the control planes would make of them
//! works. What a control plane would do is done here by hand: its own resources stand in
//! `generated.json`, as its documentation and tests show them.

use std::fs;

use e2e::envoy_config::EnvoyConfig;
use e2e::origin::Origin;
use e2e::ports::Port;
use serde_json::{Value, json};

use super::{WATCH, installed, run, shipped};
use crate::smoke::Door;
use crate::world::World;

const SCHEMAS: [(&str, &str); 5] = [
    (
        "EnvoyExtensionPolicy",
        include_str!("schemas/EnvoyExtensionPolicy.json"),
    ),
    (
        "EnvoyPatchPolicy",
        include_str!("schemas/EnvoyPatchPolicy.json"),
    ),
    ("EnvoyProxy", include_str!("schemas/EnvoyProxy.json")),
    ("WasmPlugin", include_str!("schemas/WasmPlugin.json")),
    ("EnvoyFilter", include_str!("schemas/EnvoyFilter.json")),
];

/// The resources of a manifest by kind.
fn manifest(name: &str) -> Vec<Value> {
    let text = shipped(&format!("envoy/kubernetes/{name}"));
    serde_saphyr::from_multiple(&text).unwrap()
}

fn of_kind(resources: &[Value], kind: &str) -> Value {
    let found = resources.iter().find(|resource| resource["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}")).clone()
}

#[test]
fn manifests_fit_the_published_schemas() {
    for (name, count) in [("envoy-gateway.yaml", 3), ("istio.yaml", 2)] {
        let resources = manifest(name);
        assert_eq!(resources.len(), count, "{name}");
        for resource in resources {
            let kind = resource["kind"].as_str().unwrap();
            let (_, schema) = SCHEMAS.iter().find(|(of, _)| *of == kind).unwrap();
            let schema = serde_json::from_str(schema).unwrap();
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&resource)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert_eq!(errors, [""; 0], "{name}: {kind}");
            // A check that cannot fail would be none.
            let mut wrong = resource.clone();
            wrong["spec"]["unknown"] = json!(1);
            assert!(!validator.is_valid(&wrong), "{kind}");
        }
    }
}

/// The filter stands in front of the routes, so keys are what viewers ask for.
const DOOR: Door = Door {
    keyed: WATCH.viewed,
    ..WATCH
};

/// What Envoy gets from a control plane.
struct Xds {
    listeners: Vec<Value>,
    routes: Value,
    clusters: Vec<Value>,
}

impl Xds {
    /// A gateway with one route to `media.internal`, and this filter in front of its router.
    fn generated(name: &str, filter: &Value) -> Self {
        let text = include_str!("generated.json").replace("NAME", name);
        let mut generated: Value = serde_json::from_str(&text).unwrap();
        let mut take = |name: &str| generated[name].take();
        let (mut listener, routes, cluster) = (take("listener"), take("routes"), take("cluster"));
        let filters = connection_manager(&mut listener)["http_filters"].as_array_mut();
        filters.unwrap().insert(0, filter.clone());
        Self {
            listeners: vec![listener],
            routes,
            clusters: vec![cluster],
        }
    }

    fn insert_route(&mut self, route: &Value) {
        let hosts = self.routes["virtual_hosts"].as_array_mut().unwrap();
        for host in hosts {
            host["routes"]
                .as_array_mut()
                .unwrap()
                .insert(0, route.clone());
        }
    }

    /// As files, with the filter's code and the routes from files too.
    async fn run(self) -> World {
        let folder = installed();
        let origin = Origin::start().await.unwrap();
        let strip = Port::shared(None).unwrap();
        let file = |name: &str| json!({"path_config_source": {"path": format!("/etc/viewcache/{name}")}, "resource_api_version": "V3"});
        let resources = |kind: &str, resources: Vec<Value>| {
            let typed = resources.into_iter().map(|mut resource| {
                resource["@type"] = json!(format!("type.googleapis.com/envoy.config.{kind}"));
                resource
            });
            let text = json!({"resources": typed.collect::<Vec<_>>()}).to_string();
            let ads = json!({"ads": {}, "resource_api_version": "V3"}).to_string();
            let text = text.replace(&ads, &file("routes.yaml").to_string());
            text.replace("10002", &strip.address.port().to_string())
        };
        let put = |name: &str, text: String| {
            fs::write(folder.path().join(name), flow(&text)).unwrap();
        };
        put(
            "listeners.yaml",
            resources("listener.v3.Listener", self.listeners),
        );
        put(
            "routes.yaml",
            resources("route.v3.RouteConfiguration", vec![self.routes]),
        );
        put(
            "clusters.yaml",
            resources("cluster.v3.Cluster", self.clusters),
        );
        fs::remove_file(folder.path().join("filter.yaml")).unwrap();
        let admin = json!({"address": "127.0.0.1", "port_value": 9901});
        let envoy = json!({
            "node": {"id": "gateway", "cluster": "gateway"},
            "admin": {"address": {"socket_address": admin}},
            "dynamic_resources": {"lds_config": file("listeners.yaml"), "cds_config": file("clusters.yaml")},
        });
        put("envoy.yaml", envoy.to_string());
        let mut config = EnvoyConfig::installed(folder.path()).unwrap();
        config.backend("media.internal", origin.address()).unwrap();
        let mut world = run(origin, config).await;
        world.keep = Some(folder);
        world
    }
}

/// Addresses and the filter's configuration as the shipped files write them, which is how they
/// are found.
fn flow(json: &str) -> String {
    let mut text = json.replace(
        r#""{\"profile\":\"generic\"}""#,
        r#"'{"profile": "generic"}'"#,
    );
    while let Some(start) = text.find(r#"{"address":""#) {
        let (before, rest) = text.split_at(start);
        let (address, after) = rest.split_once('}').unwrap();
        let address = address
            .replace('"', "")
            .replace(':', ": ")
            .replace(',', ", ");
        text = format!("{before}{address}}}{after}");
    }
    text
}

fn connection_manager(listener: &mut Value) -> &mut Value {
    &mut listener["default_filter_chain"]["filters"][0]["typed_config"]
}

/// The filter as both control planes configure it: its configuration as JSON in a string.
fn filter(name: &str, root_id: &Value, config: &Value, policy: (&str, Value)) -> Value {
    let (policy, value) = policy;
    json!({
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "root_id": root_id,
                policy: value,
                "vm_config": {
                    "vm_id": name,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": "/etc/viewcache/viewcache.wasm"}},
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": config.to_string(),
                },
            },
        },
    })
}

#[tokio::test]
async fn envoy_gateway() {
    let resources = manifest("envoy-gateway.yaml");
    let wasm = &of_kind(&resources, "EnvoyExtensionPolicy")["spec"]["wasm"][0];
    // Off in the listener, and on in the routes of the policy's target.
    let name = "envoy.filters.http.wasm/envoyextensionpolicy/default/viewcache/wasm/0";
    let open = ("fail_open", wasm["failOpen"].clone());
    let mut filter = filter(name, &wasm["rootID"], &wasm["config"], open);
    filter["disabled"] = json!(true);
    let mut xds = Xds::generated("default/eg/http", &filter);
    let enabled =
        json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}});
    for route in xds.routes["virtual_hosts"][0]["routes"]
        .as_array_mut()
        .unwrap()
    {
        route["typed_per_filter_config"] = json!({name: enabled});
    }

    let policy = of_kind(&resources, "EnvoyPatchPolicy");
    for patch in policy["spec"]["jsonPatches"].as_array().unwrap() {
        let (kind, operation) = (patch["type"].as_str().unwrap(), &patch["operation"]);
        assert_eq!(operation["op"], "add");
        let value = operation["value"].clone();
        let path = operation["path"].as_str().unwrap();
        match (kind.rsplit('.').next().unwrap(), path) {
            ("Listener", "") => xds.listeners.push(value),
            ("Cluster", "") => xds.clusters.push(value),
            ("Listener", path) => {
                assert_eq!(patch["name"], xds.listeners[0]["name"]);
                let (parent, field) = path.rsplit_once('/').unwrap();
                let parent = xds.listeners[0].pointer_mut(parent).unwrap();
                assert_eq!(parent[field], Value::Null, "already there");
                parent[field] = value;
            }
            ("RouteConfiguration", "/routes/0") => {
                assert_eq!(patch["name"], xds.routes["name"]);
                assert_eq!(operation["jsonPath"], "$.virtual_hosts[*]");
                xds.insert_route(&value);
            }
            other => panic!("{other:?}"),
        }
        if path.is_empty() {
            assert_eq!(patch["name"], operation["value"]["name"]);
        }
    }
    DOOR.works(&mut xds.run().await).await;
}

#[tokio::test]
async fn istio() {
    let resources = manifest("istio.yaml");
    let plugin = &of_kind(&resources, "WasmPlugin")["spec"];
    let open = ("failure_policy", plugin["failStrategy"].clone());
    let filter = filter(
        "istio-system.viewcache",
        &plugin["pluginName"],
        &plugin["pluginConfig"],
        open,
    );
    let mut xds = Xds::generated("http.8080", &filter);

    let patches = of_kind(&resources, "EnvoyFilter");
    for entry in patches["spec"]["configPatches"].as_array().unwrap() {
        let (patch, matched) = (&entry["patch"], &entry["match"]);
        assert_eq!(matched["context"], "GATEWAY");
        let value = patch["value"].clone();
        let what = (
            entry["applyTo"].as_str().unwrap(),
            patch["operation"].as_str().unwrap(),
        );
        match what {
            ("LISTENER", "ADD") => xds.listeners.push(value),
            ("CLUSTER", "ADD") => xds.clusters.push(value),
            ("HTTP_ROUTE", "INSERT_FIRST") => {
                assert_eq!(matched["routeConfiguration"]["name"], xds.routes["name"]);
                xds.insert_route(&value);
            }
            ("NETWORK_FILTER", "MERGE") => {
                let manager = connection_manager(&mut xds.listeners[0]);
                for (field, value) in value["typed_config"].as_object().unwrap() {
                    manager[field] = value.clone();
                }
            }
            other => panic!("{other:?}"),
        }
    }
    DOOR.works(&mut xds.run().await).await;
}
