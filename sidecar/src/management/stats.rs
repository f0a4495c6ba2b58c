//! Statistics over REST.

use super::about::About;
use super::call::{Call, told};
use super::route::{Answer, Route};
use crate::service::Stats;

pub(super) fn routes() -> Vec<Route> {
    let about = About::json::<Stats>("stats", "How much is stored, asked for and sent");
    let about = about.detail(
        "Of a minute, an hour, a day, and since the process began. \
         Requests and bytes are counted as they come to the sidecar: what passes by is not.",
    );
    vec![Route::get("/v1/stats", show, about)]
}

async fn show(call: Call) -> Answer {
    call.no_query()?;
    told(&call.blocking(|service| Ok(service.stats(true))).await?)
}
