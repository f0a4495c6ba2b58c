//! Downloads: entities that somebody wants whole, whether or not anybody watches them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hyper::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use viewcache_filter::head::{Fields, RequestHead};
use viewcache_filter::profile;
use viewcache_protocol::{EntityId, EntityKey, OriginRequest, Profile, Selecting};

use super::Service;
use crate::completion::Kind;
use crate::delivery::Incomplete;
use crate::error::Error;
use crate::journal::Shown;
use crate::listing::{By, Place, Sort};
use crate::live::Live;
use crate::origin::Asker;
use crate::report;
use crate::store::{StoreError, millis};

/// So many are remembered, ended ones too.
const MOST: usize = 10_000;

/// The order of their list.
pub const ORDER: Sort = Sort {
    by: By::StartedAt,
    descending: false,
};

/// How far a download is, as far as it must survive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It is fetched, or will be when its turn comes.
    Wanted,
    /// The operator has stopped it for now.
    Paused,
    /// All of it has been stored.
    Complete,
    /// It cannot be had.
    Failed,
}

/// What is kept of a download.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// What is downloaded.
    pub key: EntityKey,
    /// How its origin is asked.
    pub origin: OriginRequest,
    /// How far it is.
    pub phase: Phase,
    /// Why it has failed.
    pub error: Option<String>,
    /// When it was asked for, in milliseconds since the epoch.
    pub created_at: u64,
    /// When it ended, likewise.
    pub finished_at: Option<u64>,
}

/// What is to be downloaded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Request {
    /// A known entity.
    #[schemars(with = "String", regex(pattern = r"^[0-9a-fA-F]{32}$"))]
    #[schemars(extend("examples" = ["7f3a0b5c9d2e41687f3a0b5c9d2e4168"]))]
    pub entity: Option<String>,
    /// Or whatever viewers get at this URL.
    #[schemars(with = "String", regex(pattern = r"^[Hh][Tt][Tt][Pp][Ss]?://[^/]"))]
    #[schemars(extend("examples" = ["http://media.example/film.mp4"]))]
    pub url: Option<String>,
}

/// Why a download is refused.
#[derive(Debug, Error)]
pub enum Refused {
    /// Neither an entity nor a URL, or both.
    #[error("download: either \"entity\" or \"url\" is needed")]
    Neither,
    /// Not 32 hex digits.
    #[error("entity: {0:?} is not 32 hex digits")]
    Id(String),
    /// Nothing is known of it.
    #[error("entity: nothing is known of {0}")]
    Unknown(EntityId),
    /// Nobody has told a URL of it.
    #[error("entity: no URL of {0} is known; name one in \"url\"")]
    NoUrl(EntityId),
    /// Not an absolute `http` or `https` URL.
    #[error("url: {0:?} is not a URL such as \"http://media.example/film.mp4\"")]
    Url(String),
    /// The cache is not consulted for it.
    #[error("url: {0:?} is not cached: {1}")]
    Bypassed(String, &'static str),
    /// There are too many.
    #[error("download: {MOST} are remembered already; delete some")]
    Full,
    /// The store fails.
    #[error("{0}")]
    Failed(#[from] Error),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Downloads {
    all: Mutex<BTreeMap<EntityId, Download>>,
    /// What was last told of those that go on.
    told: Mutex<HashMap<EntityId, report::Download>>,
}

impl Downloads {
    fn all(&self) -> MutexGuard<'_, BTreeMap<EntityId, Download>> {
        self.all
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Those that are fetched, or will be.
    pub(super) fn wanted(&self) -> Vec<EntityId> {
        let all = self.all();
        let wanted = all.iter().filter(|(_, d)| d.phase == Phase::Wanted);
        wanted.map(|(id, _)| *id).collect()
    }

    /// Whether this was not told of a download yet. It is from now on.
    pub(super) fn is_news(&self, id: EntityId, report: &report::Download) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if MOST <= told.len() {
            told.clear();
        }
        told.insert(id, report.clone()).as_ref() != Some(report)
    }

    /// Whether an entity is wanted whole.
    pub(super) fn want(&self, id: EntityId) -> bool {
        let all = self.all();
        all.get(&id).is_some_and(|d| d.phase == Phase::Wanted)
    }

    /// Whether somebody has asked for an entity, however far that is.
    pub(super) fn remember(&self, id: EntityId) -> bool {
        self.all().contains_key(&id)
    }
}

impl From<BTreeMap<EntityId, Download>> for Downloads {
    fn from(stored: BTreeMap<EntityId, Download>) -> Self {
        Self {
            all: Mutex::new(stored),
            told: Mutex::default(),
        }
    }
}

impl Service {
    /// The downloads after a place in the order in which they were asked for, at most so many.
    /// Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tell_downloads_after(
        &self,
        after: Option<&Place<EntityId>>,
        most: usize,
        meant: impl Fn(&report::Download) -> bool,
    ) -> Result<Vec<(Place<EntityId>, report::Download)>, StoreError> {
        let mut places: Vec<Place<EntityId>> = {
            let all = self.downloads.all();
            let place = |(id, d): (&EntityId, &Download)| ORDER.place(d.created_at, *id);
            let places = all.iter().map(place);
            places
                .filter(|place| after.is_none_or(|after| after < place))
                .collect()
        };
        places.sort_unstable();
        let mut told = Vec::new();
        for place in places {
            if told.len() == most {
                break;
            }
            let download = self.tell_download(*place.id())?;
            told.extend(download.filter(&meant).map(|download| (place, download)));
        }
        Ok(told)
    }

