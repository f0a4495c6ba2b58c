//! Entities over REST.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hyper::StatusCode;
use serde::Serialize;
use viewcache_protocol::{ByteRange, EntityId, EntityKey, Profile, Selecting, Validator};
use warp::reply::{Reply, Response};

use super::{Problem, failed};
use crate::catalogue::video_of;
use crate::error::Error;
use crate::service::{History, Purged, Service, Times};
use crate::store::EntityRecord;

/// The items of a page unless `limit` says otherwise.
const PAGE: usize = 100;
/// The most that `limit` may say.
const PAGE_MAX: usize = 1000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Downloading,
    Partial,
    Complete,
    Stale,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum StaleReason {
    /// Its freshness has ended: the origin is asked before it is used.
    Freshness,
    /// The origin refused the last URL that it was asked with: a viewer with a new one is needed.
    ExpiredUrl,
}

#[derive(Debug, Serialize)]
struct Entity {
    id: String,
    profile: Profile,
    key: EntityKey,
    /// The video that it is a quality of.
    video_id: String,
    /// Which quality, if its key says so.
    itag: Option<String>,
    status: Status,
    /// Why it is stale, when it is.
    stale_reason: Option<StaleReason>,
    /// Whether it is not known to be worth keeping.
    provisional: bool,
    pinned: bool,
    complete_length: Option<u64>,
    cached_bytes: u64,
    started_at: String,
    last_accessed: String,
    hits: u64,
    bytes_from_cache: u64,
    bytes_from_origin: u64,
    /// Different bytes that went to some viewer, whoever had them.
    watched_bytes: u64,
    /// How much of it the viewer has watched that has watched most, in percent, until it was found
    /// worth keeping.
    watched_percent: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Details {
    #[serde(flatten)]
    entity: Entity,
    ranges: Vec<ByteRange>,
    generation: Option<String>,
    validators: Vec<Validator>,
    /// What the request had in the fields that the response varies by.
    selecting: Selecting,
    /// The channel that its video belongs to.
    channel: Option<String>,
    fills: usize,
    viewers: usize,
}

#[derive(Debug, Serialize)]
struct Page {
    items: Vec<Entity>,
    next: Option<String>,
}

impl Entity {
    fn new(id: EntityId, record: EntityRecord, cached_bytes: u64, fetching: bool) -> Self {
        let complete_length = record.generation.as_ref().map(|g| g.complete_length());
        let profile = record.key.profile();
        let fresh = record.generation.as_ref().is_some_and(|g| {
            let now = SystemTime::now();
            profile.immutable() || 0 < g.ttl(now)
        });
        let complete = complete_length == Some(cached_bytes);
        let stale_reason = match complete_length {
            Some(_) if !fresh => Some(StaleReason::Freshness),
            // What is complete needs no URL.
            Some(_) if record.url_expired && !complete => Some(StaleReason::ExpiredUrl),
            _ => None,
        };
        let status = if fetching {
            Status::Downloading
        } else if stale_reason.is_some() {
            Status::Stale
        } else if complete {
            Status::Complete
        } else {
            Status::Partial
        };
        Self {
            id: id.to_string(),
            profile,
            video_id: video_of(&record.key),
            itag: record.key.part("itag").map(str::to_owned),
            key: record.key,
            status,
            stale_reason: stale_reason.filter(|_| !fetching),
            provisional: !record.admitted,
            pinned: record.pinned,
            complete_length,
            cached_bytes,
            started_at: rfc3339(record.started_at),
            last_accessed: rfc3339(record.last_accessed),
            hits: record.hits,
            bytes_from_cache: record.bytes_from_cache,
            bytes_from_origin: record.bytes_from_origin,
            watched_bytes: record.watched.bytes(),
            watched_percent: complete_length.map(|length| {
                let percent = u128::from(record.most_watched) * 100 / u128::from(length.max(1));
                u64::try_from(percent).unwrap_or(100)
            }),
        }
    }
}

pub(super) async fn list(query: String, service: Arc<Service>) -> Response {
    let mut limit = PAGE;
    let mut after = None;
    for (name, value) in query.split('&').filter(|pair| !pair.is_empty()).map(split) {
        let valid = match name {
            "limit" => {
                let number = value.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n));
                number.is_some_and(|n| {
                    limit = n;
                    true
                })
            }
            "cursor" => {
                after = value.parse().ok();
                after.is_some()
            }
            _ => false,
        };
        if !valid {
            let detail = format!("{name}: {value:?} is not understood");
            return Problem::response(StatusCode::BAD_REQUEST, detail);
        }
    }
    let page = tokio::task::spawn_blocking(move || service.page(after, limit));
    let page = match page.await.map_err(Error::from).and_then(|page| Ok(page?)) {
        Ok(page) => page,
        Err(error) => return failed(&error),
    };
    let next = page
        .last()
        .filter(|_| page.len() == limit)
        .map(|(id, ..)| id.to_string());
    let items = page
        .into_iter()
        .map(|(id, record, cached_bytes, fetching)| {
            Entity::new(id, record, cached_bytes, fetching)
        });
    warp::reply::json(&Page {
        items: items.collect(),
        next,
    })
    .into_response()
}

