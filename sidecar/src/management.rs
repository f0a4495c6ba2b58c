//! The management port: REST under `/v1`, metrics and health.

mod access;
mod catalogue;
mod downloads;
mod entity;
mod policy;

use std::convert::Infallible;
use std::sync::Arc;

use hyper::StatusCode;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::TcpListener;
use viewcache_protocol::EntityId;
use warp::reject::{LengthRequired, MethodNotAllowed, PayloadTooLarge};
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

use crate::connections;
use crate::error::Error;
use crate::listener::Listener;
use crate::service::Service;
use crate::store::StoreError;

pub(crate) use access::Access;

/// What is written of one thing is small; whatever is longer is something else.
const MAX_BODY: u64 = 64 << 10;

/// The content type of RFC 9457.
const PROBLEM: &str = "application/problem+json";

/// Problem details (RFC 9457): what went wrong, naming field and value.
#[derive(Debug, Serialize)]
struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
}

impl Problem {
    fn response(status: StatusCode, detail: String) -> Response {
        let title = status.canonical_reason().unwrap_or("error");
        let problem = Self {
            status: status.as_u16(),
            title,
            detail,
        };
        let json = warp::reply::json(&problem);
        let typed = warp::reply::with_header(json, "content-type", PROBLEM);
        warp::reply::with_status(typed, status).into_response()
    }
}

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

fn routes(
    service: Arc<Service>,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let with = move || {
        let service = Arc::clone(&service);
        warp::any().map(move || Arc::clone(&service))
    };
    // The process answers; whether the cache is any use is readyz' question.
    let healthz = warp::path!("healthz").and(warp::get()).map(|| "ok\n");
    // The port is served only after the data folder is open, so that an answer is the proof.
    let readyz = warp::path!("readyz").and(warp::get()).map(|| "ready\n");
    let metrics =
        warp::path!("metrics")
            .and(warp::get())
            .and(with())
            .map(|service: Arc<Service>| {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                warp::reply::with_header(service.metrics.text(), "content-type", kind)
            });
    let list = warp::path!("v1" / "entities")
        .and(warp::get())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(with())
        .then(entity::list);
    let show = warp::path!("v1" / "entities" / String)
        .and(warp::get())
        .and(with())
        .then(
            |id: String, service| async move { with_id(&id, |id| entity::show(id, service)).await },
        );
    let history = warp::path!("v1" / "entities" / String / "history")
        .and(warp::get())
        .and(with())
        .then(|id: String, service| async move {
            with_id(&id, |id| entity::history(id, service)).await
        });
    let remove =
        warp::path!("v1" / "entities" / String)
            .and(warp::delete())
            .and(with())
            .then(|id: String, service| async move {
                with_id(&id, |id| entity::remove(id, service)).await
            });
    let pin = |method, pinned| {
        warp::path!("v1" / "entities" / String / "pin")
            .and(method)
            .and(with())
            .then(move |id: String, service| async move {
                with_id(&id, |id| entity::pin(id, pinned, service)).await
            })
    };
    let policy = warp::path!("v1" / "policy");
    let small = || warp::body::content_length_limit(MAX_BODY).and(warp::body::bytes());
    let show_policy = policy.and(warp::get()).and(with()).then(policy::show);
    let put_policy = policy
        .and(warp::put())
        .and(small())
        .and(with())
        .then(policy::replace);
    let patch_policy = policy
        .and(warp::patch())
        .and(small())
        .and(with())
        .then(policy::merge);
    let video = warp::path!("v1" / "videos" / String);
    let channel = warp::path!("v1" / "channels" / String);
    let videos = {
        let show = video
            .and(warp::get())
            .and(with())
            .then(catalogue::show_video);
        let put = video.and(warp::put()).and(small()).and(with());
        let remove = video.and(warp::delete()).and(with());
        show.or(put.then(catalogue::put_video))
            .or(remove.then(catalogue::remove_video))
    };
    let channels = {
        let all = warp::path!("v1" / "channels");
        let list = all.and(warp::get()).and(with());
        let list = list.then(catalogue::list_channels);
        let show = channel.and(warp::get()).and(with());
        let put = channel.and(warp::put()).and(small()).and(with());
        let remove = channel.and(warp::delete()).and(with());
        let import = warp::path!("v1" / "channels" / "import")
            .and(warp::post())
            .and(warp::query::raw().or(warp::any().map(String::new)).unify())
            .and(warp::body::content_length_limit(catalogue::MAX_IMPORT))
            .and(warp::body::bytes())
            .and(with());
        list.or(import.then(catalogue::import))
            .or(show.then(catalogue::show_channel))
            .or(put.then(catalogue::put_channel))
            .or(remove.then(catalogue::remove_channel))
    };
    let downloads = {
        let all = warp::path!("v1" / "downloads");
        let one = warp::path!("v1" / "downloads" / String);
        let list = all.and(warp::get()).and(with()).then(downloads::list);
        let start = all.and(warp::post()).and(small()).and(with());
        let show = one.and(warp::get()).and(with());
        let show = show.then(|id: String, service| async move {
            with_id(&id, |id| downloads::show(id, service)).await
        });
        let cancel = one.and(warp::delete()).and(with());
        let cancel = cancel.then(|id: String, service| async move {
            with_id(&id, |id| downloads::cancel(id, service)).await
        });
        let pause = |path: &'static str, paused| {
            let path = warp::path!("v1" / "downloads" / String / ..)
                .and(warp::path(path))
                .and(warp::path::end());
            path.and(warp::post())
                .and(with())
                .then(move |id: String, service| async move {
                    with_id(&id, |id| downloads::pause(id, paused, service)).await
                })
        };
        list.or(start.then(downloads::start))
            .or(show)
            .or(cancel)
            .or(pause("pause", true))
            .or(pause("resume", false))
    };
    healthz
        .or(readyz)
        .or(metrics)
        .or(list)
        .or(show)
        .or(history)
        .or(remove)
        .or(pin(warp::put().boxed(), true))
        .or(pin(warp::delete().boxed(), false))
        .or(show_policy)
        .or(put_policy)
        .or(patch_policy)
        .or(videos)
        .or(channels)
        .or(downloads)
        .recover(unrouted)
        .with(warp::log::custom(|info| {
            tracing::debug!(method = %info.method(), path = info.path(), status = %info.status(), "management");
        }))
}

