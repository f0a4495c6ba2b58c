//! Sidecars and Envoy, started as processes and wired to each other.

mod addresses;
mod nodes;
mod options;

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::checkout::Checkout;
use crate::envoy;
use crate::envoy_config::EnvoyConfig;
use crate::management;
use crate::poll::until;
use crate::process::{Output, Process};

pub use addresses::Standing;
use addresses::{Ports, reachable};
pub use options::{Logs, Options, Profile};

/// How long a process may take to answer after its start.
const START: Duration = Duration::from_secs(20);
/// How long it may take to end when asked to.
const STOP: Duration = Duration::from_secs(10);
/// Somebody else may take a port between our choosing it and the child's binding it.
const ATTEMPTS: usize = 5;

/// What runs.
#[derive(Debug)]
pub struct Stack {
    checkout: Checkout,
    options: Options,
    ports: Ports,
    envoy: Option<Process>,
    sidecars: Vec<Option<Process>>,
    folder: TempDir,
}

impl Stack {
    /// Starts everything and waits until it answers.
    pub async fn start(options: Options) -> Result<Self> {
        let checkout = Checkout::find()?;
        for attempt in 1.. {
            let mut stack = Self {
                checkout: checkout.clone(),
                ports: Ports::choose(&options)?,
                envoy: None,
                sidecars: (0..options.sidecars).map(|_| None).collect(),
                folder: tempfile::Builder::new().prefix("viewcache-").tempdir()?,
                options: options.clone(),
            };
            let Err(error) = stack.start_all().await else {
                return Ok(stack);
            };
            stack.stop().await?;
            if attempt == ATTEMPTS || !stack.ports.lost() {
                let logs = stack.logs();
                return Err(error.context(format!("the stack does not start\n{logs}")));
            }
        }
        unreachable!("the loop ends by its last attempt")
    }

    async fn start_all(&mut self) -> Result<()> {
        if !self.options.start_sidecars {
            return self.start_envoy().await;
        }
        for node in 0..self.options.sidecars {
            self.start_sidecar(node).await?;
        }
        self.start_envoy().await?;
        // Envoy is busy compiling the filter when its first health checks are due, and they fail.
        self.healthy(self.options.sidecars).await
    }

    /// Starts a sidecar, again if it has ended, and waits until it serves.
    pub async fn start_sidecar(&mut self, node: usize) -> Result<()> {
        let address = &mut self.ports.nodes[node];
        address.data.release();
        address.manage.release();
        let (data_port, manage) = (address.data.address, address.manage.address);
        let data = self.data(node);
        fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
        let mut args = vec![
            "--data-dir".to_owned(),
            data.display().to_string(),
            "--data-listen".to_owned(),
            data_port.to_string(),
            "--manage-listen".to_owned(),
            manage.to_string(),
            "--egress".to_owned(),
            format!("http://{}", self.ports.egress.address),
        ];
        let filter = self.folder.path().join("filter.json");
        write_private(&filter, &self.options.filter_json())?;
        args.extend(["--filter-config".to_owned(), filter.display().to_string()]);
        if let Some(size) = &self.options.max_bytes {
            args.extend(["--max-bytes".to_owned(), size.clone()]);
        }
        if let Some(file) = &self.options.sidecar_config {
            args.extend(["--config".to_owned(), file.display().to_string()]);
        }
        if let Some(secret) = &self.options.secret {
            let file = self.folder.path().join("secret");
            write_private(&file, secret)?;
            args.extend(["--secret-file".to_owned(), file.display().to_string()]);
        }
        if let Some(file) = &self.options.tokens_file {
            args.extend(["--tokens-file".to_owned(), file.display().to_string()]);
        }
        let variables = self.know_peers(&mut args)?;
        let program = self.checkout.product("viewcache-sidecar")?;
        let name = format!("sidecar-{node}");
        let variables = [&variables[..], &self.options.sidecar_variables].concat();
        let mut process = Process::spawn_with(&variables, &name, &program, args, &self.output())?;
        let ready = wait_ready(&mut process, manage, "/readyz").await;
        self.sidecars[node] = Some(process);
        ready
    }

