//! Envoy alone, as a container runs it: how it ends, and what it shows of itself.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use e2e::client::{Request, Response};
use e2e::content::Content;
use e2e::management;
use e2e::origin::{Gate, Origin, Script};
use e2e::poll::until;
use e2e::ports::Port;
use rustix::process::{Pid, Signal, kill_process};

const SOON: Duration = Duration::from_secs(15);
const LENGTH: u64 = 300_000;
const HELD: u64 = 100_000;

struct Alone {
    child: Child,
    listen: SocketAddr,
    egress: SocketAddr,
    stats: SocketAddr,
}

impl Alone {
    async fn start(origin: SocketAddr, further: &[&str]) -> Self {
        let shared = || Port::shared(None).unwrap();
        let (listen, egress, stats) = (shared(), shared(), shared());
        let mut admin = Port::exclusive(None).unwrap();
        admin.release();
        // Where nobody listens: what is not stored comes from the origin.
        let nobody = Port::exclusive(None).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_stack"))
            .args(["envoy", "--concurrency", "1"])
            .args(["--origin", &format!("http://{origin}")])
            .args(["--sidecar", &format!("node-0={}", nobody.address)])
            .args(["--listen", &listen.address.to_string()])
            .args(["--egress", &egress.address.to_string()])
            .args(["--stats", &stats.address.to_string()])
            .args(["--admin", &admin.address.to_string()])
            .args(further)
            .spawn()
            .unwrap();
        until("Envoy is ready", SOON, async || {
            management::get(admin.address, "/ready").await.ok()
        })
        .await
        .unwrap();
        Self {
            child,
            listen: listen.address,
            egress: egress.address,
            stats: stats.address,
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    async fn ended(&mut self) -> Option<i32> {
        let status = until("it has ended", SOON, async || {
            self.child.try_wait().unwrap()
        });
        status.await.unwrap().code()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A viewer in the middle of a body that the origin holds back.
async fn viewer(alone: &Alone) -> Response {
    let mut response = Request::get("/v").send(alone.listen).await.unwrap();
    assert_eq!(
        response.take(HELD as usize).await.unwrap().len() as u64,
        HELD
    );
    response
}

async fn origin() -> (Origin, Gate, Content) {
    let origin = Origin::start().await.unwrap();
    let content = Content::new("/v", LENGTH);
    let gate = Gate::at_byte(HELD);
    let script = Script::new(content);
    origin.script(
        "/v",
        Script {
            gate: Some(gate.clone()),
            ..script
        },
    );
    (origin, gate, content)
}

#[tokio::test]
async fn it_ends_when_viewers_have_what_they_were_receiving() {
    let (origin, gate, content) = origin().await;
    let mut alone = Alone::start(origin.address(), &[]).await;
    let mut response = viewer(&alone).await;
    alone.signal(Signal::TERM);
    until("nobody new is let in", SOON, async || {
        TcpStream::connect(alone.listen).err()
    })
    .await
    .unwrap();
    assert!(
        alone.child.try_wait().unwrap().is_none(),
        "it has not waited"
    );
    gate.open();
    content
        .check(HELD, &response.rest().await.unwrap())
        .unwrap();
    assert_eq!(alone.ended().await, Some(0));
}

#[tokio::test]
async fn it_waits_no_longer_than_it_is_told() {
    let (origin, _gate, _) = origin().await;
    let mut alone = Alone::start(origin.address(), &["--drain", "100ms"]).await;
    let mut response = viewer(&alone).await;
    alone.signal(Signal::TERM);
    assert_eq!(alone.ended().await, Some(0));
    response.rest().await.unwrap_err();
}

#[tokio::test]
async fn who_asks_twice_need_not_wait() {
    let (origin, _gate, _) = origin().await;
    let mut alone = Alone::start(origin.address(), &["--drain", "1h"]).await;
    let _response = viewer(&alone).await;
    alone.signal(Signal::TERM);
    until("nobody new is let in", SOON, async || {
        TcpStream::connect(alone.listen).err()
    })
    .await
    .unwrap();
    alone.signal(Signal::TERM);
    assert_eq!(alone.ended().await, Some(0));
}

#[tokio::test]
async fn metrics_can_be_read_where_envoy_cannot_be_stopped() {
    let (origin, _gate, _) = origin().await;
    let mut alone = Alone::start(origin.address(), &[]).await;
    let metrics = management::get(alone.stats, "/stats/prometheus").await;
    assert!(metrics.unwrap().contains("envoy_server_uptime"));
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/config_dump"),
        ("GET", "/stats/prometheus/../../config_dump"),
        ("POST", "/stats/prometheus"),
        ("POST", "/quitquitquit"),
    ] {
        management::call(method, alone.stats, target, 404)
            .await
            .unwrap();
    }
    assert!(alone.child.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn the_egress_listener_forwards_only_for_those_who_know_the_secret() {
    let (origin, gate, content) = origin().await;
    gate.open();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
    let secret = ["--secret-file", file.path().to_str().unwrap()];
    let alone = Alone::start(origin.address(), &secret).await;
    let request = Request::get("/v");
    for shown in [None, Some("0123456789abcdeF"), Some("")] {
        let request = match shown {
            Some(shown) => request.clone().field("x-viewcache-secret", shown),
            None => request.clone(),
        };
        let response = request.send(alone.egress).await.unwrap();
        assert_eq!(response.status, 403, "{shown:?}");
    }
    assert!(origin.seen("/v").is_empty());
    let request = request.field("x-viewcache-secret", "0123456789abcdef");
    let mut response = request.send(alone.egress).await.unwrap();
    content.check(0, &response.rest().await.unwrap()).unwrap();
    let seen = origin.seen("/v");
    assert!(seen[0].head.get("x-viewcache-secret").is_none(), "{seen:?}");
}

#[tokio::test]
async fn it_ends_with_envoy_and_with_its_code() {
    let (origin, _gate, _) = origin().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(["envoy", "--origin", &format!("http://{}", origin.address())])
        .args([
            "--sidecar",
            "node-0=127.0.0.1:9",
            "--admin",
            &taken.to_string(),
        ])
        .args(["--listen", "127.0.0.1:0", "--egress", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}
