//! Several nodes, one of which is asked for all of them.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::Sidecar;
use crate::origin::{Origin, Script};

const TOKEN: &str = "peers-peers-peers-peers";
const N: u64 = 1_000_000;
/// Nothing that is waited for takes so long.
const SOON: Duration = Duration::from_secs(10);

/// One that knows these, by its file.
async fn knowing(dir: &Path, origin: SocketAddr, peers: &[SocketAddr]) -> Sidecar {
    let addresses: Vec<_> = peers.iter().map(|peer| format!("http://{peer}")).collect();
    let file = dir.join("viewcache.toml");
    let text = format!("[peers]\naddresses = {addresses:?}\ntimeout = \"2s\"\n");
    std::fs::write(&file, text).unwrap();
    let flags = ["--config", file.to_str().unwrap()];
    let variables = [("VIEWCACHE_PEERS_TOKEN", TOKEN)];
    Sidecar::start_in(&dir.join("data"), origin, &flags, &variables).await
}

async fn json_of(sidecar: &Sidecar, path: &str) -> Value {
    let got = sidecar.manage("GET", path).await;
    assert_eq!(got.status, 200, "{path}");
    serde_json::from_slice(&got.body).unwrap()
}

/// Waits until the sums of all nodes have so many requests in them.
async fn counted(sidecar: &Sidecar, requests: u64) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        let stats = json_of(sidecar, "/v1/stats?peers=true").await;
        if stats["windows"]["total"]["requests"] == requests {
            return stats;
        }
        assert!(Instant::now() < deadline, "{requests}: {stats:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port that leads to another, once it is known.
async fn door() -> (SocketAddr, impl FnOnce(SocketAddr)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = move |to: SocketAddr| {
        tokio::spawn(async move {
            while let Ok((mut viewer, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut behind = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut viewer, &mut behind).await;
                });
            }
        });
    };
    (address, open)
}

/// A port that answers every request with this, and what it was asked.
async fn answering(response: String) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 16 << 10];
            let length = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            seen.lock().unwrap().push(head);
            match stream.write_all(response.as_bytes()).await {
                // It has read enough of it.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                written => written.unwrap(),
            }
        }
    });
    (address, asked)
}

