//! What is compared: plain Envoy, nginx with its slice module, that behind Envoy, and viewcache,
//! by mirroring and by relaying misses.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::checkout::Checkout;
use e2e::envoy_config::{EnvoyConfig, OriginUrl};
use e2e::management;
use e2e::poll::until;
use e2e::ports::Port;
use e2e::process::{self, Output, Process};
use e2e::stack::{Options, Stack};
use tempfile::TempDir;

/// Workers of each Envoy and of nginx.
const WORKERS: usize = 2;

const START: Duration = Duration::from_secs(30);

/// One way from a viewer to the origin.
pub(crate) struct Subject {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Where viewers connect.
    pub(crate) address: SocketAddr,
    running: Running,
}

enum Running {
    Processes {
        processes: Vec<Process>,
        pids: Vec<i32>,
        _folder: TempDir,
    },
    Viewcache(Box<Stack>),
}

/// What its processes have used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of CPU.
    pub(crate) cpu: f64,
    /// Bytes of memory.
    pub(crate) rss: u64,
    /// Bytes sent to the disk.
    pub(crate) written: u64,
}

/// A part of the shipped configuration, from one line to before another.
fn block<'a>(text: &'a str, from: &str, to: &str) -> Result<&'a str> {
    let start = text.find(from).with_context(|| from.to_owned())?;
    let len = text[start..].find(to).with_context(|| to.to_owned())?;
    Ok(&text[start..start + len])
}

fn access_log(checkout: &Checkout) -> Result<String> {
    let text = fs::read_to_string(checkout.path("envoy/envoy.yaml"))?;
    Ok(block(
        &text,
        "          access_log:\n",
        "          route_config:\n",
    )?
    .to_owned())
}

impl Subject {
    /// The shipped configuration without the filter.
    pub(crate) async fn plain_envoy(name: &'static str, origin: SocketAddr) -> Result<Self> {
        let checkout = Checkout::find()?;
        let folder = tempfile::tempdir()?;
        let path = checkout.path("envoy/envoy.yaml");
        let text = fs::read_to_string(&path)?;
        let filter = block(
            &text,
            "          - name: viewcache\n",
            "          - name: envoy.filters.http.router\n",
        )?;
        let (ingress, egress, admin) = (
            Port::shared(None)?,
            Port::shared(None)?,
            Port::shared(None)?,
        );
        // No route leads to the sidecars; their clusters only have to be complete.
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut config = EnvoyConfig::shipped(&path)?;
        config
            .replace(filter, "")?
            .replace(&access_log(&checkout)?, "")?
            .ingress(ingress.address)?
            .egress(egress.address)?
            .admin(admin.address)?
            .sidecars(&[nobody])?
            .origin(&OriginUrl::http(origin))?;
        let file = folder.path().join("envoy.yaml");
        fs::write(&file, config.text())?;
        let workers = WORKERS.to_string();
        let args = [
            "-c",
            &file.display().to_string(),
            "--concurrency",
            &workers,
            "--use-dynamic-base-id",
        ];
        let output = Output::Files(folder.path().to_owned());
        let envoy = Process::spawn("envoy", &checkout.envoy()?, args, &output)?;
        let ready = async || management::get(admin.address, "/ready").await.ok();
        until("plain Envoy is ready", START, ready).await?;
        Ok(Self {
            name,
            address: ingress.address,
            running: Running::Processes {
                pids: vec![envoy.pid()],
                processes: vec![envoy],
                _folder: folder,
            },
        })
    }

    /// nginx with slices of 1 MiB, as its documentation shows.
    pub(crate) async fn nginx(name: &'static str, origin: SocketAddr) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut port = Port::exclusive(None)?;
        let file = folder.path().join("nginx.conf");
        fs::write(&file, nginx_config(folder.path(), port.address, origin))?;
        port.release();
        let args = [
            "-c",
            &file.display().to_string(),
            "-p",
            &folder.path().display().to_string(),
        ];
        let output = Output::Files(folder.path().to_owned());
        let nginx = Process::spawn("nginx", Path::new("/usr/sbin/nginx"), args, &output)?;
        let listens = async || tokio::net::TcpStream::connect(port.address).await.ok();
        until("nginx listens", START, listens).await?;
        let master = nginx.pid();
        Ok(Self {
            name,
            address: port.address,
            running: Running::Processes {
                pids: [vec![master], children(master)?].concat(),
                processes: vec![nginx],
                _folder: folder,
            },
        })
    }

