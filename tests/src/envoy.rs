//! Envoy as a process: how it is started, and how it is left without cutting anybody off.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::management;
use crate::poll::until;

/// Its arguments for a configuration; `workers` is one for each core otherwise.
pub fn arguments(config: &Path, workers: Option<usize>) -> Vec<String> {
    let mut args = vec!["-c".to_owned(), config.display().to_string()];
    // Several Envoys on one machine would share a memory segment without the first. The
    // component says, at every start, that `fail_open` is deprecated.
    args.extend(
        [
            "--disable-hot-restart",
            "-l",
            "warning",
            "--component-log-level",
            "misc:error",
        ]
        .map(str::to_owned),
    );
    if let Some(workers) = workers {
        args.extend(["--concurrency".to_owned(), workers.to_string()]);
    }
    args
}

/// Closes the listener for viewers, and no other: the sidecars need the way to the origin for what
/// they are sending. Then waits until no viewer's request is being answered.
///
/// # Errors
/// When some still are at the end of `limit`, or Envoy does not answer.
pub async fn drain(admin: SocketAddr, limit: Duration) -> Result<()> {
    management::call("POST", admin, "/drain_listeners?inboundonly", 200).await?;
    until("no viewer is being answered", limit, async || {
        let active = management::envoy_stat(admin, "http.ingress.downstream_rq_active").await;
        (active.ok()? == 0).then_some(())
    })
    .await
}
