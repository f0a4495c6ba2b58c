//! Entities over REST.

use std::collections::BTreeMap;
use std::time::SystemTime;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;
use viewcache_protocol::{ByteRange, EntityId};
use warp::reply::Reply;

use super::about::{About, COVERAGE, CURSOR, Form, Id, LIMIT, Parameter, SORT};
use super::call::{Call, told};
use super::pages::{Entities, Page, Wanted, page};
use super::problem::Problem;
use super::route::{Answer, Route};
use crate::coverage::{Coverage, MAX_BUCKETS};
use crate::report::{Details, Entity, Imported, Present, rfc3339};
use crate::service::{Filter, History, Purged, Times, Walk, filling, reading};

/// Into so many parts a coverage is divided unless `buckets` says otherwise.
const BUCKETS: u32 = 256;

/// And in lists, at the most.
pub(super) const MAX_LISTED: u32 = 256;

pub(super) fn routes() -> Vec<Route> {
    let all = About::json::<Page<Entity>>(TAG, "What is stored").asks(LIST);
    let one = About::json::<Details>(TAG, "An entity, with its stored ranges");
    let purge = About::json::<Purged>(TAG, "Removes an entity, with all that is stored of it");
    let parts = About::json::<CoverageReport>(TAG, "How much of each part is stored");
    let parts = parts.asks(BUCKETS_OF);
    let told = About::json::<HistoryReport>(TAG, "Why what of it went or was not stored");
    let told = told.detail("Of the last 20,000 entities, since the process began.");
    let keep = About::nothing(TAG, "Keeps an entity whatever the room");
    let release = About::nothing(TAG, "Keeps it so no longer");
    let of = |about: About| about.of(Id::Entity).fails(&[404]);
    vec![
        Route::get("/v1/entities", list, all),
        Route::get("/v1/entities/{id}", show, of(one)),
        Route::delete("/v1/entities/{id}", remove, of(purge)),
        Route::get("/v1/entities/{id}/coverage", coverage, of(parts)),
        Route::get("/v1/entities/{id}/history", history, of(told)),
        Route::put("/v1/entities/{id}/pin", pin, of(keep)),
        Route::delete("/v1/entities/{id}/pin", unpin, of(release)),
    ]
}

const TAG: &str = "entities";

const LIST: &[Parameter] = &[
    LIMIT,
    CURSOR,
    SORT,
    COVERAGE,
    Parameter::new("video", Form::Text("dQw4w9WgXcQ"), "Only this video's."),
    Parameter::new(
        "channel",
        Form::Text("UCabc"),
        "Only those of this channel's videos.",
    ),
    Parameter::new("itag", Form::Text("22"), "Only of this quality."),
    Parameter::new(
        "status",
        Form::One(&["downloading", "partial", "complete", "stale"]),
        "Only those that stand so.",
    ),
    Parameter::new(
        "provisional",
        Form::Flag,
        "Only those that are not known to be worth keeping, or are.",
    ),
    Parameter::new(
        "pinned",
        Form::Flag,
        "Only those that the operator keeps, or not.",
    ),
    Parameter::new("profile", Form::Text("generic"), "Only this profile's."),
    Parameter::new(
        "prefix",
        Form::Text("generic:http://"),
        "Only those whose keys begin so.",
    ),
];

const BUCKETS_OF: &[Parameter] = &[Parameter::new(
    "buckets",
    Form::Number(MAX_BUCKETS),
    "Into how many parts it is divided; 256 unless it is said, and no more than it has bytes.",
)];

async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let wanted = Wanted::of(&mut query)?;
    let buckets = query.number("coverage", MAX_LISTED)?;
    let filter = Filter {
        video: query.text("video"),
        channel: query.text("channel"),
        itag: query.text("itag"),
        status: query.read("status")?,
        provisional: query.flag("provisional")?,
        pinned: query.flag("pinned")?,
        profile: query.text("profile"),
        prefix: query.text("prefix"),
    };
    query.end()?;
    let listed = Entities {
        filter,
        walk: Walk::default(),
    };
    let (ids, next) = page(&call, listed, wanted).await?;
    let items = call.blocking(move |service| Ok(service.tell_entities(&ids, buckets)?));
    told(&Page::<Entity> {
        items: items.await?,
        next,
    })
}

