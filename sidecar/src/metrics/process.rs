//! What the kernel knows of this process, under the names that Prometheus' own clients give it.

use std::fmt;
use std::fmt::Debug;

use procfs::process::{LimitValue, Process, Stat};
use procfs::{ProcResult, WithCurrentSystemInfo};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Looks when it is asked.
#[derive(Debug)]
pub(super) struct ProcessCollector;

struct Look {
    stat: Stat,
    open_files: u64,
    max_files: u64,
    started: f64,
}

impl Look {
    fn now() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let limit = process.limits()?.max_open_files.soft_limit;
        let booted = procfs::boot_time_secs()?;
        let since_boot = stat.starttime as f64 / procfs::ticks_per_second() as f64;
        Ok(Self {
            open_files: process.fd_count()? as u64,
            max_files: match limit {
                LimitValue::Unlimited => u64::MAX,
                LimitValue::Value(files) => files,
            },
            started: booted as f64 + since_boot,
            stat,
        })
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Where there is no /proc, there are no such metrics.
        let Ok(look) = Look::now() else {
            return Ok(());
        };
        let mut put = |name: &str, help: &str, unit: Option<Unit>, metric: &dyn EncodeMetric| {
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, unit.as_ref(), kind)?)
        };
        let ticks = (look.stat.utime + look.stat.stime) as f64;
        let cpu = ticks / procfs::ticks_per_second() as f64;
        let resident = look.stat.rss_bytes().get();
        let gauge = ConstGauge::<u64>::new;
        put(
            "process_cpu",
            "Processor time spent by this process.",
            Some(Unit::Seconds),
            &ConstCounter::new(cpu),
        )?;
        put(
            "process_resident_memory",
            "Memory of this process that is in RAM.",
            Some(Unit::Bytes),
            &gauge(resident),
        )?;
        put(
            "process_virtual_memory",
            "Memory that this process has mapped.",
            Some(Unit::Bytes),
            &gauge(look.stat.vsize),
        )?;
        put(
            "process_open_fds",
            "Open file descriptors.",
            None,
            &gauge(look.open_files),
        )?;
        put(
            "process_max_fds",
            "The most file descriptors that may be open.",
            None,
            &gauge(look.max_files),
        )?;
        put(
            "process_start_time",
            "When this process began, in seconds since the epoch.",
            Some(Unit::Seconds),
            &ConstGauge::new(look.started),
        )
    }
}
