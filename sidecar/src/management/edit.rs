//! What can be edited: told apart by an entity tag, changed under conditions (RFC 9110 section 13)
//! and by merge patches (RFC 7396).

use hyper::StatusCode;
use hyper::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use serde::Serialize;
use serde_json::Value;
use warp::reply::Response;

use super::problem::Problem;

/// The tag of what can be edited of something. It says nothing of what is told beside that.
pub(super) fn tag(editable: &impl Serialize) -> String {
    let text = serde_json::to_vec(editable).unwrap_or_default();
    let hash = blake3::hash(&text).to_hex();
    format!("\"{}\"", &hash[..16])
}

/// An answer with the tag of what it is about.
pub(super) fn tagged(mut response: Response, editable: &impl Serialize) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&tag(editable)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Whether something may be changed that is `now`, or is not there.
pub(super) fn permit(headers: &HeaderMap, now: Option<&impl Serialize>) -> Result<(), Problem> {
    let now = now.map(tag);
    let field = |name: HeaderName| {
        let lines = headers.get_all(&name).iter();
        let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    };
    let failed = |name: HeaderName, value: String| {
        let now = now.as_deref().unwrap_or("not there");
        let detail = format!("{name}: {value} does not hold: it is {now}");
        let problem = Problem::new(StatusCode::PRECONDITION_FAILED, detail);
        Err(problem.of(name.as_str(), value))
    };
    match field(IF_MATCH) {
        Some(value) if !matches(&value, now.as_deref()) => return failed(IF_MATCH, value),
        _ => {}
    }
    match field(IF_NONE_MATCH) {
        Some(value) if matches(&value, now.as_deref()) => failed(IF_NONE_MATCH, value),
        _ => Ok(()),
    }
}

/// The same of what is shown with its defaults, and so with a tag, before anything is said of it.
pub(super) fn permit_first<T: Serialize + Default>(
    headers: &HeaderMap,
    now: Option<&T>,
) -> Result<(), Problem> {
    match now {
        None if headers.get(IF_MATCH).is_some_and(|tags| tags != "*") => {
            permit(headers, Some(&T::default()))
        }
        now => permit(headers, now),
    }
}

/// Whether a condition names what there is. A weak tag names nothing: this is a strong comparison.
fn matches(condition: &str, now: Option<&str>) -> bool {
    let Some(now) = now else {
        return false;
    };
    let mut tags = condition.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag == now)
}

/// A merge patch (RFC 7396 section 2).
pub(super) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// What something becomes by a merge patch.
pub(super) fn merged(now: &impl Serialize, patch: Value) -> Result<Value, Problem> {
    if !patch.is_object() {
        let detail = "body: not a JSON object".to_owned();
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let mut merged = serde_json::to_value(now).unwrap_or_default();
    merge(&mut merged, patch);
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nothing_was_said_of_yet_is_known_by_its_tag() {
        let check = |value: &str, now: Option<&String>, expect: bool| {
            let headers = HeaderMap::from_iter([(IF_MATCH, value.parse().unwrap())]);
            assert_eq!(permit_first(&headers, now).is_ok(), expect, "{value}");
        };
        let (nothing, something) = (tag(&String::new()), "said".to_owned());
        check(&nothing, None, true);
        check(&nothing, Some(&something), false);
        check(&tag(&something), None, false);
        check("*", None, false);
        check("*", Some(&something), true);
    }

    /// RFC 7396 appendix A, in part.
    #[test]
    fn a_patch_changes_what_it_names() {
        for (mut target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            merge(&mut target, patch.clone());
            assert_eq!(target, expected, "{patch}");
        }
        assert!(merged(&json!({}), json!([])).is_err());
    }

    #[test]
    fn conditions_hold_for_what_there_is() {
        let there = Some(&json!({"a": 1}));
        let this = tag(&json!({"a": 1}));
        let other = tag(&json!({"a": 2}));
        assert_ne!(this, other);
        let weak = format!("W/{this}");
        let both = format!("{other}, {this}");
        let check = |name: HeaderName, value: &str, now: Option<&Value>, expect: bool| {
            let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
            assert_eq!(permit(&headers, now).is_ok(), expect, "{headers:?}");
        };
        assert!(permit(&HeaderMap::new(), there).is_ok());
        check(IF_MATCH, &this, there, true);
        check(IF_MATCH, &both, there, true);
        check(IF_MATCH, "*", there, true);
        check(IF_MATCH, &other, there, false);
        check(IF_MATCH, &weak, there, false);
        check(IF_MATCH, "*", None, false);
        check(IF_NONE_MATCH, "*", None, true);
        check(IF_NONE_MATCH, "*", there, false);
        check(IF_NONE_MATCH, &this, there, false);
        check(IF_NONE_MATCH, &other, there, true);
    }
}
