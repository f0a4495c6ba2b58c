use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;
use viewcache_protocol::{EntityKey, Generation, Profile};

use super::*;
use crate::policy::{Admit, Enough, Reason};
use crate::store::{Class, GenerationRecord, MAX_ROWS};
use crate::terms::Terms;

const SEGMENT: u64 = 256 << 10;
const LENGTH: u64 = 4 * SEGMENT;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end).unwrap()
}

fn generation(seq: u64) -> GenerationRecord {
    GenerationRecord {
        seq,
        segment_size: SEGMENT,
        identity: Generation {
            validator: None,
            complete_length: LENGTH,
        },
        transfer: String::new(),
        headers: Vec::new(),
        received_at: 0,
        selecting: Default::default(),
        governing: None,
        original: None,
    }
}

fn live() -> Arc<Live> {
    let key = EntityKey::new(Profile::Generic, "http://a/b").unwrap();
    let live = Live::new(&key, None, Terms::default(), SystemTime::UNIX_EPOCH);
    live.state().open(generation(1));
    Arc::new(live)
}

fn place() -> Place {
    let key = EntityKey::new(Profile::Generic, "http://a/b").unwrap();
    generation(1).place(key.id())
}

/// Stores what is not stored of a range, as a writer does; the room that it takes comes back.
fn store(state: &mut State, part: ByteRange, now: u64) -> u64 {
    let (place, parts) = state.reserve(1, part).unwrap();
    let mut room = 0;
    for part in parts {
        room += state.house(1, part).unwrap();
        let row = Row::of(part.start(), &vec![1; part.len() as usize]);
        let update = state.adding(1, part, row, now).unwrap();
        state.apply(1, Some(part), update);
        assert!(state.finish(place, part).is_none());
    }
    room
}

fn evict(state: &mut State, segment: u64, used_at: u64) -> Option<u64> {
    let leaving = state.leave(1, segment, used_at)?;
    assert_eq!(leaving.update.segments[0].after, None);
    Some(state.left(1, segment))
}

#[test]
fn a_block_that_two_parts_share_counts_once() {
    let live = live();
    let mut state = live.state();
    assert_eq!(store(&mut state, range(0, 100), 1), BLOCK);
    assert_eq!(store(&mut state, range(200, 300), 1), 0);
    assert_eq!(store(&mut state, range(100, 200), 1), 0);
    assert_eq!(store(&mut state, range(300, 2 * BLOCK + 1), 1), 2 * BLOCK);
    assert_eq!(evict(&mut state, 0, 1), Some(3 * BLOCK));
    assert!(state.stored.is_empty() && state.rows.is_empty() && state.segments.is_empty());
}

#[test]
fn a_segment_in_use_stays() {
    let live = live();
    store(&mut live.state(), range(0, 100), 1);
    let reading = live.reading(1, range(0, 10), 1).unwrap();
    assert_eq!(evict(&mut live.state(), 0, 1), None);
    drop(reading);
    let (_, parts) = live.state().reserve(1, range(100, 200)).unwrap();
    assert_eq!(evict(&mut live.state(), 0, 1), None);
    live.state().finish(place(), parts[0]);
    // Read at 2, says the state; the index still says 1.
    drop(live.reading(1, range(0, 10), 2).unwrap());
    assert_eq!(evict(&mut live.state(), 0, 1), None);
    live.state().record.pinned = true;
    assert_eq!(evict(&mut live.state(), 0, 2), None);
    live.state().record.pinned = false;
    assert_eq!(evict(&mut live.state(), 0, 2), Some(BLOCK));
}

#[test]
fn nothing_is_written_into_a_segment_that_leaves() {
    let live = live();
    let mut state = live.state();
    store(&mut state, range(0, SEGMENT + 10), 1);
    let leaving = state.leave(1, 0, 1).unwrap();
    assert_eq!(state.reserve(1, range(0, 100)).unwrap().1, []);
    assert_eq!(
        state
            .reserve(1, range(SEGMENT + 10, SEGMENT + 20))
            .unwrap()
            .1
            .len(),
        1
    );
    // The index could not be told: nothing has changed.
    state.stay(1, 0, leaving);
    assert!(state.stored.covers(range(0, SEGMENT + 10)));
    assert_eq!(state.rows.ranges().next(), Some(range(0, SEGMENT)));
    assert!(state.leave(1, 0, 1).is_some());
    assert_eq!(state.left(1, 0), SEGMENT);
    assert_eq!(state.reserve(1, range(0, 100)).unwrap().1, [range(0, 100)]);
}

