//! What the operator has said, and which entities belong to which video: small values by name.

use viewcache_protocol::{EntityId, EntityKey};

use super::{Family, Index};
use crate::catalogue::video_of;
use crate::store::StoreError;
use crate::store::index::batch::Batch;

/// A name, or the rest of one, and its value.
type Note = (Vec<u8>, Vec<u8>);

const VIDEOS_LINKED: &[u8] = b"videos-linked";

/// The name under which an entity is listed with its video; `None` when it is a video of its own.
fn link(entity: EntityId, key: &EntityKey) -> Option<Vec<u8>> {
    let video = video_of(key);
    (video != key.node().to_string()).then(|| [&prefix(&video), &entity.as_bytes()[..]].concat())
}

fn prefix(video: &str) -> Vec<u8> {
    format!("entity-of/{video}/").into_bytes()
}

impl Batch<'_> {
    /// Lists an entity with its video.
    pub(super) fn link(&mut self, entity: EntityId, key: &EntityKey) {
        if let Some(link) = link(entity, key) {
            let meta = self.index.family(Family::Meta);
            self.batch.put_cf(meta, link, []);
        }
    }

    /// The reverse.
    pub(super) fn unlink(&mut self, entity: EntityId, key: &EntityKey) {
        if let Some(link) = link(entity, key) {
            let meta = self.index.family(Family::Meta);
            self.batch.delete_cf(meta, link);
        }
    }
}

impl Index {
    pub(in crate::store) fn note(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get_cf(self.family(Family::Meta), name)?)
    }

    /// Whether there certainly is no such note. Waits for no disk.
    pub(in crate::store) fn lacks_note(&self, name: &[u8]) -> bool {
        !self.db.key_may_exist_cf(self.family(Family::Meta), name)
    }

    /// The notes whose names begin with `prefix`, each with the rest of its name.
    pub(in crate::store) fn notes(&self, prefix: &[u8]) -> Result<Vec<Note>, StoreError> {
        let mut notes = Vec::new();
        for entry in self.scan(Family::Meta, prefix) {
            let (name, value) = entry?;
            notes.push((name[prefix.len()..].to_vec(), value.into_vec()));
        }
        Ok(notes)
    }

    /// Writes notes, or takes them out, all at once, and brings that to the disk.
    pub(in crate::store) fn put_notes<'a>(
        &self,
        notes: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        let meta = self.family(Family::Meta);
        let mut batch = self.batch();
        for (name, value) in notes {
            match value {
                Some(value) => batch.batch.put_cf(meta, name, value),
                None => batch.batch.delete_cf(meta, name),
            }
        }
        batch.write()?;
        self.sync()
    }

    /// The entities of a video.
    pub(in crate::store) fn entities_of(&self, video: &str) -> Result<Vec<EntityId>, StoreError> {
        let ids = self.notes(&prefix(video))?.into_iter();
        let id = |(rest, _): (Vec<u8>, _)| Some(EntityId::from_bytes(rest.try_into().ok()?));
        Ok(ids.filter_map(id).collect())
    }

    /// Lists the entities with their videos that an older version has stored.
    pub(in crate::store) fn link_videos(&self) -> Result<(), StoreError> {
        const PAGE: usize = 1000;
        if self.note(VIDEOS_LINKED)?.is_some() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = self.page(after, PAGE)?;
            let mut batch = self.batch();
            for (entity, record) in &page {
                batch.link(*entity, &record.key);
            }
            batch.write()?;
            after = page.last().map(|(entity, _)| *entity);
            if page.len() < PAGE {
                break;
            }
        }
        self.put_notes([(VIDEOS_LINKED, Some(&b"1"[..]))])
    }
}