async fn show(call: Call) -> Answer {
    let id = call.entity()?;
    call.no_query()?;
    let live = call.blocking(move |service| Ok(service.known(id)?)).await?;
    let live = live.ok_or_else(|| unknown(id))?;
    let state = live.state();
    // Asked for, but nothing of it has come.
    if state.record.generation.is_none() && state.leads.is_empty() {
        return Err(unknown(id));
    }
    let record = state.record.clone();
    let generation = record.generation.as_ref();
    let profile = record.key.profile();
    let present = Present {
        cached_bytes: state.stored.bytes(),
        channel: state.channel.clone(),
        ..state.doings(Instant::now())
    };
    let details = Details {
        ranges: state.stored.iter().collect(),
        generation: generation.map(|g| g.id(profile).to_string()),
        validators: generation
            .and_then(|g| g.identity.validator.clone())
            .into_iter()
            .collect(),
        imported: generation
            .and_then(|g| g.original.clone())
            .map(Imported::from),
        selecting: generation
            .map(|g| g.selecting.named(&g.headers))
            .unwrap_or_default(),
        fills: present.fills,
        entity: Entity::new(id, record, present, SystemTime::now()),
    };
    drop(state);
    told(&details)
}

/// How much of each part of an entity is stored, and what is done with it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Coverage")]
struct CoverageReport {
    /// Its length in bytes, once a response has told it.
    complete_length: Option<u64>,
    /// How many of its bytes are stored.
    cached_bytes: u64,
    /// Into how many parts it is divided: no more than it has bytes.
    buckets: usize,
    /// One hexadecimal digit for each part: 0 when nothing of it is stored, f when all of it is.
    #[schemars(example = &"ffffffff50000000")]
    stored: String,
    /// What transfers are still to bring, half-open.
    #[schemars(with = "Vec<(u64, u64)>")]
    filling: Vec<ByteRange>,
    /// Where its viewers are.
    reading: Vec<u64>,
}

async fn coverage(call: Call) -> Answer {
    let id = call.entity()?;
    let mut query = call.query()?;
    let buckets = query.number("buckets", MAX_BUCKETS)?.unwrap_or(BUCKETS);
    query.end()?;
    let report = call.blocking(move |service| {
        let live = service.known(id)?.ok_or_else(|| unknown(id))?;
        let state = live.state();
        if state.record.generation.is_none() && state.leads.is_empty() {
            return Err(unknown(id));
        }
        let generation = state.record.generation.as_ref();
        let complete_length = generation.map(|g| g.complete_length());
        let coverage = Coverage::of(&state.stored, complete_length.unwrap_or(0), buckets);
        Ok(CoverageReport {
            complete_length,
            cached_bytes: state.stored.bytes(),
            buckets: coverage.buckets(),
            stored: coverage.digits(),
            filling: filling(&state),
            reading: reading(&state),
        })
    });
    told(&report.await?)
}

/// Something that has happened.
#[derive(Debug, Serialize, JsonSchema)]
struct Happened {
    #[serde(flatten)]
    times: Times,
    /// When it last happened.
    last_at: String,
}

/// Why what of an entity went, or was not stored, by reason.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "History")]
struct HistoryReport {
    /// Segments that were evicted.
    evicted: BTreeMap<&'static str, Happened>,
    /// Responses that were not stored.
    declined: BTreeMap<&'static str, Happened>,
    /// Times that it was worth completing and was not.
    not_completed: BTreeMap<&'static str, Happened>,
}

async fn history(call: Call) -> Answer {
    let id = call.entity()?;
    call.no_query()?;
    let Some(History {
        evicted,
        declined,
        not_completed,
    }) = call.service.history(id)
    else {
        let why = "is not among those of which something went, or was not stored, of late";
        return Err(Problem::missing(id, why));
    };
    let happened = |times: BTreeMap<&'static str, Times>| {
        let happened = times.into_iter().map(|(reason, times)| {
            let last_at = rfc3339(times.last);
            (reason, Happened { times, last_at })
        });
        happened.collect()
    };
    told(&HistoryReport {
        evicted: happened(evicted),
        declined: happened(declined),
        not_completed: happened(not_completed),
    })
}

async fn remove(call: Call) -> Answer {
    let id = call.entity()?;
    call.no_query()?;
    let purged = call.blocking(move |service| Ok(service.purge(id)?)).await?;
    told(&purged.ok_or_else(|| unknown(id))?)
}

async fn pin(call: Call) -> Answer {
    set_pin(call, true).await
}

async fn unpin(call: Call) -> Answer {
    set_pin(call, false).await
}

async fn set_pin(call: Call, pinned: bool) -> Answer {
    let id = call.entity()?;
    call.no_query()?;
    let known = call.blocking(move |service| Ok(service.pin(id, pinned)?));
    match known.await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(unknown(id)),
    }
}

fn unknown(id: EntityId) -> Problem {
    Problem::missing(id, "is no entity of which anything is stored")
}
