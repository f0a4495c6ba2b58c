//! Statistics over REST.

use super::about::{About, Form, Parameter};
use super::call::{Call, told};
use super::route::{Answer, Route};
use crate::peers::sum;
use crate::service::Stats;

pub(super) fn routes() -> Vec<Route> {
    let about = About::json::<Stats>("stats", "How much is stored, asked for and sent");
    let about = about.asks(QUERY).detail(
        "Of a minute, an hour, a day, and since the process began. \
         Requests and bytes are counted as they come to the sidecar: what passes by is not.",
    );
    vec![Route::get("/v1/stats", show, about)]
}

const QUERY: &[Parameter] = &[Parameter::new(
    "peers",
    Form::Flag,
    "Adds up the figures of this node and of its peers, as far as they answer within \
     `peers.timeout`; `nodes` says which did. Nodes that share a disk count it once each.",
)];

async fn show(call: Call) -> Answer {
    let mut query = call.query()?;
    let peers = query.flag("peers")?.unwrap_or(false);
    query.end()?;
    let own = call.blocking(|service| Ok(service.stats(true))).await?;
    if !peers {
        return told(&own);
    }
    let answers = call.service.peers.ask(&own.instance).await;
    told(&sum(own, answers))
}
