//! Tells whoever listens how things are, regularly.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use viewcache_protocol::{ByteRange, EntityId, EntityKey};

use super::Service;
use crate::events::{Admitted, Appeared, Completed, DownloadDeleted, Event, Kind, Stored, Subject};
use crate::live::{Live, State};
use crate::policy::Reason;

/// How often newly stored bytes are told.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// So often in between, all else is.
const TICKS: u32 = 4;

/// So many entities are told of at once.
const MOST: usize = 256;

/// So many places of one.
const PLACES: usize = 64;

/// What is done with an entity just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Doings {
    /// Which entity.
    #[serde(flatten)]
    pub subject: Subject,
    /// How long it is, as far as is known.
    pub complete_length: Option<u64>,
    /// Who watches it.
    pub viewers: usize,
    /// Transfers that bring bytes of it.
    pub fills: usize,
    /// Where the viewers are.
    pub reading: Vec<u64>,
    /// What is still to come, half-open.
    #[schemars(with = "Vec<(u64, u64)>")]
    pub filling: Vec<ByteRange>,
}

/// What is done with all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Activity {
    /// Those with which something is done.
    pub entities: Vec<Doings>,
}

/// Where an entity's viewers are, those included that the origin serves.
pub fn reading(state: &State) -> Vec<u64> {
    let mirrored = state.leads.mirrored(Instant::now(), &state.terms);
    state.readers.positions().chain(mirrored).collect()
}

/// What the transfers of an entity are still to bring.
pub fn filling(state: &State) -> Vec<ByteRange> {
    state.leads.filling(Instant::now(), &state.terms).collect()
}

impl Service {
    /// Counts and tells regularly; never ends.
    pub async fn observe(self: Arc<Self>) {
        let mut tick = tokio::time::interval(TELL_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0;
        let mut active = false;
        loop {
            tick.tick().await;
            ticks = (ticks + 1) % TICKS;
            if ticks == 0 || self.events.heard() {
                let service = Arc::clone(&self);
                let look = move || service.look_around(ticks == 0, active);
                match tokio::task::spawn_blocking(look).await {
                    Ok(now) => active = now,
                    Err(error) => tracing::error!(%error, "nothing was counted"),
                }
            }
        }
    }

    /// Whether something is done with an entity comes back.
    fn look_around(&self, second: bool, active: bool) -> bool {
        for (id, extents) in self.events.take_stored() {
            if let Some(live) = self.table.find(id) {
                self.events
                    .tell(|| grown(&live.state(), extents.iter().collect()));
            }
        }
        if !second {
            return active;
        }
        self.count();
        self.events.rest(Instant::now());
        if !self.events.heard() {
            return false;
        }
        self.events.show(Kind::Stats, &self.stats(false));
        self.tell_downloads();
        let activity = self.activity();
        let now = !activity.entities.is_empty();
        // Once more when it has ended.
        if now || active {
            self.events.show(Kind::Activity, &activity);
        }
        now
    }

    fn activity(&self) -> Activity {
        let doing = |live: Arc<Live>| {
            let state = live.state();
            let present = state.doings(Instant::now());
            let busy = 0 < present.viewers + present.fills;
            busy.then(|| Doings {
                subject: Subject::of(&state.record.key),
                complete_length: length(&state),
                viewers: present.viewers,
                fills: present.fills,
                reading: reading(&state).into_iter().take(PLACES).collect(),
                filling: filling(&state).into_iter().take(PLACES).collect(),
            })
        };
        let all = self.table.all().into_iter();
        Activity {
            entities: all.filter_map(doing).take(MOST).collect(),
        }
    }

    /// Something of a new generation comes.
    pub(super) fn appeared(&self, key: &EntityKey, complete_length: u64) {
        self.events.tell(|| {
            Event::Appeared(Appeared {
                subject: Subject::of(key),
                profile: key.profile(),
                itag: key.part("itag").map(str::to_owned),
                key: key.clone(),
                complete_length,
            })
        });
    }

    /// An entity is worth keeping from now on.
    pub(super) fn admitted(&self, live: &Live, reason: Reason) {
        self.metrics.admissions.inc(reason);
        let reason = reason.as_str();
        tracing::debug!(entity = %live.id, reason, "admitted");
        self.events.tell(|| {
            Event::Admitted(Admitted {
                subject: Subject::of(&live.state().record.key),
                reason,
            })
        });
    }

    /// All of an entity is stored.
    pub(super) fn completed(&self, live: &Live) {
        self.events.tell(|| {
            let state = live.state();
            let generation = state.record.generation.as_ref();
            Event::Completed(Completed {
                subject: Subject::of(&state.record.key),
                complete_length: generation.map_or(0, |g| g.complete_length()),
            })
        });
    }

    /// Tells of the downloads that have gone on.
    fn tell_downloads(&self) {
        for id in self.downloads.wanted() {
            if let Ok(Some(report)) = self.tell_download(id)
                && self.downloads.is_news(id, &report)
            {
                self.events.tell(|| Event::Download(Box::new(report)));
            }
        }
    }

    /// A download has changed.
    pub(super) fn download_changed(&self, id: EntityId) {
        if !self.events.heard() {
            return;
        }
        match self.tell_download(id) {
            Ok(Some(report)) => {
                self.downloads.is_news(id, &report);
                self.events.tell(|| Event::Download(Box::new(report)));
            }
            Ok(None) => self.events.tell(|| {
                Event::DownloadDeleted(DownloadDeleted {
                    id: id.to_string(),
                    status: "deleted",
                })
            }),
            Err(error) => self.trouble("a download could not be told of", &error),
        }
    }
}

fn length(state: &State) -> Option<u64> {
    let generation = state.record.generation.as_ref();
    generation.map(|generation| generation.complete_length())
}

fn grown(state: &State, ranges: Vec<ByteRange>) -> Event {
    Event::Stored(Stored {
        subject: Subject::of(&state.record.key),
        ranges,
        cached_bytes: state.stored.bytes(),
        complete_length: length(state),
    })
}
