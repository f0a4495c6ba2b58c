//! What stands at some level and is looked at when somebody asks, not whenever it changes.

use std::fmt;
use std::marker::PhantomData;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use strum::VariantArray;

use super::{Label, register};
use crate::fills::Role;

/// Which segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Pool {
    /// Of entities that are not known to be worth keeping.
    Provisional,
    /// Of those that are.
    Admitted,
    /// Of those that stay whatever the room.
    Pinned,
}

impl Pool {
    /// The token in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Admitted => "admitted",
            Self::Pinned => "pinned",
        }
    }
}

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Memory {
    /// Bytes on their way to the disk.
    Ingest,
    /// The frames of responses, each as large as it may be.
    Frames,
    /// What transfers have brought and readers may still take.
    Rings,
}

impl Memory {
    /// The token in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Frames => "frames",
            Self::Rings => "rings",
        }
    }
}

/// How far a piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Work {
    /// It waits for its turn.
    Queued,
    /// It is being done.
    Running,
}

impl Work {
    /// The token in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
        }
    }
}

/// How far the completion of an entity is, or its download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Stage {
    /// Others come first.
    Queued,
    /// It is fetched.
    Running,
    /// Something has gone wrong; it is tried again.
    Waiting,
    /// The operator has stopped it for now.
    Paused,
    /// All of it is stored.
    Complete,
    /// It cannot be had.
    Failed,
}

impl Stage {
    /// The token in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }
}

/// A level for each value of a label.
#[derive(Clone, Debug)]
pub struct By<L> {
    levels: Vec<u64>,
    label: PhantomData<L>,
}

impl<L: Label> Default for By<L> {
    fn default() -> Self {
        Self::of(|_| 0)
    }
}

impl<L: Label> By<L> {
    /// These levels.
    pub fn of(level: impl Fn(L) -> u64) -> Self {
        Self {
            levels: L::VARIANTS.iter().map(|&label| level(label)).collect(),
            label: PhantomData,
        }
    }

    /// Raises one.
    pub fn raise(&mut self, label: L, by: u64) {
        let labelled = L::VARIANTS.iter().zip(&mut self.levels);
        for (_, level) in labelled.filter(|&(&of, _)| of == label) {
            *level += by;
        }
    }
}

impl<L: Label> EncodeMetric for By<L> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (label, level) in L::VARIANTS.iter().zip(&self.levels) {
            encoder
                .encode_family(&[(L::NAME, label.value())])?
                .encode_gauge(level)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// All of them at one moment.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    /// Disk that segments take.
    pub disk_used: By<Pool>,
    /// The most that they may take.
    pub disk_max: u64,
    /// What the file system has left.
    pub disk_free: u64,
    /// What of that must be left.
    pub disk_floor: u64,
    /// Disk that the index takes.
    pub index: u64,
    /// Memory in use.
    pub memory: By<Memory>,
    /// How much of it may be.
    pub memory_max: By<Memory>,
    /// Work of the threads that write.
    pub writers: By<Work>,
    /// Bodies whose length is not known yet.
    pub spools: u64,
    /// Transfers that bring bytes.
    pub leads: By<Role>,
    /// Responses being streamed.
    pub streams: u64,
    /// Entities that somebody is sent.
    pub watched: u64,
    /// Entities in memory.
    pub entities: u64,
    /// Entities whose rests are wanted by the policy.
    pub completions: By<Stage>,
    /// Downloads.
    pub downloads: By<Stage>,
}

impl Levels {
    pub(super) fn register(self, to: &mut Registry) {
        let Self {
            disk_used,
            disk_max,
            disk_free,
            disk_floor,
            index,
            memory,
            memory_max,
            writers,
            spools,
            leads,
            streams,
            watched,
            entities,
            completions,
            downloads,
        } = self;
        let level = ConstGauge::new;
        register(to, "disk_used_bytes", "Disk that segments take", disk_used);
        register(
            to,
            "disk_max_bytes",
            "The most disk that segments may take (max_bytes)",
            level(disk_max),
        );
        register(
            to,
            "disk_free_bytes",
            "What the file system of the data folder has left",
            level(disk_free),
        );
        register(
            to,
            "disk_floor_bytes",
            "What the file system must have left (min_free)",
            level(disk_floor),
        );
        register(to, "index_bytes", "Disk that the index takes", level(index));
        register(to, "memory_bytes", "Memory for bytes on their way", memory);
        register(to, "memory_max_bytes", "The most of it", memory_max);
        register(
            to,
            "writer_tasks",
            "Work of the threads that write to the disk",
            writers,
        );
        register(
            to,
            "spools",
            "Bodies that wait for their end to tell their length",
            level(spools),
        );
        register(
            to,
            "leads",
            "Transfers from the origin that bring bytes, by whose they are",
            leads,
        );
        register(
            to,
            "streams",
            "Responses being streamed by the sidecar",
            level(streams),
        );
        register(
            to,
            "watched_entities",
            "Entities of which a response is being streamed or mirrored",
            level(watched),
        );
        register(
            to,
            "entities_in_memory",
            "Entities in memory",
            level(entities),
        );
        register(
            to,
            "completions",
            "Entities whose rests the policy wants, by how far that is",
            completions,
        );
        register(to, "downloads", "Downloads, by how far they are", downloads);
    }
}
