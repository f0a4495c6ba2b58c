//! The cache beside Envoy: decides, stores and serves. [`run`] is the whole of it.

#![warn(missing_docs)]

pub mod access;
pub mod catalogue;
pub mod completion;
pub mod config;
mod connections;
pub mod coverage;
mod data_plane;
pub mod delivery;
pub mod error;
pub mod events;
pub mod extents;
pub mod fills;
pub mod freshness;
pub mod imports;
pub mod itags;
pub mod journal;
mod listener;
pub mod listing;
pub mod live;
pub mod lower;
mod management;
pub mod metrics;
mod notify;
pub mod origin;
pub mod pace;
pub mod pairs;
pub mod peers;
pub mod policy;
pub mod preconditions;
pub mod quest;
pub mod rate;
pub mod readers;
pub mod recent;
pub mod report;
pub mod resolver;
pub mod roots;
mod seam;
pub mod service;
pub mod store;
pub mod terms;
mod throttle;
pub mod traffic;
pub mod turnover;
pub mod unwritten;
pub mod watchers;

/// What the fuzz targets call and nobody else may.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::data_plane::exchange;
    pub use crate::management::{patched, said};
}

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use access::Hosts;
use config::Config;
pub use listener::Listener;
use management::Access;
use service::Service;

/// How often changed records are written and idle entities let go of.
const PERSIST_EVERY: Duration = Duration::from_secs(1);

/// Runs the sidecar on two bound listeners until `shutdown` is ready.
///
/// # Errors
/// When the data folder cannot be used.
pub async fn run(
    data: Listener,
    manage: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let terms = config.access.clone();
    let grace = config.grace;
    let open = tokio::task::spawn_blocking(move || Service::open(&config));
    let service = open.await.context("open the data folder")??;
    for warning in &terms.warnings {
        tracing::warn!("{warning}");
    }
    let hosts = Hosts::new(manage.local_addr()?.ip(), &terms.allowed_hosts);
    let access = Access::new(hosts, terms.all_tokens(), Arc::clone(&service.metrics));
    let access = Arc::new(access);
    tracing::info!(data = %data.local()?, manage = %manage.local_addr()?, "ready");
    let (stop, stopped) = watch::channel(());
    let stopped = || {
        let mut stopped = stopped.clone();
        // The sender's end is the signal as well.
        async move { drop(stopped.changed().await) }
    };
    let data_plane = tokio::spawn(data_plane::serve(
        data,
        Arc::clone(&service),
        terms.secret,
        stopped(),
    ));
    let management = tokio::spawn(management::serve(
        manage,
        Arc::clone(&service),
        Arc::clone(&access),
        stopped(),
    ));
    let following = terms
        .tokens_file
        .map(|(file, _)| tokio::spawn(access.follow(file, terms.tokens)));
    let housekeeping = tokio::spawn(persist_regularly(Arc::clone(&service)));
    let observing = tokio::spawn(Arc::clone(&service).observe());
    let resuming = Arc::clone(&service);
    tokio::task::spawn_blocking(move || resuming.resume_downloads()).await?;
    let completing = tokio::spawn(Arc::clone(&service).complete());
    let importing = tokio::spawn(Arc::clone(&service).run_imports());
    let living = tokio::spawn(notify::live());
    notify::ready();
    shutdown.await;
    notify::stopping();
    importing.abort();
    // Until then it has the data folder.
    let _ = importing.await;
    completing.abort();
    service.stop_completing();
    observing.abort();
    service.events.close();
    tracing::info!("stopping");
    drop(stop);
    let ended = async { tokio::join!(data_plane, management, service.quiesce()) };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!("responses in flight are cut");
    }
    housekeeping.abort();
    following.inspect(JoinHandle::abort);
    living.abort();
    let last = Arc::clone(&service);
    tokio::task::spawn_blocking(move || last.persist()).await?;
    Ok(())
}

async fn persist_regularly(service: Arc<Service>) {
    let mut tick = tokio::time::interval(PERSIST_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let service = Arc::clone(&service);
        if let Err(error) = tokio::task::spawn_blocking(move || service.persist()).await {
            tracing::error!(%error, "records could not be stored");
        }
    }
}
