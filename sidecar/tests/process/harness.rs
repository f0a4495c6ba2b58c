//! A sidecar in this process, spoken to over HTTP.

mod filter;
mod running;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use viewcache_protocol::{
    Begin, ByteRange, Decision, EntityKey, Generation, Profile, Validator, Wanted,
};
use viewcache_sidecar::Listener;
use viewcache_sidecar::config::{Config, DataListen, Written};
use viewcache_sidecar::store::{self, Problem, Report, StoreError};

use crate::listening::Listening;
pub(crate) use running::Running;

/// A hit of which the filter may not conclude that the next request is one.
pub(crate) const HIT: Decision = Decision::Hit { remember_ms: None };
/// One of which it may, for as long as possible.
pub(crate) const MEMORABLE_HIT: Decision = Decision::Hit {
    remember_ms: Some(10_000),
};

pub(crate) struct Sidecar {
    data: SocketAddr,
    manage: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
    client: Client<HttpConnector, Full<Bytes>>,
    /// What is shown to the data port.
    pub(crate) secret: Option<&'static str>,
    /// And to the management port.
    pub(crate) token: Option<&'static str>,
}

/// What a routed request got.
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The bytes, and whether the body ended as it should.
    pub(crate) body: Vec<u8>,
    pub(crate) whole: bool,
}

