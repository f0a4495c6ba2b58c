//! Downloads over REST.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;
use viewcache_protocol::{EntityId, EntityKey};
use warp::reply::{Reply, Response};

use super::entity::rfc3339;
use super::{Problem, blocking, failed};
use crate::service::{Download, Phase, Progress, Refused, Request, Service};
use crate::store::StoreError;

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// Others come first.
    Queued,
    Running,
    /// Something has gone wrong; it is tried again.
    Waiting,
    Paused,
    Complete,
    Failed,
}

#[derive(Debug, Serialize)]
struct Report {
    /// The entity's id.
    id: String,
    key: EntityKey,
    /// Authority, path and query that the origin is asked with.
    url: String,
    status: Status,
    /// Why it waits, or has failed.
    detail: Option<String>,
    complete_length: Option<u64>,
    cached_bytes: u64,
    bytes_per_second: u64,
    /// At this speed it is complete in so many seconds.
    eta_seconds: Option<u64>,
    created_at: String,
    finished_at: Option<String>,
}

impl Report {
    fn new(
        service: &Arc<Service>,
        (id, download, progress): (EntityId, Download, Option<Progress>),
    ) -> Result<Self, StoreError> {
        let (complete_length, cached_bytes) = match service.known(id)? {
            Some(live) => {
                let state = live.state();
                let generation = state.record.generation.as_ref();
                (
                    generation.map(|g| g.complete_length()),
                    state.stored.bytes(),
                )
            }
            None => (None, 0),
        };
        let trouble = progress.and_then(|progress| progress.trouble);
        let running = progress.is_some_and(|progress| progress.running);
        let status = match download.phase {
            Phase::Wanted if running => Status::Running,
            Phase::Wanted if trouble.is_some() => Status::Waiting,
            Phase::Wanted => Status::Queued,
            Phase::Paused => Status::Paused,
            Phase::Complete => Status::Complete,
            Phase::Failed => Status::Failed,
        };
        let bytes_per_second = progress.map_or(0, |progress| progress.bytes_per_second);
        let left = complete_length.map(|length| length.saturating_sub(cached_bytes));
        let detail = match status {
            Status::Waiting => trouble.map(|trouble| trouble.to_string()),
            _ => download.error,
        };
        Ok(Self {
            id: id.to_string(),
            key: download.key,
            url: format!("{}{}", download.origin.authority, download.origin.path),
            status,
            detail,
            complete_length,
            cached_bytes,
            bytes_per_second,
            eta_seconds: left
                .filter(|_| running)
                .and_then(|left| left.checked_div(bytes_per_second)),
            created_at: rfc3339(download.created_at),
            finished_at: download.finished_at.map(rfc3339),
        })
    }
}

pub(super) async fn list(service: Arc<Service>) -> Response {
    let listed = blocking(move || {
        let reports = service.downloads().into_iter();
        let reports = reports.map(|download| Report::new(&service, download));
        let items = reports.collect::<Result<Vec<_>, _>>()?;
        Ok(warp::reply::json(&json!({"items": items, "next": null})).into_response())
    });
    listed.await
}

pub(super) async fn show(id: EntityId, service: Arc<Service>) -> Response {
    blocking(move || report(&service, id, StatusCode::OK)).await
}

pub(super) async fn start(body: Bytes, service: Arc<Service>) -> Response {
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return bad(format!("download: {error}")),
    };
    let started = blocking(move || match service.start_download(request) {
        Ok(id) => {
            let response = report(&service, id, StatusCode::ACCEPTED)?;
            let location = format!("/v1/downloads/{id}");
            Ok(warp::reply::with_header(response, "location", location).into_response())
        }
        Err(Refused::Failed(error)) => Ok(failed(&error)),
        Err(refused @ (Refused::Unknown(_) | Refused::NoUrl(_) | Refused::Full)) => {
            let status = match refused {
                Refused::Unknown(_) => StatusCode::NOT_FOUND,
                _ => StatusCode::CONFLICT,
            };
            Ok(Problem::response(status, refused.to_string()))
        }
        Err(refused) => Ok(bad(refused.to_string())),
    });
    started.await
}

pub(super) async fn pause(id: EntityId, paused: bool, service: Arc<Service>) -> Response {
    let done = blocking(move || match service.pause_download(id, paused)? {
        true => report(&service, id, StatusCode::OK),
        false => Ok(unknown(id)),
    });
    done.await
}

pub(super) async fn cancel(id: EntityId, service: Arc<Service>) -> Response {
    let done = blocking(move || match service.cancel_download(id)? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Ok(unknown(id)),
    });
    done.await
}

fn report(
    service: &Arc<Service>,
    id: EntityId,
    status: StatusCode,
) -> Result<Response, StoreError> {
    let Some(download) = service.download(id) else {
        return Ok(unknown(id));
    };
    let report = Report::new(service, download)?;
    Ok(warp::reply::with_status(warp::reply::json(&report), status).into_response())
}

fn bad(detail: String) -> Response {
    Problem::response(StatusCode::BAD_REQUEST, detail)
}

fn unknown(id: EntityId) -> Response {
    Problem::response(StatusCode::NOT_FOUND, format!("id: {id} is not downloaded"))
}
