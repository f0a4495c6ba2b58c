//! The data port: what Envoy calls. Callouts of the filter and routed requests of viewers come in
//! on the same port; a routed request is known by its control header, which no viewer can send.

mod callout;
mod foreign;
mod gate;
mod routed;

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::Service as _;
use hyper::{Method, StatusCode};
use hyper_util::service::TowerToHyperService;
use viewcache_protocol::{Secret, UnknownVersion, header, version};
use warp::path::FullPath;
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

use crate::connections;
use crate::listener::Listener;
use crate::service::Service;

use foreign::Foreign;
use gate::Gate;

/// A request as it came in.
struct Request<S> {
    method: Method,
    path: FullPath,
    /// An empty one is not none: the target is passed on as it came.
    query: Option<String>,
    headers: HeaderMap,
    body: S,
}

/// Accepts connections until `stop` is ready, and then lets exchanges in flight end.
pub(crate) async fn serve(
    listener: Listener,
    service: Arc<Service>,
    secret: Option<Secret>,
    stop: impl Future<Output = ()>,
) {
    let gate = Arc::new(Gate::new(secret, Arc::clone(&service.metrics)));
    let guard = move |request: &_| gate.guard(request);
    let routes = TowerToHyperService::new(warp::service(routes(service)));
    connections::serve("data", listener, guard, routes, stop).await;
}

/// The answer to one request, without a connection and its guard; for the fuzz targets.
pub async fn exchange(
    service: &Arc<Service>,
    request: hyper::Request<Full<Bytes>>,
) -> hyper::Response<Bytes> {
    let routes = TowerToHyperService::new(warp::service(routes(Arc::clone(service))));
    let Ok(response) = routes.call(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map(Collected::to_bytes);
    hyper::Response::from_parts(head, body.unwrap_or_default())
}

/// The whole port as one filter.
fn routes(service: Arc<Service>) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let foreign = Arc::new(Foreign::default());
    let query = warp::query::raw().map(Some);
    let query = query.or(warp::any().map(|| None)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path, query, headers, body| {
            let (service, foreign) = (Arc::clone(&service), Arc::clone(&foreign));
            async move {
                answer(
                    &service,
                    &foreign,
                    Request {
                        method,
                        path,
                        query,
                        headers,
                        body,
                    },
                )
                .await
            }
        })
}

async fn answer<S, B>(service: &Arc<Service>, foreign: &Foreign, request: Request<S>) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send + Unpin,
    B: Buf,
{
    let routed = request.headers.contains_key(header::ROUTE);
    if let Err(version) = version::understood(text(&request.headers, header::VERSION)) {
        let refused = refused(service, foreign, &version);
        return match routed {
            true => routed::hand_back(refused, "version"),
            false => refused,
        };
    }
    if routed {
        routed::answer(service, &request).await
    } else {
        callout::answer(service, foreign, request).await
    }
}

/// The answer to a filter whose version is not understood: it ends a mirroring at this status, and
/// goes without a decision.
fn refused(service: &Service, foreign: &Foreign, version: &UnknownVersion) -> Response {
    foreign.tell(version);
    service.metrics.foreign.inc();
    plain(StatusCode::CONFLICT, version.to_string())
}

/// A header's value when it is text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn plain(status: StatusCode, message: String) -> Response {
    warp::reply::with_status(message, status).into_response()
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// Reads a body that must not be longer than `limit`.
async fn collect<S, B>(mut body: S, limit: usize) -> Option<Bytes>
where
    S: Stream<Item = Result<B, warp::Error>> + Unpin,
    B: Buf,
{
    use futures_util::StreamExt;
    let mut parts = Vec::new();
    let mut len = 0;
    while let Some(part) = body.next().await {
        let mut part = part.ok()?;
        len += part.remaining();
        if limit < len {
            return None;
        }
        parts.push(part.copy_to_bytes(part.remaining()));
    }
    if let [only] = &mut parts[..] {
        return Some(std::mem::take(only));
    }
    let mut whole = bytes::BytesMut::with_capacity(len);
    for part in &parts {
        whole.extend_from_slice(part);
    }
    Some(whole.freeze())
}
