//! Events, as server-sent events.

use std::convert::Infallible;

use futures_util::stream;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use warp::reply::Reply;

use super::about::{About, Form, Parameter};
use super::call::Call;
use super::problem::Problem;
use super::route::{Answer, Route};
use crate::events::{Kind, LastId, MAX_SUBSCRIBERS};

pub(super) fn routes() -> Vec<Route> {
    let about = About::text("events", "What happens, as it does", &["text/event-stream"]);
    let about = about.asks(TYPES).heeds(LAST).fails(&[503]).detail(
        "Server-sent events: `event` names the kind, `data` is a JSON object; see What events say. \
         One that has an `id` can be resumed after; what is not known any more is a `reset`.",
    );
    vec![Route::get("/v1/events", listen, about)]
}

const TYPES: &[Parameter] = &[Parameter::new(
    "types",
    Form::Some(&Kind::NAMES),
    "Only these kinds; `reset` is told in any case.",
)];

const LAST: &[Parameter] = &[Parameter::new(
    "Last-Event-ID",
    Form::Text("1764320000000-17"),
    "The `id` of the last event that was heard.",
)];

/// The field with which a subscriber comes back.
const LAST_EVENT_ID: &str = "last-event-id";

async fn listen(call: Call) -> Answer {
    let mut query = call.query()?;
    let kinds = query.text("types");
    query.end()?;
    let kinds = kinds.iter().flat_map(|kinds| kinds.split(','));
    let kinds = kinds.map(|name| {
        let kind = name.parse::<Kind>();
        kind.map_err(|_| Problem::refused("types", name, "is not the name of an event"))
    });
    let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
    // One that is not understood is one that is not known any more.
    let last = call.headers.get(LAST_EVENT_ID).map(|last| {
        let last = last.to_str().ok().and_then(|last| last.parse().ok());
        last.unwrap_or(LastId::UNKNOWN)
    });
    let Ok(hearing) = call.service.events.subscribe(last) else {
        let detail = format!("events: {MAX_SUBSCRIBERS} subscribers listen already");
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        return Err(problem.with(RETRY_AFTER, "5"));
    };
    let frames = stream::unfold(hearing.only(kinds), |mut hearing| async move {
        let frame = hearing.frame().await?;
        Some((Ok::<_, Infallible>(frame), hearing))
    });
    let mut response = warp::reply::stream(frames).into_response();
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
