//! A browser without a screen, as people use it: by what they see and click.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use e2e::poll::until;
use e2e::process::{Output, Process};
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a page may take to show what it should.
const SOON: Duration = Duration::from_secs(15);

/// What a browser is started with: it is to talk to nobody but the site.
const ARGUMENTS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

pub(crate) struct Browser {
    client: Client,
    driver: Process,
    /// Where the driver listens, and the path of the session there.
    at: SocketAddr,
    session: String,
    site: SocketAddr,
    folder: TempDir,
}

impl Drop for Browser {
    /// Asks the driver to end the browser, and sees to it that both have: neither is a child of
    /// anything that would do it.
    fn drop(&mut self) {
        let log = self.command("/se/log", json!({"type": "browser"}));
        let _ = command(self.at, "DELETE", &self.session, "");
        if let Some(group) = Pid::from_raw(self.driver.pid()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        for pid in users_of(self.folder.path()) {
            let _ = kill_process(pid, Signal::KILL);
        }
        if !thread::panicking() {
            assert_eq!(complaints(&log), [""; 0]);
        }
    }
}

/// A command of the driver's that has no name in WebDriver. There may be no runtime to wait on.
fn command(driver: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<Value> {
    let mut stream = TcpStream::connect(driver)?;
    stream.set_read_timeout(Some(SOON))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {driver}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(serde_json::from_str(body).unwrap_or_default())
}

/// What a page complains of that is not an answer of the API's: scripts that fail, and what the
/// page's policy forbids.
fn complaints(log: &Value) -> Vec<&str> {
    let entries = log["value"].as_array().into_iter().flatten();
    let bad = entries.filter(|entry| entry["level"] == "SEVERE" && entry["source"] != "network");
    bad.filter_map(|entry| entry["message"].as_str()).collect()
}

/// The processes whose command line names this folder, which nobody else does.
fn users_of(folder: &Path) -> Vec<Pid> {
    let folder = folder.display().to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pid = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(&folder).then(|| Pid::from_raw(pid))?
    };
    processes.filter_map(pid).collect()
}

impl Browser {
    /// Opens one for a site.
    pub(crate) async fn open(site: SocketAddr) -> Self {
        for program in ["chromedriver", "chromium"] {
            let version = std::process::Command::new(program)
                .arg("--version")
                .output();
            assert!(
                version.is_ok_and(|version| version.status.success()),
                "{program} cannot be run: install chromium and chromium-driver, \
                 as scripts/setup.sh does where it may use apt"
            );
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = free.local_addr().unwrap();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let driver = Process::spawn(
            "chromedriver",
            Path::new("chromedriver"),
            [&format!("--port={}", at.port()), "--log-level=SEVERE"],
            &Output::Files(folder.path().to_owned()),
        );
        let driver = driver.unwrap();
        let profile = format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        );
        let arguments = [&ARGUMENTS[..], &[&profile]].concat();
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".into(), json!({"args": arguments}));
        capabilities.insert("goog:loggingPrefs".into(), json!({"browser": "ALL"}));
        let url = format!("http://{at}");
        let mut last = None;
        let connected = until("the browser starts", Duration::from_secs(60), async || {
            let connected = ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities.clone())
                .connect(&url)
                .await;
            connected.map_err(|error| last = Some(error)).ok()
        });
        let Ok(client) = connected.await else {
            panic!("no browser: {last:?}");
        };
        let session = client.session_id().await.unwrap().unwrap();
        Self {
            client,
            driver,
            at,
            session: format!("/session/{session}"),
            site,
            folder,
        }
    }

    /// Shows a view by its address.
    pub(crate) async fn go(&self, view: &str) {
        let url = format!("http://{}/#{view}", self.site);
        self.client.goto(&url).await.unwrap();
    }

    /// The same, and waits until all of it has come.
    pub(crate) async fn view(&self, view: &str) {
        self.go(view).await;
        self.becomes(&format!(
            "document.getElementById('main').matches(`[data-view='{view}'][aria-busy=false]`)"
        ))
        .await;
    }

