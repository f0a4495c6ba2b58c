//! Envoy alone, for sidecars that run elsewhere: what a container with Envoy runs.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use e2e::checkout::Checkout;
use e2e::envoy;
use e2e::envoy_config::{EnvoyConfig, Node, OriginUrl};
use e2e::interrupt::Interrupt;
use e2e::process::{Output, Process};
use serde_json::json;

use crate::secret;

/// How long Envoy may take to end when nobody is being answered any more. One that is still
/// starting, and compiling the filter, hears nothing for seconds.
const STOP: Duration = Duration::from_secs(8);

#[derive(Debug, Parser)]
pub(crate) struct Alone {
    /// The URL of the origin: http or https, a host, perhaps a port, no path.
    #[arg(long, env = "VIEWCACHE_ORIGIN", value_name = "URL")]
    origin: OriginUrl,
    /// A sidecar's data port, and the name of the node; several for several nodes.
    #[arg(long = "sidecar", required = true, value_name = "NAME=HOST:PORT")]
    sidecars: Vec<Node>,
    /// A file with the filter's configuration.
    #[arg(long, value_name = "FILE")]
    filter_config: Option<PathBuf>,
    /// A file with what Envoy and the sidecars show each other.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Where viewers connect to.
    #[arg(long, default_value = "0.0.0.0:10000", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where the sidecars reach the origin.
    #[arg(long, default_value = "127.0.0.1:10001", value_name = "ADDR")]
    egress: SocketAddr,
    /// Envoy's own interface; whoever reaches it can stop Envoy.
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "ADDR")]
    admin: SocketAddr,
    /// Where Envoy's metrics can be read, at /stats/prometheus, and nothing else.
    #[arg(long, value_name = "ADDR")]
    stats: Option<SocketAddr>,
    /// The longest that viewers may take to the end of what they are receiving, when it is to end.
    #[arg(long, default_value = "10s", value_name = "TIME")]
    drain: humantime::Duration,
    /// Envoy's worker threads [default: one for each core].
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
}

impl Alone {
    pub(crate) async fn run(self, mut interrupt: Interrupt) -> Result<ExitCode> {
        let checkout = Checkout::find()?;
        let folder = tempfile::Builder::new().prefix("viewcache-").tempdir()?;
        let path = folder.path().join("envoy.yaml");
        fs::write(&path, self.config(&checkout)?.text())?;
        let args = envoy::arguments(&path, self.concurrency);
        let mut process = Process::spawn("envoy", &checkout.envoy()?, args, &Output::Stderr)?;
        tokio::select! {
            status = process.wait() => return Ok(code(status?)),
            () = interrupt.received() => {}
        }
        tokio::select! {
            drained = envoy::drain(self.admin, self.drain.into()) => {
                if let Err(error) = drained {
                    eprintln!("stack: viewers are cut off: {error:#}");
                }
            }
            // Whoever asks twice is in a hurry.
            () = interrupt.received() => {}
        }
        Ok(code(process.stop(STOP).await?))
    }

    /// The shipped configuration with these addresses.
    fn config(&self, checkout: &Checkout) -> Result<EnvoyConfig> {
        let mut config = EnvoyConfig::shipped(&checkout.path("envoy/envoy.yaml"))?;
        config
            .ingress(self.listen)?
            .egress(self.egress)?
            .admin(self.admin)?
            .wasm(&checkout.product("viewcache.wasm")?)?
            .filter(&self.filter()?)?
            .nodes(&self.sidecars)?
            .origin(&self.origin)?;
        if let Some(secret) = secret(self.secret_file.as_deref())? {
            config.guard_egress(&secret)?;
        }
        if let Some(stats) = self.stats {
            config.stats(stats, self.admin)?;
        }
        Ok(config)
    }

    /// The filter's configuration on one line, with the secret. Whatever is wrong in it Envoy
    /// says, and does not start.
    fn filter(&self) -> Result<String> {
        let mut filter = json!({"profile": "generic"});
        if let Some(path) = &self.filter_config {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            filter = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        }
        if let Some(secret) = secret(self.secret_file.as_deref())? {
            let fields = filter.as_object_mut().context("filter_config: no object")?;
            fields.insert("secret".to_owned(), secret.into());
        }
        Ok(filter.to_string())
    }
}

/// As a shell tells it.
fn code(status: ExitStatus) -> ExitCode {
    let number = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .and_then(|number| u8::try_from(number).ok());
    ExitCode::from(number.unwrap_or(1))
}