pub(super) async fn show(id: EntityId, service: Arc<Service>) -> Response {
    let known = tokio::task::spawn_blocking(move || service.known(id));
    let live = match known.await.map_err(Error::from).and_then(|live| Ok(live?)) {
        Ok(Some(live)) => live,
        Ok(None) => return unknown(id),
        Err(error) => return failed(&error),
    };
    let state = live.state();
    // Asked for, but nothing of it has come.
    if state.record.generation.is_none() && state.leads.is_empty() {
        return unknown(id);
    }
    let record = state.record.clone();
    let profile = record.key.profile();
    let fills = state.leads.underway(Instant::now(), &state.terms);
    let details = Details {
        ranges: state.stored.iter().collect(),
        generation: record
            .generation
            .as_ref()
            .map(|g| g.id(profile).to_string()),
        validators: record
            .generation
            .iter()
            .filter_map(|g| g.identity.validator.clone())
            .collect(),
        selecting: record
            .generation
            .as_ref()
            .map(|g| g.selecting.named(&g.headers))
            .unwrap_or_default(),
        channel: state.channel.clone(),
        fills,
        viewers: state.readers.viewers(),
        entity: Entity::new(id, record, state.stored.bytes(), 0 < fills),
    };
    drop(state);
    warp::reply::json(&details).into_response()
}

/// Why what of it went, or was not stored.
pub(super) async fn history(id: EntityId, service: Arc<Service>) -> Response {
    let Some(History {
        evicted,
        declined,
        not_completed,
    }) = service.history(id)
    else {
        let detail = format!("id: nothing of {id} went, or was not stored, that is remembered");
        return Problem::response(StatusCode::NOT_FOUND, detail);
    };
    let told = |times: BTreeMap<&'static str, Times>| -> BTreeMap<_, _> {
        let told = times.into_iter();
        told.map(|(reason, times)| {
            let last_at = rfc3339(times.last);
            (reason, Happened { times, last_at })
        })
        .collect()
    };
    let history = serde_json::json!({
        "evicted": told(evicted),
        "declined": told(declined),
        "not_completed": told(not_completed),
    });
    warp::reply::json(&history).into_response()
}

/// Something that has happened.
#[derive(Debug, Serialize)]
struct Happened {
    #[serde(flatten)]
    times: Times,
    last_at: String,
}

pub(super) async fn remove(id: EntityId, service: Arc<Service>) -> Response {
    let purged = tokio::task::spawn_blocking(move || service.purge(id));
    match purged
        .await
        .map_err(Error::from)
        .and_then(|purged| Ok(purged?))
    {
        Ok(Some(Purged { entities, bytes })) => {
            let purged = serde_json::json!({"entities": entities, "bytes": bytes});
            warp::reply::json(&purged).into_response()
        }
        Ok(None) => unknown(id),
        Err(error) => failed(&error),
    }
}

/// `PUT` and `DELETE` of an entity's pin.
pub(super) async fn pin(id: EntityId, pinned: bool, service: Arc<Service>) -> Response {
    let done = tokio::task::spawn_blocking(move || service.pin(id, pinned));
    match done.await.map_err(Error::from).and_then(|done| Ok(done?)) {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => unknown(id),
        Err(error) => failed(&error),
    }
}

fn split(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

fn unknown(id: EntityId) -> Response {
    Problem::response(
        StatusCode::NOT_FOUND,
        format!("id: nothing is stored of {id}"),
    )
}

/// Milliseconds since the epoch as RFC 3339 in UTC.
pub(super) fn rfc3339(millis: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    humantime::format_rfc3339_millis(time).to_string()
}
