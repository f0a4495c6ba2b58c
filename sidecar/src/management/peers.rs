//! The other cache nodes over REST: seen, and never changed.

use schemars::JsonSchema;
use serde::Serialize;

use super::about::About;
use super::call::{Call, told};
use super::pages::Page;
use super::route::{Answer, Route};
use crate::peers::Peer;
use crate::service::Stats;

pub(super) fn routes() -> Vec<Route> {
    let about = About::json::<Page<Node>>("stats", "The other cache nodes, asked just now");
    let about = about.detail(
        "Those that the configuration names, each as it answers within `peers.timeout`. \
         One that does not is told of, and keeps nobody waiting for longer.",
    );
    vec![Route::get("/v1/peers", list, about)]
}

/// Another node, and what it has told.
#[derive(Debug, Serialize, JsonSchema)]
struct Node {
    #[serde(flatten)]
    peer: Peer,
    /// Its statistics, all together; null when it is not reachable.
    stats: Option<Stats>,
}

async fn list(call: Call) -> Answer {
    call.no_query()?;
    let answers = call.service.peers.ask(call.service.instance()).await;
    let items = answers.into_iter().map(|answer| Node {
        peer: answer.peer,
        stats: answer.stats.map(|stats| Stats {
            profiles: None,
            channels: None,
            ..stats
        }),
    });
    told(&Page {
        items: items.collect(),
        next: None,
    })
}
