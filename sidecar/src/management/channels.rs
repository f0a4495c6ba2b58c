//! Channels over REST.

use std::time::Duration;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;
use warp::reply::Reply;

use super::about::{About, CURSOR, Form, Id, LIMIT, Parameter};
use super::body::{Kind, document, meaning};
use super::call::{Call, json, told};
use super::edit::{merged, permit, permit_first, tagged};
use super::pages::Page;
use super::problem::Problem;
use super::route::{Answer, Route};
use crate::catalogue::{self, MAX_TITLE, Mode, subscriptions};
use crate::service::{Totals, Walk};

/// The longest list of subscriptions.
const MAX_IMPORT: u64 = 8 << 20;

/// So many entities are added up in one step.
const STEP: usize = 500;

/// After so long a page ends with the channels that it has: the next goes on.
const PATIENCE: Duration = Duration::from_millis(500);

pub(super) fn routes() -> Vec<Route> {
    let all = About::json::<Page<Channel>>(TAG, "Channels, and what their videos take");
    let subscribed = About::json::<Imported>(TAG, "Makes channels of subscriptions");
    let subscribed = subscribed.asks(IMPORT).takes_any().detail(
        "As YouTube, Invidious, NewPipe, FreeTube and Piped export them (OPML, CSV, JSON). \
         Channels that are known already stay as they are.",
    );
    let one = About::json::<Channel>(TAG, "A channel").fails(&[404]);
    let said = |summary| About::json::<Said>(TAG, summary);
    let replaced = said("Says what its videos are worth").takes::<catalogue::Channel>();
    let changed = said("Changes what it names").patches::<catalogue::Channel>();
    let forgotten = About::nothing(TAG, "Forgets what is said of it").fails(&[404]);
    let of = |about: About| about.of(Id::Channel).tagged();
    vec![
        Route::get("/v1/channels", list, all.asks(&[LIMIT, CURSOR])),
        Route::post("/v1/channels/import", import, subscribed),
        Route::get("/v1/channels/{id}", show, of(one)),
        Route::put("/v1/channels/{id}", put, of(replaced)),
        Route::patch("/v1/channels/{id}", patch, of(changed)),
        Route::delete("/v1/channels/{id}", remove, of(forgotten)),
    ]
}

const TAG: &str = "channels";

const IMPORT: &[Parameter] = &[Parameter::new(
    "mode",
    Form::One(&["inherit", "auto", "manual"]),
    "The mode of those that are new.",
)];

/// What has become of subscriptions.
#[derive(Debug, Serialize, JsonSchema)]
struct Imported {
    /// Channels that are new.
    imported: usize,
    /// Those that were known.
    known: usize,
}

/// A channel, and what its videos take.
#[derive(Debug, Serialize, JsonSchema)]
struct Channel {
    #[serde(flatten)]
    said: Said,
    #[serde(flatten)]
    totals: Totals,
}

/// What is said of a channel.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SaidOfChannel")]
struct Said {
    /// Its id.
    #[schemars(example = &"UCabc")]
    id: String,
    #[serde(flatten)]
    said: catalogue::Channel,
}

/// What is told of a channel; `None` when nothing is known of it.
async fn tell(call: &Call, id: String) -> Result<Option<Channel>, Problem> {
    let of = id.clone();
    let known = call.blocking(move |service| Ok(service.known_channel(&of)?));
    let Some(said) = known.await? else {
        return Ok(None);
    };
    let (mut totals, mut walk) = (Totals::default(), Walk::default());
    while !walk.over {
        let of = id.clone();
        let step = call.blocking(move |service| {
            service.add_up(&of, &mut totals, &mut walk, STEP)?;
            Ok((totals, walk))
        });
        (totals, walk) = step.await?;
    }
    Ok(Some(Channel {
        said: Said { id, said },
        totals,
    }))
}

async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let limit = query.limit()?;
    let mut after = query.text("cursor");
    query.end()?;
    let patience = Instant::now() + PATIENCE;
    let mut items: Vec<Channel> = Vec::new();
    let next = loop {
        let from = after.clone();
        let next = call.blocking(move |service| Ok(service.next_channel(from.as_deref())?));
        let Some(id) = next.await? else {
            break None;
        };
        let late = patience <= Instant::now() && !items.is_empty();
        if items.len() == limit || late {
            break after;
        }
        items.extend(tell(&call, id.clone()).await?);
        after = Some(id);
    };
    told(&Page { items, next })
}

async fn show(call: Call) -> Answer {
    let id = call.name()?;
    call.no_query()?;
    let channel = tell(&call, id.clone()).await?;
    let channel = channel.ok_or_else(|| unknown(&id))?;
    Ok(tagged(json(&channel), &channel.said.said))
}

async fn put(mut call: Call) -> Answer {
    let id = call.name()?;
    call.no_query()?;
    let document = document(&mut call, Kind::Json).await?;
    let headers = std::mem::take(&mut call.headers);
    let stored = call.blocking(move |service| {
        let said: catalogue::Channel = meaning(&document)?;
        if let Some(fault) = said.fault() {
            return Err(Problem::within(&document, fault));
        }
        let _editing = service.editing();
        permit_first(&headers, service.channel(&id).as_ref())?;
        service.set_channels(&[(&id, Some(&said))])?;
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
        let now = service.channel(&id);
        permit_first(&headers, now.as_ref())?;
        let document = merged(&now.unwrap_or_default(), patch)?;
        let said: catalogue::Channel = meaning(&document)?;
        if let Some(fault) = said.fault() {
            return Err(Problem::within(&document, fault));
        }
        service.set_channels(&[(&id, Some(&said))])?;
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
        let now = service.channel(&id);
        permit(&headers, now.as_ref())?;
        now.ok_or_else(|| unknown(&id))?;
        service.set_channels(&[(&id, None)])?;
        Ok(StatusCode::NO_CONTENT.into_response())
    });
    removed.await
}

/// Subscriptions become channels with the mode that the query names; those that are known keep
/// what is said of them.
async fn import(mut call: Call) -> Answer {
    let mut query = call.query()?;
    let mode = match query.text("mode").as_deref() {
        None | Some("inherit") => Mode::Inherit,
        Some("auto") => Mode::Auto,
        Some("manual") => Mode::Manual,
        Some(other) => {
            let why = "is not auto, manual or inherit";
            return Err(Problem::refused("mode", other, why));
        }
    };
    query.end()?;
    let body = call.body(Kind::Any, MAX_IMPORT).await?;
    let wrong = |error| Problem::new(StatusCode::BAD_REQUEST, format!("body: {error}"));
    let imported = call.blocking(move |service| {
        let found = subscriptions(&body).map_err(|error| wrong(error.to_string()))?;
        let _editing = service.editing();
        let known = service.channels();
        let total = found.len();
        let new = found.into_iter().filter(|(id, _)| !known.contains_key(id));
        let new: Vec<(String, catalogue::Channel)> = new
            .map(|(id, title)| {
                let channel = catalogue::Channel {
                    title: title.map(|title| title.chars().take(MAX_TITLE).collect()),
                    mode,
                    ..catalogue::Channel::default()
                };
                (id, channel)
            })
            .collect();
        let changes: Vec<_> = new.iter().map(|(id, c)| (&id[..], Some(c))).collect();
        service.set_channels(&changes)?;
        let imported = new.len();
        Ok(Imported {
            imported,
            known: total - imported,
        })
    });
    told(&imported.await?)
}

fn unknown(id: &str) -> Problem {
    Problem::missing(id, "is no channel of which anything is known")
}
