//! Videos over REST.

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use viewcache_protocol::EntityKey;
use warp::reply::Reply;

use super::about::{About, COVERAGE, CURSOR, Form, Id, LIMIT, Parameter, SORT};
use super::body::{Kind, document, meaning};
use super::call::{Call, json, told};
use super::edit::{merged, permit, permit_first, tagged};
use super::entities::MAX_LISTED;
use super::pages::{Page, Videos, Wanted, page};
use super::problem::Problem;
use super::route::{Answer, Route};
use crate::catalogue;
use crate::pairs::Pair;
use crate::report::{Entity, Video, rfc3339};
use crate::service::{VideoFilter, VideoWalk};

pub(super) fn routes() -> Vec<Route> {
    let all = About::json::<Page<Video>>(TAG, "Videos: their entities together").asks(LIST);
    let one = About::json::<Details>(TAG, "A video, with its entities").fails(&[404]);
    let said = |summary| About::json::<Said>(TAG, summary);
    let replaced = said("Says something of a video").takes::<catalogue::Video>();
    let changed = said("Changes what it names").patches::<catalogue::Video>();
    let forgotten = About::nothing(TAG, "Forgets what is said of it; what is stored stays");
    let of = |about: About| about.of(Id::Video).tagged();
    vec![
        Route::get("/v1/videos", list, all),
        Route::get("/v1/videos/{id}", show, of(one.asks(&[COVERAGE]))),
        Route::put("/v1/videos/{id}", put, of(replaced)),
        Route::patch("/v1/videos/{id}", patch, of(changed)),
        Route::delete("/v1/videos/{id}", remove, of(forgotten.fails(&[404]))),
    ]
}

const TAG: &str = "videos";

const LIST: &[Parameter] = &[
    LIMIT,
    CURSOR,
    SORT,
    COVERAGE,
    Parameter::new("channel", Form::Text("UCabc"), "Only this channel's."),
    Parameter::new(
        "search",
        Form::Text("film"),
        "Only those in whose id or title this is.",
    ),
];

async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let wanted = Wanted::of(&mut query)?;
    let buckets = query.number("coverage", MAX_LISTED)?;
    let filter = VideoFilter {
        channel: query.text("channel"),
        search: query.text("search").map(|search| search.to_lowercase()),
    };
    query.end()?;
    let listed = Videos {
        filter,
        walk: VideoWalk::default(),
    };
    let (ids, next) = page(&call, listed, wanted).await?;
    let items = call.blocking(move |service| {
        let told = ids.iter().map(|id| service.tell_video(id, buckets));
        let told = told.collect::<Result<Vec<_>, _>>()?;
        Ok(told.into_iter().flatten().map(|(video, _)| video).collect())
    });
    told(&Page::<Video> {
        items: items.await?,
        next,
    })
}

/// A video with its entities.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "VideoDetails")]
struct Details {
    /// The same as in lists.
    #[serde(flatten)]
    video: Video,
    /// Its entities; of very many, the first.
    entities: Vec<Entity>,
    /// Those that were watched together, the latest first.
    pairs: Vec<Together>,
}

/// Sound and a picture that were watched together.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Pair")]
struct Together {
    /// The picture's entity.
    video: Half,
    /// The sound's.
    audio: Half,
    /// When that was, last.
    last_seen: String,
}

/// One of the two.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PairHalf")]
struct Half {
    /// Its quality.
    itag: Option<String>,
    /// Its id.
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

/// What is said of a video.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SaidOfVideo")]
struct Said {
    /// Its id.
    #[schemars(example = &"dQw4w9WgXcQ")]
    id: String,
    #[serde(flatten)]
    said: catalogue::Video,
}

async fn show(call: Call) -> Answer {
    let id = call.name()?;
    let mut query = call.query()?;
    let buckets = query.number("coverage", MAX_LISTED)?;
    query.end()?;
    let shown = call.blocking(move |service| {
        let (video, ids) = service
            .tell_video(&id, buckets)?
            .ok_or_else(|| unknown(&id))?;
        let entities = service.tell_entities(&ids, buckets)?;
        let pairs = service.pairs(&ids)?.into_iter().map(Into::into);
        let said = service.video(&id)?.unwrap_or_default();
        let details = Details {
            video,
            entities,
            pairs: pairs.collect(),
        };
        Ok(tagged(json(&details), &said))
    });
    shown.await
}

async fn put(mut call: Call) -> Answer {
    let id = call.name()?;
    call.no_query()?;
    let document = document(&mut call, Kind::Json).await?;
    let headers = std::mem::take(&mut call.headers);
    let stored = call.blocking(move |service| {
        let said: catalogue::Video = meaning(&document)?;
        if let Some(fault) = said.fault() {
            return Err(Problem::within(&document, fault));
        }
        let _editing = service.editing();
        permit_first(&headers, service.video(&id)?.as_ref())?;
        service.set_video(&id, Some(&said))?;
        let response = json(&Said {
            id,
            said: said.clone(),
        });
        Ok(tagged(response, &said))
    });
    stored.await
}

async fn patch(mut call: Call) -> Answer {
    let id = call.name()?;
    call.no_query()?;
    let patch = document(&mut call, Kind::Patch).await?;
    let headers = std::mem::take(&mut call.headers);
    let stored = call.blocking(move |service| {
        let _editing = service.editing();
        let now = service.video(&id)?;
        permit_first(&headers, now.as_ref())?;
        let document = merged(&now.unwrap_or_default(), patch)?;
        let said: catalogue::Video = meaning(&document)?;
        if let Some(fault) = said.fault() {
            return Err(Problem::within(&document, fault));
        }
        service.set_video(&id, Some(&said))?;
        let response = json(&Said {
            id,
            said: said.clone(),
        });
        Ok(tagged(response, &said))
    });
    stored.await
}

async fn remove(mut call: Call) -> Answer {
    let id = call.name()?;
    call.no_query()?;
    let headers = std::mem::take(&mut call.headers);
    let removed = call.blocking(move |service| {
        let _editing = service.editing();
        let now = service.video(&id)?;
        permit(&headers, now.as_ref())?;
        now.ok_or_else(|| unknown(&id))?;
        service.set_video(&id, None)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    });
    removed.await
}

fn unknown(id: &str) -> Problem {
    Problem::missing(id, "is no video of which anything is known")
}
