//! The policy over REST.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::Value;
use warp::reply::{Reply, Response};

use super::{Problem, failed};
use crate::error::Error;
use crate::policy::Policy;
use crate::service::Service;

pub(super) async fn show(service: Arc<Service>) -> Response {
    warp::reply::json(&*service.policy()).into_response()
}

/// All of it; what is not there has its default.
pub(super) async fn replace(body: Bytes, service: Arc<Service>) -> Response {
    match serde_json::from_slice(&body) {
        Ok(policy) => set(policy, service).await,
        Err(error) => refused(format!("policy: {error}")),
    }
}

/// What is there; `null` takes a field back to its default (RFC 7396).
pub(super) async fn merge(body: Bytes, service: Arc<Service>) -> Response {
    let patch: Value = match serde_json::from_slice(&body) {
        Ok(patch) => patch,
        Err(error) => return refused(format!("policy: {error}")),
    };
    if !patch.is_object() {
        return refused("policy: not a JSON object".to_owned());
    }
    let merged = serde_json::to_value(&*service.policy()).map(|mut merged| {
        apply(&mut merged, patch);
        merged
    });
    match merged.and_then(serde_json::from_value) {
        Ok(policy) => set(policy, service).await,
        Err(error) => refused(format!("policy: {error}")),
    }
}

async fn set(policy: Policy, service: Arc<Service>) -> Response {
    if let Err(error) = policy.check() {
        return refused(error.to_string());
    }
    let setting = Arc::clone(&service);
    let set = tokio::task::spawn_blocking(move || setting.set_policy(policy)).await;
    match set.map_err(Error::from).and_then(|set| Ok(set?)) {
        Ok(()) => show(service).await,
        Err(error) => failed(&error),
    }
}

fn refused(detail: String) -> Response {
    Problem::response(StatusCode::BAD_REQUEST, detail)
}

/// A merge patch (RFC 7396 section 2).
fn apply(target: &mut Value, patch: Value) {
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
            apply(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            apply(&mut target, patch.clone());
            assert_eq!(target, expected, "{patch}");
        }
    }
}
