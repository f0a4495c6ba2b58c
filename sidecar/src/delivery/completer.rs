//! Brings what is missing of an entity although no viewer has asked for it.
//!
//! It reads the gaps as a viewer would, one after another and as fast as it may, and takes nothing
//! that somebody is bringing already: viewers who come to its bytes follow it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use viewcache_protocol::{ByteRange, FillId, Wanted};

use super::found::{Found, generation};
use super::incomplete::Incomplete;
use super::lead::Lead;
use super::pump::{self, Order};
use super::source::SourceError;
use super::{HandBack, PATIENCE};
use crate::live::{Live, Snapshot, Spot};
use crate::origin::Asker;
use crate::rate::Rate;
use crate::readers::ReaderId;
use crate::service::Service;

/// After so many gaps in a row of which nothing could be stored it gives up.
const FRUITLESS: u32 = 3;

/// A URL that expires sooner is not used: a window of 16 MiB takes so long at half a MiB a second.
const IN_TIME: Duration = Duration::from_secs(30);

/// It goes so many bytes at once, so that it heeds a rate that changes.
const STEP: u64 = 64 << 10;

/// It is looked again after this long although nothing seems to have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Completes one entity.
pub struct Completer {
    /// The use cases.
    pub service: Arc<Service>,
    /// The entity.
    pub live: Arc<Live>,
    /// Whether it may fetch now; gone when it is not wanted any more.
    pub go: watch::Receiver<bool>,
    /// How fast.
    pub rate: Arc<Rate>,
}

/// Its place among the entity's readers.
struct Reading {
    live: Arc<Live>,
    id: ReaderId,
}

impl Reading {
    fn aim(&self, range: ByteRange) {
        self.live.state().readers.aim(self.id, range);
        self.live.demand.notify_waiters();
    }

    fn advance(&self, at: u64) {
        self.live.state().readers.advance(self.id, at);
        self.live.demand.notify_waiters();
    }

    /// What it does not want any more is left to others.
    fn rest(&self) {
        self.advance(u64::MAX);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.live.state().readers.leave(self.id);
        self.live.demand.notify_waiters();
    }
}

/// Whether there is something to fetch.
enum Todo {
    /// Nothing: all of it is stored.
    Complete,
    /// Nothing now: others bring it, or the origin is left alone until then.
    Wait(Option<Instant>),
    /// This.
    Gap(ByteRange, Lead),
}

impl Completer {
    /// Runs until the entity is complete.
    ///
    /// # Errors
    /// Why it is not, and will not be by this.
    pub async fn run(mut self) -> Result<(), Incomplete> {
        self.allowed().await?;
        let (asker, wanted) = {
            let state = self.live.state();
            (state.asker.clone(), Wanted::whole(state.record.key.clone()))
        };
        let asker = asker.ok_or(Incomplete::Expired)?;
        in_time(&asker, SystemTime::now())?;
        let id = self.live.state().readers.enter_background();
        let reading = Reading {
            live: Arc::clone(&self.live),
            id,
        };
        // What the origin has just said to somebody else may be another thing in a while.
        let declined = self.live.state().declined_until;
        if let Some(until) = declined {
            tokio::time::sleep_until(until).await;
        }
        let began = Instant::now();
        let found = generation(&self.service, &self.live, &wanted, &asker, began).await;
        let Found {
            snapshot, source, ..
        } = found.map_err(|reason| self.refused(reason))?;
        if !self.service.fits(snapshot.generation.complete_length()) {
            return Err(Incomplete::TooLarge);
        }
        let (failed, failures) = mpsc::channel(4);
        let mut bringing = Bringing {
            completer: self,
            reading,
            snapshot,
            failures: (failed, failures),
            fruitless: 0,
            failed: 0,
            brought: 0,
        };
        if let Some(source) = source
            && let Some(range) = ByteRange::new(source.at(), source.end())
        {
            bringing.reading.aim(range);
            let fill = source.lead().fill();
            let failed = bringing.failures.0.clone();
            pump::start(&bringing.completer.service, source, range.start(), failed);
            bringing.follow(range, fill).await?;
        }
        bringing.run().await
    }

    fn refused(&self, reason: HandBack) -> Incomplete {
        match self.live.state().record.url_expired {
            true => Incomplete::Expired,
            false => Incomplete::Origin(reason),
        }
    }

    /// Waits until it may fetch.
    async fn allowed(&mut self) -> Result<(), Incomplete> {
        let allowed = self.go.wait_for(|go| *go).await;
        allowed.map(drop).map_err(|_| Incomplete::Unwanted)
    }
}

/// Whether a URL is good for long enough that a request which is begun with it can end.
fn in_time(asker: &Asker, now: SystemTime) -> Result<(), Incomplete> {
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let expired = asker
        .expires()
        .is_some_and(|at| at < (now + IN_TIME).as_secs());
    match expired {
        true => Err(Incomplete::Expired),
        false => Ok(()),
    }
}

struct Bringing {
    completer: Completer,
    reading: Reading,
    snapshot: Snapshot,
    failures: (mpsc::Sender<SourceError>, mpsc::Receiver<SourceError>),
    /// Gaps in a row of which nothing could be stored.
    fruitless: u32,
    /// Failures of the origin since the last byte.
    failed: u32,
    /// Bytes that have come.
    brought: u64,
}

