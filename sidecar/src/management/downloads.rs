//! Downloads over REST.

use hyper::StatusCode;
use hyper::header::LOCATION;
use viewcache_protocol::EntityId;
use warp::reply::Reply;

use super::about::{About, CURSOR, Form, Id, LIMIT, Parameter};
use super::body::{Kind, document, meaning};
use super::call::{Call, json, told};
use super::pages::Page;
use super::problem::Problem;
use super::route::{Answer, Route};
use crate::listing::Place;
use crate::report::{Download, DownloadStatus};
use crate::service::{ORDER, Refused, Request};

pub(super) fn routes() -> Vec<Route> {
    let one = |summary| {
        let about = About::json::<Download>(TAG, summary);
        about.of(Id::Entity).fails(&[404])
    };
    let all = About::json::<Page<Download>>(TAG, "Downloads, in the order of their begin");
    let begin = About::json::<Download>(TAG, "Downloads an entity, or goes on with that");
    let begin = begin
        .takes::<Request>()
        .accepts()
        .fails(&[404, 409])
        .detail(
            "All of it is fetched and kept, whether or not anybody watches it. \
         Its id is the entity's.",
        );
    let end = About::nothing(TAG, "Ends a download; what is stored stays");
    let end = end.of(Id::Entity).fails(&[404]);
    let (halt, go_on) = (
        one("Stops a download for now"),
        one("Goes on with a download"),
    );
    vec![
        Route::get("/v1/downloads", list, all.asks(LIST)),
        Route::post("/v1/downloads", start, begin),
        Route::get("/v1/downloads/{id}", show, one("A download")),
        Route::delete("/v1/downloads/{id}", cancel, end),
        Route::post("/v1/downloads/{id}/pause", pause, halt),
        Route::post("/v1/downloads/{id}/resume", resume, go_on),
    ]
}

const TAG: &str = "downloads";

const LIST: &[Parameter] = &[
    LIMIT,
    CURSOR,
    Parameter::new(
        "status",
        Form::One(&[
            "queued", "running", "waiting", "paused", "complete", "failed",
        ]),
        "Only those that are so far.",
    ),
];

async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let limit = query.limit()?;
    let after: Option<Place<EntityId>> = match query.text("cursor") {
        Some(cursor) => {
            let wrong = |error| Problem::refused("cursor", &cursor[..], error);
            Some(Place::parse(&cursor, ORDER).map_err(wrong)?)
        }
        None => None,
    };
    let status: Option<DownloadStatus> = query.read("status")?;
    query.end()?;
    let meant = move |download: &Download| status.is_none_or(|status| status == download.status);
    let listed = call.blocking(move |service| {
        Ok(service.tell_downloads_after(after.as_ref(), limit + 1, meant)?)
    });
    let mut listed = listed.await?;
    let more = limit < listed.len();
    listed.truncate(limit);
    let last = listed.last().filter(|_| more);
    let next = last.map(|(place, _)| place.cursor(ORDER));
    let items = listed.into_iter().map(|(_, download)| download).collect();
    told(&Page { items, next })
}

async fn show(call: Call) -> Answer {
    let id = call.entity()?;
    call.no_query()?;
    told(&report(&call, id).await?)
}

async fn start(mut call: Call) -> Answer {
    call.no_query()?;
    let document = document(&mut call, Kind::Json).await?;
    let started = call.blocking(move |service| {
        let request: Request = meaning(&document)?;
        let id = match service.start_download(request) {
            Ok(id) => id,
            Err(Refused::Failed(error)) => return Err(error.into()),
            Err(refused) => {
                let status = match refused {
                    Refused::Unknown(_) => StatusCode::NOT_FOUND,
                    Refused::NoUrl(_) | Refused::Full => StatusCode::CONFLICT,
                    _ => StatusCode::BAD_REQUEST,
                };
                return Err(Problem::within(&document, refused.to_string()).but(status));
            }
        };
        let download = service.tell_download(id)?.ok_or_else(|| unknown(id))?;
        let location = format!("/v1/downloads/{id}");
        let response = warp::reply::with_header(json(&download), LOCATION, location);
        Ok(warp::reply::with_status(response, StatusCode::ACCEPTED).into_response())
    });
    started.await
}

async fn pause(call: Call) -> Answer {
    set_paused(call, true).await
}

async fn resume(call: Call) -> Answer {
    set_paused(call, false).await
}

async fn set_paused(call: Call, paused: bool) -> Answer {
    let id = call.entity()?;
    call.no_query()?;
    let known = call.blocking(move |service| Ok(service.pause_download(id, paused)?));
    match known.await? {
        true => told(&report(&call, id).await?),
        false => Err(unknown(id)),
    }
}

async fn cancel(call: Call) -> Answer {
    let id = call.entity()?;
    call.no_query()?;
    let known = call.blocking(move |service| Ok(service.cancel_download(id)?));
    match known.await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(unknown(id)),
    }
}

async fn report(call: &Call, id: EntityId) -> Result<Download, Problem> {
    let download = call.blocking(move |service| Ok(service.tell_download(id)?));
    download.await?.ok_or_else(|| unknown(id))
}

fn unknown(id: EntityId) -> Problem {
    Problem::missing(id, "is not downloaded")
}
