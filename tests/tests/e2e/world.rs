//! An origin, a stack in front of it, and viewers that compare every byte.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use e2e::client::{HOST, Request, Response};
use e2e::content::Content;
use e2e::envoy_config::OriginUrl;
use e2e::http1::Head;
use e2e::management;
use e2e::origin::{Origin, Script};
use e2e::poll::until;
use e2e::stack::{Options, Stack};
use serde_json::Value;
use sfv::{List, ListEntry, Parser};
use tempfile::TempDir;

/// How long the cache may take to do something in the background.
pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

pub(crate) struct World {
    pub(crate) origin: Origin,
    pub(crate) stack: Stack,
    /// Where viewers connect if not to Envoy itself.
    pub(crate) front: Option<SocketAddr>,
    /// A folder that is there as long as this.
    pub(crate) keep: Option<TempDir>,
}

/// A response that was read whole and whose bytes are the origin's.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) status: u16,
    pub(crate) cache_status: String,
    pub(crate) head: Head,
    /// Where its bytes are in the content, half-open.
    pub(crate) bytes: (u64, u64),
    pub(crate) waited: Duration,
}

impl View {
    pub(crate) fn is_hit(&self) -> bool {
        parameter(&self.cache_status, "hit")
    }

    /// Checks how it was answered: a parameter of Cache-Status after the other.
    pub(crate) fn expect(&self, status: u16, parameters: &[&str]) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        for expected in parameters {
            assert!(
                parameter(&self.cache_status, expected),
                "no {expected}: {self:?}"
            );
        }
        self
    }
}

/// Whether a Cache-Status of ours has a parameter, alone or with a value.
pub(crate) fn parameter(cache_status: &str, expected: &str) -> bool {
    cache_status
        .split(';')
        .skip(1)
        .map(str::trim)
        .any(|parameter| parameter == expected)
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A world whose stack is started with other options.
    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::before(Origin::start().await.unwrap(), change).await
    }

    /// The same before an origin that runs already.
    pub(crate) async fn before(origin: Origin, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(OriginUrl::http(origin.address()));
        options.concurrency = Some(2);
        change(&mut options);
        let stack = Stack::start(options).await.unwrap();
        Self {
            origin,
            stack,
            front: None,
            keep: None,
        }
    }

    /// Puts a well-behaved entity at a path.
    pub(crate) fn serve(&self, path: &str, length: u64) -> Content {
        let content = Content::new(path, length);
        self.origin.script(path, Script::new(content));
        content
    }

    /// Sends a request; the response is not read yet.
    pub(crate) async fn open(&self, request: &Request) -> Response {
        self.try_open(request).await.unwrap()
    }

    pub(crate) async fn try_open(&self, request: &Request) -> anyhow::Result<Response> {
        open_at(self.front.unwrap_or(self.stack.ingress()), request).await
    }

    /// Views what a request asks for and compares it with the content.
    pub(crate) async fn view(&self, request: &Request, content: Content) -> View {
        self.try_view(request, content).await.unwrap()
    }

    pub(crate) async fn try_view(
        &self,
        request: &Request,
        content: Content,
    ) -> anyhow::Result<View> {
        read(self.try_open(request).await?, content).await
    }

    /// Views, and insists that the origin was not asked at all.
    pub(crate) async fn hit(&self, request: &Request, content: Content) -> View {
        let before = self.origin.seen_at_all().len();
        let view = self.view(request, content).await;
        assert!(view.is_hit(), "{view:?}");
        assert_eq!(
            self.origin.seen_at_all().len(),
            before,
            "a hit was forwarded: {view:?}"
        );
        view
    }

    /// The entity of a path, or the one whose key ends like this, if the first sidecar knows it.
    pub(crate) async fn entity(&self, path: &str) -> Option<Value> {
        let key = match path.starts_with('/') {
            true => format!("generic:http://{HOST}{path}"),
            false => path.to_owned(),
        };
        management::entity(self.stack.manage(0), &key)
            .await
            .unwrap()
    }

    pub(crate) async fn ranges(&self, path: &str) -> Vec<(u64, u64)> {
        match self.entity(path).await {
            Some(entity) => management::ranges(&entity).unwrap(),
            None => Vec::new(),
        }
    }

    /// Waits until exactly these ranges of a path are stored and nothing more is coming.
    pub(crate) async fn stored(&self, path: &str, expected: &[(u64, u64)]) -> Value {
        let mut last = None;
        let found = until("the ranges are stored", SOON, async || {
            last = self.entity(path).await;
            let entity = last.clone()?;
            let ranges = management::ranges(&entity).unwrap();
            (ranges == expected && entity["fills"] == 0).then_some(entity)
        });
        found
            .await
            .unwrap_or_else(|error| panic!("{path}: {expected:?}: {error}; last {last:?}"))
    }

    /// Waits until the report of an entity says this.
    pub(crate) async fn reported(&self, path: &str, field: &str, expected: Value) {
        let mut last = None;
        let found = until(field, SOON, async || {
            last = self.entity(path).await;
            (last.as_ref()?[field] == expected).then_some(())
        });
        if let Err(error) = found.await {
            panic!("{path}: {field} is not {expected}: {error}; {last:?}");
        }
    }

    /// Changes the policy.
    pub(crate) async fn policy(&self, patch: Value) {
        let changed = management::send("PATCH", self.stack.manage(0), "/v1/policy", &patch);
        changed.await.unwrap();
    }

    /// Views again and again until it is a hit.
    pub(crate) async fn becomes_hit(&self, request: &Request, content: Content) {
        let hit = until("it is a hit", SOON, async || {
            self.view(request, content).await.is_hit().then_some(())
        });
        hit.await.unwrap();
    }

    pub(crate) async fn count(&self, counter: &str) -> u64 {
        self.stack.count(counter).await.unwrap()
    }

    /// Waits for a filter counter to be at least this: Envoy adds up its workers' every so often.
    pub(crate) async fn counted(&self, counter: &str, least: u64) {
        let reached = until(counter, SOON, async || {
            (least <= self.count(counter).await).then_some(())
        });
        reached.await.unwrap();
    }

    /// Waits for a sign of life of the filter in every VM: one each for the two workers and the
    /// main thread.
    pub(crate) async fn filter_lives(&self) {
        let before = self.count("heartbeat").await;
        self.counted("heartbeat", before + 4).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        for seen in self.origin.seen_at_all() {
            let ours = seen
                .head
                .fields
                .iter()
                .find(|(name, _)| name.starts_with("x-viewcache"));
            assert!(
                ours.is_none(),
                "reached the origin: {ours:?} in {:?}",
                seen.head
            );
        }
    }
}

