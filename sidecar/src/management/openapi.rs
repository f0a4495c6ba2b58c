//! The API's description (OpenAPI 3.1), made of what the routes say of themselves and of the types
//! that they take and answer.

mod example;
mod failures;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use hyper::Method;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use warp::reply::Reply;

use super::about::{About, Form, Gives, Id, Parameter, Takes};
use super::body::Kind;
use super::call::Call;
use super::problem::{PROBLEM, Report};
use super::route::{Answer, Route};
use crate::access::{Demand, demand};
use crate::catalogue::ID_PATTERN;
use crate::events::Kind as EventKind;
use example::example;
use failures::{failure, failures, reason};

/// What an id of an entity is.
const ENTITY_ID: &str = "^[0-9a-fA-F]{32}$";

/// What an id of an import is.
const IMPORT_ID: &str = "^[0-9]{1,20}$";

/// The document, made once.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| document(&super::table()).to_string());

pub(super) fn routes() -> Vec<Route> {
    let about = About::text("description", "This description", &["application/json"]);
    vec![Route::get("/v1/openapi.json", show, about)]
}

async fn show(call: Call) -> Answer {
    call.no_query()?;
    let typed = warp::reply::with_header(&DOCUMENT[..], "content-type", "application/json");
    Ok(typed.into_response())
}

/// Types of answers have names; requests are written out, for there a member that is absent has
/// its default.
struct Shapes {
    answers: SchemaGenerator,
    requests: SchemaGenerator,
}

impl Shapes {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12();
        let answers = settings.clone().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        let requests = settings.for_deserialize().with(|settings| {
            settings.inline_subschemas = true;
        });
        Self {
            answers: answers.into_generator(),
            requests: requests.into_generator(),
        }
    }
}

/// The description of these routes.
fn document(routes: &[Route]) -> Value {
    let mut shapes = Shapes::new();
    let problem: Value = shapes.answers.subschema_for::<Report>().into();
    let mut paths = Map::new();
    for route in routes {
        let operation = operation(route, &mut shapes, &problem);
        let path = paths.entry(route.template).or_insert_with(|| json!({}));
        let method = route.method.as_str().to_lowercase();
        path[method] = operation;
    }
    let events = events(&mut shapes.answers);
    let mut components = Value::Object(shapes.answers.take_definitions(true));
    let resolved = components.clone();
    for path in paths.values_mut() {
        for operation in path.as_object_mut().into_iter().flat_map(Map::values_mut) {
            illustrate(operation, &resolved);
        }
    }
    strip(&mut components);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "viewcache",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The management port of viewcache's sidecar",
            "description": "Times are RFC 3339 in UTC, sizes bytes, ranges half-open pairs. \
                A list ends when `next` is null: a page may have fewer items than `limit`, even \
                none. Every error is a problem (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": token()}},
        "x-events": events,
    })
}

/// How whoever asks says who they are.
fn token() -> Value {
    json!({
        "type": "http",
        "scheme": "bearer",
        "description": "One of the configured tokens (RFC 6750). GET and HEAD need the role `read`, \
            everything else `admin`. Where none is configured, the port is the loopback's and asks \
            for none.",
    })
}

