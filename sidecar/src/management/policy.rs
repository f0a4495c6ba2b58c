//! The policy over REST.

use serde_json::Value;

use super::about::About;
use super::body::{Kind, document, meaning};
use super::call::{Call, json};
use super::edit::{merged, permit, tagged};
use super::problem::Problem;
use super::route::{Answer, Route};
use crate::policy::Policy;

pub(super) fn routes() -> Vec<Route> {
    let about = |summary| About::json::<Policy>("policy", summary).tagged();
    let put = about("Replaces the policy; what is absent has its default");
    let patch_it = about("Changes what it names of the policy; null is the default");
    vec![
        Route::get("/v1/policy", show, about("What is worth keeping")),
        Route::put("/v1/policy", replace, put.takes::<Policy>()),
        Route::patch("/v1/policy", patch, patch_it.patches::<Policy>()),
    ]
}

async fn show(call: Call) -> Answer {
    call.no_query()?;
    let policy = call.service.policy();
    Ok(tagged(json(&*policy), &*policy))
}

/// All of it; what is not there has its default.
async fn replace(mut call: Call) -> Answer {
    let document = document(&mut call, Kind::Json).await?;
    set(call, move |_| Ok(document)).await
}

/// What is there; `null` takes a field back to its default (RFC 7396).
async fn patch(mut call: Call) -> Answer {
    let patch = document(&mut call, Kind::Patch).await?;
    set(call, move |now| merged(now, patch)).await
}

async fn set(
    mut call: Call,
    change: impl FnOnce(&Policy) -> Result<Value, Problem> + Send + 'static,
) -> Answer {
    call.no_query()?;
    let headers = std::mem::take(&mut call.headers);
    let stored = call.blocking(move |service| {
        let _editing = service.editing();
        let now = service.policy();
        permit(&headers, Some(&*now))?;
        let document = change(&now)?;
        let policy: Policy = meaning(&document)?;
        let wrong =
            |error: crate::policy::PolicyError| Problem::within(&document, error.to_string());
        policy.check().map_err(wrong)?;
        service.set_policy(policy)?;
        let policy = service.policy();
        Ok(tagged(json(&*policy), &*policy))
    });
    stored.await
}
