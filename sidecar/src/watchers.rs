//! How much of an entity each of its viewers has watched, while it is not known to be worth keeping,
//! and whether there are several. Pure.

use serde::{Deserialize, Serialize};
use viewcache_protocol::ByteRange;

use crate::extents::Extents;

/// So many viewers of an entity are told apart; for one more, that which watched least recently is
/// forgotten.
pub const MAX_VIEWERS: usize = 64;

/// So many of them are remembered when nothing of the entity is stored.
pub const MAX_FADED: usize = 8;

/// As many as these are several.
pub const SEVERAL: usize = 2;

/// In so many runs is kept what one has watched; what would be one more is left out.
const MAX_RUNS: usize = 32;

/// One viewer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Watcher {
    /// As the filter names it.
    viewer: String,
    watched: Extents,
}

/// The viewers, the last one to watch at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watchers(Vec<Watcher>);

impl Watchers {
    /// A viewer has begun.
    pub fn came(&mut self, viewer: &str) {
        if !self.0.iter().any(|watcher| watcher.viewer == viewer) {
            self.latest(viewer);
        }
    }

    /// These bytes went to a viewer.
    pub fn watched(&mut self, viewer: &str, range: ByteRange) {
        let watcher = self.latest(viewer);
        watcher.watched.insert_bounded(range, MAX_RUNS);
    }

    /// The viewer, known or new, as the last one to watch.
    fn latest(&mut self, viewer: &str) -> &mut Watcher {
        let known = self.0.iter().position(|watcher| watcher.viewer == viewer);
        let watcher = match known {
            Some(at) => self.0.remove(at),
            None => {
                if MAX_VIEWERS <= self.0.len() {
                    self.0.remove(0);
                }
                Watcher {
                    viewer: viewer.to_owned(),
                    watched: Extents::default(),
                }
            }
        };
        self.0.push_mut(watcher)
    }

    /// Who the latest were, so many at the most, without what they have watched.
    pub fn faded(&self, most: usize) -> Self {
        let skipped = self.0.len().saturating_sub(most);
        let latest = self.0.iter().skip(skipped);
        let faded = latest.map(|watcher| Watcher {
            viewer: watcher.viewer.clone(),
            watched: Extents::default(),
        });
        Self(faded.collect())
    }

    /// How many different bytes the one has watched that has watched most.
    pub fn most(&self) -> u64 {
        let bytes = self.0.iter().map(|watcher| watcher.watched.bytes());
        bytes.max().unwrap_or(0)
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether more than one has begun.
    pub const fn several(&self) -> bool {
        SEVERAL <= self.count()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    #[test]
    fn what_is_watched_again_counts_once_and_for_each_viewer_alone() {
        let mut watchers = Watchers::default();
        assert_eq!((watchers.most(), watchers.count()), (0, 0));
        for (viewer, start, end) in [("a", 0, 10), ("b", 0, 15), ("a", 5, 12), ("a", 90, 95)] {
            watchers.watched(viewer, range(start, end));
        }
        assert_eq!((watchers.most(), watchers.count()), (17, 2));
    }

    #[test]
    fn whoever_watched_least_recently_is_forgotten() {
        let mut watchers = Watchers::default();
        for viewer in 0..MAX_VIEWERS {
            watchers.watched(&viewer.to_string(), range(0, 10));
        }
        watchers.watched("0", range(10, 30));
        watchers.watched("another", range(0, 1));
        assert_eq!((watchers.most(), watchers.count()), (30, MAX_VIEWERS));
        watchers.watched("1", range(10, 20));
        // It had been forgotten.
        assert_eq!(watchers.0.last().unwrap().watched.bytes(), 10);
    }

    #[test]
    fn the_latest_are_remembered_without_what_they_watched() {
        let mut watchers = Watchers::default();
        for viewer in 0..10 {
            watchers.watched(&viewer.to_string(), range(0, 10));
        }
        let mut faded = watchers.faded(MAX_FADED);
        assert_eq!((faded.count(), faded.most()), (MAX_FADED, 0));
        faded.came("9");
        assert_eq!(faded.count(), MAX_FADED);
        faded.came("0");
        assert_eq!(faded.count(), MAX_FADED + 1);
        faded.watched("9", range(5, 9));
        assert_eq!((faded.most(), faded.count()), (4, MAX_FADED + 1));
    }

    #[test]
    fn a_scattered_viewer_costs_no_more_than_so_much() {
        let mut watchers = Watchers::default();
        for at in 0..1000 {
            watchers.watched("a", range(at * 10, at * 10 + 1));
        }
        assert_eq!(watchers.most(), MAX_RUNS as u64);
    }
}
