//! How requests fail, and what is said then.

use std::collections::BTreeSet;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::super::about::About;
use super::super::body::Kind;
use crate::access::{Demand, Role};

/// With which statuses a route fails.
pub(super) fn failures(about: &About, edits: bool, demand: Demand) -> BTreeSet<u16> {
    let mut failures = BTreeSet::from_iter(about.fails.iter().copied());
    // A query that nobody asks for.
    failures.insert(400);
    match demand {
        Demand::Nothing => {}
        // Another name than this port's, or another site's page.
        Demand::Host => failures.extend([403, 421]),
        Demand::Role(Role::Read) => failures.extend([401, 403, 421]),
        // A body of another type, even where none is wanted.
        Demand::Role(Role::Admin) => failures.extend([401, 403, 415, 421]),
    }
    if edits {
        failures.insert(412);
    }
    if let Some(takes) = about.takes {
        failures.extend([400, 411, 413]);
        if takes.kind != Kind::Any {
            failures.insert(415);
        }
    }
    failures
}

/// A problem of such a status, as an example.
pub(super) fn failure(status: u16) -> Value {
    let problem = |detail: &str| {
        let title = reason(status);
        json!({"status": status, "title": title, "detail": detail})
    };
    let about = |detail: &str, field: &str, value: Value| {
        let mut problem = problem(detail);
        (problem["field"], problem["value"]) = (field.into(), value);
        problem
    };
    let zeros = "0".repeat(32);
    match status {
        400 => about(
            "colour: \"red\" is not asked for here",
            "colour",
            json!("red"),
        ),
        401 => about(
            "authorization: a bearer token is needed",
            "authorization",
            Value::Null,
        ),
        403 => about(
            "authorization: the bearer token's role is not admin",
            "authorization",
            Value::Null,
        ),
        404 => about(&format!("id: {zeros} is not there"), "id", json!(zeros)),
        409 => problem("download: 10000 are remembered already; delete some"),
        411 => about("content-length: missing", "content-length", Value::Null),
        412 => about(
            "if-match: \"0123456789abcdef\" does not hold: it is \"fedcba9876543210\"",
            "if-match",
            json!("\"0123456789abcdef\""),
        ),
        413 => about(
            "content-length: 70000 is more than 65536",
            "content-length",
            json!(70_000),
        ),
        415 => about(
            "content-type: \"text/plain\" is not among application/json",
            "content-type",
            json!("text/plain"),
        ),
        421 => about(
            "host: \"evil.example\" is not localhost, the address of this port, or in allowed_hosts",
            "host",
            json!("evil.example"),
        ),
        503 => problem("events: 64 subscribers listen already"),
        _ => problem("it failed"),
    }
}

/// What a status is called.
pub(super) fn reason(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status
        .and_then(|status| status.canonical_reason())
        .unwrap_or("failure")
}