    /// How far they are, without whose turn it is.
    pub(super) fn download_phases(&self) -> Vec<Phase> {
        let all = self.downloads.all();
        all.values().map(|download| download.phase).collect()
    }

    /// What is told of a download; `None` when there is none. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tell_download(&self, id: EntityId) -> Result<Option<report::Download>, StoreError> {
        let Some(download) = self.downloads.all().get(&id).cloned() else {
            return Ok(None);
        };
        let (length, cached_bytes) = self.extent_of(id)?;
        let progress = self.progress(id);
        Ok(Some(report::Download::new(
            id,
            download,
            progress,
            length,
            cached_bytes,
        )))
    }

    /// Downloads an entity, or goes on with that. Blocks.
    ///
    /// # Errors
    /// What is wrong with the request.
    pub fn start_download(self: &Arc<Self>, request: Request) -> Result<EntityId, Refused> {
        let (key, origin) = match (request.entity, request.url) {
            (Some(entity), None) => self.known_request(&entity)?,
            (None, Some(url)) => self.named_request(&url)?,
            _ => return Err(Refused::Neither),
        };
        let id = key.id();
        let known = self.downloads.all().get(&id).cloned();
        if known.is_none() && MOST <= self.downloads.all().len() {
            return Err(Refused::Full);
        }
        let download = Download {
            key,
            origin,
            phase: Phase::Wanted,
            error: None,
            created_at: known.map_or_else(|| millis(SystemTime::now()), |known| known.created_at),
            finished_at: None,
        };
        self.store.put_download(id, Some(&download))?;
        self.downloads.all().insert(id, download.clone());
        self.want_download(id, &download)?;
        self.download_changed(id);
        Ok(id)
    }

    /// An entity that is known, and how to ask for it.
    fn known_request(
        self: &Arc<Self>,
        entity: &str,
    ) -> Result<(EntityKey, OriginRequest), Refused> {
        let id: EntityId = entity.parse().map_err(|_| Refused::Id(entity.to_owned()))?;
        let live = self.known(id)?.ok_or(Refused::Unknown(id))?;
        let state = live.state();
        let key = state.record.key.clone();
        let origin = match &state.asker {
            Some(asker) => Some(asker.request()),
            None => by_key(&key),
        };
        Ok((key, origin.ok_or(Refused::NoUrl(id))?))
    }

    /// What viewers get at a URL, by the filter's own rules.
    pub(super) fn named_request(&self, url: &str) -> Result<(EntityKey, OriginRequest), Refused> {
        let wrong = || Refused::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) =
            (uri.scheme_str(), uri.authority())
        else {
            return Err(wrong());
        };
        // Credentials would be part of the name, and no viewer's request can have any there.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let head = RequestHead {
            fields: Fields(vec![
                field(":method", "GET"),
                field(":scheme", scheme),
                field(":authority", authority.as_str()),
                field(":path", path),
            ]),
            end_of_stream: true,
            ..RequestHead::default()
        };
        let request = profile::identify(&self.filter, &head)
            .map_err(|reason| Refused::Bypassed(url.to_owned(), reason.as_str()))?;
        let origin = profile::origin(&head, &request.wanted);
        Ok((request.wanted.key, origin))
    }

    /// Makes a job of a download. Blocks.
    fn want_download(
        self: &Arc<Self>,
        id: EntityId,
        download: &Download,
    ) -> Result<(), StoreError> {
        let live = self.known_or_new(&download.key)?;
        if let Some(asker) = Asker::told(&download.origin, &Selecting::default()) {
            live.state().learn(asker);
        }
        tracing::info!(entity = %id, key = %Shown(&download.key), "download");
        self.consider(&live);
        self.enqueue(&live, Kind::Download);
        Ok(())
    }

    /// Takes up the downloads that a restart has interrupted. Blocks.
    pub fn resume_downloads(self: &Arc<Self>) {
        for id in self.downloads.wanted() {
            let download = self.downloads.all().get(&id).cloned();
            if let Some(download) = download
                && let Err(error) = self.want_download(id, &download)
            {
                self.trouble("a download could not be taken up", &error);
            }
        }
    }

    /// Stops a download for now, or goes on with it. False when there is none. Blocks.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub fn pause_download(
        self: &Arc<Self>,
        id: EntityId,
        paused: bool,
    ) -> Result<bool, StoreError> {
        let phase = match paused {
            true => Phase::Paused,
            false => Phase::Wanted,
        };
        let Some(download) = self.set_phase(id, phase, None)? else {
            return Ok(false);
        };
        match paused {
            true => self.dequeue(id),
            false => self.want_download(id, &download)?,
        }
        self.download_changed(id);
        Ok(true)
    }

    /// Forgets a download; what is stored stays. False when there is none. Blocks.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub fn cancel_download(self: &Arc<Self>, id: EntityId) -> Result<bool, StoreError> {
        if !self.downloads.all().contains_key(&id) {
            return Ok(false);
        }
        self.store.put_download(id, None)?;
        self.downloads.all().remove(&id);
        self.dequeue(id);
        if let Some(live) = self.known(id)? {
            self.look_for_lower(&live);
        }
        self.download_changed(id);
        Ok(true)
    }

    /// A download has come to its end.
    pub(super) fn download_ended(self: &Arc<Self>, live: &Live, failure: Option<Incomplete>) {
        let phase = match failure {
            Some(_) => Phase::Failed,
            None => Phase::Complete,
        };
        let error = failure.map(|failure| failure.to_string());
        tracing::info!(entity = %live.id, ?phase, error, "download ended");
        let (service, id) = (Arc::clone(self), live.id);
        self.writers
            .spawn(move || match service.set_phase(id, phase, error) {
                Ok(_) => service.download_changed(id),
                Err(error) => service.trouble("a download's end could not be stored", &error),
            });
    }

    fn set_phase(
        &self,
        id: EntityId,
        phase: Phase,
        error: Option<String>,
    ) -> Result<Option<Download>, StoreError> {
        let Some(mut download) = self.downloads.all().get(&id).cloned() else {
            return Ok(None);
        };
        let ended = matches!(phase, Phase::Complete | Phase::Failed);
        download.phase = phase;
        download.error = error;
        download.finished_at = ended.then(|| millis(SystemTime::now()));
        self.store.put_download(id, Some(&download))?;
        self.downloads.all().insert(id, download.clone());
        Ok(Some(download))
    }
}

/// How to ask for an entity whose key is its URL.
fn by_key(key: &EntityKey) -> Option<OriginRequest> {
    let url = match key.profile() {
        Profile::Generic => key.as_str().split_once(':')?.1,
        Profile::Youtube | Profile::Own(_) => return None,
    };
    let uri: Uri = url.split(' ').next()?.parse().ok()?;
    Some(OriginRequest {
        authority: uri.authority()?.to_string(),
        path: uri.path_and_query()?.to_string(),
        fields: Vec::new(),
    })
}
