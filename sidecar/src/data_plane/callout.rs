//! The filter's callouts: `POST /decide`, `POST /invalidate` and `POST /fills/{fill}/{step}`.

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use hyper::header::CONTENT_LENGTH;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use viewcache_protocol::message::{DECIDE_PATH, INVALIDATE_PATH, Step};
use viewcache_protocol::{ChunkHead, FillId, header};
use warp::reply::{Reply, Response};

use super::foreign::Foreign;
use super::{Request, collect, plain, refused, text, value};
use crate::error::{Error, Refusal};
use crate::service::Service;

/// The longest JSON message: a key, a path and stored header fields.
const MAX_MESSAGE: usize = 128 << 10;

/// The longest chunk; the filter's own bound is below it.
const MAX_CHUNK: u64 = 8 << 20;

pub(super) async fn answer<S, B>(
    service: &Arc<Service>,
    foreign: &Foreign,
    request: Request<S>,
) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send + Unpin,
    B: Buf,
{
    if request.method != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only POST".to_owned());
    }
    if request.path.as_str() == DECIDE_PATH {
        return decide(service, foreign, request).await;
    }
    if request.path.as_str() == INVALIDATE_PATH {
        let invalidated = match message(request.body).await {
            Ok(message) => service.invalidate(message).await,
            Err(error) => Err(error),
        };
        return done(service, invalidated);
    }
    let step = request
        .path
        .as_str()
        .strip_prefix("/fills/")
        .and_then(|rest| rest.split_once('/'));
    let Some((fill, step)) = step else {
        return not_found();
    };
    let Ok(fill) = fill.parse::<FillId>() else {
        return not_found();
    };
    match step {
        step if step == Step::Begin.as_str() => begin(service, fill, request).await,
        step if step == Step::Chunks.as_str() => chunk(service, fill, request).await,
        step if step == Step::End.as_str() => end(service, fill, request).await,
        _ => not_found(),
    }
}

fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "no such path".to_owned())
}

async fn decide<S, B>(service: &Arc<Service>, foreign: &Foreign, request: Request<S>) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send + Unpin,
    B: Buf,
{
    // A cut or oversized body is no message either.
    let bytes = collect(request.body, MAX_MESSAGE).await.unwrap_or_default();
    // Whatever else a filter says follows from a decision.
    if !request.headers.contains_key(header::VERSION)
        && let Err(version) = Foreign::within(&bytes)
    {
        return refused(service, foreign, &version);
    }
    let decision = match serde_json::from_slice(&bytes) {
        Ok(message) => service.decide(message).await,
        Err(error) => Err(error.into()),
    };
    match decision {
        Ok(decision) => warp::reply::json(&decision).into_response(),
        Err(error) => failed(service, &error),
    }
}

async fn begin<S, B>(service: &Arc<Service>, fill: FillId, request: Request<S>) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send + Unpin,
    B: Buf,
{
    let begun = match message(request.body).await {
        Ok(message) => service.begin(fill, message).await,
        Err(error) => Err(error),
    };
    done(service, begun)
}

async fn end<S, B>(service: &Arc<Service>, fill: FillId, request: Request<S>) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send + Unpin,
    B: Buf,
{
    let ended = match message(request.body).await {
        Ok(message) => service.end(fill, message).await,
        Err(error) => Err(error),
    };
    done(service, ended)
}

async fn chunk<S, B>(service: &Arc<Service>, fill: FillId, request: Request<S>) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send + Unpin,
    B: Buf,
{
    let head = match ChunkHead::from_headers(|name| text(&request.headers, name)) {
        Ok(head) => head,
        Err(error) => return failed(service, &error.into()),
    };
    let length = text(&request.headers, CONTENT_LENGTH.as_str()).and_then(|n| n.parse().ok());
    let Some(length) = length.filter(|&n| 0 < n && n <= MAX_CHUNK) else {
        let message = format!("content-length: not between 1 and {MAX_CHUNK}");
        return plain(StatusCode::BAD_REQUEST, message);
    };
    // The memory is taken before the body is read, so that a burst cannot outgrow it.
    let Some(permit) = service.admit(length) else {
        service.refuse(Refusal::Busy, length);
        return stopped(Refusal::Busy);
    };
    let bytes = collect(request.body, usize::try_from(length).unwrap_or(usize::MAX)).await;
    let Some(bytes) = bytes.filter(|bytes| bytes.len() as u64 == length) else {
        return plain(
            StatusCode::BAD_REQUEST,
            "body: cut or longer than announced".to_owned(),
        );
    };
    match service.chunk(fill, head, bytes, permit).await {
        Ok(skip_until) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            if let Some(offset) = skip_until {
                response
                    .headers_mut()
                    .insert(header::SKIP_UNTIL, offset.into());
            }
            response
        }
        Err(refusal) => stopped(refusal),
    }
}

/// A chunk that is not stored. Only a dead generation ends the mirroring; the rest leaves a gap.
fn stopped(refusal: Refusal) -> Response {
    let status = match refusal {
        // Not 5xx: outlier detection would eject a sidecar that serves well.
        Refusal::Busy | Refusal::Full | Refusal::Disk | Refusal::Fragments | Refusal::Turnover => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Refusal::Dead => StatusCode::GONE,
    };
    let mut response = status.into_response();
    if refusal == Refusal::Dead {
        response
            .headers_mut()
            .insert(header::STOP, value(refusal.as_str()));
    }
    response
}

async fn message<S, B, T>(body: S) -> Result<T, Error>
where
    S: Stream<Item = Result<B, warp::Error>> + Unpin,
    B: Buf,
    T: DeserializeOwned,
{
    // A cut or oversized body is no message either.
    let bytes = collect(body, MAX_MESSAGE).await.unwrap_or_default();
    Ok(serde_json::from_slice(&bytes)?)
}

fn done(service: &Service, result: Result<(), Error>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(service, &error),
    }
}

fn failed(service: &Service, error: &Error) -> Response {
    if let Error::Store(error) = error {
        service.metrics.store_failures.inc(error.fault());
    }
    service.alarms.callout(error);
    let status = match error {
        Error::Message(_) | Error::Json(_) | Error::Length(..) => StatusCode::BAD_REQUEST,
        Error::Store(_) | Error::Task(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    plain(status, error.to_string())
}
