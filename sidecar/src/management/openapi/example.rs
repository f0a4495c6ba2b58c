//! An example of something, made of the examples of its members.

use serde_json::{Map, Value, json};

/// Types that contain themselves are told no deeper than this.
const DEPTH: usize = 16;

/// An example of what a schema describes; `components` has what it refers to by name.
pub(super) fn example(schema: &Value, components: &Value) -> Value {
    at_depth(schema, components, DEPTH)
}

fn at_depth(schema: &Value, components: &Value, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return Value::Null;
    };
    let nested = |schema: &Value| at_depth(schema, components, depth);
    let given = |name: &str| schema.get(name).cloned();
    let first = |name: &str| schema.get(name).and_then(|all| all.get(0)).cloned();
    if let Some(example) = first("examples").or_else(|| given("const")) {
        return example;
    }
    let name = schema.get("$ref").and_then(Value::as_str);
    if let Some(name) = name.and_then(|path| path.rsplit('/').next()) {
        return components.get(name).map_or(Value::Null, nested);
    }
    if let Some(value) = given("default").filter(|value| !value.is_null()) {
        return value;
    }
    if let Some(value) = first("enum") {
        return value;
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(several).and_then(|all| all.get(0)) {
            return nested(first);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        kind => kind.and_then(Value::as_str),
    };
    match kind {
        Some("object") => object(schema, nested),
        Some("array") => match (schema.get("prefixItems"), schema.get("items")) {
            (Some(Value::Array(items)), _) => items.iter().map(nested).collect(),
            (_, Some(item)) => json!([nested(item)]),
            _ => json!([]),
        },
        Some("string") => json!("text"),
        Some("integer") => given("minimum").unwrap_or_else(|| json!(0)),
        Some("number") => json!(0.5),
        Some("boolean") => json!(false),
        _ => Value::Null,
    }
}

fn object(schema: &Value, nested: impl Fn(&Value) -> Value) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object);
    let known = properties.into_iter().flatten();
    let known = known.map(|(name, schema)| (name.clone(), nested(schema)));
    let mut members: Map<String, Value> = known.collect();
    // Where no more than one may be, the last is one: the first of a purge is `all`.
    if schema.get("maxProperties") == Some(&json!(1)) {
        members = members.into_iter().next_back().into_iter().collect();
    }
    if let Some(more) = schema
        .get("additionalProperties")
        .filter(|more| more.is_object())
    {
        members.insert("name".to_owned(), nested(more));
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_made_of_its_members() {
        let components = json!({"Itag": {"type": ["string", "null"], "examples": ["22"]}});
        let schema = json!({
            "type": "object",
            "properties": {
                "itag": {"$ref": "#/components/schemas/Itag"},
                "mode": {"enum": ["auto", "manual"]},
                "ranges": {"type": "array", "items": {"type": "array", "prefixItems": [{"const": 0}, {"const": 5}]}},
                "percent": {"type": "integer", "minimum": 1, "default": 10},
                "pinned": {"type": "boolean"},
            },
        });
        let expected = json!({
            "itag": "22", "mode": "auto", "ranges": [[0, 5]], "percent": 10, "pinned": false,
        });
        assert_eq!(example(&schema, &components), expected);
        let endless = json!({"Self": {"type": "array", "items": {"$ref": "#/Self"}}});
        assert!(example(&endless["Self"], &endless).is_array());
    }
}
