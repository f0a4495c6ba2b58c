//! Imports over REST.

use hyper::StatusCode;
use hyper::header::LOCATION;
use warp::reply::Reply;

use super::about::{About, CURSOR, Form, Id, LIMIT, Parameter};
use super::body::{Kind, document, meaning};
use super::call::{Call, json, told};
use super::pages::Page;
use super::problem::Problem;
use super::route::{Answer, Route};
use crate::imports::{OUTCOMES, Outcome, REASONS, Request, Told};
use crate::report::{Import, ImportStatus, ImportedFile};
use crate::service::ImportRefused;

pub(super) fn routes() -> Vec<Route> {
    let all =
        About::json::<Page<Import>>(TAG, "Imports, in the order in which they were asked for");
    let begin = About::json::<Import>(TAG, "Imports files that were downloaded before");
    let begin = begin
        .takes::<Request>()
        .accepts()
        .fails(&[403, 409])
        .detail(
            "Files below `folder` whose paths `pattern` fits become entities, complete and kept. \
             They are only ever read, and not copied where the file system lets them share their \
             blocks or have two names. It is done in the background, one import after another.",
        );
    let one = About::json::<Import>(TAG, "An import").of(Id::Import);
    let end = About::nothing(TAG, "Ends an import; what is stored stays").of(Id::Import);
    let files = About::json::<Page<ImportedFile>>(TAG, "What became of the files of an import");
    let files = files.of(Id::Import).asks(FILES).detail(
        "Since the sidecar was started; of the first 100,000 files of all imports together.",
    );
    vec![
        Route::get("/v1/imports", list, all.asks(LIST)),
        Route::post("/v1/imports", start, begin),
        Route::get("/v1/imports/{id}", show, one.fails(&[404])),
        Route::delete("/v1/imports/{id}", cancel, end.fails(&[404])),
        Route::get("/v1/imports/{id}/files", list_files, files.fails(&[404])),
    ]
}

const TAG: &str = "imports";

const LIST: &[Parameter] = &[
    LIMIT,
    CURSOR,
    Parameter::new(
        "status",
        Form::One(&["queued", "running", "complete", "failed"]),
        "Only those that are so far.",
    ),
];

const FILES: &[Parameter] = &[
    LIMIT,
    CURSOR,
    Parameter::new(
        "outcome",
        Form::One(&OUTCOMES),
        "Only files of which this became.",
    ),
    Parameter::new(
        "reason",
        Form::One(&REASONS),
        "Only files that were left alone for this.",
    ),
];

async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let limit = query.limit()?;
    let after: u64 = query.read("cursor")?.unwrap_or(0);
    let status: Option<ImportStatus> = query.read("status")?;
    query.end()?;
    let all = call.service.imports().into_iter();
    let after = all.filter(|report| after < report.id).map(Import::from);
    let meant = after.filter(|import| status.is_none_or(|status| status == import.status));
    let mut items: Vec<Import> = meant.take(limit + 1).collect();
    let more = limit < items.len();
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.id.clone());
    told(&Page { items, next })
}

async fn show(call: Call) -> Answer {
    let id = call.number()?;
    call.no_query()?;
    told(&report(&call, id)?)
}

async fn start(mut call: Call) -> Answer {
    call.no_query()?;
    let document = document(&mut call, Kind::Json).await?;
    let started = call.blocking(move |service| {
        let request: Request = meaning(&document)?;
        let id = match service.start_import(request) {
            Ok(id) => id,
            Err(ImportRefused::Store(error)) => return Err(error.into()),
            Err(refused) => {
                let status = match &refused {
                    ImportRefused::Full => StatusCode::CONFLICT,
                    // Whose folder it is, is for the operator's configuration to say.
                    refused if refused.is_forbidden() => StatusCode::FORBIDDEN,
                    _ => StatusCode::BAD_REQUEST,
                };
                return Err(Problem::within(&document, refused.to_string()).but(status));
            }
        };
        Ok(id)
    });
    let id = started.await?;
    let location = format!("/v1/imports/{id}");
    let response = warp::reply::with_header(json(&report(&call, id)?), LOCATION, location);
    Ok(warp::reply::with_status(response, StatusCode::ACCEPTED).into_response())
}

async fn cancel(call: Call) -> Answer {
    let id = call.number()?;
    call.no_query()?;
    let known = call.blocking(move |service| Ok(service.cancel_import(id)?));
    match known.await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(unknown(id)),
    }
}

/// What became of each file: all, or those with one outcome or reason.
async fn list_files(call: Call) -> Answer {
    let id = call.number()?;
    let mut query = call.query()?;
    let limit = query.limit()?;
    let after: usize = query.read("cursor")?.unwrap_or(0);
    let mut one_of = |name: &str, known: &[&str]| match query.text(name) {
        Some(text) if !known.contains(&&text[..]) => {
            let why = format!("is not among {}", known.join(", "));
            Err(Problem::refused(name, text, why))
        }
        text => Ok(text),
    };
    let outcome = one_of("outcome", &OUTCOMES)?;
    let reason = one_of("reason", &REASONS)?;
    query.end()?;
    let meant = |told: &Told| {
        let came_to = outcome
            .as_ref()
            .is_none_or(|text| text == told.outcome.as_str());
        let because = reason.as_ref().is_none_or(|text| match &told.outcome {
            Outcome::Skipped(skip) => text == skip.reason.as_str(),
            _ => false,
        });
        came_to && because
    };
    let files = call.service.import_files(id, after, limit + 1, meant);
    let mut files = files.ok_or_else(|| unknown(id))?;
    let more = limit < files.len();
    files.truncate(limit);
    let last = files.last().filter(|_| more);
    let next = last.map(|(place, _)| (place + 1).to_string());
    let items = files.into_iter().map(|(_, told)| told.into()).collect();
    told(&Page::<ImportedFile> { items, next })
}

fn report(call: &Call, id: u64) -> Result<Import, Problem> {
    let report = call.service.import(id).ok_or_else(|| unknown(id))?;
    Ok(report.into())
}

fn unknown(id: u64) -> Problem {
    Problem::missing(id, "is no import that is remembered")
}