async fn with_id<F: Future<Output = Response>>(
    text: &str,
    act: impl FnOnce(EntityId) -> F,
) -> Response {
    match text.parse() {
        Ok(id) => act(id).await,
        Err(_) => {
            let detail = format!("id: {text:?} is not 32 hex digits");
            Problem::response(StatusCode::BAD_REQUEST, detail)
        }
    }
}

/// Does what blocks.
async fn blocking(act: impl FnOnce() -> Result<Response, StoreError> + Send + 'static) -> Response {
    let done = tokio::task::spawn_blocking(act).await;
    match done.map_err(Error::from).and_then(|done| Ok(done?)) {
        Ok(response) => response,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Response {
    tracing::error!(%error, "management");
    Problem::response(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

async fn unrouted(rejection: Rejection) -> Result<Response, Infallible> {
    let (status, detail) = if rejection.find::<MethodNotAllowed>().is_some() {
        (
            StatusCode::METHOD_NOT_ALLOWED,
            "method: not allowed on this path",
        )
    } else if rejection.find::<PayloadTooLarge>().is_some() {
        (StatusCode::PAYLOAD_TOO_LARGE, "body: too long")
    } else if rejection.find::<LengthRequired>().is_some() {
        (StatusCode::LENGTH_REQUIRED, "content-length: missing")
    } else {
        (StatusCode::NOT_FOUND, "path: nothing is here")
    };
    Ok(Problem::response(status, detail.to_owned()))
}
