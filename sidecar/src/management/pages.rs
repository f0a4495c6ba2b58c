//! Pages of lists that may be very long: walked over in steps on blocking threads, each of which is
//! short, and in memory that a page bounds.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::call::Call;
use super::problem::Problem;
use super::query::Query;
use crate::listing::{By, First, Place, Sort};
use crate::service::{Filter, Service, VideoFilter, VideoWalk, Walk};
use crate::store::StoreError;

/// So many things are looked at in one step.
const STEP: usize = 1000;

/// After so many a page ends, whatever it has: the next goes on.
const MOST: usize = 20_000;

/// Or after so long.
const PATIENCE: Duration = Duration::from_millis(500);

/// So many lists are sorted at once; others wait.
const SORTED: usize = 2;

/// The right to look at everything there is.
#[derive(Clone, Debug)]
pub(super) struct Scans(Arc<Semaphore>);

impl Default for Scans {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SORTED)))
    }
}

/// A page.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub(super) struct Page<T> {
    /// Its items.
    pub(super) items: Vec<T>,
    /// The cursor of the next; null when there is none.
    #[schemars(example = &"0123456789abcdef0123456789abcdef")]
    pub(super) next: Option<String>,
}

/// A walk over something.
pub(super) trait Listed: Clone + Send + 'static {
    /// By what its things are told apart.
    type Id: Ord + Clone + ToString + FromStr + Send;

    /// Begins behind one of them.
    fn start(&mut self, after: Self::Id);

    /// Looks at `most` more; those that are meant come back with the value that sorts them.
    fn step(
        &mut self,
        service: &Service,
        by: By,
        most: usize,
    ) -> Result<Vec<(u64, Self::Id)>, StoreError>;

    /// The last that was looked at.
    fn reached(&self) -> Option<Self::Id>;

    /// Whether there are no more.
    fn is_over(&self) -> bool;

    /// Whether it goes in the order of the ids.
    fn is_ordered(&self) -> bool;

    /// Whether it passes over what it looks at.
    fn is_choosy(&self) -> bool;
}

/// Which page is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted<I> {
    limit: usize,
    sort: Sort,
    after: Option<Place<I>>,
}

impl<I: FromStr> Wanted<I> {
    /// What a query says of it.
    pub(super) fn of(query: &mut Query) -> Result<Self, Problem> {
        let limit = query.limit()?;
        let sort = query.read("sort")?.unwrap_or_default();
        let after = match query.text("cursor") {
            Some(cursor) => {
                let wrong = |error| Problem::refused("cursor", &cursor[..], error);
                Some(Place::parse(&cursor, sort).map_err(wrong)?)
            }
            None => None,
        };
        Ok(Self { limit, sort, after })
    }
}

/// The ids of a page, and the cursor of the next.
pub(super) async fn page<L: Listed>(
    call: &Call,
    listed: L,
    wanted: Wanted<L::Id>,
) -> Result<(Vec<L::Id>, Option<String>), Problem> {
    match wanted.sort.is_natural() && listed.is_ordered() {
        true => in_order(call, listed, wanted).await,
        false => sorted(call, listed, wanted).await,
    }
}

async fn in_order<L: Listed>(
    call: &Call,
    mut listed: L,
    wanted: Wanted<L::Id>,
) -> Result<(Vec<L::Id>, Option<String>), Problem> {
    let Wanted { limit, sort, after } = wanted;
    if let Some(after) = after {
        listed.start(after.id().clone());
    }
    let cursor = |id: &L::Id| sort.place(0, id.clone()).cursor(sort);
    let patience = Instant::now() + PATIENCE;
    // One more than wanted tells whether there is a next page.
    let step = if listed.is_choosy() { STEP } else { limit + 1 };
    let (mut ids, mut looked) = (Vec::new(), 0);
    loop {
        let found;
        (listed, found) = take_step(call, listed, By::Id, step).await?;
        for (_, id) in found {
            if ids.len() == limit {
                let next = ids.last().map(cursor);
                return Ok((ids, next));
            }
            ids.push(id);
        }
        if listed.is_over() {
            return Ok((ids, None));
        }
        looked += step;
        if MOST <= looked || patience <= Instant::now() {
            let next = listed.reached().as_ref().map(cursor);
            return Ok((ids, next));
        }
    }
}

async fn sorted<L: Listed>(
    call: &Call,
    mut listed: L,
    wanted: Wanted<L::Id>,
) -> Result<(Vec<L::Id>, Option<String>), Problem> {
    let Wanted { limit, sort, after } = wanted;
    let _scan = Arc::clone(&call.scans.0).acquire_owned().await;
    let mut first = First::new(limit + 1, after);
    while !listed.is_over() {
        let found;
        (listed, found) = take_step(call, listed, sort.by, STEP).await?;
        for (value, id) in found {
            first.offer(sort.place(value, id), ());
        }
    }
    let mut places = first.into_items();
    let more = limit < places.len();
    places.truncate(limit);
    let last = places.last().filter(|_| more);
    let next = last.map(|(place, ())| place.cursor(sort));
    let ids = places.into_iter().map(|(place, ())| place.id().clone());
    Ok((ids.collect(), next))
}

type Found<I> = Vec<(u64, I)>;

async fn take_step<L: Listed>(
    call: &Call,
    mut listed: L,
    by: By,
    most: usize,
) -> Result<(L, Found<L::Id>), Problem> {
    let step = call.blocking(move |service| {
        let found = listed.step(service, by, most)?;
        Ok((listed, found))
    });
    step.await
}

/// Entities.
#[derive(Clone, Debug)]
pub(super) struct Entities {
    pub(super) filter: Filter,
    pub(super) walk: Walk,
}

impl Listed for Entities {
    type Id = viewcache_protocol::EntityId;

    fn start(&mut self, after: Self::Id) {
        self.walk.after = Some(after);
    }

    fn step(
        &mut self,
        service: &Service,
        by: By,
        most: usize,
    ) -> Result<Vec<(u64, Self::Id)>, StoreError> {
        service.meant(&self.filter, by, &mut self.walk, most)
    }

    fn reached(&self) -> Option<Self::Id> {
        self.walk.after
    }

    fn is_over(&self) -> bool {
        self.walk.over
    }

    fn is_ordered(&self) -> bool {
        // Those of a channel are listed by their videos.
        self.filter.channel.is_none() || self.filter.video.is_some()
    }

    fn is_choosy(&self) -> bool {
        let alone = Filter {
            video: self.filter.video.clone(),
            ..Filter::default()
        };
        self.filter != alone
    }
}

/// Videos.
#[derive(Clone, Debug)]
pub(super) struct Videos {
    pub(super) filter: VideoFilter,
    pub(super) walk: VideoWalk,
}

impl Listed for Videos {
    type Id = String;

    fn start(&mut self, after: Self::Id) {
        self.walk.after = Some(after);
    }

    fn step(
        &mut self,
        service: &Service,
        by: By,
        most: usize,
    ) -> Result<Vec<(u64, Self::Id)>, StoreError> {
        service.meant_videos(&self.filter, by, &mut self.walk, most)
    }

    fn reached(&self) -> Option<Self::Id> {
        self.walk.after.clone()
    }

    fn is_over(&self) -> bool {
        self.walk.over
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn is_choosy(&self) -> bool {
        self.filter.search.is_some()
    }
}
