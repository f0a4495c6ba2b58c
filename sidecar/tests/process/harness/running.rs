//! A sidecar's process.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::sync::oneshot;

use super::Sidecar;

/// One that does not outlive its test.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn lives(&mut self) -> bool {
        self.try_wait().unwrap().is_none()
    }

    /// The memory that it has had at the most, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.unwrap().parse::<u64>().unwrap() << 10
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kill();
        let _ = self.wait();
    }
}

impl Sidecar {
    /// One that runs in a process of its own, which can be killed.
    pub(crate) async fn spawn(dir: &Path, origin: SocketAddr, flags: &[&str]) -> (Self, Running) {
        Self::spawn_at(Ipv4Addr::LOCALHOST, dir, origin, flags).await
    }

    /// One that listens at another address than this machine's own.
    pub(crate) async fn spawn_at(
        at: Ipv4Addr,
        dir: &Path,
        origin: SocketAddr,
        flags: &[&str],
    ) -> (Self, Running) {
        let flags = [&["--log", "warn"], flags].concat();
        let egress = format!("http://{origin}");
        Self::spawn_to(at, dir, &egress, &flags, Stdio::inherit()).await
    }

    /// One that reaches the origin by this URL.
    pub(crate) async fn spawn_by(dir: &Path, egress: &str) -> (Self, Running) {
        let flags = ["--log", "warn"];
        Self::spawn_to(Ipv4Addr::LOCALHOST, dir, egress, &flags, Stdio::inherit()).await
    }

    /// One with its log as JSON in a file.
    pub(crate) async fn spawn_logging(
        dir: &Path,
        origin: SocketAddr,
        flags: &[&str],
        log: File,
    ) -> (Self, Running) {
        let flags = [&["--log-format", "json"], flags].concat();
        let egress = format!("http://{origin}");
        Self::spawn_to(Ipv4Addr::LOCALHOST, dir, &egress, &flags, log.into()).await
    }

    async fn spawn_to(
        at: Ipv4Addr,
        dir: &Path,
        egress: &str,
        flags: &[&str],
        log: Stdio,
    ) -> (Self, Running) {
        // Free now, and nobody else takes them before the process does.
        let free = || std::net::TcpListener::bind((at, 0))?.local_addr();
        let (mut data, mut manage) = (free().unwrap(), free().unwrap());
        let process = Command::new(env!("CARGO_BIN_EXE_viewcache-sidecar"))
            .args(["--egress", egress])
            .args(["--data-listen", &data.to_string()])
            .args(["--manage-listen", &manage.to_string()])
            .arg("--data-dir")
            .arg(dir)
            .args(flags)
            .stderr(log)
            .spawn()
            .map(Running)
            .unwrap();
        data.set_ip(Ipv4Addr::LOCALHOST.into());
        manage.set_ip(Ipv4Addr::LOCALHOST.into());
        let (stop, stopped) = oneshot::channel::<()>();
        let sidecar = Self {
            data,
            manage,
            stop,
            running: tokio::spawn(async {
                stopped.await.ok();
                Ok(())
            }),
            client: Client::builder(TokioExecutor::new()).build_http(),
            secret: None,
            token: None,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while tokio::net::TcpStream::connect(manage).await.is_err() {
            assert!(Instant::now() < deadline, "the process does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(sidecar.manage("GET", "/readyz").await.status, 200);
        (sidecar, process)
    }
}