fn operation(route: &Route, shapes: &mut Shapes, problem: &Value) -> Value {
    let About {
        tag,
        summary,
        detail,
        id,
        query,
        header,
        takes,
        tagged,
        ..
    } = route.about;
    let edits = tagged && route.method != Method::GET;
    let demand = demand(&route.method, route.template);
    let mut parameters: Vec<Value> = id.into_iter().map(path_parameter).collect();
    parameters.extend(query.iter().map(|query| parameter("query", query)));
    parameters.extend(header.iter().map(|header| parameter("header", header)));
    if edits {
        parameters.extend(CONDITIONS.iter().map(|field| parameter("header", field)));
    }
    let mut operation = json!({
        "tags": [tag],
        "operationId": operation_id(route),
        "summary": summary,
        "responses": responses(&route.about, edits, demand, shapes, problem),
    });
    if !matches!(demand, Demand::Role(_)) {
        // Open to whoever asks.
        operation["security"] = json!([]);
    }
    if !detail.is_empty() {
        operation["description"] = detail.into();
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(takes) = takes {
        operation["requestBody"] = body(takes, &mut shapes.requests);
    }
    operation
}

/// `listVideos`, `patchVideosId`: unique, and stays when others come.
fn operation_id(route: &Route) -> String {
    let words = route
        .template
        .split(['/', '.'])
        .map(|word| word.trim_matches(['{', '}']));
    let words = words.filter(|word| !["", "v1", "json"].contains(word));
    let mut id = route.method.as_str().to_lowercase();
    for word in words {
        let (first, rest) = word.split_at(1);
        id.push_str(&first.to_uppercase());
        id.push_str(rest);
    }
    id
}

/// The conditions of RFC 9110 under which something is edited.
const CONDITIONS: &[Parameter] = &[
    Parameter::new(
        "If-Match",
        Form::Text("*"),
        "Only if it is still what this `ETag` was of; `*` is anything that is there.",
    ),
    Parameter::new(
        "If-None-Match",
        Form::Text("\"0123456789abcdef\""),
        "Only if it is not what this `ETag` was of; `*` is nothing at all.",
    ),
];

fn path_parameter(id: Id) -> Value {
    let (pattern, about, example) = match id {
        Id::Entity => (
            ENTITY_ID,
            "The entity's id.",
            "7f3a0b5c9d2e41687f3a0b5c9d2e4168",
        ),
        Id::Video => (ID_PATTERN, "The video's id.", "dQw4w9WgXcQ"),
        Id::Channel => (ID_PATTERN, "The channel's id.", "UCuAXFkgsw1L7xaCfnd5JJOw"),
        Id::Import => (IMPORT_ID, "The import's number.", "1"),
    };
    json!({
        "name": "id",
        "in": "path",
        "required": true,
        "description": about,
        "schema": {"type": "string", "pattern": pattern},
        "example": example,
    })
}

fn parameter(place: &str, parameter: &Parameter) -> Value {
    let (schema, example) = match parameter.form {
        Form::Text(example) => (json!({"type": "string"}), json!(example)),
        Form::Number(most) => {
            let schema = json!({"type": "integer", "minimum": 1, "maximum": most});
            (schema, json!(most.min(100)))
        }
        Form::Flag => (json!({"type": "boolean"}), json!(true)),
        Form::One(names) => (json!({"type": "string", "enum": names}), json!(names[0])),
        Form::Some(names) => {
            let items = json!({"type": "string", "enum": names});
            (
                json!({"type": "array", "items": items, "minItems": 1}),
                json!([names[0]]),
            )
        }
    };
    let mut value = json!({
        "name": parameter.name,
        "in": place,
        "required": false,
        "description": parameter.about,
        "schema": schema,
        "example": example,
    });
    if matches!(parameter.form, Form::Some(_)) {
        // With commas between them.
        value["style"] = "form".into();
        value["explode"] = false.into();
    }
    value
}

fn body(takes: Takes, generator: &mut SchemaGenerator) -> Value {
    let Some(shape) = takes.shape else {
        let any = json!({"schema": {"type": "string"}});
        return json!({"required": true, "content": {"application/octet-stream": any}});
    };
    let mut schema: Value = shape(generator).into();
    strip(&mut schema);
    let media: &[&str] = match takes.kind {
        Kind::Patch => {
            nullable(&mut schema);
            &["application/merge-patch+json", "application/json"]
        }
        Kind::Json | Kind::Any => &["application/json"],
    };
    let example = example(&schema, &Value::Null);
    let media = media.iter().map(|media| {
        let content = json!({"schema": schema, "example": example});
        ((*media).to_owned(), content)
    });
    json!({"required": true, "content": Map::from_iter(media)})
}

/// A merge patch takes members back to their defaults by `null`.
fn nullable(schema: &mut Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(or_null);
    }
    if let Some(more) = schema
        .get_mut("additionalProperties")
        .filter(|more| more.is_object())
    {
        or_null(more);
    }
    if let Some(several) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        several.iter_mut().for_each(nullable);
    }
}

