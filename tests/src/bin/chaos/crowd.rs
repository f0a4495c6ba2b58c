//! A hundred viewers: each starts a film, watches, seeks, leaves, and takes another.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::films::{Film, Films};
use crate::link::{Link, Wanted};
use crate::sample::{Moment, Outcome, Sample};

/// So many watch at once.
const VIEWERS: u64 = 100;
/// Of them so many watch long films at their pace, each in one response.
const SLOW: u64 = 15;
/// 3.1 MiB a second.
const PACE: Duration = Duration::from_millis(20);
const KIB: u64 = 1024;

/// What all of them share.
#[derive(Debug)]
pub(crate) struct Seats {
    pub(crate) films: Arc<Films>,
    pub(crate) to: SocketAddr,
    /// When the program began.
    pub(crate) start: Instant,
    pub(crate) samples: Mutex<Vec<Sample>>,
    /// When each viewer's request began that is not over.
    pub(crate) under_way: Mutex<HashMap<u64, Moment>>,
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The viewers. Dropped, all of them leave.
#[derive(Debug)]
pub(crate) struct Crowd {
    seats: Arc<Seats>,
    _viewers: JoinSet<()>,
}

impl Crowd {
    pub(crate) fn enter(seats: Seats, seed: u64) -> Self {
        let seats = Arc::new(seats);
        let mut viewers = JoinSet::new();
        for number in 0..VIEWERS {
            let seats = Arc::clone(&seats);
            viewers.spawn(async move {
                let random = Pcg64::seed_from_u64(seed ^ (number << 32));
                Viewer {
                    seats,
                    random,
                    number,
                }
                .watch()
                .await;
            });
        }
        let _viewers = viewers;
        Self { seats, _viewers }
    }

    /// Takes the samples since the last call.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        std::mem::take(&mut lock(&self.seats.samples))
    }

    /// Whether a request is not over that began before.
    pub(crate) fn waits_since(&self, before: Moment) -> bool {
        let under_way = lock(&self.seats.under_way);
        under_way.values().any(|began| *began < before)
    }
}

struct Viewer {
    seats: Arc<Seats>,
    random: Pcg64,
    number: u64,
}

impl Viewer {
    async fn watch(mut self) {
        self.pause(0..500).await;
        loop {
            self.session().await;
            self.pause(100..600).await;
        }
    }

    /// A head, some ranges on, perhaps a seek, and the end or not.
    async fn session(&mut self) {
        let slow = self.number < SLOW;
        let film = if slow {
            self.seats.films.choose_long(&mut self.random)
        } else {
            self.seats.films.choose(&mut self.random)
        };
        let mut link = Link::new(self.seats.to, format!("viewer-{}", self.number));
        let mut query = self.seats.films.query();
        let mut at = 0;
        if slow {
            let all = film.length();
            return self.read(&mut link, &film, &mut query, &mut at, all).await;
        }
        self.read(&mut link, &film, &mut query, &mut at, 64 * KIB)
            .await;
        for _ in 0..self.random.random_range(1..=4) {
            self.pause(200..700).await;
            let length = self.random.random_range(128 * KIB..512 * KIB);
            self.read(&mut link, &film, &mut query, &mut at, length)
                .await;
        }
        if self.random.random_ratio(1, 2) {
            at = self.random.random_range(0..film.length());
            for _ in 0..self.random.random_range(1..=2) {
                let length = self.random.random_range(128 * KIB..512 * KIB);
                self.read(&mut link, &film, &mut query, &mut at, length)
                    .await;
                self.pause(200..700).await;
            }
        }
    }

    /// Reads on at `at`; now and then the viewer leaves in the middle.
    async fn read(
        &mut self,
        link: &mut Link,
        film: &Film,
        query: &mut String,
        at: &mut u64,
        length: u64,
    ) {
        if film.length() <= *at {
            return;
        }
        let end = film.length().min(*at + length);
        let leaves = self.random.random_ratio(1, 20);
        let read = if leaves { (end - *at) / 3 } else { end - *at };
        loop {
            let began = self.seats.start.elapsed();
            let range = (*at, end);
            let wanted = Wanted {
                film,
                query,
                range,
                read,
                pace: (self.number < SLOW).then_some(PACE),
            };
            lock(&self.seats.under_way).insert(self.number, began);
            let got = link.get(&wanted).await;
            lock(&self.seats.under_way).remove(&self.number);
            // What a player does with a URL that has expired: it gets another.
            let refused = got.outcome == Outcome::Status(403);
            if refused && self.seats.films.expired(query) {
                *query = self.seats.films.query();
                self.pause(20..100).await;
                continue;
            }
            let failed = got.outcome != Outcome::Right;
            lock(&self.seats.samples).push(Sample {
                began,
                ended: self.seats.start.elapsed(),
                silence: got.silence,
                kept: film.kept,
                hit: got.hit,
                outcome: got.outcome,
            });
            if failed {
                // Whoever failed tries no faster than a player does.
                self.pause(200..400).await;
            }
            break;
        }
        *at = end;
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        sleep(Duration::from_millis(
            self.random.random_range(milliseconds),
        ))
        .await;
    }
}
