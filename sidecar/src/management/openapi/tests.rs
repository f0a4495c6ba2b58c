use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::table;
use super::super::tests::World;
use super::*;

fn described() -> Value {
    serde_json::from_str(&DOCUMENT).unwrap()
}

/// The routes are described by the table that answers them, so none can be missing; what is left to
/// show is that it is told and that every part is there.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_with_examples_and_errors() {
    let world = World::new();
    let got = world.get("/v1/openapi.json").await;
    assert_eq!(
        (got.status, got.field("content-type")),
        (200, "application/json")
    );
    let document = got.json();
    assert_eq!(document, described());
    let mut ids = BTreeSet::new();
    for route in table() {
        let method = route.method.as_str().to_lowercase();
        let operation = &document["paths"][route.template][&method];
        let name = format!("{method} {}", route.template);
        assert!(operation.is_object(), "{name} is not described");
        assert!(
            ids.insert(operation["operationId"].to_string()),
            "{name}: its id is another's"
        );
        assert!(
            operation["summary"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{name}"
        );
        let names = route.template.matches('{').count();
        let parameters = operation["parameters"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let named = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .count();
        assert_eq!(names, named, "{name}");
        for parameter in parameters {
            assert!(!parameter["example"].is_null() && !parameter["description"].is_null());
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(!response["description"].is_null());
            for (media, content) in response["content"].as_object().into_iter().flatten() {
                assert!(!content["example"].is_null(), "{name} {status} {media}");
                let problem = media == PROBLEM;
                assert_eq!(problem, status.starts_with(['4', '5']), "{name} {status}");
            }
        }
        for content in operation["requestBody"]["content"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let (media, content) = content;
            assert!(
                media == "application/octet-stream" || !content["example"].is_null(),
                "{name}"
            );
        }
    }
    let paths = document["paths"].as_object().unwrap();
    let described: usize = paths
        .values()
        .map(|path| path.as_object().unwrap().len())
        .sum();
    assert_eq!(described, table().len());
}

/// What a query may have is what is described, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn described_parameters_are_those_that_are_read() {
    let world = World::new();
    for route in table().iter().filter(|route| route.method == Method::GET) {
        let path = route.template.replace("{id}", &"0".repeat(32));
        let got = world.get(&format!("{path}?colour=red")).await;
        assert_eq!(got.problem(400)["field"], "colour", "{path}");
        for query in route.about.query {
            // A value that no parameter has.
            let got = world.get(&format!("{path}?{}=%00", query.name)).await;
            if got.status == 400 {
                let problem = got.json();
                assert_eq!(problem["field"], query.name, "{path}: {problem}");
                let detail = problem["detail"].as_str().unwrap();
                assert!(
                    !detail.ends_with("is not asked for here"),
                    "{path}: {detail}"
                );
            }
        }
    }
}

