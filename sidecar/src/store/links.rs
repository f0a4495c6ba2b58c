//! Which entities belong to a video, and which videos to a channel: listed by name, so that a page
//! of either needs no look at all of them.

use viewcache_protocol::EntityId;

use super::index::Index;
use super::index::notes::{BY_VIDEO, IN};
use super::notes::{VIDEO, read};
use super::{Patience, Store, StoreError};
use crate::catalogue::Video;

/// What the names of videos begin with that are listed with their channel.
const BY_CHANNEL: &str = "channel-video/";

/// Says in which form everything is listed.
const LINKED: &[u8] = b"videos-linked";
const FORM: &[u8] = b"2";

/// The names of earlier forms.
const OLD: [&str; 2] = ["entity-of/", "video-of/"];

/// So many are looked at in one step.
const STEP: usize = 1000;

/// The name under which a video is listed with its channel.
pub(super) fn by_channel(channel: &str, video: &str) -> Vec<u8> {
    format!("{BY_CHANNEL}{channel}{IN}{video}").into_bytes()
}

/// Lists what an older version has stored.
pub(super) fn link(index: &Index) -> Result<(), StoreError> {
    if index.note(LINKED, Patience::Wait)?.as_deref() == Some(FORM) {
        return Ok(());
    }
    for old in OLD {
        index.remove_notes(old)?;
    }
    let mut after = None;
    loop {
        let page = index.page(after, STEP)?;
        let mut batch = index.batch();
        for (entity, record) in &page {
            batch.link(*entity, &record.key);
        }
        batch.write()?;
        after = page.last().map(|(entity, _)| *entity);
        if page.len() < STEP {
            break;
        }
    }
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = index.notes_after(VIDEO.as_bytes(), after.as_deref(), STEP)?;
        let mut names = Vec::new();
        for (id, text) in &page {
            let id = String::from_utf8_lossy(id);
            let channel = read::<Video>(&id, text).and_then(|video| video.channel);
            names.extend(channel.map(|channel| by_channel(&channel, &id)));
        }
        index.put_notes(names.iter().map(|name| (&name[..], Some(&[][..]))))?;
        let full = page.len() == STEP;
        after = page.into_iter().next_back().map(|(id, _)| id);
        if !full {
            break;
        }
    }
    index.put_notes([(LINKED, Some(FORM))])
}

impl Store {
    /// The entities of a video of which something is stored, after one of them, at most so many.
    pub fn entities_of(
        &self,
        video: &str,
        after: Option<EntityId>,
        most: usize,
    ) -> Result<Vec<EntityId>, StoreError> {
        let prefix = format!("{BY_VIDEO}{video}{IN}");
        let after = after.as_ref().map(|after| &after.as_bytes()[..]);
        let names = self.index()?.notes_after(prefix.as_bytes(), after, most)?;
        let id = |(id, _): (Vec<u8>, Vec<u8>)| Some(EntityId::from_bytes(id.try_into().ok()?));
        Ok(names.into_iter().filter_map(id).collect())
    }

    /// The videos of a channel, after one of them, at most so many.
    pub fn videos_of(
        &self,
        channel: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, StoreError> {
        let prefix = format!("{BY_CHANNEL}{channel}{IN}");
        let after = after.map(str::as_bytes);
        let names = self.index()?.notes_after(prefix.as_bytes(), after, most)?;
        let id = |(id, _): (Vec<u8>, Vec<u8>)| String::from_utf8(id).ok();
        Ok(names.into_iter().filter_map(id).collect())
    }

    /// All entities of a channel of which something is stored.
    pub fn entities_of_channel(&self, channel: &str) -> Result<Vec<EntityId>, StoreError> {
        let mut entities = Vec::new();
        for video in self.videos_of(channel, None, usize::MAX)? {
            entities.extend(self.entities_of(&video, None, usize::MAX)?);
        }
        Ok(entities)
    }

    /// The video that comes next after one: something is stored of it, or somebody has said
    /// something of it.
    pub fn next_video(&self, after: Option<&str>) -> Result<Option<String>, StoreError> {
        let index = self.index()?;
        let stored = index.next_group(BY_VIDEO, after)?;
        let after = after.map(str::as_bytes);
        let said = index.notes_after(VIDEO.as_bytes(), after, 1)?.pop();
        let said = said.and_then(|(id, _)| String::from_utf8(id).ok());
        Ok(match (stored, said) {
            (Some(stored), Some(said)) => Some(stored.min(said)),
            (stored, said) => stored.or(said),
        })
    }

    /// The channel that comes next after one and that videos belong to.
    pub fn next_channel(&self, after: Option<&str>) -> Result<Option<String>, StoreError> {
        self.index()?.next_group(BY_CHANNEL, after)
    }
}
