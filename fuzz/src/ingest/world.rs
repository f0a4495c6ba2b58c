//! A sidecar without its listeners.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use viewcache_sidecar::config::{Config, Written};
use viewcache_sidecar::service::Service;
use viewcache_sidecar::store;

use super::program::program;
use super::run::Run;

/// Nothing here waits for longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A sidecar.
pub(super) struct World {
    runtime: Runtime,
    service: Arc<Service>,
    dir: TempDir,
    runs: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let written = Written {
            data_dir: Some(dir.path().to_owned()),
            ..Written::default()
        };
        let config = Config::over(written, Written::default()).expect("a configuration");
        Self {
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            service: Service::open(&config).expect("a store"),
            dir,
            runs: 0,
        }
    }

    /// Runs a program with entities that no other run has.
    pub(super) fn run(&mut self, data: &[u8]) {
        self.runs += 1;
        let mut run = Run::new(&self.service, self.runs);
        self.runtime.block_on(async {
            for step in program(data) {
                run.step(step).await;
            }
            run.finish().await;
            // What was begun ends.
            let deadline = Instant::now() + PATIENCE;
            let metrics = tokio::runtime::Handle::current().metrics();
            while 0 < metrics.num_alive_tasks() || run.writes().await {
                assert!(Instant::now() < deadline, "something does not end");
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            run.check().await;
        });
    }

    /// Closes the store and looks at all of it.
    pub(super) fn end(self) -> Result<(), String> {
        let Self {
            runtime,
            service,
            dir,
            ..
        } = self;
        let deadline = Instant::now() + PATIENCE;
        // What has ended is being removed.
        while 1 < Arc::strong_count(&service) {
            assert!(Instant::now() < deadline, "somebody keeps the service");
            std::thread::sleep(Duration::from_micros(100));
        }
        service.persist();
        drop(service);
        drop(runtime);
        let mut problems = String::new();
        loop {
            let report = store::check(dir.path(), false, |problem| {
                problems.push_str(&problem.to_string());
                problems.push('\n');
            });
            match report {
                Ok(_) => break,
                // The last writer lets go of it any moment.
                Err(store::StoreError::Locked(_)) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        problems.is_empty().then_some(()).ok_or(problems)
    }
}