impl Got {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A response's body, read bit by bit.
pub(crate) struct Viewer(Incoming);

impl Viewer {
    /// At least so many bytes, or all that there are.
    pub(crate) async fn read(&mut self, at_least: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < at_least
            && let Some(frame) = self.0.frame().await
        {
            bytes.extend_from_slice(&frame.expect("the body was cut").into_data().unwrap());
        }
        bytes
    }
}

/// What `check` finds in the folder of a sidecar that has just been stopped: what it was doing last
/// in this process may end a moment later.
pub(crate) async fn check(dir: &Path) -> (Report, Vec<Problem>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut problems = Vec::new();
        match store::check(dir, false, |problem| problems.push(problem.clone())) {
            Err(StoreError::Locked(_)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            report => return (report.unwrap(), problems),
        }
    }
}

pub(crate) fn key() -> EntityKey {
    key_at("/video")
}

pub(crate) fn key_at(path: &str) -> EntityKey {
    EntityKey::new(Profile::Generic, &format!("http://origin.test{path}")).unwrap()
}

pub(crate) fn wanted(range: &str) -> Wanted {
    Wanted {
        key: key(),
        range: (!range.is_empty()).then(|| range.parse().unwrap()),
        parts: Vec::new(),
        range_in_query: false,
        complete_length: None,
        viewer: "someone".to_owned(),
        origin_path: None,
    }
}

/// The generation that the scripted origin's version is.
pub(crate) fn generation(version: u64, complete_length: u64) -> Generation {
    Generation {
        validator: Some(Validator::Etag(format!("\"v{version}\""))),
        complete_length,
    }
}

/// A `begin` of the entity.
pub(crate) fn begin(living: &Generation, start: u64, end: u64) -> Begin {
    let headers = [
        ("content-type", "video/mp4"),
        ("cache-control", "max-age=600"),
    ];
    Begin {
        key: key(),
        generation: living.clone(),
        range: ByteRange::new(start, end).unwrap(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        selecting: Default::default(),
        open_ended: false,
        origin: None,
    }
}

impl Sidecar {
    pub(crate) async fn start(dir: &Path, origin: SocketAddr, flags: &[&str]) -> Self {
        Self::start_in(dir, origin, flags, &[]).await
    }

    /// With these variables in the environment.
    pub(crate) async fn start_in(
        dir: &Path,
        origin: SocketAddr,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let egress = format!("http://{origin}");
        let dir: PathBuf = dir.to_owned();
        let args = [
            "x",
            "--egress",
            &egress,
            "--data-dir",
            dir.to_str().unwrap(),
        ];
        let written = Written::try_parse_from([&args, flags].concat()).unwrap();
        let written = written.with_variables(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, text)| (*text).to_owned())
        });
        let config = Config::new(written).unwrap();
        let data = Listener::bind_any().await.unwrap();
        let DataListen::Tcp(data_address) = data.local().unwrap() else {
            unreachable!("a free port is asked for");
        };
        let manage = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let sidecar = Self {
            data: data_address,
            manage: manage.local_addr().unwrap(),
            stop,
            running: tokio::spawn(viewcache_sidecar::run(data, manage, config, async {
                stopped.await.ok();
            })),
            client: Client::builder(TokioExecutor::new()).build_http(),
            secret: None,
            token: None,
        };
        let ready = sidecar.manage("GET", "/readyz").await;
        assert_eq!(ready.status, 200);
        sidecar
    }

    /// With these rules for the generic profile, as the file has them.
    pub(crate) async fn start_with(dir: &Path, origin: SocketAddr, rules: &str) -> Self {
        let file = dir.join("viewcache.toml");
        std::fs::write(&file, format!("[profiles.generic]\n{rules}\n")).unwrap();
        let flags = ["--config", file.to_str().unwrap()];
        Self::start(&dir.join("data"), origin, &flags).await
    }

    /// Where Envoy would reach it.
    pub(crate) const fn data(&self) -> SocketAddr {
        self.data
    }

    /// Where people reach it.
    pub(crate) const fn manage_address(&self) -> SocketAddr {
        self.manage
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.client.request(request).await.unwrap()
    }

    async fn get(&self, request: Request<Full<Bytes>>) -> Got {
        // A response that is cut at once may end before its head is out; Envoy asks the origin
        // then.
        let Ok(response) = self.client.request(request).await else {
            return Got {
                status: StatusCode::BAD_GATEWAY,
                headers: HeaderMap::new(),
                body: Vec::new(),
                whole: false,
            };
        };
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        let whole = loop {
            match incoming.frame().await {
                Some(Ok(frame)) => body.extend_from_slice(&frame.into_data().unwrap()),
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        Got {
            status: head.status,
            headers: head.headers,
            body,
            whole,
        }
    }

    pub(crate) async fn manage(&self, method: &str, path: &str) -> Got {
        self.manage_with(method, path, String::new()).await
    }

    pub(crate) async fn manage_with(&self, method: &str, path: &str, body: String) -> Got {
        let mut fields = Vec::new();
        if !body.is_empty() {
            fields.push(("content-type", "application/json"));
        }
        let token = self.token.map(|token| format!("Bearer {token}"));
        fields.extend(token.iter().map(|token| ("authorization", &token[..])));
        self.manage_as(method, path, &fields, body).await
    }

    /// Just with these fields.
    pub(crate) async fn manage_as(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: String,
    ) -> Got {
        self.ask(self.manage, method, path, fields, body).await
    }

    /// A call of the data port by whoever reaches it: just with these fields.
    pub(crate) async fn data_as(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: String,
    ) -> Got {
        self.ask(self.data, method, path, fields, body).await
    }

    async fn ask(
        &self,
        port: SocketAddr,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: String,
    ) -> Got {
        let uri = format!("http://{port}{path}");
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.get(request.body(Full::from(body)).unwrap()).await
    }

    /// Listens to events.
    pub(crate) async fn listen(&self, query: &str, last: Option<&str>) -> Listening {
        let mut request = Request::get(format!("http://{}/v1/events{query}", self.manage));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Listening::new(response.into_body())
    }

    /// What is to be had in a format that is asked for.
    pub(crate) async fn manage_accepting(&self, path: &str, accept: &str) -> Got {
        let uri = format!("http://{}{path}", self.manage);
        let request = Request::get(uri).header("accept", accept);
        self.get(request.body(Full::default()).unwrap()).await
    }

    /// Changes the policy.
    pub(crate) async fn policy(&self, patch: Value) {
        let got = self.manage_with("PATCH", "/v1/policy", patch.to_string());
        assert_eq!(got.await.status, 200);
    }

    /// Another viewer's request.
    pub(crate) async fn routed_for(&self, viewer: &str, path: &str, range: &str) -> Got {
        self.routed_as(viewer, &key_at(path), path, range).await
    }

    /// The same for an entity of any profile, whose bytes are at one path.
    pub(crate) async fn routed_as(
        &self,
        viewer: &str,
        key: &EntityKey,
        path: &str,
        range: &str,
    ) -> Got {
        let wanted = Wanted {
            key: key.clone(),
            viewer: viewer.to_owned(),
            ..wanted(range)
        };
        self.get(self.request_of(path, &wanted)).await
    }

    /// The entity as the REST API shows it.
    pub(crate) async fn entity(&self) -> Value {
        self.entity_at("/video").await
    }

    pub(crate) async fn entity_at(&self, path: &str) -> Value {
        let got = self
            .manage("GET", &format!("/v1/entities/{}", key_at(path).id()))
            .await;
        serde_json::from_slice(&got.body).unwrap()
    }

    /// A counter without labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let metrics = self.manage("GET", "/metrics").await;
        let text = String::from_utf8(metrics.body).unwrap();
        // Without labels in the name, those of all labels count together.
        let value = |line: &str| -> Option<u64> {
            let rest = line.strip_prefix(name)?;
            let rest = match rest.split_once('}') {
                Some((labels, rest)) if labels.starts_with('{') => rest,
                _ => rest,
            };
            rest.strip_prefix(' ')?.parse().ok()
        };
        text.lines().filter_map(value).sum()
    }

    /// Waits until so many bytes are stored and nobody fetches or watches.
    pub(crate) async fn stored(&self, bytes: u64) {
        self.stored_at("/video", bytes).await;
    }

    pub(crate) async fn stored_at(&self, path: &str, bytes: u64) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let entity = self.entity_at(path).await;
            let quiet = entity["fills"] == 0 && entity["viewers"] == 0;
            if entity["cached_bytes"] == bytes && quiet {
                return;
            }
            if deadline <= Instant::now() {
                let metrics = self.manage("GET", "/metrics").await.body;
                let metrics = String::from_utf8_lossy(&metrics).into_owned();
                panic!("{bytes} bytes are not stored: {entity}\n{metrics}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
