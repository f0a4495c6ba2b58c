//! Whether the process answers and serves, and its metrics.

use hyper::header::ACCEPT;
use warp::reply::Reply;

use super::about::About;
use super::call::Call;
use super::route::{Answer, Route};
use crate::metrics::Exposition;

/// What Prometheus reads, by what it accepts.
const EXPOSITIONS: &[&str] = &["text/plain", "application/openmetrics-text"];

pub(super) fn routes() -> Vec<Route> {
    let about = |summary| About::text("health", summary, &["text/plain"]);
    let counted = About::text("health", "Metrics, as Prometheus reads them", EXPOSITIONS);
    vec![
        Route::get("/healthz", alive, about("Whether the process answers")),
        Route::get("/readyz", ready, about("Whether it serves")),
        Route::get("/metrics", metrics, counted),
    ]
}

/// The process answers; whether the cache is any use is readyz' question.
async fn alive(call: Call) -> Answer {
    call.no_query()?;
    Ok("ok\n".into_response())
}

/// The port is served only after the data folder is open, so that an answer is the proof.
async fn ready(call: Call) -> Answer {
    call.no_query()?;
    Ok("ready\n".into_response())
}

async fn metrics(call: Call) -> Answer {
    call.no_query()?;
    let accept = call.headers.get(ACCEPT);
    let format = Exposition::accepted(accept.and_then(|value| value.to_str().ok()));
    let text = call.blocking(move |service| Ok(service.exposition(format)));
    let text = text.await?;
    let kind = format.content_type();
    Ok(warp::reply::with_header(text, "content-type", kind).into_response())
}
