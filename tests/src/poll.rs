//! Waiting for a state instead of for a time.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

const STEP: Duration = Duration::from_millis(10);

/// Probes until it gives something; `what` is what the error names when `limit` is over.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe().await {
            return Ok(value);
        }
        if deadline <= Instant::now() {
            bail!("not within {} s: {what}", limit.as_secs_f32());
        }
        sleep(STEP).await;
    }
}
