//! How what is stored goes: a segment, a generation, an entity.

use std::collections::BTreeSet;

use viewcache_protocol::{ByteRange, EntityId, EntityKey};

use super::{Aged, How, Patience, Place, SegmentId, Store, StoreError, ages, index, layout};
use crate::watchers::Watchers;

/// A segment that is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// The room that it was counted with.
    pub room: u64,
    /// Where it was, and of what.
    pub was: Option<(EntityKey, ByteRange)>,
    /// Who the viewers were of an entity that is gone with it.
    pub watchers: Watchers,
}

/// An entity that is gone from the index; its files are still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Its key.
    pub key: EntityKey,
    /// How many bytes of it were stored; `None` when no response had come.
    pub bytes: Option<u64>,
    /// The segments that may have a file.
    pub files: Vec<SegmentId>,
    /// The room that they were counted with.
    pub room: u64,
}

impl Store {
    /// Takes a segment out of an entity that is not in memory, and the entity with its last one.
    pub fn evict(&self, aged: Aged) -> Result<Gone, StoreError> {
        let SegmentId {
            entity,
            seq,
            segment,
        } = aged.id;
        let index = self.index()?;
        let mut batch = index.batch();
        let known = index.segment(aged.id)?;
        // An age without its segment leads nowhere.
        batch.remove(index::Family::Ages, &ages::age_key(aged));
        batch.change_segment(aged.id, known, None);
        let record = index.entity(entity, Patience::Wait)?;
        let living = record.as_ref().and_then(|record| {
            let generation = record.generation.as_ref().filter(|g| g.seq == seq)?;
            Some((record, generation))
        });
        let mut gone = Gone {
            room: known.map_or(0, |known| known.allocated),
            was: None,
            watchers: Watchers::default(),
        };
        let mut linked = None;
        if let Some((record, generation)) = living {
            let place = generation.place(entity);
            let range = place.segment_range(segment * place.segment_size);
            let original = generation.original.as_ref();
            let hardlinked = original.is_some_and(|original| original.how == How::Hardlink);
            linked = hardlinked.then_some((place, range));
            batch.remove_rows_in(entity, seq, range)?;
            let key = layout::generation_key(entity, seq);
            if index
                .segments(&key, Patience::Wait)?
                .iter()
                .all(|(id, _)| *id == aged.id)
            {
                batch.remove_entity(entity, Some(&record.key))?;
                gone.watchers = record.watchers.clone();
            }
            gone.was = Some((record.key.clone(), range));
        }
        batch.write()?;
        self.segments.remove(aged.id)?;
        if let Some((place, range)) = linked {
            let all = !index.rows(entity, seq, Patience::Wait)?.any_linked();
            self.forsake_link(place, range, all)?;
        }
        Ok(gone)
    }

    /// Takes an entity that is not in memory out of the index, all at once, whatever its size on
    /// the disk. `None` when it is not there.
    pub fn forget(&self, entity: EntityId) -> Result<Option<Forgotten>, StoreError> {
        let index = self.index()?;
        let Some(record) = index.entity(entity, Patience::Wait)? else {
            return Ok(None);
        };
        let mut batch = index.batch();
        batch.remove_entity(entity, Some(&record.key))?;
        let mut forgotten = Forgotten {
            key: record.key,
            bytes: None,
            files: Vec::new(),
            room: 0,
        };
        if let Some(generation) = &record.generation {
            let seq = generation.seq;
            forgotten.bytes = Some(index.stored(entity, seq)?);
            batch.remove_rows(entity, seq)?;
            for (id, segment) in
                index.segments(&layout::generation_key(entity, seq), Patience::Wait)?
            {
                batch.change_segment(id, Some(segment), None);
                forgotten.files.push(id);
                forgotten.room += segment.allocated;
            }
            if generation.original.is_some() {
                forgotten.files.push(generation.place(entity).link());
            }
        }
        batch.write()?;
        Ok(Some(forgotten))
    }

    /// Takes a whole generation out. Its rows leave the index first, so that nothing points at a
    /// missing file. `segments` may have files although the index does not know them.
    pub fn remove_generation(&self, place: Place, segments: &[u64]) -> Result<(), StoreError> {
        for file in self.forget_generation(place, segments)? {
            self.segments.remove(file)?;
        }
        Ok(())
    }

    /// The same without their files, which come back.
    pub fn forget_generation(
        &self,
        place: Place,
        segments: &[u64],
    ) -> Result<BTreeSet<SegmentId>, StoreError> {
        let indexed = self.index()?.remove_generation(place.entity, place.seq)?;
        let segments = indexed.iter().chain(segments);
        let files = segments.map(|segment| place.segment(*segment));
        Ok(files.chain([place.link()]).collect())
    }

    /// Takes an entity's record out.
    pub fn remove_entity(&self, entity: EntityId) -> Result<(), StoreError> {
        self.index()?.remove_entity(entity)
    }
}
