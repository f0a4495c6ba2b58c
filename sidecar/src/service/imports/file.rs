//! One file of an import: whose bytes it has, and what becomes of it.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use viewcache_filter::profile::versionless;
use viewcache_protocol::{
    ByteRange, EntityId, EntityKey, Generation, MAX_COMPLETE_LENGTH, OriginRequest, Transfer, date,
};

use super::run::{Match, Run, blocking};
use super::source::{Source, beginning};
use crate::imports::{Outcome, Skip, SkipReason, Told, is_unfinished, media_type};
use crate::roots::RootError;
use crate::service::Refused;
use crate::store::{Stamp, StoreError};

/// A file that was written more recently may be being written still.
const SETTLES: Duration = Duration::from_secs(10);

/// So much of the beginning of a file is looked at for its media type.
const BEGINNING: u64 = 64;

/// Whose bytes a file has.
struct Identified {
    key: EntityKey,
    origin: OriginRequest,
    /// Whether its version is not known.
    versionless: bool,
}

impl Run<'_> {
    /// What becomes of a file.
    pub(super) async fn file(&self, file: &Match, taken: &mut u64) -> Told {
        let imports = &self.service.imports;
        imports.change(self.id, |job| job.current = Some(file.path.clone()));
        let mut told = Told {
            path: file.path.clone(),
            length: file.length,
            entity: None,
            outcome: Outcome::Found,
        };
        let identified = match self.identify(file, file.length) {
            Ok(identified) => identified,
            Err(skip) => {
                told.outcome = Outcome::Skipped(skip);
                return told;
            }
        };
        told.entity = Some(named(&identified.key));
        let outcome = match self.request.dry_run {
            true => self.would_import(file, &identified).await,
            false => match self.import(file, identified, *taken).await {
                Ok((outcome, key)) => {
                    told.entity = Some(named(&key));
                    if matches!(outcome, Outcome::Imported(_)) {
                        *taken += file.length;
                    }
                    Ok(outcome)
                }
                Err(skip) => Err(skip),
            },
        };
        told.outcome = outcome.unwrap_or_else(Outcome::Skipped);
        told
    }

    /// Whose bytes a file of this length has, by the filter's rules.
    fn identify(&self, file: &Match, length: u64) -> Result<Identified, Skip> {
        if is_unfinished(&file.path) {
            return Err(SkipReason::Unfinished.with("its name is one of a file being written"));
        }
        if length == 0 {
            return Err(SkipReason::Empty.with("there is nothing in it"));
        }
        if MAX_COMPLETE_LENGTH < length {
            return Err(SkipReason::Declined.with("it is longer than any entity that is stored"));
        }
        let url = self.plan.target.url(&file.parts, length);
        let named = self.service.named_request(&url);
        let (key, origin) = named.map_err(|refused| match refused {
            Refused::Bypassed(url, reason) => SkipReason::Bypassed.with(format!("{url}: {reason}")),
            refused => SkipReason::Bypassed.with(refused),
        })?;
        let key = match self.plan.versionless {
            true => versionless(&key)
                .ok_or_else(|| SkipReason::Bypassed.with(format!("{url}: not-a-video")))?,
            false => key,
        };
        Ok(Identified {
            key,
            origin,
            versionless: self.plan.versionless,
        })
    }

    /// What is found out without reading the file, asking the origin or writing anything.
    async fn would_import(&self, file: &Match, identified: &Identified) -> Result<Outcome, Skip> {
        self.open(file).await?;
        let service = Arc::clone(self.service);
        let (key, versionless) = (identified.key.clone(), identified.versionless);
        let length = file.length;
        let known = blocking(move || {
            let key = match versionless {
                true => service.version_of(&key)?.unwrap_or(key),
                false => key,
            };
            let loaded = service.store.load(key.id())?;
            let stored = loaded.map_or(0, |loaded| loaded.rows.ranges().map(ByteRange::len).sum());
            Ok::<_, StoreError>(stored == length)
        });
        match known.await? {
            Ok(true) => Ok(Outcome::Known),
            Ok(false) => Ok(Outcome::Found),
            Err(error) => Err(SkipReason::Disk.with(error)),
        }
    }

    /// Opens a file that nobody is writing.
    async fn open(&self, file: &Match) -> Result<(File, Stamp), Skip> {
        let (folder, path) = (Arc::clone(&self.folder), file.path.clone());
        let opened = blocking(move || folder.file(&path)).await?;
        let opened = opened.map_err(|error| match error {
            RootError::Link(_) => SkipReason::Link.with("none is followed"),
            error => SkipReason::Unreadable.with(error),
        })?;
        let metadata = opened.metadata();
        let metadata = metadata.map_err(|error| SkipReason::Unreadable.with(error))?;
        let modified = metadata.modified();
        let age = modified
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        // A time that is still to come says nothing.
        if age.is_some_and(|age| age < SETTLES) {
            let detail = format!("it was written less than {} s ago", SETTLES.as_secs());
            return Err(SkipReason::Unfinished.with(detail));
        }
        let stamp = Stamp::from(&metadata);
        match stamp.length == file.length {
            true => Ok((opened, stamp)),
            false => Err(SkipReason::Changed.with("it has another length by now")),
        }
    }

    /// Imports a file; the key that it has then comes back too.
    async fn import(
        &self,
        file: &Match,
        identified: Identified,
        taken: u64,
    ) -> Result<(Outcome, EntityKey), Skip> {
        let Identified {
            mut key,
            origin,
            versionless,
        } = identified;
        // Once more when a viewer has told the version meanwhile.
        for _ in 0..2 {
            if versionless && let Some(version) = self.version_of(&key).await? {
                key = version;
            }
            let outcome = self.import_as(file, &key, &origin, taken).await?;
            let told = versionless && self.version_of(&key).await?.is_some();
            if !told {
                return Ok((outcome, key));
            }
            let (service, id) = (Arc::clone(self.service), key.id());
            let removed = blocking(move || match service.known(id)? {
                Some(live) => service.remove(&live, |state| !state.busy()),
                None => Ok(()),
            });
            let removed = removed.await?;
            removed.map_err(|error| SkipReason::Disk.with(error))?;
        }
        Err(SkipReason::InUse.with("its version is told again and again"))
    }

    async fn version_of(&self, key: &EntityKey) -> Result<Option<EntityKey>, Skip> {
        let (service, key) = (Arc::clone(self.service), key.clone());
        let version = blocking(move || service.version_of(&key)).await?;
        version.map_err(|error| SkipReason::Disk.with(error))
    }

    async fn import_as(
        &self,
        file: &Match,
        key: &EntityKey,
        origin: &OriginRequest,
        taken: u64,
    ) -> Result<Outcome, Skip> {
        let (opened, stamp) = self.open(file).await?;
        let opened = Arc::new(opened);
        let profile = key.profile();
        let (identity, headers) = match profile.immutable() {
            true => self.by_name(file, key, &opened, stamp).await?,
            false => {
                let length = stamp.length;
                let vouching = self.service.ask_origin(profile, origin, &opened, length);
                let vouched = vouching.await?;
                (vouched.identity, vouched.headers)
            }
        };
        let whole = ByteRange::new(0, stamp.length);
        let transfer = Transfer {
            generation: identity,
            range: whole.ok_or_else(|| SkipReason::Empty.with("there is nothing in it"))?,
            headers,
            open_ended: false,
        };
        let admitted = self.service.admission(profile).judge(&transfer);
        admitted.map_err(|reason| SkipReason::Declined.with(reason.as_str()))?;
        let source = Source {
            file: opened,
            stamp,
            path: self.folder.path().join(&file.path).display().to_string(),
            identity: transfer.generation,
            headers: transfer.headers,
            vouched: !profile.immutable(),
            mode: self.request.mode,
            evicts: self.request.evict.then_some(taken),
        };
        let (service, key) = (Arc::clone(self.service), key.clone());
        let live = blocking(move || service.known_or_new(&key)).await?;
        let live = live.map_err(|error| SkipReason::Disk.with(error))?;
        self.run(source, live).await
    }

    /// What a file is whose name alone says whose bytes it has.
    async fn by_name(
        &self,
        file: &Match,
        key: &EntityKey,
        opened: &Arc<File>,
        stamp: Stamp,
    ) -> Result<(Generation, Vec<(String, String)>), Skip> {
        let content_type = match &self.request.content_type {
            Some(content_type) => content_type.clone(),
            None => {
                let (opened, length) = (Arc::clone(opened), stamp.length.min(BEGINNING));
                let beginning = blocking(move || beginning(&opened, length)).await?;
                media_type(key.part("itag"), &file.path, &beginning).to_owned()
            }
        };
        let mut headers = vec![("content-type".to_owned(), content_type)];
        date(&mut headers, SystemTime::now());
        let identity = Generation {
            validator: None,
            complete_length: stamp.length,
        };
        Ok((identity, headers))
    }
}

fn named(key: &EntityKey) -> (EntityId, EntityKey) {
    (key.id(), key.clone())
}
