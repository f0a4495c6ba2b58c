//! The launcher, as its users meet it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use e2e::client::Request;
use e2e::content::Content;
use e2e::origin::{Origin, Script};
use e2e::poll::until;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const SOON: Duration = Duration::from_secs(15);

/// A launcher that has said that it is ready.
struct Up {
    child: Child,
    stderr: BufReader<ChildStderr>,
    line: String,
}

impl Up {
    fn start(origin: &Origin, data: &Path, further: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stack"))
            .args([
                "up",
                "--origin",
                &format!("http://{}", origin.address()),
                "--data",
            ])
            .arg(data)
            .args([
                "--listen",
                "127.0.0.1:0",
                "--manage",
                "127.0.0.1:0",
                "--concurrency",
                "1",
            ])
            .args(further)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        if line.is_empty() {
            let mut said = String::new();
            stderr.read_to_string(&mut said).unwrap();
            panic!("not ready: {said}");
        }
        assert!(
            line.starts_with("ready ") && line.ends_with('\n'),
            "{line:?}"
        );
        Self {
            child,
            stderr,
            line,
        }
    }

    fn value(&self, name: &str) -> &str {
        let words = self.line.split_whitespace();
        let mut values = words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        values
            .next()
            .unwrap_or_else(|| panic!("no {name}: {}", self.line))
    }

    fn pids(&self) -> Vec<Pid> {
        let pids = [self.value("envoy_pid"), self.value("sidecar_pids")].join(",");
        pids.split(',')
            .map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap())
            .collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    async fn views(&self, content: Content) -> String {
        let ingress = self
            .value("ingress")
            .strip_prefix("http://")
            .unwrap()
            .parse()
            .unwrap();
        let mut response = Request::get("/v").send(ingress).await.unwrap();
        content.check(0, &response.rest().await.unwrap()).unwrap();
        response.cache_status().to_owned()
    }

    async fn becomes_hit(&self, content: Content) {
        let hit = async || self.views(content).await.contains("; hit").then_some(());
        until("a hit", SOON, hit).await.unwrap();
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Asked, not killed: then it removes its temporary folder.
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// A zombie counts: its launcher is gone, so nobody but init could reap it.
async fn gone(pids: &[Pid]) {
    let all = async || {
        pids.iter()
            .all(|pid| test_kill_process(*pid).is_err())
            .then_some(())
    };
    until("the children are gone", SOON, all).await.unwrap();
}

async fn origin() -> (Origin, Content) {
    let origin = Origin::start().await.unwrap();
    let content = Content::new("/v", 300_000);
    origin.script("/v", Script::new(content));
    (origin, content)
}

#[tokio::test]
async fn it_runs_until_it_is_asked_to_stop() {
    let (origin, content) = origin().await;
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.yaml");
    let data = folder.path().join("data");
    for signal in [Signal::TERM, Signal::INT] {
        let mut up = Up::start(
            &origin,
            &data,
            &["--keep-envoy-config", kept.to_str().unwrap()],
        );
        up.becomes_hit(content).await;
        let port = up.value("ingress").rsplit(':').next().unwrap();
        assert!(std::fs::read_to_string(&kept).unwrap().contains(port));
        up.signal(signal);
        assert_eq!(up.child.wait().unwrap().code(), Some(0));
        gone(&up.pids()).await;
    }
    assert_eq!(
        origin.seen("/v").len(),
        1,
        "the second run had the first one's data"
    );
}

#[tokio::test]
async fn a_child_that_dies_is_told_of_and_the_rest_goes_on() {
    let (origin, content) = origin().await;
    let folder = tempfile::tempdir().unwrap();
    let mut up = Up::start(&origin, folder.path(), &[]);
    up.becomes_hit(content).await;
    let sidecar = up.pids()[1];
    kill_process(sidecar, Signal::KILL).unwrap();
    let told = format!("(pid {}) ended", sidecar.as_raw_nonzero());
    loop {
        let mut line = String::new();
        assert_ne!(up.stderr.read_line(&mut line).unwrap(), 0, "it ended");
        if line.contains(&told) {
            break;
        }
    }
    assert!(!up.views(content).await.contains("hit"));
    assert!(up.child.try_wait().unwrap().is_none());

    // The folder can be used again at once.
    let other = Up::start(&origin, folder.path(), &[]);
    other.becomes_hit(content).await;
    up.signal(Signal::TERM);
    assert_eq!(up.child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn no_child_outlives_it() {
    let (origin, _) = origin().await;
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&origin, folder.path(), &["--sidecars", "2"]);
    let pids = up.pids();
    assert_eq!(pids.len(), 3);
    assert_eq!(up.value("manage").split(',').count(), 2);
    assert!(folder.path().join("0").is_dir() && folder.path().join("1").is_dir());
    up.signal(Signal::KILL);
    gone(&pids).await;
}

#[tokio::test]
async fn several_run_at_once() {
    let (origin, content) = origin().await;
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str| Up::start(&origin, &folder.path().join(name), &[]);
    let ups = std::thread::scope(|scope| {
        let threads = ["a", "b", "c"].map(|name| scope.spawn(move || start(name)));
        threads.map(|thread| thread.join().unwrap())
    });
    for up in &ups {
        assert!(up.views(content).await.contains("fwd=uri-miss"));
    }
    assert_eq!(origin.seen("/v").len(), 3);
}

#[test]
fn a_wrong_origin_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args([
            "up", "--origin", "ftp://a", "--data", "x", "--listen", "a:1", "--manage", "b:1",
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("ftp://a"));
}
