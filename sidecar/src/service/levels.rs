//! How full, how many, how far: looked at when somebody asks.

use super::Service;
use super::completion::Turn;
use super::downloads::Phase;
use super::shares::{AHEAD, FRAMES};
use crate::completion::Kind;
use crate::fills::Role;
use crate::metrics::{By, Exposition, Levels, Memory, Pool, Stage};
use crate::store::Class;

impl Service {
    /// Everything that is measured, in this format. Blocks.
    pub fn exposition(&self, format: Exposition) -> String {
        self.metrics.text(format, self.levels())
    }

    /// The levels of this moment. Blocks, but for no longer than a look at each entity in memory.
    fn levels(&self) -> Levels {
        let look = self.room.look(&self.store);
        let rooms = self.store.rooms();
        let mut levels = Levels {
            disk_used: By::of(|pool| {
                rooms.get(match pool {
                    Pool::Provisional => Class::Provisional,
                    Pool::Admitted => Class::Admitted,
                    Pool::Pinned => Class::Pinned,
                })
            }),
            disk_max: look.limit,
            disk_free: look.free,
            disk_floor: look.floor,
            index: self.room.index(),
            writers: self.writers.work(),
            spools: self.spools.len(),
            streams: self.shares.streams(),
            ..Levels::default()
        };
        let mut rings = 0;
        for live in self.table.all() {
            let state = live.state();
            rings += state.recent.bytes();
            let mirrors = state.leads.running(Role::Mirror);
            levels.leads.raise(Role::Mirror, mirrors);
            levels
                .leads
                .raise(Role::Own, state.leads.running(Role::Own));
            let watched = 0 < state.readers.viewers() || 0 < mirrors;
            levels.watched += u64::from(watched);
            levels.entities += 1;
        }
        levels.memory = By::of(|of| match of {
            Memory::Ingest => self.ingest_used(),
            Memory::Frames => self.frames(),
            Memory::Rings => rings,
        });
        levels.memory_max = By::of(|of| match of {
            Memory::Ingest => self.ingest_max,
            Memory::Frames => FRAMES,
            Memory::Rings => AHEAD,
        });
        for (kind, turn) in self.turns() {
            let stage = match turn {
                Turn::Queued => Stage::Queued,
                Turn::Running => Stage::Running,
                Turn::Waiting => Stage::Waiting,
            };
            match kind {
                Kind::Kept => levels.completions.raise(stage, 1),
                Kind::Download => levels.downloads.raise(stage, 1),
            }
        }
        for phase in self.download_phases() {
            match phase {
                // Counted above.
                Phase::Wanted => {}
                Phase::Paused => levels.downloads.raise(Stage::Paused, 1),
                Phase::Complete => levels.downloads.raise(Stage::Complete, 1),
                Phase::Failed => levels.downloads.raise(Stage::Failed, 1),
            }
        }
        levels
    }
}
