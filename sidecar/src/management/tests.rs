//! Every route, asked as over HTTP, with a real data folder behind it.

mod editing;
mod imports;
mod listing;
mod refusals;
mod removing;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use hyper::HeaderMap;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;
use viewcache_protocol::{
    Begin, ByteRange, ChunkHead, DecideRequest, Decision, End, EntityKey, Generation, Outcome,
    Profile, Validator, Wanted,
};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::{Reply, Response};

use super::routes;
use crate::config::{Config, Written};
use crate::service::Service;

/// A sidecar without its listeners.
pub(super) struct World {
    service: Arc<Service>,
    routes: BoxedFilter<(Response,)>,
    _dir: TempDir,
}

/// What came back.
pub(super) struct Got {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(super) fn field(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The problem that it is.
    pub(super) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:?}", self.body);
        assert_eq!(self.field("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        problem
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    fn with(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let args = ["x", "--data-dir", dir.path().to_str().unwrap()];
        let written = Written::try_parse_from([&args, flags].concat()).unwrap();
        let service = Service::open(&Config::new(written).unwrap()).unwrap();
        let routes = routes(Arc::clone(&service)).map(Reply::into_response);
        Self {
            service,
            routes: never_rejects(routes),
            _dir: dir,
        }
    }

    async fn ask(&self, request: warp::test::RequestBuilder) -> Got {
        let response = request.reply(&self.routes).await;
        let (head, body) = response.into_parts();
        Got {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Got {
        self.ask(warp::test::request().path(path)).await
    }

    pub(super) async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        let request = warp::test::request().path(path);
        let with = |request: warp::test::RequestBuilder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        self.ask(fields.iter().fold(request, with)).await
    }

    pub(super) async fn call(&self, method: &str, path: &str) -> Got {
        self.ask(warp::test::request().method(method).path(path))
            .await
    }

    /// A call with a JSON body and header fields.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        fields: &[(&str, &str)],
    ) -> Got {
        let mut request = warp::test::request()
            .method(method)
            .path(path)
            .header("content-type", "application/json")
            .body(body.to_string());
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.ask(request).await
    }

    /// Has `start..end` of a body of `length` stored, as when it was mirrored. Its key comes back.
    async fn store(
        &self,
        profile: Profile,
        rest: &str,
        length: u64,
        range: (u64, u64),
    ) -> EntityKey {
        let key = EntityKey::new(profile, rest).unwrap();
        let range = ByteRange::new(range.0, range.1).unwrap();
        let wanted = Wanted {
            key: key.clone(),
            range: Some(
                format!("{}-{}", range.start(), range.end() - 1)
                    .parse()
                    .unwrap(),
            ),
            parts: Vec::new(),
            range_in_query: false,
            complete_length: None,
            viewer: "someone".to_owned(),
            origin_path: None,
        };
        let decision = self
            .service
            .decide(DecideRequest::from(wanted))
            .await
            .unwrap();
        let Decision::Miss {
            grant: Some(grant), ..
        } = decision
        else {
            panic!("no grant but {decision:?}")
        };
        let generation = Generation {
            validator: Some(Validator::Etag("\"v1\"".to_owned())),
            complete_length: length,
        };
        let id = generation.id(profile, "");
        let begin = Begin {
            key: key.clone(),
            generation,
            range,
            headers: vec![("cache-control".to_owned(), "max-age=600".to_owned())],
            selecting: Default::default(),
            open_ended: false,
            origin: None,
        };
        self.service.begin(grant.fill, begin).await.unwrap();
        let head = ChunkHead {
            entity: key.id(),
            generation: id,
            offset: range.start(),
        };
        let bytes = Bytes::from(vec![7; usize::try_from(range.len()).unwrap()]);
        let permit = self.service.admit(range.len()).unwrap();
        let chunk = self.service.chunk(grant.fill, head, bytes, permit).await;
        chunk.unwrap();
        let end = End {
            key: key.clone(),
            viewer: "someone".to_owned(),
            delivered: Some(range),
            outcome: Outcome::Complete,
        };
        self.service.end(grant.fill, end).await.unwrap();
        // One viewer has seen so much of it.
        if length <= 10 * range.len() {
            let live = self.service.live(&key).await.unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            while !live.state().record.admitted {
                assert!(Instant::now() < deadline, "{key} is not admitted");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        key
    }

    /// A quality of a video, all of it.
    pub(super) async fn quality(&self, video: &str, itag: u32, length: u64) -> String {
        let rest = format!("v={video}&itag={itag}&clen={length}");
        let key = self.store(Profile::Youtube, &rest, length, (0, length));
        key.await.id().to_string()
    }

    async fn cached(&self, id: &str) -> Value {
        self.get(&format!("/v1/entities/{id}")).await.json()["cached_bytes"].clone()
    }
}

fn never_rejects(
    filter: impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
) -> BoxedFilter<(Response,)> {
    filter.boxed()
}

/// The values of a member of all items.
fn members(page: &Value, name: &str) -> Vec<Value> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item[name].clone()).collect()
}