/// Whether no thread of a process runs any more.
fn stopped(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat"));
        stat.is_ok_and(|stat| stat.contains(") T "))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_tells_of_all_and_waits_for_none() {
    let (dir, origin) = (
        tempfile::tempdir().unwrap(),
        Origin::start(Script::default()).await,
    );
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, format!("read {TOKEN}\n")).unwrap();
    let folder = |name: &str| dir.path().join(name);
    let flags = ["--tokens-file", tokens.to_str().unwrap()];
    // Both ask nobody, so that whoever asks them asks nobody else.
    let (mut first, mut first_process) =
        Sidecar::spawn(&folder("first"), origin.addr, &flags).await;
    first.token = Some(TOKEN);
    let (second, mut second_process) = Sidecar::spawn(&folder("second"), origin.addr, &[]).await;
    let (itself, open) = door().await;
    let peers = [first.manage_address(), second.manage_address(), itself];
    std::fs::create_dir(folder("third")).unwrap();
    let third = knowing(&folder("third"), origin.addr, &peers).await;
    open(third.manage_address());

    for sidecar in [&first, &second, &third] {
        assert!(sidecar.routed("").await.whole);
    }
    // Each once, and this one not again because it is among its own peers.
    let stats = counted(&third, 3).await;
    assert_eq!(stats["entities"], 3, "{stats:#}");
    let total = &stats["windows"]["total"];
    assert_eq!(total["bytes_from_origin"], 3 * N, "{stats:#}");
    assert_eq!(stats["profiles"]["generic"]["total"]["requests"], 3);
    let nodes = stats["nodes"].as_array().unwrap();
    let told: Vec<_> = nodes
        .iter()
        .map(|node| (&node["reachable"], &node["itself"]))
        .collect();
    let (yes, no) = (&json!(true), &json!(false));
    assert_eq!(told, [(yes, no), (yes, no), (yes, yes)], "{stats:#}");
    let alone = json_of(&third, "/v1/stats").await;
    assert_eq!(alone["entities"], 1);
    assert!(alone.get("nodes").is_none());

    let peers = json_of(&third, "/v1/peers").await;
    assert_eq!(peers["next"], Value::Null);
    for item in peers["items"].as_array().unwrap() {
        assert_eq!(item["version"], env!("CARGO_PKG_VERSION"), "{peers:#}");
        assert_eq!(item["error"], Value::Null);
        assert_eq!(item["stats"]["entities"], 1);
        assert!(item["stats"]["disk"]["used"].as_u64() >= Some(N));
        assert!(item["stats"].get("profiles").is_none());
    }
    // Who has no peers says so.
    let none = json_of(&second, "/v1/peers").await;
    assert_eq!(none, json!({"items": [], "next": null}));
    assert_eq!(
        json_of(&second, "/v1/stats?peers=true").await["nodes"],
        json!([])
    );

    // One hangs, and then it is gone.
    let check = async |error: &str| {
        let begun = Instant::now();
        let stats = json_of(&third, "/v1/stats?peers=true").await;
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(stats["entities"], 2, "{stats:#}");
        let node = &stats["nodes"][1];
        assert_eq!(
            node["address"],
            format!("http://{}", second.manage_address())
        );
        assert_eq!(node["reachable"], false);
        let told = node["error"].as_str().unwrap();
        assert!(told.starts_with(error), "{told}");
        let peers = json_of(&third, "/v1/peers").await;
        assert_eq!(peers["items"][1]["stats"], Value::Null, "{peers:#}");
        assert_eq!(peers["items"][0]["reachable"], true, "{peers:#}");
    };
    let pid = Pid::from_child(&second_process);
    kill_process(pid, Signal::STOP).unwrap();
    while !stopped(second_process.id()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    check("no answer in 2s").await;
    second_process.kill().unwrap();
    second_process.wait().unwrap();
    check("not reached: ").await;

    first_process.kill().unwrap();
    first_process.wait().unwrap();
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_of_a_node_is_told_and_nobody_follows_it() {
    let (dir, origin) = (
        tempfile::tempdir().unwrap(),
        Origin::start(Script::default()).await,
    );
    let answer = |status: &str, more: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{more}content-length: {length}\r\n\r\n{body}")
    };
    let (target, followed) = answering(answer("200 OK", "", "{}")).await;
    let to = format!("location: http://{target}/v1/stats\r\n");
    let (moved, asked) = answering(answer("307 Temporary Redirect", &to, "")).await;
    let (long, _) = answering(answer("200 OK", "", &"x".repeat(2 << 20))).await;
    let (other, _) = answering(answer("200 OK", "", r#"{"entities": "many"}"#)).await;
    let (cut, _) = answering(answer("200 OK", "", "{}").replace("length: 2", "length: 9")).await;
    let folder = dir.path().join("secret");
    let variables = [("VIEWCACHE_READ_TOKEN", "not-what-peers-show")];
    let secret = Sidecar::start_in(&folder, origin.addr, &[], &variables).await;
    let peers = [moved, long, other, cut, secret.manage_address()];
    let sidecar = knowing(dir.path(), origin.addr, &peers).await;
    let told = json_of(&sidecar, "/v1/peers").await;
    let items = told["items"].as_array().unwrap();
    let expected = [
        "it answers 307 Temporary Redirect",
        "its answer is longer than 1048576 bytes",
        "its statistics are not understood: ",
        "its answer is cut: ",
        "it answers 401 Unauthorized",
    ];
    for (item, expected) in items.iter().zip(expected) {
        let error = item["error"].as_str().unwrap();
        assert!(error.starts_with(expected), "{told:#}");
        assert!(!error.contains(TOKEN), "{told:#}");
        assert_eq!(
            (&item["reachable"], &item["version"]),
            (&json!(false), &Value::Null)
        );
    }
    let asked = asked.lock().unwrap().concat();
    assert!(asked.starts_with("GET /v1/stats HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.contains(&format!("authorization: Bearer {TOKEN}\r\n")),
        "{asked}"
    );
    assert!(asked.contains(&format!("host: {moved}\r\n")), "{asked}");
    assert!(followed.lock().unwrap().is_empty(), "it was followed");
    secret.stop().await;
    sidecar.stop().await;
}
