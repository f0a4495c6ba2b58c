//! Viewers who ask for the same entities again and again, each for one after the other, while
//! something happens to the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::client::Request;
use e2e::content::Content;
use e2e::poll::until;
use tokio::task::JoinSet;

use crate::world::{World, open_at, read};

/// Nothing that an audience is asked to do takes this long.
const LIMIT: Duration = Duration::from_secs(40);

/// Every so many views are of one of the few that everybody watches.
const HOT_EVERY: usize = 4;
const HOT: usize = 8;

/// The viewers.
pub(crate) struct Audience {
    stage: Arc<Stage>,
    viewers: JoinSet<()>,
}

/// What they share.
struct Stage {
    ingress: SocketAddr,
    entities: Vec<(String, Content)>,
    next: AtomicUsize,
    over: AtomicBool,
    seen: Mutex<Seen>,
}

/// What they have seen.
#[derive(Clone, Default)]
struct Seen {
    /// Every view: of which entity, and what Cache-Status said of it unless it was a hit.
    views: Vec<(usize, Option<String>)>,
    /// Bodies that ended before their end, each of which was then had by asking again.
    cuts: usize,
    /// Requests that were not answered as they should.
    failures: Vec<String>,
}

impl Audience {
    /// Seats viewers in front of so many entities of about `length` bytes.
    pub(crate) fn seat(world: &World, viewers: usize, entities: usize, length: u64) -> Self {
        let entity = |number: usize| {
            let path = format!("/a{number}");
            let content = world.serve(&path, length + 97 * number as u64);
            (path, content)
        };
        let stage = Arc::new(Stage {
            ingress: world.stack.ingress(),
            entities: (0..entities).map(entity).collect(),
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            seen: Mutex::default(),
        });
        let viewers = (0..viewers).map(|_| {
            let stage = Arc::clone(&stage);
            async move {
                while !stage.over.load(Ordering::Relaxed) {
                    stage.view().await;
                }
            }
        });
        Self {
            viewers: viewers.collect(),
            stage,
        }
    }

    /// The path of an entity.
    pub(crate) fn path(&self, entity: usize) -> &str {
        &self.stage.entities[entity].0
    }

    /// Its complete length.
    pub(crate) fn length(&self, entity: usize) -> u64 {
        self.stage.entities[entity].1.length()
    }

    /// How many views are over.
    pub(crate) fn views(&self) -> usize {
        self.stage.seen.lock().unwrap().views.len()
    }

    /// Waits until everything has been viewed so many times more, and says what was not a hit.
    pub(crate) async fn rounds(&self, rounds: usize) -> Misses {
        self.rounds_since(self.views(), rounds).await
    }

    /// The same, counted from an earlier number of views on.
    pub(crate) async fn rounds_since(&self, from: usize, rounds: usize) -> Misses {
        let entities = self.stage.entities.len();
        // Those that have begun are not all over.
        let begun = self.stage.next.load(Ordering::Relaxed);
        let to = begun + rounds * entities * HOT_EVERY / (HOT_EVERY - 1) + 1;
        let done = async || {
            let seen = self.seen();
            assert_eq!(seen.failures, Vec::<String>::new());
            (to <= seen.views.len()).then_some(seen.views)
        };
        let views = until("everything is viewed", LIMIT, done).await.unwrap();
        let views = &views[from..];
        let mut entities: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        let mut missed = 0.0;
        for (entity, status) in views {
            let Some(status) = status else { continue };
            entities.entry(*entity).or_default().insert(status.clone());
            missed += 1.0;
        }
        Misses {
            entities,
            views: missed / views.len() as f64,
        }
    }

    /// Waits until nearly everything is a hit.
    pub(crate) async fn settles(&self) {
        let settled = until("nearly all are hits", LIMIT, async || {
            (self.rounds(1).await.views <= 0.02).then_some(())
        });
        settled.await.unwrap();
    }

    /// How many bodies were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.seen().cuts
    }

    /// The show is over: whoever views still does so to the end. How many views there were.
    pub(crate) async fn leave(self) -> usize {
        self.stage.over.store(true, Ordering::Relaxed);
        self.viewers.join_all().await;
        let seen = self.stage.seen.lock().unwrap();
        assert_eq!(seen.failures, Vec::<String>::new());
        seen.views.len()
    }

    fn seen(&self) -> Seen {
        self.stage.seen.lock().unwrap().clone()
    }
}

/// What was not a hit in a while.
#[derive(Debug)]
pub(crate) struct Misses {
    /// Which entities, and what was said of each.
    pub(crate) entities: BTreeMap<usize, BTreeSet<String>>,
    /// The share of the views.
    pub(crate) views: f64,
}

impl Stage {
    async fn view(&self) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let entity = match turn % HOT_EVERY {
            0 => turn / HOT_EVERY % HOT,
            other => (turn / HOT_EVERY * (HOT_EVERY - 1) + other - 1) % self.entities.len(),
        };
        let (path, content) = &self.entities[entity];
        let middle = content.length() / 2;
        let request = match turn % 3 {
            0 => Request::get(path).range(&format!("{middle}-")),
            _ => Request::get(path),
        };
        loop {
            let response = match open_at(self.ingress, &request).await {
                Ok(response) if matches!(response.status, 200 | 206) => response,
                Ok(response) => return self.fails(path, &response.head.start),
                Err(error) => return self.fails(path, &format!("{error:#}")),
            };
            match read(response, *content).await {
                Ok(view) => {
                    let mut seen = self.seen.lock().unwrap();
                    let missed = (!view.is_hit()).then_some(view.cache_status);
                    return seen.views.push((entity, missed));
                }
                Err(error) if format!("{error:#}").contains("is wrong") => {
                    return self.fails(path, &format!("{error:#}"));
                }
                // Nothing helps a body that has begun in a process that is killed: the player asks
                // again.
                Err(_) => self.seen.lock().unwrap().cuts += 1,
            }
        }
    }

    fn fails(&self, path: &str, how: &str) {
        let mut seen = self.seen.lock().unwrap();
        seen.failures.push(format!("{path}: {how}"));
        self.over.store(true, Ordering::Relaxed);
    }
}