    /// The shipped stack; `rules` are those of its profile.
    pub(crate) async fn viewcache(
        name: &'static str,
        origin: SocketAddr,
        rules: &str,
    ) -> Result<Self> {
        Self::start(name, rules, Options::new(OriginUrl::http(origin))).await
    }

    /// The same on a data folder that has something in it.
    pub(crate) async fn viewcache_with(
        name: &'static str,
        origin: SocketAddr,
        rules: &str,
        data: &Path,
    ) -> Result<Self> {
        let mut options = Options::new(OriginUrl::http(origin));
        options.data = Some(data.to_owned());
        Self::start(name, rules, options).await
    }

    async fn start(name: &'static str, rules: &str, mut options: Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("viewcache.toml");
        fs::write(
            &file,
            format!("max_bytes = \"8GiB\"\n[profiles.generic]\n{rules}\n"),
        )?;
        options.concurrency = Some(WORKERS);
        options.sidecar_config = Some(file);
        options.edits = vec![(access_log(&Checkout::find()?)?, String::new())];
        let stack = Stack::start(options).await?;
        Ok(Self {
            name,
            address: stack.ingress(),
            running: Running::Viewcache(Box::new(stack)),
        })
    }

    /// The processes between viewer and origin that belong to it.
    fn pids(&mut self) -> Vec<i32> {
        match &mut self.running {
            Running::Processes { pids, .. } => pids.clone(),
            Running::Viewcache(stack) => vec![stack.envoy().pid(), stack.sidecar(0).pid()],
        }
    }

    /// Counts another subject's processes, which are behind this one, as its own.
    pub(crate) fn with(mut self, other: &mut Self) -> Self {
        if let Running::Processes { pids, .. } = &mut self.running {
            pids.extend(other.pids());
        }
        self
    }

    /// What its processes have used so far.
    pub(crate) fn usage(&mut self) -> Usage {
        let pids = self.pids();
        let mut usage = Usage::default();
        for pid in pids {
            usage.cpu += cpu(pid).unwrap_or_default();
            usage.rss += process::rss(pid).unwrap_or_default();
            usage.written += written(pid).unwrap_or_default();
        }
        usage
    }

    /// Asks its processes to end: the workers of an nginx that is killed would stay.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        match &mut self.running {
            Running::Processes { processes, .. } => {
                for process in processes {
                    process.stop(START).await?;
                }
                Ok(())
            }
            Running::Viewcache(stack) => stack.stop().await,
        }
    }

    /// The stack, when it is viewcache.
    pub(crate) fn stack(&mut self) -> Option<&mut Stack> {
        match &mut self.running {
            Running::Viewcache(stack) => Some(stack),
            Running::Processes { .. } => None,
        }
    }
}

fn cpu(pid: i32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last parenthesis may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

fn written(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("write_bytes:"))?;
    line.trim().parse().ok()
}

fn children(parent: i32) -> Result<Vec<i32>> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(path)?;
    Ok(text
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

fn nginx_config(folder: &Path, listen: SocketAddr, origin: SocketAddr) -> String {
    let dir = folder.display();
    // Workers of a master that runs as root give up its rights, and could not write here.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "daemon off; {user} worker_processes {WORKERS}; pid {dir}/pid; error_log {dir}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000;\n\
           client_body_temp_path {dir}/body; fastcgi_temp_path {dir}/fastcgi;\n\
           uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi; proxy_temp_path {dir}/temp;\n\
           proxy_cache_path {dir}/cache levels=1:2 keys_zone=slices:64m max_size=8g inactive=1h use_temp_path=off;\n\
           upstream origin {{ server {origin}; keepalive 64; }}\n\
           server {{\n\
             listen {listen};\n\
             location / {{\n\
               slice 1m; proxy_cache slices; proxy_cache_key $uri$slice_range;\n\
               proxy_set_header Range $slice_range; proxy_set_header Host bench.test;\n\
               proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
               proxy_cache_valid 200 206 1h; proxy_cache_lock on; proxy_pass http://origin;\n\
             }}\n\
           }}\n\
         }}\n"
    )
}
