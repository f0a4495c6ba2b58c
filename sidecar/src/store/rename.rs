//! An entity gets another key, and everything that is stored of it goes with it.

use viewcache_protocol::EntityKey;

use super::{Change, Loaded, SegmentId, Store, StoreError};

impl Store {
    /// Gives an entity that is not in memory another key, of which nothing is stored. Its files
    /// have both names until the index says the new one, so that a crash loses nothing: names that
    /// no row leads to are swept.
    ///
    /// # Errors
    /// When the disk fails, or the file system knows no second names; the entity has its old key
    /// then.
    pub fn rename(&self, loaded: &Loaded, key: &EntityKey) -> Result<(), StoreError> {
        let (old, new) = (loaded.record.key.id(), key.id());
        let Some(generation) = &loaded.record.generation else {
            return Ok(());
        };
        let seq = generation.seq;
        let segment = |entity, segment| SegmentId {
            entity,
            seq,
            segment,
        };
        let numbers = loaded.segments.iter().map(|(number, _)| *number);
        let mut names: Vec<(SegmentId, SegmentId)> = numbers
            .map(|number| (segment(old, number), segment(new, number)))
            .collect();
        names.push((SegmentId::link(old, seq), SegmentId::link(new, seq)));
        let renamed = self.name_twice(&names).and_then(|()| {
            let index = self.index()?;
            let mut batch = index.batch();
            let (mut gone, mut come) = (Change::default(), Change::default());
            for (offset, row) in loaded.rows.iter() {
                gone.delete.push(offset);
                come.put.push((offset, row.clone()));
            }
            batch.change_rows(old, seq, &gone);
            batch.remove_entity(old, Some(&loaded.record.key))?;
            let mut record = loaded.record.clone();
            record.key = key.clone();
            batch.put_entity(new, &record)?;
            batch.change_rows(new, seq, &come);
            for &(number, known) in &loaded.segments {
                batch.change_segment(segment(old, number), Some(known), None);
                batch.change_segment(segment(new, number), None, Some(known));
            }
            batch.write()
        });
        for &(old, new) in &names {
            let stale = if renamed.is_ok() { old } else { new };
            if let Err(error) = self.segments.remove(stale) {
                tracing::error!(?stale, %error, "a second name stays until the next start");
            }
        }
        renamed
    }

    fn name_twice(&self, names: &[(SegmentId, SegmentId)]) -> Result<(), StoreError> {
        for &(old, new) in names {
            match std::fs::hard_link(self.segments.path(old), self.segments.path(new)) {
                // What is in the link alone has no segment file, and most have no link.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}
