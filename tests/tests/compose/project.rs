//! One run of the compose file, under a name and on ports of its own.

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use e2e::checkout::Checkout;
use e2e::client::{HOST, Request, Response};
use e2e::poll::until;
use e2e::ports::Port;
use serde_json::Value;
use tokio::process::Command;

/// How long something in the background may take, on a machine that builds as well.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The variables of docker-compose.yml that say where a port is published.
const PORTS: [&str; 4] = [
    "VIEWCACHE_LISTEN",
    "VIEWCACHE_MANAGE",
    "VIEWCACHE_MANAGE_1",
    "VIEWCACHE_MANAGE_2",
];

pub(crate) struct Project {
    checkout: Checkout,
    name: String,
    files: Vec<&'static str>,
    addresses: [SocketAddr; PORTS.len()],
    token: String,
    /// Whether it was taken down in order.
    down: bool,
}

impl Project {
    /// Starts it from nothing and waits until Envoy and every sidecar are healthy.
    pub(crate) async fn up(name: &str, files: &[&'static str]) -> Result<Self> {
        let mut ports = Vec::new();
        for _ in PORTS {
            ports.push(Port::exclusive(None)?);
        }
        let mut project = Self {
            checkout: Checkout::find()?,
            name: format!("viewcache-{name}-{}", std::process::id()),
            files: files.to_vec(),
            addresses: std::array::from_fn(|port| ports[port].address),
            token: String::new(),
            down: false,
        };
        drop(ports);
        project.compose(&["up", "-d", "--no-build"]).await?;
        project.healthy().await?;
        project.token = project.read_token().await?;
        Ok(project)
    }

    pub(crate) async fn healthy(&self) -> Result<()> {
        for service in self.services().await? {
            if service == "keys" {
                continue;
            }
            until(&format!("{service} is healthy"), SOON, async || {
                let health = self.inspect(&service, "{{.State.Health.Status}}").await;
                (health.ok()? == "healthy").then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// What Prometheus would read with.
    pub(crate) async fn read_token(&self) -> Result<String> {
        let file = "/run/viewcache/read-token";
        let text = self.exec("sidecar", &["cat", file]).await?;
        Ok(text.trim().to_owned())
    }

    /// The services that have a container. The files would name those of every profile, too.
    async fn services(&self) -> Result<Vec<String>> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let format = "{{.Label \"com.docker.compose.service\"}}";
        let list = docker(&["ps", "-a", "--filter", &project, "--format", format]).await?;
        Ok(list.split_whitespace().map(str::to_owned).collect())
    }

    /// Where viewers connect to.
    pub(crate) const fn ingress(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where a node is managed.
    pub(crate) const fn manage(&self, node: usize) -> SocketAddr {
        self.addresses[1 + node]
    }

    /// docker-compose with this project's files; what it prints.
    pub(crate) async fn compose(&self, args: &[&str]) -> Result<String> {
        let words = env::var("VIEWCACHE_COMPOSE").context("VIEWCACHE_COMPOSE: make sets it")?;
        let mut words = words.split_whitespace();
        let mut command = Command::new(words.next().context("VIEWCACHE_COMPOSE is empty")?);
        command.args(words).args(["-p", &self.name]);
        for file in &self.files {
            command.arg("-f").arg(self.checkout.path(file));
        }
        for (name, address) in PORTS.iter().zip(&self.addresses) {
            command.env(name, address.to_string());
        }
        output(command.args(args)).await
    }

    /// A program in a service's container; what it prints.
    pub(crate) async fn exec(&self, service: &str, program: &[&str]) -> Result<String> {
        let exec = [&["exec", "-T", service], program].concat();
        self.compose(&exec).await
    }

    /// What the engine says of a service's container.
    pub(crate) async fn inspect(&self, service: &str, template: &str) -> Result<String> {
        let container = self.compose(&["ps", "-q", "-a", service]).await?;
        docker(&["inspect", "-f", template, container.trim()]).await
    }

    /// Asks a service to end, and tells its exit code and how long it took.
    pub(crate) async fn stop(&self, service: &str) -> Result<(i32, Duration)> {
        let began = Instant::now();
        self.compose(&["stop", service]).await?;
        let took = began.elapsed();
        let code = self.inspect(service, "{{.State.ExitCode}}").await?;
        Ok((code.parse()?, took))
    }

    /// A request of somebody who may read, to a node's management port.
    pub(crate) async fn ask(&self, node: usize, target: &str) -> Result<(u16, String)> {
        self.ask_with(node, target, Some(&self.token)).await
    }

    pub(crate) async fn ask_with(
        &self,
        node: usize,
        target: &str,
        token: Option<&str>,
    ) -> Result<(u16, String)> {
        let mut request = Request::get(target).host("localhost");
        if let Some(token) = token {
            request = request.field("authorization", format!("Bearer {token}"));
        }
        let mut response = request.send(self.manage(node)).await?;
        let body = response.rest().await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        Ok((response.status, text))
    }

    /// An entity that a node has, if it has it.
    pub(crate) async fn entity(&self, node: usize, target: &str) -> Result<Option<Value>> {
        let (status, body) = self.ask(node, "/v1/entities?limit=1000").await?;
        if status != 200 {
            bail!("{status} {body}");
        }
        let list: Value = serde_json::from_str(&body)?;
        let key = format!("{HOST}{target}");
        let items = list["items"].as_array().context("items: not a list")?;
        let ours = |item: &&Value| item["key"].as_str().is_some_and(|k| k.ends_with(&key));
        Ok(items.iter().find(ours).cloned())
    }

    /// Waits until a node has so much of it.
    pub(crate) async fn stored(&self, node: usize, target: &str, bytes: usize) -> Result<()> {
        until(
            &format!("{bytes} of {target} are stored"),
            SOON,
            async || {
                let entity = self.entity(node, target).await.ok()??;
                (entity["cached_bytes"] == bytes).then_some(())
            },
        )
        .await
    }

    /// A view through the published port, compared with the file that the origin serves.
    pub(crate) async fn view(&self, target: &str, range: Option<(usize, usize)>) -> Result<View> {
        let path = target.split('?').next().unwrap_or_default();
        let mut expected = self.file(path)?;
        let mut request = Request::get(target);
        if let Some((start, end)) = range {
            request = request.range(&format!("{start}-{}", end - 1));
            expected = expected[start..end].to_vec();
        }
        let mut response = request.send(self.ingress()).await?;
        let body = response.rest().await?;
        let cache_status = response.cache_status().to_owned();
        let wanted = if range.is_some() { 206 } else { 200 };
        if response.status != wanted || body != expected {
            let Response { status, .. } = response;
            let (got, due) = (body.len(), expected.len());
            bail!("{target}: {status} with {got} bytes, not {wanted} with these {due}");
        }
        eprintln!("{target:24} {:9} verified  {cache_status}", body.len());
        Ok(View { cache_status })
    }

    /// What the origin serves under a path.
    pub(crate) fn file(&self, path: &str) -> Result<Vec<u8>> {
        let name = if path == "/" { "/index.html" } else { path };
        let file = self
            .checkout
            .path("demo")
            .join(name.trim_start_matches('/'));
        std::fs::read(&file).with_context(|| file.display().to_string())
    }

    pub(crate) async fn becomes_hit(&self, target: &str) -> Result<()> {
        until(&format!("{target} is a hit"), SOON, async || {
            self.view(target, None).await.ok()?.is_hit().then_some(())
        })
        .await
    }

    /// Removes it, and looks whether anything of it is left.
    pub(crate) async fn down(mut self) -> Result<()> {
        self.compose(&["--profile", "observability", "down", "-v"])
            .await?;
        self.down = true;
        let label = format!("label=com.docker.compose.project={}", self.name);
        for what in ["container", "network", "volume"] {
            let all: &[&str] = if what == "container" { &["-a"] } else { &[] };
            let list = [&[what, "ls", "-q", "--filter", &label], all].concat();
            let left = docker(&list).await?;
            if !left.is_empty() {
                bail!("{what}s are left: {left}");
            }
        }
        Ok(())
    }
}

impl Drop for Project {
    /// After a failure: tells what the containers said, and takes them down.
    fn drop(&mut self) {
        if self.down {
            return;
        }
        let words = env::var("VIEWCACHE_COMPOSE").unwrap_or_default();
        let words: Vec<&str> = words.split_whitespace().collect();
        let Some((program, rest)) = words.split_first() else {
            return;
        };
        let down = ["--profile", "observability", "down", "-v", "-t", "1"];
        for last in [&["logs", "--tail=60"][..], &down] {
            let mut command = std::process::Command::new(program);
            command.args(rest).args(["-p", &self.name]);
            for file in &self.files {
                command.arg("-f").arg(self.checkout.path(file));
            }
            let _ = command.args(last).stdin(Stdio::null()).status();
        }
    }
}

/// A response whose bytes were the origin's.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) cache_status: String,
}

impl View {
    pub(crate) fn is_hit(&self) -> bool {
        self.cache_status.contains("viewcache; hit")
    }

    /// Checks that Cache-Status begins with this.
    pub(crate) fn expect(&self, cache_status: &str) {
        assert!(
            self.cache_status.starts_with(cache_status),
            "{cache_status:?}: {self:?}"
        );
    }
}

pub(crate) async fn docker(args: &[&str]) -> Result<String> {
    output(Command::new("docker").args(args)).await
}

async fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().await;
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let output = output.with_context(|| program.clone())?;
    if !output.status.success() {
        let args: Vec<_> = command.as_std().get_args().collect();
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {args:?}: {}\n{said}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The complete length of an image, in bytes.
pub(crate) async fn image_size(image: &str) -> Result<u64> {
    let size = docker(&["image", "inspect", "-f", "{{.Size}}", image]).await?;
    size.parse().with_context(|| size.clone())
}

/// The first image that a Dockerfile's line takes from a repository.
pub(crate) fn base(dockerfile: &Path, repository: &str) -> Result<String> {
    let text = std::fs::read_to_string(dockerfile)?;
    let prefix = format!("FROM {repository}:");
    let line = text.lines().find(|line| line.starts_with(&prefix));
    let image = line.and_then(|line| line.split(' ').nth(1));
    Ok(image.with_context(|| format!("no {prefix}"))?.to_owned())
}
