//! How what is stored goes: a segment, a generation, an entity.

use viewcache_protocol::EntityId;

use super::{Aged, Place, SegmentId, Store, StoreError, ages, index, layout};
use crate::watchers::Watchers;

impl Store {
    /// Takes a segment out of an entity that is not in memory, and the entity with its last one.
    /// The room that it was counted with comes back, and who the viewers were of an entity that is
    /// gone.
    pub fn evict(&self, aged: Aged) -> Result<(u64, Watchers), StoreError> {
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
        let record = index.entity(entity)?;
        let mut watchers = Watchers::default();
        let living = record.as_ref().and_then(|record| {
            let generation = record.generation.as_ref().filter(|g| g.seq == seq)?;
            Some((record, generation))
        });
        if let Some((record, generation)) = living {
            let place = generation.place(entity);
            let range = place.segment_range(segment * place.segment_size);
            batch.remove_rows_in(entity, seq, range)?;
            let key = layout::generation_key(entity, seq);
            if index.segments(&key)?.iter().all(|(id, _)| *id == aged.id) {
                batch.remove_entity(entity, Some(&record.key));
                watchers = record.watchers.clone();
            }
        }
        batch.write()?;
        self.segments.remove(aged.id)?;
        Ok((known.map_or(0, |known| known.allocated), watchers))
    }

    /// Takes a whole generation out. Its rows leave the index first, so that nothing points at a
    /// missing file. `segments` may have files although the index does not know them.
    pub fn remove_generation(&self, place: Place, segments: &[u64]) -> Result<(), StoreError> {
        let indexed = self.index()?.remove_generation(place.entity, place.seq)?;
        for segment in indexed.iter().chain(segments) {
            self.segments.remove(place.segment(*segment))?;
        }
        Ok(())
    }

    /// Takes an entity's record out.
    pub fn remove_entity(&self, entity: EntityId) -> Result<(), StoreError> {
        self.index()?.remove_entity(entity)
    }
}