    /// Has a sidecar know all of them, itself included, by its flags and the variables that come
    /// back; a configuration of its own may say otherwise.
    fn know_peers(&self, args: &mut Vec<String>) -> Result<Vec<(String, String)>> {
        let nodes = &self.ports.nodes;
        if nodes.len() < 2 || self.options.sidecar_config.is_some() {
            return Ok(Vec::new());
        }
        let peers = nodes.iter().map(|node| reachable(node.manage.address));
        let peers: Vec<_> = peers.map(|address| format!("http://{address}")).collect();
        args.extend(["--peers".to_owned(), peers.join(",")]);
        let Some(file) = &self.options.tokens_file else {
            return Ok(Vec::new());
        };
        let tokens = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        // Either role will do.
        let token = tokens.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let role = words.next()?;
            ["read", "admin"].contains(&role).then(|| words.next())?
        });
        let variable = |token: &str| ("VIEWCACHE_PEERS_TOKEN".to_owned(), token.to_owned());
        Ok(token.map(variable).into_iter().collect())
    }

    /// Starts Envoy, again if it has ended, and waits until it serves.
    pub async fn start_envoy(&mut self) -> Result<()> {
        let config = self.envoy_config()?;
        let path = config.write(self.folder.path())?;
        if let Some(keep) = &self.options.keep_envoy_config {
            write_private(keep, config.text()).with_context(|| keep.display().to_string())?;
        }
        self.ports.admin.release();
        let args = envoy::arguments(&path, self.options.concurrency);
        let program = self.checkout.envoy()?;
        let variables = &self.options.envoy_variables;
        let mut process = Process::spawn_with(variables, "envoy", &program, args, &self.output())?;
        let ready = wait_ready(&mut process, self.admin(), "/ready").await;
        self.envoy = Some(process);
        ready
    }

    /// The configuration with this stack's addresses.
    fn envoy_config(&self) -> Result<EnvoyConfig> {
        let options = &self.options;
        let nodes: Vec<_> = self
            .ports
            .nodes
            .iter()
            .map(|node| node.data.address)
            .collect();
        let mut config = match &options.own {
            Some(own) => own.clone(),
            None => {
                let mut config = EnvoyConfig::shipped(&self.checkout.path("envoy/envoy.yaml"))?;
                config
                    .wasm(&self.checkout.product("viewcache.wasm")?)?
                    .origin(&options.origin)?;
                config
            }
        };
        config
            .ingress(self.ports.ingress.address)?
            .egress(self.ports.egress.address)?
            .admin(self.admin())?
            .filter(&options.filter_json())?;
        match options.nodes_file {
            true => {
                self.write_nodes()?;
                config.nodes_from(&self.nodes_file())?
            }
            false => config.sidecars(&nodes)?,
        };
        for (literal, new) in &options.edits {
            config.replace(literal, new)?;
        }
        Ok(config)
    }

    /// What viewers connect to.
    pub fn ingress(&self) -> SocketAddr {
        reachable(self.ports.ingress.address)
    }

    /// What the sidecar reads the origin through.
    pub fn egress(&self) -> SocketAddr {
        self.ports.egress.address
    }

    /// Envoy's own interface.
    pub fn admin(&self) -> SocketAddr {
        self.ports.admin.address
    }

    /// A sidecar's management port.
    pub fn manage(&self, node: usize) -> SocketAddr {
        reachable(self.ports.nodes[node].manage.address)
    }

    /// A sidecar's data port, which is Envoy's alone.
    pub fn data_port(&self, node: usize) -> SocketAddr {
        self.ports.nodes[node].data.address
    }

    /// The data port of a sidecar that was not started, for whoever plays it.
    pub fn free_data_port(&mut self, node: usize) -> SocketAddr {
        let port = &mut self.ports.nodes[node].data;
        port.release();
        port.address
    }

    /// A running sidecar's process.
    ///
    /// # Panics
    /// When it was not started.
    pub fn sidecar(&mut self, node: usize) -> &mut Process {
        self.sidecars[node]
            .as_mut()
            .expect("the sidecar was started")
    }

    /// Asks a sidecar to end.
    pub async fn stop_sidecar(&mut self, node: usize) -> Result<ExitStatus> {
        self.sidecar(node).stop(STOP).await
    }

    /// Envoy's process.
    ///
    /// # Panics
    /// Never after a successful start.
    pub fn envoy(&mut self) -> &mut Process {
        self.envoy.as_mut().expect("Envoy was started")
    }

    /// The folder of a sidecar's data.
    pub fn data(&self, node: usize) -> PathBuf {
        let base = self
            .options
            .data
            .clone()
            .unwrap_or_else(|| self.folder.path().join("data"));
        if self.options.sidecars == 1 && !self.options.nodes_file {
            base
        } else {
            base.join(node.to_string())
        }
    }

    /// One of the filter's counters: `hit` is `wasmcustom.viewcache.hit`.
    pub async fn count(&self, counter: &str) -> Result<u64> {
        management::envoy_stat(self.admin(), &format!("wasmcustom.viewcache.{counter}")).await
    }

    /// The line by which others find the parts.
    pub fn ready_line(&self) -> String {
        let nodes = 0..self.options.sidecars;
        let join = |texts: Vec<String>| texts.join(",");
        let manage = join(
            nodes
                .map(|node| format!("http://{}", self.manage(node)))
                .collect(),
        );
        let pid = |process: &Option<Process>| process.as_ref().map_or(0, Process::pid).to_string();
        format!(
            "ready ingress=http://{} manage={manage} envoy_pid={} sidecar_pids={}",
            self.ingress(),
            pid(&self.envoy),
            join(self.sidecars.iter().map(pid).collect()),
        )
    }

    /// The children that have ended since the last call, and how. They are left as they are.
    pub fn reap(&mut self) -> Vec<String> {
        let children = [&mut self.envoy].into_iter().chain(&mut self.sidecars);
        let mut ended = Vec::new();
        for slot in children {
            let Some(process) = slot else { continue };
            if let Some(status) = process.ended() {
                ended.push(format!(
                    "{} (pid {}) ended: {status}",
                    process.name(),
                    process.pid()
                ));
                *slot = None;
            }
        }
        ended
    }

    /// Stops all: Envoy first, so that no viewer meets a sidecar that is going.
    pub async fn stop(&mut self) -> Result<()> {
        for process in [&mut self.envoy]
            .into_iter()
            .chain(&mut self.sidecars)
            .flatten()
        {
            process.stop(STOP).await?;
        }
        Ok(())
    }

    fn output(&self) -> Output {
        match self.options.logs {
            Logs::Kept => Output::Files(self.folder.path().to_owned()),
            Logs::Stderr => Output::Stderr,
        }
    }

    /// The ends of the logs, when they are kept.
    pub fn logs(&self) -> String {
        const LINES: usize = 80;
        let mut text = String::new();
        for process in [&self.envoy].into_iter().chain(&self.sidecars).flatten() {
            let Some(log) = process.log().and_then(|path| fs::read_to_string(path).ok()) else {
                continue;
            };
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(LINES)..];
            text += &format!("--- {}\n{}\n", process.name(), end.join("\n"));
        }
        text
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

/// The file may have the secret in it.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = File::options();
    let file = file.write(true).create(true).truncate(true).mode(0o600);
    file.open(path)?.write_all(text.as_bytes())?;
    Ok(())
}

async fn wait_ready(process: &mut Process, address: SocketAddr, path: &str) -> Result<()> {
    let what = format!("{} answers {path}", process.name());
    let ready = until(&what, START, async || {
        if let Some(status) = process.ended() {
            return Some(Err(status));
        }
        management::get(reachable(address), path)
            .await
            .ok()
            .map(|_| Ok(()))
    });
    match ready.await? {
        Ok(()) => Ok(()),
        Err(status) => bail!("{} ended: {status}", process.name()),
    }
}