fn or_null(schema: &mut Value) {
    nullable(schema);
    let mut value = schema.take();
    let about = value
        .as_object_mut()
        .and_then(|value| value.remove("description"));
    *schema = json!({"anyOf": [value, {"type": "null"}]});
    if let Some(about) = about {
        schema["description"] = about;
    }
}

/// The responses of a route, those by which it fails too.
fn responses(
    about: &About,
    edits: bool,
    demand: Demand,
    shapes: &mut Shapes,
    problem: &Value,
) -> Value {
    let mut answer = json!({"description": reason(about.status)});
    match about.gives {
        Gives::Json(shape) => {
            let schema: Value = shape(&mut shapes.answers).into();
            answer["content"] = json!({"application/json": {"schema": schema}});
        }
        Gives::Text(media) => {
            for &media in media {
                let schema = match media {
                    "application/json" => json!({"type": "object", "additionalProperties": true}),
                    _ => json!({"type": "string"}),
                };
                answer["content"][media] = json!({"schema": schema});
            }
        }
        Gives::Nothing => {}
    }
    let header = |about: &str| json!({"description": about, "schema": {"type": "string"}});
    if about.tagged && about.status != 204 {
        let about = "Changes when what can be edited does.";
        answer["headers"] = json!({"ETag": header(about)});
    }
    if about.located {
        answer["headers"] = json!({"Location": header("Where it is.")});
    }
    let mut responses = json!({about.status.to_string(): answer});
    for status in failures(about, edits, demand) {
        let content = json!({"schema": problem, "example": failure(status)});
        let mut failure = json!({"description": reason(status), "content": {PROBLEM: content}});
        match status {
            401 => failure["headers"] = json!({"WWW-Authenticate": header("Bearer (RFC 6750).")}),
            503 => failure["headers"] = json!({"Retry-After": header("Seconds.")}),
            _ => {}
        }
        responses[status.to_string()] = failure;
    }
    responses
}

/// The events by their names, with what each says beside its time.
fn events(generator: &mut SchemaGenerator) -> Value {
    let events = EventKind::ALL.into_iter().map(|kind| {
        let shapes = kind
            .shapes()
            .iter()
            .map(|shape| Value::from(shape(generator)));
        let mut shapes: Vec<_> = shapes.collect();
        let schema = match shapes.len() {
            1 => shapes.remove(0),
            _ => json!({"anyOf": shapes}),
        };
        let remembered = kind.is_remembered();
        let about = json!({"description": kind.about(), "id": remembered, "schema": schema});
        (kind.as_str().to_owned(), about)
    });
    Value::Object(events.collect())
}

/// Gives an answer in JSON an example.
fn illustrate(operation: &mut Value, components: &Value) {
    let responses = operation["responses"].as_object_mut();
    for response in responses.into_iter().flat_map(Map::values_mut) {
        let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) else {
            continue;
        };
        for media in content.values_mut() {
            if media.get("example").is_none() {
                media["example"] = example(&media["schema"], components);
            }
        }
    }
}

/// Says what only this language knows, and takes out what nobody asks.
fn strip(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("$schema");
            // A pair of two of a kind; fewer know how to read it written as a tuple.
            if let Some(Value::Array(items)) = members.remove("prefixItems") {
                members.insert("items".to_owned(), items.into_iter().next().into());
            }
            let format = members.get("format").and_then(Value::as_str);
            if matches!(format, Some("uint64" | "uint")) {
                members.insert("maximum".to_owned(), u64::MAX.into());
            }
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
