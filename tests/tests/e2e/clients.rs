//! Programs that people really use, through the stack: cold, half cached and warm, byte by byte.
//! One that is not installed is skipped, and said so.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use e2e::checkout::Checkout;
use e2e::client::Request;
use e2e::content::Content;
use e2e::demo_origin::DemoOrigin;
use e2e::envoy_config::OriginUrl;
use e2e::http1::Head;
use e2e::stack::{Options, Stack};
use tokio::io::BufReader;
use tokio::net::TcpListener;

use crate::world::{MIB, World};

const LENGTH: u64 = 6 * MIB + 17;

/// Where the rest begins for a client that resumes, and how much is stored of what is half cached.
const PART: u64 = 2 * MIB + 5;

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok()
        || Command::new(program).arg("-version").output().is_ok();
    if !found {
        eprintln!("skipped: there is no {program} here");
    }
    found
}

/// Runs a program to its end; what it prints.
async fn run(mut command: Command) -> Vec<u8> {
    // The origin lives on this thread.
    let output = tokio::task::spawn_blocking(move || {
        let output = command.output();
        (command, output)
    });
    let (command, output) = output.await.unwrap();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}: {said}",
        output.status
    );
    output.stdout
}

/// Downloads with a program: what nobody has seen, what is half cached, and what is stored, the
/// whole and the rest of a file that is there in part.
async fn downloads(program: &str, command: impl Fn(&str, &Path, bool) -> Command) {
    if !has(program) {
        return;
    }
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let ingress = world.stack.ingress();
    let get = async |path: &str, content: Content, resumed: bool| {
        let file = folder.path().join("file");
        let there = if resumed { PART } else { 0 };
        let _ = fs::remove_file(&file);
        if resumed {
            fs::write(&file, content.bytes(0..there)).unwrap();
        }
        run(command(&format!("http://{ingress}{path}"), &file, resumed)).await;
        let bytes = fs::read(&file).unwrap();
        assert_eq!(bytes.len() as u64, content.length(), "{program} {path}");
        content.check(0, &bytes).unwrap();
    };
    for resumed in [false, true] {
        let cold = format!("/cold-{resumed}");
        let content = world.serve(&cold, LENGTH);
        get(&cold, content, resumed).await;

        let half = format!("/half-{resumed}");
        let content = world.serve(&half, LENGTH);
        let first = Request::get(&half)
            .host(&ingress.to_string())
            .range(&format!("{}-{}", MIB, MIB + PART));
        world.view(&first, content).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        get(&half, content, resumed).await;

        // Twice: what one program leaves uncached at its end, the next fetches.
        get(&cold, content_of(&cold), false).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let sent = world.origin.sent(&cold);
        get(&cold, content_of(&cold), resumed).await;
        assert_eq!(world.origin.sent(&cold), sent, "{program}: warm");
    }
}

fn content_of(path: &str) -> Content {
    Content::new(path, LENGTH)
}

#[tokio::test]
async fn curl_downloads_and_resumes() {
    downloads("curl", |url, file, resumed| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "30"]);
        curl.arg("--output").arg(file).arg(url);
        if resumed {
            curl.args(["--continue-at", "-"]);
        }
        curl
    })
    .await;
}

#[tokio::test]
async fn wget_downloads_and_resumes() {
    downloads("wget", |url, file, resumed| {
        let mut wget = Command::new("wget");
        wget.args(["--quiet", "--tries", "1", "--timeout", "30"]);
        if resumed {
            wget.arg("--continue");
        }
        wget.arg("--output-document").arg(file).arg(url);
        wget
    })
    .await;
}

#[tokio::test]
async fn aria2_downloads_by_sixteen_connections() {
    downloads("aria2c", |url, file, resumed| {
        let mut aria2 = Command::new("aria2c");
        aria2.args(["--quiet", "-x16", "-s16", "--min-split-size=1M"]);
        aria2.args(["--file-allocation=none", "--max-tries=1", "--timeout=30"]);
        if resumed {
            aria2.arg("--continue=true");
        } else {
            aria2.arg("--allow-overwrite=true");
        }
        let (folder, name) = (file.parent().unwrap(), file.file_name().unwrap());
        aria2.arg("--dir").arg(folder).arg("--out").arg(name);
        aria2.arg(url);
        aria2
    })
    .await;
}

/// The hashes of a few frames after each of some seeks.
async fn frames(video: &str) -> Vec<String> {
    let mut frames = Vec::new();
    for seconds in ["0", "9", "2", "14", "5"] {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin", "-ss", seconds, "-i", video]);
        ffmpeg.args(["-frames:v", "5", "-f", "framemd5", "-"]);
        let printed = run(ffmpeg).await;
        let printed = String::from_utf8(printed).unwrap();
        let hashes = printed.lines().filter(|line| !line.starts_with('#'));
        frames.extend(hashes.map(str::to_owned));
    }
    assert!(!frames.is_empty(), "{video}: no frame");
    frames
}