#[test]
fn an_age_is_written_once_a_second() {
    let live = live();
    store(&mut live.state(), range(0, 100), 10_000);
    drop(live.reading(1, range(0, 10), 10_300));
    assert!(live.state().aging(9_999).is_none());
    // It is told a second after it was told last, or when somebody needs it.
    let (_, update) = live.state().aging(10_000).unwrap();
    assert_eq!(update.segments[0].before.unwrap().used_at, 10_000);
    assert_eq!(update.segments[0].after.unwrap().used_at, 10_300);
    // A chunk that comes in between leaves the age as it is.
    let mut state = live.state();
    state.apply(1, None, update);
    state.house(1, range(100, 200)).unwrap();
    let update = state.adding(1, range(100, 200), Row::of(100, &[1; 100]), 11_299);
    assert_eq!(update.unwrap().segments, []);
}

#[test]
fn pinning_changes_the_class_of_every_segment() {
    let live = live();
    let mut state = live.state();
    store(&mut state, range(0, 2 * SEGMENT), 1);
    let (_, update) = state.classing(Standing::Pinned(true)).unwrap();
    assert!(update.record.as_ref().unwrap().pinned);
    let classes = update
        .segments
        .iter()
        .map(|change| (change.segment, change.after.unwrap().class));
    assert_eq!(
        classes.collect::<Vec<_>>(),
        [(0, Class::Pinned), (1, Class::Pinned)]
    );
}

#[test]
fn a_time_to_keep_counts_as_later_use() {
    let live = live();
    let mut state = live.state();
    store(&mut state, range(0, 100), 10_000);
    assert!(state.grant_grace(60_000) && !state.grant_grace(60_000));
    let used_at = |update: &Update| update.segments[0].after.map(|after| after.used_at);
    let (_, update) = state.aging(u64::MAX).unwrap();
    assert_eq!(used_at(&update), Some(70_000));
    state.apply(1, None, update);
    drop(state);
    // It is told again a second after it was told last, not when its time is over.
    drop(live.reading(1, range(0, 10), 11_500));
    let mut state = live.state();
    let (_, update) = state.aging(10_500).unwrap();
    assert_eq!(used_at(&update), Some(71_500));
    state.apply(1, None, update);
    assert!(state.grant_grace(0));
    let (_, update) = state.aging(u64::MAX).unwrap();
    assert_eq!(used_at(&update), Some(11_500));
}

/// Otherwise a crash in between would leave a segment in a class that its record is not in.
#[test]
fn what_is_written_before_the_index_knows_of_an_admission_is_provisional() {
    let live = live();
    let mut state = live.state();
    store(&mut state, range(0, 100), 1);
    let at_once = Admit {
        watched_percent: Enough::Percent(0),
        viewers: 0,
    };
    assert_eq!(state.prove(Some(at_once), false), Some(Reason::AtOnce));
    assert_eq!(state.prove(Some(at_once), false), None);
    let class = |update: &Update| update.segments[0].after.map(|after| after.class);
    state.house(1, range(SEGMENT, SEGMENT + 9)).unwrap();
    let row = Row::of(SEGMENT, &[1; 9]);
    let adding = state.adding(1, range(SEGMENT, SEGMENT + 9), row, 1);
    assert_eq!(class(&adding.unwrap()), Some(Class::Provisional));
    let (_, update) = state.classing(Standing::Admitted).unwrap();
    assert!(update.record.as_ref().unwrap().admitted);
    assert_eq!(class(&update), Some(Class::Admitted));
}

#[test]
fn a_damaged_piece_leaves_the_rest_of_its_row() {
    let live = live();
    let mut state = live.state();
    store(&mut state, range(0, SEGMENT), 1);
    let piece = range(65_536, 131_072);
    let (update, gone) = state.dropping(1, range(65_536, 65_537)).unwrap();
    assert_eq!(gone, [piece]);
    assert_eq!(state.dropped(1, &gone, &gone, update), piece.len());
    assert_eq!(state.stored.gaps(range(0, SEGMENT)), [piece]);
    assert!(state.dropping(1, piece).is_none());
    assert_eq!(store(&mut state, piece, 1), piece.len());
    assert_eq!(state.rows.len(), 1);
}