    /// Shows it again, as people do who do not trust what they see.
    pub(crate) async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// A screen of this size: a phone's when it is narrow.
    pub(crate) fn screen(&self, width: u32, height: u32) {
        let phone = width < 500;
        let metrics = json!({
            "width": width, "height": height, "mobile": phone,
            "deviceScaleFactor": if phone { 2 } else { 1 },
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// As who likes pages dark, or light.
    pub(crate) fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": value}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    fn devtools(&self, name: &str, parameters: Value) {
        let body = json!({"cmd": name, "params": parameters});
        let done = self.command("/goog/cdp/execute", body);
        assert!(done["value"]["error"].is_null(), "{name}: {done}");
    }

    fn command(&self, path: &str, body: Value) -> Value {
        let path = format!("{}{path}", self.session);
        command(self.at, "POST", &path, &body.to_string()).unwrap_or_default()
    }

    /// What a script in the page answers.
    pub(crate) async fn script(&self, text: &str) -> Value {
        self.client.execute(text, Vec::new()).await.unwrap()
    }

    /// The same of one that waits.
    pub(crate) async fn script_async(&self, text: &str) -> Value {
        self.client.execute_async(text, Vec::new()).await.unwrap()
    }

    /// Clicks on what a selector finds, as soon as it can be clicked.
    pub(crate) async fn click(&self, selector: &str) {
        self.press(Locator::Css(selector), selector).await;
    }

    /// Clicks on the button that says this.
    pub(crate) async fn button(&self, text: &str) {
        let path = format!("//button[normalize-space()='{text}']");
        self.press(Locator::XPath(&path), text).await;
    }

    async fn press(&self, locator: Locator<'_>, what: &str) {
        let clicked = until(what, SOON, async || {
            self.client.find(locator).await.ok()?.click().await.ok()
        });
        if let Err(error) = clicked.await {
            panic!("{error}; the page says: {}", self.text().await);
        }
    }

    /// Writes into a field in place of what is there.
    pub(crate) async fn write(&self, selector: &str, text: &str) {
        let written = until(selector, SOON, async || {
            let field = self.client.find(Locator::Css(selector)).await.ok()?;
            field.clear().await.ok()?;
            field.send_keys(text).await.ok()
        });
        if let Err(error) = written.await {
            panic!("{error}; the page says: {}", self.text().await);
        }
    }

    /// Keys for whatever has the focus.
    pub(crate) async fn keys(&self, text: &str) {
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(text).await.unwrap();
    }

    /// Chooses of a list of values.
    pub(crate) async fn choose(&self, selector: &str, value: &str) {
        let chosen = until(selector, SOON, async || {
            let field = self.client.find(Locator::Css(selector)).await.ok()?;
            field.select_by_value(value).await.ok()
        });
        chosen.await.unwrap();
    }

    /// Waits until a script in the page answers `true`.
    pub(crate) async fn becomes(&self, condition: &str) {
        let script = format!("return Boolean({condition})");
        let met = until(condition, SOON, async || {
            (self.script(&script).await == true).then_some(())
        });
        if let Err(error) = met.await {
            panic!("{error}; the page says: {}", self.text().await);
        }
    }

    /// Waits until the page says this.
    pub(crate) async fn says(&self, text: &str) {
        let text = serde_json::to_string(text).unwrap();
        self.becomes(&format!("document.body.innerText.includes({text})"))
            .await;
    }

    async fn text(&self) -> String {
        let text = self.script("return document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Keeps what the page looks like, to be looked at by people.
    pub(crate) async fn picture(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
        std::fs::create_dir_all(&folder).unwrap();
        // What is said for a while only would come and go with the machine's load.
        let quiet = "document.getElementById('notices').replaceChildren()";
        self.script(quiet).await;
        let picture = self.client.screenshot().await.unwrap();
        let file = folder.join(format!("{name}.png"));
        std::fs::write(&file, picture).unwrap();
        eprintln!("{}", file.display());
    }
}
