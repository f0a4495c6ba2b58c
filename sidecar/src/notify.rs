//! What the service manager that has started this process is told, if one has and asks for it
//! (sd_notify(3)); without one nothing is. A message is a datagram on this machine, and sending it
//! does not wait.

use sd_notify::NotifyState;

/// The data folder is open and both ports answer.
pub(crate) fn ready() {
    tell(NotifyState::Ready);
}

/// No new request is taken any more.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says that the runtime runs, as often as is asked for. Disks may hang meanwhile: what waits for
/// them does so elsewhere.
pub(crate) async fn live() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut tick = tokio::time::interval(limit / 3);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