#[test]
fn the_last_piece_takes_its_segment_along() {
    let live = live();
    let mut state = live.state();
    store(&mut state, range(10, 20), 1);
    let (update, gone) = state.dropping(1, range(0, 100)).unwrap();
    assert_eq!(update.segments[0].after, None);
    // Its block is not given back by itself, but with the file.
    assert_eq!(state.dropped(1, &gone, &[], update), 0);
    assert!(state.leave_husk(1, 0).is_some());
    assert_eq!(state.left(1, 0), BLOCK);
    assert!(state.segments.is_empty() && state.housed.is_empty());
}

#[test]
fn too_many_small_pieces_are_refused() {
    let live = live();
    let mut state = live.state();
    for at in 0..MAX_ROWS as u64 {
        state.rows.insert(2 * at, Row::of(2 * at, &[0]));
    }
    let lone = range(LENGTH - 10, LENGTH - 5);
    assert_eq!(state.house(1, lone), Err(Refusal::Fragments));
}

#[derive(Clone, Debug)]
enum Step {
    Store(ByteRange),
    Fail(ByteRange),
    Drop(ByteRange),
    Evict(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let part =
        || (0..LENGTH, 1..SEGMENT).prop_map(|(start, len)| range(start, LENGTH.min(start + len)));
    let step = prop_oneof![
        4 => part().prop_map(Step::Store),
        1 => part().prop_map(Step::Fail),
        1 => part().prop_map(Step::Drop),
        1 => (0..4u64).prop_map(Step::Evict),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The sum of what comes back is what the blocks that are touched take.
    #[test]
    fn room_is_counted_exactly(steps in steps()) {
        let mut live = live();
        let mut room = 0;
        for step in steps {
            let mut state = live.state();
            match step {
                Step::Store(part) => room += store(&mut state, part, 1),
                Step::Fail(part) => {
                    let (place, parts) = state.reserve(1, part).unwrap();
                    for part in parts {
                        room += state.house(1, part).unwrap();
                        let inner = ByteRange::new(part.start().next_multiple_of(BLOCK), part.end() / BLOCK * BLOCK);
                        room -= inner.map_or(0, |inner| state.unhouse(1, inner));
                        state.finish(place, part);
                        let segment = part.start() / SEGMENT;
                        if state.leave_husk(1, segment).is_some() {
                            room -= state.left(1, segment);
                        }
                    }
                }
                Step::Drop(part) => if let Some((update, gone)) = state.dropping(1, part) {
                    let inner = |run: &ByteRange| ByteRange::new(run.start().next_multiple_of(BLOCK), run.end() / BLOCK * BLOCK);
                    let inner: Vec<_> = gone.iter().filter_map(inner).collect();
                    room -= state.dropped(1, &gone, &inner, update);
                }
                Step::Evict(segment) => room -= evict(&mut state, segment, 1).unwrap_or(0),
                Step::Restart => {
                    let aged = state.aging(u64::MAX);
                    if let Some((_, update)) = aged {
                        state.apply(1, None, update);
                    }
                    let segments = state.segments.iter().filter_map(|(&at, known)| Some((at, known.indexed?)));
                    let loaded = Loaded { record: state.record.clone(), rows: state.rows.clone(), segments: segments.collect() };
                    let next = Live::new(&loaded.record.key.clone(), Some(loaded), Terms::default(), SystemTime::UNIX_EPOCH);
                    // What has no row is swept, stray blocks and all.
                    let lost: u64 = state.segments.iter().filter(|(_, known)| known.indexed.is_none())
                        .map(|(&at, known)| state.housed.blocks(place().segment_range(at * SEGMENT)) * BLOCK + known.stray).sum();
                    room -= lost;
                    drop(state);
                    live = Arc::new(next);
                    continue;
                }
            }
            let counted: u64 = state.segments.values().map(|known| known.stray).sum::<u64>()
                + state.housed.blocks(range(0, LENGTH)) * BLOCK;
            prop_assert_eq!(room, counted);
            // The state says of each segment with rows what the index was told.
            let stored: u64 = state.rows.ranges().map(ByteRange::len).sum();
            prop_assert_eq!(stored, state.stored.bytes());
            for run in state.stored.iter() {
                prop_assert!(state.segments[&(run.start() / SEGMENT)].indexed.is_some());
            }
        }
        let ended = live.state().close().unwrap();
        prop_assert_eq!(ended.room, room);
    }
}