/// Sends a request; the response is not read yet.
pub(crate) async fn open_at(ingress: SocketAddr, request: &Request) -> anyhow::Result<Response> {
    let response = request.send(ingress).await?;
    check_head(&response);
    Ok(response)
}

/// Reads a response and compares it with the content.
pub(crate) async fn read(mut response: Response, content: Content) -> anyhow::Result<View> {
    let body = response.rest().await?;
    // A hit was not forwarded: that is checked where there is one viewer, in `World::hit`.
    let start = match response.head.get("content-range") {
        Some(range) if response.status == 206 => first_position(range),
        _ => 0,
    };
    let end = start + body.len() as u64;
    if response.status == 200 || response.status == 206 {
        content.check(start, &body)?;
        let expected = if response.status == 200 {
            content.length()
        } else {
            end
        };
        assert_eq!(end, expected, "a 200 is the whole");
    }
    Ok(View {
        status: response.status,
        cache_status: response.cache_status().to_owned(),
        waited: response.waited,
        head: response.head,
        bytes: (start, end),
    })
}

/// A sidecar's file with these rules, and the folder that it is in.
pub(crate) fn rules(text: &str) -> (PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("viewcache.toml");
    std::fs::write(&file, text).unwrap();
    (file, folder)
}

/// What holds for every response.
fn check_head(response: &Response) {
    let head = &response.head;
    let ours = head
        .fields
        .iter()
        .find(|(name, _)| name.starts_with("x-viewcache"));
    assert!(ours.is_none(), "reached the viewer: {ours:?} in {head:?}");
    let status = response.cache_status();
    assert!(
        status.starts_with("viewcache; "),
        "Cache-Status {status:?} in {head:?}"
    );
    check_members(status);
    assert_eq!(
        head.fields
            .iter()
            .filter(|(name, _)| name == "cache-status")
            .count(),
        1
    );
}

/// A list of tokens or strings with parameters (RFC 9211 section 2, RFC 9651 section 3.1); of ours
/// `hit` and `fwd` exclude each other, and `stored` and `collapsed` go with `fwd`.
fn check_members(status: &str) {
    let list: List = Parser::new(status)
        .parse()
        .unwrap_or_else(|error| panic!("{status}: {error}"));
    let Some(ListEntry::Item(ours)) = list.last() else {
        panic!("{status}: no item")
    };
    assert_eq!(
        ours.bare_item.as_token().map(|t| t.as_str()),
        Some("viewcache")
    );
    let get = |name: &str| ours.params.get(name);
    let token = |name: &str| get(name).is_none_or(|value| value.as_token().is_some());
    let flag = |name: &str| get(name).is_none_or(|value| value.as_boolean() == Some(true));
    let collapsed = get("collapsed").is_none_or(|value| value.as_boolean().is_some());
    let number = |name: &str| get(name).is_none_or(|value| value.as_integer().is_some());
    let forwarded = get("fwd").is_some();
    assert!(forwarded != get("hit").is_some(), "{status}");
    assert!(
        forwarded || get("stored").is_none() && get("collapsed").is_none(),
        "{status}"
    );
    assert!(["fwd", "detail"].into_iter().all(token), "{status}");
    assert!(
        ["hit", "stored"].into_iter().all(flag) && collapsed,
        "{status}"
    );
    assert!(["ttl", "fwd-status"].into_iter().all(number), "{status}");
}

pub(crate) fn first_position(content_range: &str) -> u64 {
    let range = content_range.strip_prefix("bytes ").unwrap();
    range.split('-').next().unwrap().parse().unwrap()
}
