//! The management port: REST under `/v1`, metrics and health, and the dashboard. One file for each
//! resource, each with its own routes.

mod about;
mod access;
mod body;
mod call;
mod channels;
mod dashboard;
mod downloads;
mod edit;
mod entities;
mod events;
mod health;
mod imports;
mod openapi;
mod pages;
mod peers;
mod policy;
mod problem;
mod query;
mod removal;
mod route;
mod stats;
mod videos;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use hyper::header::{ALLOW, CACHE_CONTROL, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use warp::path::FullPath;
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection, filters};

use crate::connections;
use crate::listener::Listener;
use crate::service::Service;
pub(crate) use access::Access;
use body::Kind;
use call::Call;
use pages::Scans;
use problem::Problem;
use route::{Route, find};

/// Accepts connections until `stop` is ready, and then lets requests in flight end.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    access: Arc<Access>,
    stop: impl Future<Output = ()>,
) {
    let guard = move |request: &_| access.guard(request);
    let routes = routes(service).with(warp::reply::with::headers(access::guarded()));
    let routes = TowerToHyperService::new(warp::service(routes));
    connections::serve("management", Listener::Tcp(listener), guard, routes, stop).await;
}

/// Every route of the API.
fn table() -> Vec<Route> {
    let resources = [
        entities::routes(),
        videos::routes(),
        channels::routes(),
        downloads::routes(),
        imports::routes(),
        policy::routes(),
        removal::routes(),
        stats::routes(),
        peers::routes(),
        events::routes(),
        health::routes(),
        openapi::routes(),
    ];
    resources.into_iter().flatten().collect()
}

/// The whole port as one filter, which rejects nothing.
fn routes(
    service: Arc<Service>,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let routes: Arc<[Route]> = [table(), dashboard::routes()].concat().into();
    let scans = Scans::default();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(filters::body::stream())
        .then(move |method, path: FullPath, query, headers: HeaderMap, body| {
            let call = Call {
                service: Arc::clone(&service),
                scans: scans.clone(),
                parameters: Vec::new(),
                query,
                headers,
                body: body::boxed(body),
            };
            answer(Arc::clone(&routes), method, path, call)
        })
        .recover(unreadable)
        .unify()
        .with(warp::log::custom(|info| {
            tracing::debug!(method = %info.method(), path = info.path(), status = %info.status(), "management");
        }))
}

/// What a JSON body says, or what is wrong with it; for the fuzz targets.
///
/// # Errors
/// The detail of the answer.
pub fn said<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let document = body::parse(body, Kind::Json);
    let said = document.and_then(|document| body::meaning(&document));
    said.map_err(|problem| problem.detail().to_owned())
}

/// The same of a merge patch of what is said `now`.
///
/// # Errors
/// The detail of the answer.
pub fn patched<T: Serialize + DeserializeOwned>(now: &T, body: &[u8]) -> Result<T, String> {
    let patch = body::parse(body, Kind::Patch);
    let document = patch.and_then(|patch| edit::merged(now, patch));
    let said = document.and_then(|document| body::meaning(&document));
    said.map_err(|problem| problem.detail().to_owned())
}

/// Every request is read; what cannot be is no request.
async fn unreadable(_: Rejection) -> Result<Response, Infallible> {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "request: not understood");
    Ok(problem.into_response())
}

async fn answer(routes: Arc<[Route]>, method: Method, path: FullPath, mut call: Call) -> Response {
    let answered = match find(&routes, &method, path.as_str()) {
        Ok((route, parameters)) => {
            call.parameters = parameters;
            route.answer(call).await
        }
        Err(allowed) if allowed.is_empty() => {
            let problem = Problem::new(StatusCode::NOT_FOUND, "path: nothing is here");
            Err(problem.of("path", path.as_str()))
        }
        Err(allowed) => {
            let detail = format!("method: {method} is not among {allowed}");
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail);
            Err(problem.of("method", method.as_str()).with(ALLOW, &allowed))
        }
    };
    let mut response = answered.unwrap_or_else(Problem::into_response);
    // What it says is true for a moment only, and for whoever may see it.
    let headers = response.headers_mut();
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(CACHE_CONTROL).or_insert(no_store);
    response
}
