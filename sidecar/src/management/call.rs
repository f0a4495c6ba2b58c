//! A request to the management port.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::HeaderMap;
use serde::Serialize;
use viewcache_protocol::EntityId;
use warp::reply::{Reply, Response};

use super::body::{Body, Kind};
use super::pages::Scans;
use super::problem::Problem;
use super::query::Query;
use super::route::Answer;
use crate::catalogue::{MAX_ID, is_id};
use crate::error::Error;
use crate::service::Service;

/// A request.
pub(super) struct Call {
    pub(super) service: Arc<Service>,
    /// How many may look at everything at once.
    pub(super) scans: Scans,
    /// Those of the path, decoded.
    pub(super) parameters: Vec<String>,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

impl Call {
    /// The entity or download that the path names.
    pub(super) fn entity(&self) -> Result<EntityId, Problem> {
        let text = self.parameters.first().map_or("", |text| text);
        let wrong = |_| Problem::refused("id", text, "is not 32 hex digits");
        text.parse().map_err(wrong)
    }

    /// The import that the path names.
    pub(super) fn number(&self) -> Result<u64, Problem> {
        let text = self.parameters.first().map_or("", |text| text);
        let wrong = |_| Problem::refused("id", text, "is not a number");
        text.parse().map_err(wrong)
    }

    /// The video or channel that the path names.
    pub(super) fn name(&self) -> Result<String, Problem> {
        let text = self.parameters.first().map_or("", |text| text);
        match is_id(text) {
            true => Ok(text.to_owned()),
            false => {
                let why = format!("is not 1 to {MAX_ID} visible characters without / ? and #");
                Err(Problem::refused("id", text, why))
            }
        }
    }

    /// What the query says.
    pub(super) fn query(&self) -> Result<Query, Problem> {
        Query::parse(&self.query)
    }

    /// Refuses a query where there is nothing to ask.
    pub(super) fn no_query(&self) -> Result<(), Problem> {
        self.query()?.end()
    }

    /// The body, of a kind and no longer than `most`.
    pub(super) async fn body(&mut self, kind: Kind, most: u64) -> Result<Bytes, Problem> {
        super::body::read(&self.headers, &mut self.body, kind, most).await
    }

    /// Does what blocks.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Arc<Service>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let service = Arc::clone(&self.service);
        let done = tokio::task::spawn_blocking(move || act(&service)).await;
        done.map_err(Error::from)?
    }
}

/// An answer in JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    warp::reply::json(value).into_response()
}

/// The same, as what comes of a call.
pub(super) fn told(value: &impl Serialize) -> Answer {
    Ok(json(value))
}