/// Compares what was told with the schema: no member is missing, and none is told that is not
/// described.
fn compare(value: &Value, schema: &Value, components: &Value, path: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return compare(value, &components[name], components, path);
    }
    if let Some(all) = schema["anyOf"]
        .as_array()
        .or_else(|| schema["oneOf"].as_array())
    {
        let fits = |one: &&Value| match one["$ref"].as_str() {
            Some(_) => !value.is_null(),
            None => one["type"] != "null" || value.is_null(),
        };
        let one = all
            .iter()
            .find(fits)
            .unwrap_or_else(|| panic!("{path}: {value}"));
        return compare(value, one, components, path);
    }
    match value {
        Value::Object(members) => {
            let described = schema["properties"].as_object();
            let more = &schema["additionalProperties"];
            for (name, value) in members {
                let path = format!("{path}.{name}");
                match described.and_then(|described| described.get(name)) {
                    Some(schema) => compare(value, schema, components, &path),
                    None => {
                        assert!(
                            more.is_object() || more == &json!(true),
                            "{path} is not described"
                        );
                        if more.is_object() {
                            compare(value, more, components, &path);
                        }
                    }
                }
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                assert!(members.contains_key(name), "{path}.{name} is not told");
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                compare(item, &schema["items"], components, &path);
            }
        }
        Value::Null => {
            let nullable = schema["type"]
                .as_array()
                .is_some_and(|kinds| kinds.contains(&json!("null")));
            assert!(
                nullable || schema["type"] == "null" || schema == &json!(true),
                "{path} is null"
            );
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_what_is_described() {
    let world = World::new();
    let id = world.quality("a", 22, 100_000).await;
    let gone = world.quality("b", 22, 100_000).await;
    let document = described();
    let components = &document["components"]["schemas"];
    let check = async |method: &str, template: &str, path: &str, body: Option<Value>| {
        let got = match body {
            Some(body) => world.send(method, path, &body, &[]).await,
            None => world.call(method, path).await,
        };
        let name = method.to_lowercase();
        let responses = &document["paths"][template][&name]["responses"];
        let response = &responses[got.status.to_string()];
        assert!(
            response.is_object(),
            "{method} {path}: {} is not described",
            got.status
        );
        let content = got.field("content-type").split(';').next().unwrap();
        let schema = &response["content"][content]["schema"];
        assert!(
            got.body.is_empty() || schema.is_object(),
            "{method} {path}: {content}"
        );
        if content.ends_with("json") {
            compare(&got.json(), schema, components, &format!("{method} {path}"));
        }
        got.status
    };
    for (method, template, path, body) in [
        (
            "PUT",
            "/v1/videos/{id}",
            "/v1/videos/a",
            json!({"title": "T", "channel": "UC", "duration": 5}),
        ),
        (
            "PUT",
            "/v1/channels/{id}",
            "/v1/channels/UC",
            json!({"title": "C", "quota_bytes": 1 << 30, "min_keep_seconds": 5}),
        ),
        (
            "PATCH",
            "/v1/channels/{id}",
            "/v1/channels/UC",
            json!({"watched_percent": 5}),
        ),
        (
            "PATCH",
            "/v1/videos/{id}",
            "/v1/videos/a",
            json!({"title": "U"}),
        ),
        (
            "PATCH",
            "/v1/policy",
            "/v1/policy",
            json!({"profiles": {"youtube": {"watched_percent": 5}}}),
        ),
        ("PUT", "/v1/policy", "/v1/policy", json!({})),
        (
            "POST",
            "/v1/evictions",
            "/v1/evictions",
            json!({"bytes": 1}),
        ),
        ("POST", "/v1/purges", "/v1/purges", json!({"entity": gone})),
    ] {
        assert_eq!(
            check(method, template, path, Some(body)).await,
            200,
            "{path}"
        );
    }
    let download = json!({"url": "http://media.test/film.mp4"});
    assert_eq!(
        check("POST", "/v1/downloads", "/v1/downloads", Some(download)).await,
        202
    );
    let entity = format!("/v1/entities/{id}");
    let id_of = "/v1/entities/{id}";
    for (method, template, path) in [
        ("GET", "/v1/entities", "/v1/entities?coverage=4".to_owned()),
        ("GET", id_of, entity.clone()),
        (
            "GET",
            "/v1/entities/{id}/coverage",
            format!("{entity}/coverage"),
        ),
        (
            "GET",
            "/v1/entities/{id}/history",
            format!("{entity}/history"),
        ),
        (
            "GET",
            "/v1/entities/{id}/history",
            format!("/v1/entities/{gone}/history"),
        ),
        ("PUT", "/v1/entities/{id}/pin", format!("{entity}/pin")),
        ("DELETE", "/v1/entities/{id}/pin", format!("{entity}/pin")),
        ("GET", "/v1/videos", "/v1/videos?coverage=4".to_owned()),
        ("GET", "/v1/videos/{id}", "/v1/videos/a".to_owned()),
        ("GET", "/v1/channels", "/v1/channels".to_owned()),
        ("GET", "/v1/channels/{id}", "/v1/channels/UC".to_owned()),
        ("GET", "/v1/downloads", "/v1/downloads".to_owned()),
        ("GET", "/v1/imports", "/v1/imports".to_owned()),
        ("GET", "/v1/imports/{id}", "/v1/imports/1".to_owned()),
        ("GET", "/v1/policy", "/v1/policy".to_owned()),
        ("GET", "/v1/stats", "/v1/stats".to_owned()),
        ("GET", "/v1/stats", "/v1/stats?peers=true".to_owned()),
        ("GET", "/v1/peers", "/v1/peers".to_owned()),
        ("GET", "/v1/openapi.json", "/v1/openapi.json".to_owned()),
        ("GET", "/healthz", "/healthz".to_owned()),
        ("GET", "/readyz", "/readyz".to_owned()),
        ("GET", "/metrics", "/metrics".to_owned()),
        ("GET", id_of, "/v1/entities/xyz".to_owned()),
        ("GET", id_of, format!("/v1/entities/{}", "0".repeat(32))),
        ("DELETE", id_of, entity),
    ] {
        check(method, template, &path, None).await;
    }
}

/// The examples of requests are understood.
#[tokio::test(flavor = "multi_thread")]
async fn examples_of_requests_are_taken() {
    let world = World::new();
    let document = described();
    for route in table() {
        let method = route.method.as_str();
        let operation = &document["paths"][route.template][method.to_lowercase()];
        let Some(content) = operation["requestBody"]["content"]["application/json"].as_object()
        else {
            continue;
        };
        let path = route.template.replace("{id}", "example");
        let got = world.send(method, &path, &content["example"], &[]).await;
        // Whose folder it is, the configuration says.
        let taken = [200, 202, 403, 404].contains(&got.status);
        assert!(
            taken,
            "{method} {path} {}: {:?}",
            content["example"], got.body
        );
    }
}

/// `docs/REST.md` is what the description says. To write it anew:
/// `VIEWCACHE_WRITE_REFERENCE=1 cargo test … reference`, which `make reference` does.
#[test]
fn the_reference_is_the_description() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/REST.md");
    let reference = reference::reference(&described());
    if std::env::var_os("VIEWCACHE_WRITE_REFERENCE").is_some() {
        std::fs::write(path, &reference).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == reference,
        "docs/REST.md is old: run `make reference`"
    );
}
