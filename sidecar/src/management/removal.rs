//! Purges and evictions over REST.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use viewcache_protocol::EntityId;

use super::about::About;
use super::body::{Kind, document, given, meaning};
use super::call::{Call, told};
use super::problem::Problem;
use super::route::{Answer, Route};
use crate::error::Error;
use crate::service::{Asked, Filter, Freed, Purged};
use crate::store::millis;

pub(super) fn routes() -> Vec<Route> {
    let purging = About::json::<Purged>("removing", "Removes what one selector names");
    let purging = purging.takes::<Purge>().detail(
        "New requests find nothing of it from then on. \
         A response in flight goes on under its validator.",
    );
    let evicting = About::json::<Freed>("removing", "Makes room");
    let evicting = evicting.takes::<Evict>().detail(
        "What was used least recently goes first, and what is provisional before all else. \
         What is pinned or in use stays.",
    );
    vec![
        Route::post("/v1/purges", purge, purging),
        Route::post("/v1/evictions", evict, evicting),
    ]
}

/// What is to be removed: exactly one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
struct Purge {
    /// The entity of this id.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "String", regex(pattern = r"^[0-9a-fA-F]{32}$"))]
    #[schemars(extend("examples" = ["7f3a0b5c9d2e41687f3a0b5c9d2e4168"]))]
    entity: Option<String>,
    /// The entities of this video.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "String", length(min = 1), extend("examples" = ["dQw4w9WgXcQ"]))]
    video: Option<String>,
    /// The entities of this channel's videos.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "String", length(min = 1), extend("examples" = ["UCabc"]))]
    channel: Option<String>,
    /// The entities whose keys begin so.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "String", length(min = 1), extend("examples" = ["generic:http://media.test/films/"]))]
    prefix: Option<String>,
    /// All entities.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "bool", extend("const" = true))]
    all: Option<bool>,
}

async fn purge(mut call: Call) -> Answer {
    call.no_query()?;
    let document = document(&mut call, Kind::Json).await?;
    let wanted: Purge = meaning(&document)?;
    let named = [
        &wanted.entity,
        &wanted.video,
        &wanted.channel,
        &wanted.prefix,
    ];
    let named = named.into_iter().flatten().count() + usize::from(wanted.all == Some(true));
    if named != 1 || wanted.all == Some(false) {
        let detail = "body: not exactly one of \"entity\", \"video\", \"channel\", \"prefix\" and \
                      \"all\": true";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    if let Some(text) = wanted.entity {
        let wrong = |_| Problem::refused("entity", &text[..], "is not 32 hex digits");
        let id: EntityId = text.parse().map_err(wrong)?;
        let purged = call.blocking(move |service| Ok(service.purge(id)?)).await?;
        return told(&purged.unwrap_or_default());
    }
    let empty = [
        ("video", &wanted.video),
        ("channel", &wanted.channel),
        ("prefix", &wanted.prefix),
    ];
    for (field, value) in empty {
        // A slip of a script must not remove everything.
        if value.as_deref() == Some("") {
            return Err(Problem::refused(field, "", "is empty"));
        }
    }
    let filter = Filter {
        video: wanted.video,
        channel: wanted.channel,
        prefix: wanted.prefix,
        ..Filter::default()
    };
    let purged = call.service.purge_all(filter).await?;
    told(&purged)
}

/// What is to be evicted: one of these, or what both say.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1))]
struct Evict {
    /// So many bytes of disk.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "u64", extend("examples" = [1_048_576]))]
    bytes: Option<u64>,
    /// Segments that were not used for so many seconds.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "u64", extend("examples" = [86_400]))]
    unused_seconds: Option<u64>,
}

async fn evict(mut call: Call) -> Answer {
    call.no_query()?;
    let document = document(&mut call, Kind::Json).await?;
    let wanted: Evict = meaning(&document)?;
    if wanted.bytes.is_none() && wanted.unused_seconds.is_none() {
        let detail = "body: neither \"bytes\" nor \"unused_seconds\"";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let since = |seconds| {
        let since = SystemTime::now().checked_sub(Duration::from_secs(seconds));
        millis(since.unwrap_or(SystemTime::UNIX_EPOCH))
    };
    let mut asked = Asked::new(wanted.bytes, wanted.unused_seconds.map(since));
    // It goes on although nobody waits for it any more.
    let evicting = tokio::spawn(async move {
        let prepare = call.blocking(|service| {
            service.prepare_evictions();
            Ok(())
        });
        prepare.await?;
        while !asked.over {
            let step = call.blocking(move |service| {
                service.evict_asked(&mut asked)?;
                Ok(asked)
            });
            asked = step.await?;
        }
        tracing::info!(?asked.freed, "evicted");
        Ok::<_, Problem>(asked.freed)
    });
    told(&evicting.await.map_err(Error::from)??)
}
