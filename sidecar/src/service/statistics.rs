//! How much is stored, asked for and sent.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Service;
use super::room::DiskReport;
use crate::peers::Peer;
use crate::report::{AT, rfc3339};
use crate::store::{Class, millis};
use crate::traffic::{Throughput, Traffic, WindowReports};

/// What is counted while the process runs.
#[derive(Debug)]
pub(super) struct Counted {
    began: Instant,
    began_at: SystemTime,
    instance: String,
    latest: Mutex<Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    traffic: Traffic,
    /// Who watched when this was last counted.
    viewers: usize,
    /// What was filled then.
    fills: usize,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            began_at: SystemTime::now(),
            // Its keys are random.
            instance: format!("{:016x}", RandomState::new().hash_one(())),
            latest: Mutex::default(),
        }
    }
}

impl Counted {
    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn second(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

/// What one of the pools of segments takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pool {
    /// Bytes of disk.
    pub bytes: u64,
    /// The most that it may take; null when only the disk bounds it.
    pub max: Option<u64>,
}

/// The pools of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Pools")]
pub struct PoolReports {
    /// Of entities that are not known to be worth keeping.
    pub provisional: Pool,
    /// Of those that are; what they may take, they share with the pinned ones.
    pub admitted: Pool,
    /// Of those that the operator keeps.
    pub pinned: Pool,
}

/// How much is stored, asked for and sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// When this was so.
    #[schemars(example = AT)]
    pub at: String,
    /// When the process began.
    #[schemars(example = AT)]
    pub started_at: String,
    /// Which viewcache it is.
    #[schemars(example = &"1.0.0")]
    pub version: String,
    /// Tells a node from every other, and from what it was before it was started again.
    #[schemars(example = &"0123456789abcdef")]
    pub instance: String,
    /// Entities of which something is stored.
    pub entities: u64,
    /// Who watches.
    pub viewers: usize,
    /// Transfers from the origin.
    pub fills: usize,
    /// Who listens to events.
    pub subscribers: usize,
    /// How fast bytes go, in bytes a second.
    pub throughput: Throughput,
    /// What was asked for and sent.
    pub windows: WindowReports,
    /// The same by profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<BTreeMap<String, WindowReports>>,
    /// The same by channel, those that were active last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<BTreeMap<String, WindowReports>>,
    /// The room that there is.
    pub disk: DiskReport,
    /// What takes it.
    pub pools: PoolReports,
    /// The other nodes whose figures are in these sums, as far as they were reached; only when
    /// `peers` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<Peer>>,
}

impl Service {
    /// What tells this node from every other.
    pub fn instance(&self) -> &str {
        &self.counted.instance
    }

    /// Counts what came since this was last done.
    pub(super) fn count(&self) {
        let second = self.counted.second();
        let (mut viewers, mut fills) = (0, 0);
        let all = self.table.all();
        let mut latest = self.counted.latest();
        for live in all {
            let mut state = live.state();
            let doings = state.doings(Instant::now());
            viewers += doings.viewers;
            fills += doings.fills;
            let counts = std::mem::take(&mut state.traffic);
            if !counts.is_empty() {
                let profile = state.record.key.profile();
                let channel = state.channel.as_deref();
                latest.traffic.add(second, &counts, profile.name(), channel);
            }
        }
        (latest.viewers, latest.fills) = (viewers, fills);
    }

    /// How much is stored, asked for and sent; `apart` says by profile and channel too. Blocks.
    pub fn stats(&self, apart: bool) -> Stats {
        let rooms = self.store.rooms();
        let shares = self.shares_of_room();
        let pool = |class, max| Pool {
            bytes: rooms.get(class),
            max,
        };
        let disk = self.room.report(&self.store);
        let subscribers = self.events.subscribers();
        let second = self.counted.second();
        let mut latest = self.counted.latest();
        Stats {
            at: rfc3339(millis(SystemTime::now())),
            started_at: rfc3339(millis(self.counted.began_at)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.counted.instance.clone(),
            entities: self.store.entities(),
            viewers: latest.viewers,
            fills: latest.fills,
            subscribers,
            throughput: latest.traffic.all.throughput(second),
            windows: latest.traffic.all.report(second),
            profiles: apart.then(|| latest.traffic.profiles(second).collect()),
            channels: apart.then(|| latest.traffic.channels(second).collect()),
            disk,
            pools: PoolReports {
                provisional: pool(Class::Provisional, Some(shares.provisional)),
                admitted: pool(Class::Admitted, Some(shares.admitted)),
                pinned: pool(Class::Pinned, None),
            },
            nodes: None,
        }
    }
}
