//! The description as a page to read: `docs/REST.md`.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Writes what the description says.
pub(super) fn reference(document: &Value) -> String {
    let mut page = String::from(
        "# The REST API\n\n\
         Everything that the management port answers, made from `/v1/openapi.json` by `make reference`.\n\
         How the common tasks are done stands in the [README](../README.md#managing-it).\n\n",
    );
    let about = text(&document["info"]["description"]).replace(". ", ".\n");
    line(&mut page, &about);
    line(&mut page, "");
    line(&mut page, "`Authorization: Bearer <token>`:");
    let token = &document["components"]["securitySchemes"]["token"]["description"];
    line(
        &mut page,
        &format!("{}\n", text(token).replace(". ", ".\n")),
    );
    let components = &document["components"]["schemas"];
    let operations = members(&document["paths"]).flat_map(|(path, operations)| {
        members(operations).map(move |(method, operation)| (path, method, operation))
    });
    let mut by_tag: Vec<(&str, Vec<_>)> = Vec::new();
    for operation in operations {
        let tag = text(&operation.2["tags"][0]);
        match by_tag.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, operations)) => operations.push(operation),
            None => by_tag.push((tag, vec![operation])),
        }
    }
    for (tag, operations) in by_tag {
        line(&mut page, &format!("## {}\n", capital(tag)));
        for (path, method, operation) in operations {
            describe(&mut page, method, path, operation, components);
        }
    }
    line(&mut page, "## What events say\n");
    line(&mut page, "Each has a member `at`, its time, and:\n");
    line(&mut page, "| event | when | members |");
    line(&mut page, "|---|---|---|");
    for (name, event) in members(&document["x-events"]) {
        let about = text(&event["description"]);
        let schema = &event["schema"];
        let shapes = schema["anyOf"].as_array();
        let shapes = shapes.map_or(std::slice::from_ref(schema), Vec::as_slice);
        let shapes = shapes.iter().map(|shape| {
            let names = members(&resolve(shape, components)["properties"]);
            let names: Vec<_> = names.map(|(name, _)| format!("`{name}`")).collect();
            names.join(", ")
        });
        let shapes: Vec<_> = shapes.filter(|names| !names.is_empty()).collect();
        line(
            &mut page,
            &format!("| `{name}` | {about} | {} |", shapes.join(" or ")),
        );
    }
    line(&mut page, "\n## Types\n");
    for (name, schema) in members(components) {
        line(&mut page, &format!("### {name}\n"));
        line(&mut page, &format!("{}\n", sentence(schema)));
        if schema.get("properties").is_none() {
            line(&mut page, &format!("It is {}.\n", kind(schema)));
        }
        table(&mut page, schema);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn describe(page: &mut String, method: &str, path: &str, operation: &Value, components: &Value) {
    line(page, &format!("### {} {path}\n", method.to_uppercase()));
    line(page, &format!("{}.", text(&operation["summary"])));
    let detail = text(&operation["description"]);
    if !detail.is_empty() {
        line(page, &detail.replace(". ", ".\n"));
    }
    line(page, "");
    let parameters = operation["parameters"].as_array();
    let asked: Vec<_> = parameters
        .into_iter()
        .flatten()
        .filter(|p| p["in"] != "path")
        .collect();
    if !asked.is_empty() {
        line(page, "| parameter | in | what it may be | meaning |");
        line(page, "|---|---|---|---|");
        for parameter in asked {
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            let (may, about) = (kind(&parameter["schema"]), text(&parameter["description"]));
            line(page, &format!("| `{name}` | {place} | {may} | {about} |"));
        }
        line(page, "");
    }
    for (media, content) in members(&operation["requestBody"]["content"]).take(1) {
        let schema = resolve(&content["schema"], components);
        match schema.get("properties") {
            Some(_) => {
                line(page, "Takes a JSON object:\n");
                table(page, schema);
            }
            None => line(page, &format!("Takes `{media}`.\n")),
        }
        if content.get("example").is_some() {
            code(page, &content["example"]);
        }
    }
    let (mut failures, mut answers) = (Vec::new(), Vec::new());
    for (status, response) in members(&operation["responses"]) {
        match status.starts_with(['4', '5']) {
            true => failures.push(format!("`{status}`")),
            false => answers.push((status, response)),
        }
    }
    for (status, response) in answers {
        let content = members(&response["content"]).next();
        let what = match &content {
            Some((media, content)) if *media == "application/json" => kind(&content["schema"]),
            Some((media, _)) => format!("`{media}`"),
            None => "no content".to_owned(),
        };
        let headers: Vec<_> = members(&response["headers"])
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let headers = match headers.is_empty() {
            true => String::new(),
            false => format!(", with {}", headers.join(" and ")),
        };
        let fails = match failures.is_empty() {
            true => String::new(),
            false => format!(" Problems: {}.", failures.join(", ")),
        };
        line(
            page,
            &format!("Answers `{status}`: {what}{headers}.{fails}\n"),
        );
        if let Some((media, content)) = content
            && media == "application/json"
            && path != "/v1/openapi.json"
        {
            code(page, &content["example"]);
        }
    }
}

fn table(page: &mut String, schema: &Value) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return;
    };
    line(page, "| member | what it may be | meaning |");
    line(page, "|---|---|---|");
    for (name, schema) in properties {
        line(
            page,
            &format!("| `{name}` | {} | {} |", kind(schema), sentence(schema)),
        );
    }
    line(page, "");
}

/// What a schema says that something may be.
fn kind(schema: &Value) -> String {
    if let Some(path) = schema["$ref"].as_str() {
        let name = path.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    if let Some(names) = schema["enum"].as_array() {
        let names: Vec<_> = names
            .iter()
            .map(|name| format!("`{}`", text(name)))
            .collect();
        return names.join(", ");
    }
    for several in ["anyOf", "oneOf"] {
        if let Some(all) = schema[several].as_array() {
            let all: Vec<_> = all.iter().map(kind).collect();
            return all.join(" or ");
        }
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            let one = |kind: &Value| {
                let mut schema = schema.clone();
                schema["type"] = kind.clone();
                self::kind(&schema)
            };
            let kinds: Vec<_> = kinds.iter().map(one).collect();
            kinds.join(" or ")
        }
        Value::String(name) => match &name[..] {
            "array" if schema["minItems"] == 2 && schema["maxItems"] == 2 => "pair".to_owned(),
            "array" => format!("list of {}", kind(&schema["items"])),
            "object" if schema["additionalProperties"].is_object() => {
                format!("object of {}", kind(&schema["additionalProperties"]))
            }
            "integer" => match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
                (Some(least), Some(most)) if most < u64::MAX => format!("{least} to {most}"),
                _ => "integer".to_owned(),
            },
            other => other.to_owned(),
        },
        _ => "anything".to_owned(),
    }
}

fn sentence(schema: &Value) -> String {
    text(&schema["description"]).replace('\n', " ")
}

fn resolve<'a>(schema: &'a Value, components: &'a Value) -> &'a Value {
    match schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        Some(name) => &components[name],
        None => schema,
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().map(Map::iter);
    members
        .into_iter()
        .flatten()
        .map(|(name, value)| (&name[..], value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    format!("{}{rest}", first.to_uppercase())
}

fn code(page: &mut String, example: &Value) {
    let example = serde_json::to_string_pretty(example).unwrap_or_default();
    line(page, &format!("```json\n{example}\n```\n"));
}

fn line(page: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{text}");
}
