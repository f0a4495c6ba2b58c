//! What the operator has said, and which entities belong to which video: small values by name.

use viewcache_protocol::{EntityId, EntityKey};

use super::{Family, Index, reading};
use crate::catalogue::video_of;
use crate::store::index::batch::Batch;
use crate::store::{Patience, StoreError};

/// A name, or the rest of one, and its value.
type Note = (Vec<u8>, Vec<u8>);

/// Behind the name of a group in the names of its members. No id has a byte this small, so groups
/// and members stand in the order of their ids.
pub(in crate::store) const IN: char = '\0';

/// Sorts behind all members of a group and before the next.
const AFTER: char = '\u{1}';

/// What the names of entities begin with that are listed with their video.
pub(in crate::store) const BY_VIDEO: &str = "video-entity/";

/// The name under which an entity is listed with its video.
fn link(entity: EntityId, key: &EntityKey) -> Vec<u8> {
    let mut name = format!("{BY_VIDEO}{}{IN}", video_of(key)).into_bytes();
    name.extend_from_slice(entity.as_bytes());
    name
}

impl Batch<'_> {
    /// Lists an entity with its video.
    pub(in crate::store) fn link(&mut self, entity: EntityId, key: &EntityKey) {
        let meta = self.index.family(Family::Meta);
        self.batch.put_cf(meta, link(entity, key), []);
    }

    /// The reverse.
    pub(super) fn unlink(&mut self, entity: EntityId, key: &EntityKey) {
        let meta = self.index.family(Family::Meta);
        self.batch.delete_cf(meta, link(entity, key));
    }
}

impl Index {
    pub(in crate::store) fn note(
        &self,
        name: &[u8],
        patience: Patience,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let family = self.family(Family::Meta);
        Ok(self.db.get_cf_opt(family, name, &reading(patience))?)
    }

    /// The notes whose names begin with `prefix`, each with the rest of its name.
    pub(in crate::store) fn notes(&self, prefix: &[u8]) -> Result<Vec<Note>, StoreError> {
        self.notes_after(prefix, None, usize::MAX)
    }

    /// The same, at most so many, and only those that come after one of them.
    pub(in crate::store) fn notes_after(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<Note>, StoreError> {
        let mut notes = Vec::new();
        for entry in self
            .scan_after(Family::Meta, prefix, after, Patience::Wait)
            .take(most)
        {
            let (name, value) = entry?;
            notes.push((name[prefix.len()..].to_vec(), value.into_vec()));
        }
        Ok(notes)
    }

    /// The group that comes next after one, of those whose members' names begin with `prefix`.
    pub(in crate::store) fn next_group(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let after = after.map(|after| format!("{after}{AFTER}").into_bytes());
        let mut members = self.scan_after(
            Family::Meta,
            prefix.as_bytes(),
            after.as_deref(),
            Patience::Wait,
        );
        let Some(member) = members.next() else {
            return Ok(None);
        };
        let (name, _) = member?;
        let rest = name[prefix.len()..].split(|&byte| byte == IN as u8).next();
        Ok(rest.map(|group| String::from_utf8_lossy(group).into_owned()))
    }

    /// Removes all notes whose names begin with a prefix that ends in a slash.
    pub(in crate::store) fn remove_notes(&self, prefix: &str) -> Result<(), StoreError> {
        // What comes right behind the slash.
        let end = prefix.replace('/', "0");
        let mut batch = self.batch();
        let meta = self.family(Family::Meta);
        batch.batch.delete_range_cf(meta, prefix, &end);
        batch.write()
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
}