impl Bringing {
    async fn run(mut self) -> Result<(), Incomplete> {
        let live = Arc::clone(&self.completer.live);
        loop {
            self.completer.allowed().await?;
            let mut changed = std::pin::pin!(live.changed.notified());
            changed.as_mut().enable();
            self.judge_failures()?;
            match self.look()? {
                Todo::Complete => return Ok(()),
                Todo::Wait(until) => {
                    let soon = Instant::now() + LOOK_EVERY;
                    let until = until.unwrap_or(soon).min(soon);
                    let _ = tokio::time::timeout_at(until, changed).await;
                }
                Todo::Gap(gap, lead) => {
                    let before = self.stored(gap);
                    let fill = lead.fill();
                    self.reading.aim(gap);
                    let order = Order {
                        lead,
                        snapshot: self.snapshot.clone(),
                        gap,
                        asker: self.asker()?,
                        despite_store: false,
                    };
                    pump::order(&self.completer.service, order, self.failures.0.clone());
                    let brought = self.follow(gap, fill).await?;
                    self.judge_gap(gap, before, brought).await?;
                }
            }
        }
    }

    /// The newest way to the origin, unless its URL expires before a gap can have come.
    fn asker(&self) -> Result<Asker, Incomplete> {
        let state = self.completer.live.state();
        let asker = state.asker.clone().ok_or(Incomplete::Expired)?;
        drop(state);
        in_time(&asker, SystemTime::now())?;
        Ok(asker)
    }

    fn look(&self) -> Result<Todo, Incomplete> {
        let (live, service) = (&self.completer.live, &self.completer.service);
        let seq = self.snapshot.place.seq;
        let now = Instant::now();
        let mut state = live.state();
        state.expire(now);
        if !state.lives(seq) {
            return Err(Incomplete::Changed);
        }
        let complete_length = self.snapshot.generation.complete_length();
        let whole = ByteRange::new(0, complete_length);
        if whole.is_none_or(|whole| state.stored.covers(whole)) {
            return Ok(Todo::Complete);
        }
        if !self.snapshot.combinable {
            return Err(Incomplete::Origin(HandBack::NotCombinable));
        }
        let spot = Spot {
            offset: 0,
            end: complete_length,
            since: now,
            window: state.terms.window,
        };
        match state.upcoming(seq, spot, u64::MAX, now) {
            Some(gap) => {
                let lead = Lead::take(service, live, &mut state, seq, gap);
                Ok(Todo::Gap(gap, lead))
            }
            None => {
                let pause = state.trouble.retry_at.filter(|&at| now < at);
                Ok(Todo::Wait(pause))
            }
        }
    }

    /// Follows the transfer of a gap as fast as it may. How many bytes have come is told.
    async fn follow(&mut self, gap: ByteRange, fill: FillId) -> Result<u64, Incomplete> {
        let live = Arc::clone(&self.completer.live);
        let mut at = gap.start();
        while at < gap.end() {
            let mut changed = std::pin::pin!(live.changed.notified());
            changed.as_mut().enable();
            if self.completer.go.has_changed().is_err() {
                return Err(Incomplete::Unwanted);
            }
            if !*self.completer.go.borrow() {
                break;
            }
            let (reach, over) = {
                let state = live.state();
                if !state.lives(self.snapshot.place.seq) {
                    return Err(Incomplete::Changed);
                }
                let recent = state.recent.at(at).map(|bytes| at + bytes.len() as u64);
                let there = [recent, state.stored.run_end(at), state.writing.run_end(at)];
                let reach = there.into_iter().flatten().max();
                (reach, !state.leads.holds(fill))
            };
            match reach {
                Some(reach) => {
                    let reach = reach.min(gap.end()).min(at + STEP);
                    self.completer.rate.take(reach - at).await;
                    at = reach;
                    self.reading.advance(at);
                }
                None if over => break,
                None => {
                    let go = self.completer.go.changed();
                    tokio::select! {
                        () = changed => {}
                        closed = go => closed.map_err(|_| Incomplete::Unwanted)?,
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    }
                }
            }
        }
        self.reading.rest();
        Ok(at - gap.start())
    }

    fn stored(&self, gap: ByteRange) -> u64 {
        let state = self.completer.live.state();
        state.stored.within(gap).map(ByteRange::len).sum()
    }

    /// Whether what came of a gap was stored: a full disk must not make it come again and again.
    async fn judge_gap(
        &mut self,
        gap: ByteRange,
        before: u64,
        brought: u64,
    ) -> Result<(), Incomplete> {
        let live = Arc::clone(&self.completer.live);
        let written = async {
            loop {
                let mut changed = std::pin::pin!(live.changed.notified());
                changed.as_mut().enable();
                let writing = live.state().writing.within(gap).next().is_some();
                if !writing {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, written).await;
        self.fruitless = match (0 < brought, before < self.stored(gap)) {
            (true, false) => self.fruitless + 1,
            (true, true) => 0,
            // Nothing came: that is the origin's failure.
            (false, _) => self.fruitless,
        };
        self.brought += brought;
        if 0 < brought {
            self.failed = 0;
        }
        if self.snapshot.generation.complete_length() < self.brought {
            return Err(Incomplete::Displaced);
        }
        match FRUITLESS <= self.fruitless {
            true => Err(Incomplete::NoRoom),
            false => Ok(()),
        }
    }

    /// Another turn comes later: an origin that fails keeps no place from others.
    fn judge_failures(&mut self) -> Result<(), Incomplete> {
        let tries = self.completer.live.state().terms.tries;
        while let Ok(error) = self.failures.1.try_recv() {
            if error.is_expiry() {
                return Err(Incomplete::Expired);
            }
            if matches!(error, SourceError::Changed) {
                return Err(Incomplete::Changed);
            }
            self.failed += 1;
            if error.is_final() || tries <= self.failed {
                return Err(Incomplete::Origin(error.hand_back()));
            }
        }
        Ok(())
    }
}
