//! Videos and channels over REST.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use viewcache_protocol::{EntityId, EntityKey};
use warp::reply::{Reply, Response};

use super::entity::rfc3339;
use super::{Problem, blocking};
use crate::catalogue::{Channel, Mode, Video, is_id, subscriptions};
use crate::pairs::Pair;
use crate::service::Service;
use crate::store::StoreError;

/// The longest list of subscriptions.
pub(super) const MAX_IMPORT: u64 = 8 << 20;

/// Something with its id.
#[derive(Serialize)]
struct Named<'a, T> {
    id: &'a str,
    #[serde(flatten)]
    value: T,
}

#[derive(Serialize)]
struct Details<'a> {
    #[serde(flatten)]
    video: Named<'a, Video>,
    /// Its qualities of which something is stored.
    entities: Vec<String>,
    /// Those that were watched together, the latest first.
    pairs: Vec<Together>,
}

/// Sound and a picture that were watched together.
#[derive(Serialize)]
struct Together {
    video: Half,
    audio: Half,
    last_seen: String,
}

#[derive(Serialize)]
struct Half {
    itag: Option<String>,
    entity: String,
}

impl From<&EntityKey> for Half {
    fn from(key: &EntityKey) -> Self {
        Self {
            itag: key.part("itag").map(str::to_owned),
            entity: key.id().to_string(),
        }
    }
}

impl From<Pair> for Together {
    fn from(pair: Pair) -> Self {
        Self {
            video: (&pair.video).into(),
            audio: (&pair.audio).into(),
            last_seen: rfc3339(pair.last_seen),
        }
    }
}

pub(super) async fn show_video(id: String, service: Arc<Service>) -> Response {
    let found = with_id(id, move |id| {
        let entities = entities(&service, id)?;
        let video = service.video(id)?;
        let known = video.is_some() || !entities.is_empty();
        let pairs = service.pairs(&entities)?.into_iter().map(Into::into);
        Ok(known.then(|| {
            let details = Details {
                video: Named {
                    id,
                    value: video.unwrap_or_default(),
                },
                entities: entities.iter().map(ToString::to_string).collect(),
                pairs: pairs.collect(),
            };
            warp::reply::json(&details).into_response()
        }))
    });
    found.await
}

/// The qualities of a video; one of which no key names a video is its only one.
fn entities(service: &Arc<Service>, id: &str) -> Result<Vec<EntityId>, StoreError> {
    let mut entities = service.entities_of(id)?;
    if let Ok(only) = id.parse()
        && service.known(only)?.is_some()
    {
        entities.push(only);
    }
    Ok(entities)
}

pub(super) async fn put_video(id: String, body: Bytes, service: Arc<Service>) -> Response {
    let video: Video = match read("video", &body) {
        Ok(video) => video,
        Err(detail) => return Problem::response(StatusCode::BAD_REQUEST, detail),
    };
    if let Some(fault) = video.fault() {
        return Problem::response(StatusCode::BAD_REQUEST, fault);
    }
    let set = with_id(id, move |id| {
        service.set_video(id, Some(&video))?;
        let stored = Named { id, value: video };
        Ok(Some(warp::reply::json(&stored).into_response()))
    });
    set.await
}

pub(super) async fn remove_video(id: String, service: Arc<Service>) -> Response {
    let removed = with_id(id, move |id| {
        if service.video(id)?.is_none() {
            return Ok(None);
        }
        service.set_video(id, None)?;
        Ok(Some(StatusCode::NO_CONTENT.into_response()))
    });
    removed.await
}

pub(super) async fn list_channels(service: Arc<Service>) -> Response {
    let channels = service.channels();
    let items = channels.iter().map(|(id, channel)| Named {
        id,
        value: channel.clone(),
    });
    let items: Vec<_> = items.collect();
    warp::reply::json(&json!({"items": items, "next": null})).into_response()
}

pub(super) async fn show_channel(id: String, service: Arc<Service>) -> Response {
    match service.channels().remove(&id) {
        Some(value) => warp::reply::json(&Named { id: &id, value }).into_response(),
        None => unknown(&id),
    }
}

pub(super) async fn put_channel(id: String, body: Bytes, service: Arc<Service>) -> Response {
    let channel: Channel = match read("channel", &body) {
        Ok(channel) => channel,
        Err(detail) => return Problem::response(StatusCode::BAD_REQUEST, detail),
    };
    if let Some(fault) = channel.fault() {
        return Problem::response(StatusCode::BAD_REQUEST, fault);
    }
    let set = with_id(id, move |id| {
        service.set_channels(&[(id, Some(&channel))])?;
        let stored = Named { id, value: channel };
        Ok(Some(warp::reply::json(&stored).into_response()))
    });
    set.await
}

pub(super) async fn remove_channel(id: String, service: Arc<Service>) -> Response {
    let removed = with_id(id, move |id| {
        if !service.channels().contains_key(id) {
            return Ok(None);
        }
        service.set_channels(&[(id, None)])?;
        Ok(Some(StatusCode::NO_CONTENT.into_response()))
    });
    removed.await
}

/// Subscriptions become channels with the mode that the query names; those that are known keep
/// what is said of them.
pub(super) async fn import(query: String, body: Bytes, service: Arc<Service>) -> Response {
    let mode = match query.strip_prefix("mode=") {
        None if query.is_empty() => Mode::Inherit,
        Some("inherit") => Mode::Inherit,
        Some("auto") => Mode::Auto,
        Some("manual") => Mode::Manual,
        _ => {
            let detail =
                format!("query: {query:?} is not \"mode=auto\", \"manual\" or \"inherit\"");
            return Problem::response(StatusCode::BAD_REQUEST, detail);
        }
    };
    let found = match subscriptions(&body) {
        Ok(found) => found,
        Err(error) => return Problem::response(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let known = service.channels();
    let total = found.len();
    let new: Vec<(String, Channel)> = found
        .into_iter()
        .filter(|(id, _)| !known.contains_key(id))
        .map(|(id, title)| {
            let channel = Channel {
                title: title.map(|title| title.chars().take(crate::catalogue::MAX_TITLE).collect()),
                mode,
                ..Channel::default()
            };
            (id, channel)
        })
        .collect();
    let imported = new.len();
    let answer = json!({"imported": imported, "known": total - imported});
    let stored = blocking(move || {
        let changes: Vec<_> = new.iter().map(|(id, c)| (&id[..], Some(c))).collect();
        service.set_channels(&changes)?;
        Ok(warp::reply::json(&answer).into_response())
    });
    stored.await
}

fn read<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("{what}: {error}"))
}

/// Does what blocks with an id that is one; `None` is that it is not known.
async fn with_id(
    id: String,
    act: impl FnOnce(&str) -> Result<Option<Response>, StoreError> + Send + 'static,
) -> Response {
    if !is_id(&id) {
        let detail = format!("id: {id:?} is not 1 to 128 visible characters");
        return Problem::response(StatusCode::BAD_REQUEST, detail);
    }
    blocking(move || Ok(act(&id)?.unwrap_or_else(|| unknown(&id)))).await
}

fn unknown(id: &str) -> Response {
    Problem::response(
        StatusCode::NOT_FOUND,
        format!("id: nothing is known of {id:?}"),
    )
}