#[tokio::test]
async fn ffmpeg_seeks_to_the_same_frames() {
    if !has("ffmpeg") {
        return;
    }
    let videos = Checkout::find().unwrap().path("demo/videos");
    let origin = Arc::new(DemoOrigin::new(videos.clone(), Duration::from_millis(5)));
    let address = origin.start().await.unwrap();
    let mut options = Options::new(OriginUrl::http(address));
    options.concurrency = Some(2);
    let mut stack = Stack::start(options).await.unwrap();
    let url = format!("http://{}/first.mp4", stack.ingress());
    let expected = frames(&videos.join("first.mp4").display().to_string()).await;
    // Cold, then with what the first seeks have left, and warm.
    for _ in 0..2 {
        assert_eq!(frames(&url).await, expected);
    }
    let whole = Request::get("/first.mp4").host(&stack.ingress().to_string());
    let mut response = whole.send(stack.ingress()).await.unwrap();
    response.rest().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sent = origin.sent("/first.mp4");
    assert_eq!(frames(&url).await, expected);
    assert_eq!(origin.sent("/first.mp4"), sent, "warm");
    stack.stop().await.unwrap();
}

/// Seeks, and tells what it has seen; then plays a while.
const PAGE: &str = r#"<!DOCTYPE html>
<video id="video" muted preload="auto" src="first.mp4"></video>
<script>
const video = document.getElementById("video");
const to = new URLSearchParams(location.search).get("to");
const event = (name) => new Promise((resolve, reject) => {
  video.addEventListener(name, resolve, { once: true });
  video.addEventListener("error", () => reject(video.error.message), { once: true });
});
const frame = () => {
  const canvas = document.createElement("canvas");
  canvas.width = 64;
  canvas.height = 36;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 64, 36);
  return context.getImageData(0, 0, 64, 36).data.reduce((hash, byte) => (hash * 31 + byte) >>> 0, 7);
};
// What is drawn is the frame that is shown, which may be the one before for a while after "seeked".
const shown = async (seconds) => {
  for (;;) {
    const frame = await new Promise((resolve) =>
      video.requestVideoFrameCallback((_, frame) => resolve(frame)));
    if (Math.abs(frame.mediaTime - seconds) < 0.2) return;
  }
};
const watch = async () => {
  if (video.readyState < 2) await event("loadeddata");
  const seen = [];
  for (const seconds of [9, 2, 14, 5, 0.5]) {
    const there = shown(seconds);
    video.currentTime = seconds;
    await event("seeked");
    await there;
    seen.push(frame());
  }
  await video.play();
  while (video.currentTime < 1.5) await event("timeupdate");
  return seen.join(".");
};
watch().catch((error) => "failed: " + error)
  .then((seen) => fetch(`http://127.0.0.1:${to}/seen?frames=${encodeURIComponent(seen)}`, { mode: "no-cors" }));
</script>
"#;

/// What Chromium sees of the video on a page of this site.
async fn chromium_sees(site: std::net::SocketAddr) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let to = listener.local_addr().unwrap().port();
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless=new", "--no-sandbox", "--disable-gpu"]);
    // It is to talk to nobody but the site.
    chromium.args(["--no-first-run", "--disable-background-networking"]);
    chromium.args([
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
    ]);
    chromium.arg(format!("--user-data-dir={}", profile.path().display()));
    chromium.arg(format!("http://{site}/page.html?to={to}"));
    chromium.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = chromium.spawn().unwrap();
    let told = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let head = Head::read(&mut BufReader::new(stream)).await.unwrap();
            if let Some(frames) = head.and_then(|head| head.query("frames").map(str::to_owned)) {
                return frames;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(60), told).await;
    running.kill().unwrap();
    running.wait().unwrap();
    told.expect("chromium tells what it sees")
}

#[tokio::test]
async fn chromium_seeks_and_plays() {
    if !has("chromium") {
        return;
    }
    let site = tempfile::tempdir().unwrap();
    let video = Checkout::find().unwrap().path("demo/videos/first.mp4");
    fs::copy(video, site.path().join("first.mp4")).unwrap();
    fs::write(site.path().join("page.html"), PAGE).unwrap();
    let latency = Duration::from_millis(5);
    let origin = Arc::new(DemoOrigin::new(site.path().to_owned(), latency));
    let address = origin.start().await.unwrap();
    let mut options = Options::new(OriginUrl::http(address));
    options.concurrency = Some(2);
    let mut stack = Stack::start(options).await.unwrap();
    let expected = chromium_sees(address).await;
    assert!(!expected.starts_with("failed"), "{expected}");
    let through = chromium_sees(stack.ingress()).await;
    assert_eq!(through, expected, "cold");
    assert_eq!(
        chromium_sees(stack.ingress()).await,
        expected,
        "half cached"
    );
    let whole = Request::get("/first.mp4").host(&stack.ingress().to_string());
    let mut response = whole.send(stack.ingress()).await.unwrap();
    response.rest().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sent = origin.sent("/first.mp4");
    assert_eq!(chromium_sees(stack.ingress()).await, expected, "warm");
    assert_eq!(origin.sent("/first.mp4"), sent, "warm");
    stack.stop().await.unwrap();
}
