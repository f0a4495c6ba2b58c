//! What the operator has said: the policy, the videos and the channels.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use viewcache_protocol::EntityId;

use super::links::by_channel;
use super::{EntityRecord, Patience, Rooms, SegmentId, SegmentRecord, Store, StoreError};
use crate::catalogue::{Channel, Channels, Video};
use crate::policy::Policy;
use crate::service::{Download, Import};

const POLICY: &str = "policy";
pub(super) const VIDEO: &str = "video/";
const CHANNEL: &str = "channel/";
const DOWNLOAD: &str = "download/";
const IMPORT: &str = "import/";

/// What was stored under a name; what is not understood is told of and counts as absent.
pub(super) fn read<T: DeserializeOwned>(name: &str, text: &[u8]) -> Option<T> {
    let read = serde_json::from_slice(text);
    read.inspect_err(|error| tracing::error!(name, %error, "what is stored is not used"))
        .ok()
}

fn write(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    Ok(serde_json::to_vec(value).map_err(std::io::Error::other)?)
}

impl Store {
    fn note<T: DeserializeOwned>(
        &self,
        name: &str,
        patience: Patience,
    ) -> Result<Option<T>, StoreError> {
        let text = self.index()?.note(name.as_bytes(), patience)?;
        Ok(text.and_then(|text| read(name, &text)))
    }

    fn put_note(&self, name: &str, value: Option<&impl Serialize>) -> Result<(), StoreError> {
        let text = value.map(write).transpose()?;
        self.index()?
            .put_notes([(name.as_bytes(), text.as_deref())])
    }

    /// The policy as it was stored; `None` when there is none, or none that is understood.
    pub fn policy(&self) -> Result<Option<Policy>, StoreError> {
        let policy = self.note::<Policy>(POLICY, Patience::Wait)?;
        Ok(policy.filter(|policy| match policy.check() {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the stored policy is not used");
                false
            }
        }))
    }

    /// Stores the policy, and brings it to the disk.
    pub fn put_policy(&self, policy: &Policy) -> Result<(), StoreError> {
        self.put_note(POLICY, Some(policy))
    }

    /// What is known of a video.
    pub fn video(&self, id: &str, patience: Patience) -> Result<Option<Video>, StoreError> {
        self.note(&format!("{VIDEO}{id}"), patience)
    }

    /// Stores what is known of a video; `None` forgets it.
    pub fn put_video(&self, id: &str, video: Option<&Video>) -> Result<(), StoreError> {
        let known = self
            .video(id, Patience::Wait)?
            .and_then(|known| known.channel);
        let listed = |channel: String| by_channel(&channel, id);
        let channel = video.and_then(|video| video.channel.clone());
        let (old, new) = (known.map(listed), channel.map(listed));
        let name = format!("{VIDEO}{id}").into_bytes();
        let text = video.map(write).transpose()?;
        // In this order: the last word on a name counts.
        let notes = [
            old.as_deref().map(|old| (old, None)),
            new.as_deref().map(|new| (new, Some(&[][..]))),
            Some((&name[..], text.as_deref())),
        ];
        self.index()?.put_notes(notes.into_iter().flatten())
    }

    /// What the index says of an entity's segments.
    pub fn segments_of(
        &self,
        entity: EntityId,
    ) -> Result<Vec<(SegmentId, SegmentRecord)>, StoreError> {
        self.index()?.segments(entity.as_bytes(), Patience::Wait)
    }

    /// All channels.
    pub fn channels(&self) -> Result<Channels, StoreError> {
        let notes = self.index()?.notes(CHANNEL.as_bytes())?.into_iter();
        let channel = |(id, text): (Vec<u8>, Vec<u8>)| {
            let id = String::from_utf8(id).ok()?;
            Some((id.clone(), read(&id, &text)?))
        };
        Ok(notes.filter_map(channel).collect())
    }

    /// Stores channels, all at once; `None` forgets one.
    pub fn put_channels(&self, channels: &[(&str, Option<&Channel>)]) -> Result<(), StoreError> {
        let mut notes = Vec::new();
        for (id, channel) in channels {
            let name = format!("{CHANNEL}{id}").into_bytes();
            notes.push((name, channel.map(write).transpose()?));
        }
        let notes = notes.iter();
        self.index()?
            .put_notes(notes.map(|(name, text)| (&name[..], text.as_deref())))
    }

    /// All downloads.
    pub fn downloads(&self) -> Result<BTreeMap<EntityId, Download>, StoreError> {
        let notes = self.index()?.notes(DOWNLOAD.as_bytes())?.into_iter();
        let download = |(id, text): (Vec<u8>, Vec<u8>)| {
            let id = String::from_utf8(id).ok()?;
            Some((id.parse().ok()?, read(&id, &text)?))
        };
        Ok(notes.filter_map(download).collect())
    }

    /// Stores a download; `None` forgets it.
    pub fn put_download(
        &self,
        id: EntityId,
        download: Option<&Download>,
    ) -> Result<(), StoreError> {
        self.put_note(&format!("{DOWNLOAD}{id}"), download)
    }

    /// All imports.
    pub fn imports(&self) -> Result<BTreeMap<u64, Import>, StoreError> {
        let notes = self.index()?.notes(IMPORT.as_bytes())?.into_iter();
        let import = |(id, text): (Vec<u8>, Vec<u8>)| {
            let id = String::from_utf8(id).ok()?;
            Some((id.parse().ok()?, read(&id, &text)?))
        };
        Ok(notes.filter_map(import).collect())
    }

    /// Stores an import; `None` forgets it.
    pub fn put_import(&self, id: u64, import: Option<&Import>) -> Result<(), StoreError> {
        self.put_note(&format!("{IMPORT}{id}"), import)
    }

    /// The room of segments by class.
    pub fn rooms(&self) -> Rooms {
        self.index()
            .map_or_else(|_| Rooms::default(), |index| index.rooms())
    }

    /// How many entities there are.
    pub fn entities(&self) -> u64 {
        self.index().map_or(0, |index| index.entities())
    }

    /// How many bytes of a generation are stored.
    pub fn stored(&self, entity: EntityId, seq: u64) -> Result<u64, StoreError> {
        self.index()?.stored(entity, seq)
    }

    /// An entity's record as it was stored.
    pub fn record(&self, entity: EntityId) -> Result<Option<EntityRecord>, StoreError> {
        self.index()?.entity(entity, Patience::Wait)
    }
}
