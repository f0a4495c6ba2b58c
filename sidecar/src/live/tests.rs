use std::time::Duration;

use bytes::Bytes;
use viewcache_protocol::message::ForwardToken;
use viewcache_protocol::{DecideRequest, FillId, Generation, Profile, RangeSpec, Validator};

use super::judging::MEMORY;
use super::*;
use crate::error::Refusal;
use crate::fills::{Begun, OVERTAKEN};
use crate::store::{GenerationRecord, Row};
use crate::terms::Miss;

const WINDOW: u64 = 1000;
const STALL: Duration = Duration::from_secs(2);
const FILL: FillId = FillId(1);

fn key() -> EntityKey {
    EntityKey::new(Profile::Generic, "http://a/b").unwrap()
}

fn wanted(range: Option<&str>) -> Wanted {
    Wanted {
        key: key(),
        range: range.map(|text| text.parse().unwrap()),
        parts: Vec::new(),
        range_in_query: false,
        complete_length: None,
        viewer: String::new(),
        origin_path: None,
    }
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end).unwrap()
}

fn generation(seq: u64, strong: bool, wall: SystemTime) -> GenerationRecord {
    let validator = strong.then(|| Validator::Etag("\"v\"".to_owned()));
    GenerationRecord {
        seq,
        segment_size: 1 << 20,
        identity: Generation {
            validator,
            complete_length: 1000,
        },
        transfer: String::new(),
        headers: vec![("cache-control".to_owned(), "max-age=60".to_owned())],
        received_at: crate::store::millis(wall),
        selecting: Default::default(),
        governing: None,
        original: None,
    }
}

struct World {
    live: Live,
    wall: SystemTime,
    now: Instant,
}

impl World {
    fn unknown() -> Self {
        let wall = SystemTime::now();
        Self {
            live: Live::new(&key(), None, Terms::default(), wall),
            wall,
            now: Instant::now(),
        }
    }

    /// 1000 bytes of which these are stored.
    fn storing(strong: bool, parts: &[(u64, u64)]) -> Self {
        let world = Self::unknown();
        let mut state = world.live.state();
        state.open(generation(1, strong, world.wall));
        for &(start, end) in parts {
            state.stored.insert(range(start, end));
        }
        drop(state);
        world
    }

    fn judge(&self, spec: Option<&str>) -> Judgement {
        self.judge_request(&wanted(spec).into())
    }

    fn judge_request(&self, request: &DecideRequest) -> Judgement {
        let state = self.live.state();
        state.judge(self.live.id, request, self.wall, self.now)
    }

    fn next(&self, offset: u64, end: u64) -> Next {
        self.next_after(offset, end, Duration::ZERO)
    }

    fn next_after(&self, offset: u64, end: u64, waited: Duration) -> Next {
        let spot = self.spot(offset, end, self.now - waited);
        self.live.state().next(1, spot, self.now)
    }

    fn spot(&self, offset: u64, end: u64, since: Instant) -> Spot {
        Spot {
            offset,
            end,
            since,
            window: WINDOW,
        }
    }

    fn upcoming(&self, offset: u64, end: u64, horizon: u64) -> Option<ByteRange> {
        let spot = self.spot(offset, end, self.now);
        self.live.state().upcoming(1, spot, horizon, self.now)
    }

    fn lead(&self, start: u64, end: u64) {
        let mut state = self.live.state();
        let range = range(start, end);
        state
            .leads
            .begin(Begun::own(FILL, false), 1, range, self.now);
    }
}

/// Stores a reserved part as a writer does, at `now`.
fn store(state: &mut State, part: ByteRange, now: u64) -> Result<(), Refusal> {
    state.house(1, part)?;
    let bytes: Vec<u8> = (part.start()..part.end()).map(|at| at as u8).collect();
    let update = state.adding(1, part, Row::of(part.start(), &bytes), now)?;
    state.apply(1, Some(part), update);
    Ok(())
}

fn miss(forward: ForwardToken, grant: bool) -> Judgement {
    Judgement::Miss { forward, grant }
}

#[test]
fn bytes_of_a_generation_that_has_ended_reach_no_reader_of_the_next() {
    let world = World::storing(true, &[]);
    world.lead(0, 1000);
    let mut state = world.live.state();
    let bytes = Bytes::from_static(b"old");
    assert!(state.publish(1, FILL, 0, bytes.clone(), WINDOW, u64::MAX));
    state.open(generation(2, true, world.wall));
    // The frame that its transfer was waiting for comes now.
    assert!(!state.publish(1, FILL, 3, bytes, WINDOW, u64::MAX));
    let next = |state: &State| state.next(2, world.spot(3, 6, world.now), world.now);
    assert_eq!(next(&state), Next::Fetch(range(3, 6)));
    assert_eq!(state.recent.bytes(), 0);
}

#[test]
fn what_has_come_and_is_not_written_yet_is_not_asked_for() {
    let world = World::storing(true, &[]);
    world.lead(500, 1000);
    let mut state = world.live.state();
    let bytes = Bytes::from_static(&[0; 100]);
    assert!(state.publish(1, FILL, 500, bytes, WINDOW, u64::MAX));
    state.leads.advance(FILL, 600, world.now);
    drop(state);
    assert_eq!(world.next(0, 1000), Next::Fetch(range(0, 500)));
}

#[test]
fn an_unknown_entity_is_a_miss_with_one_grant() {
    let world = World::unknown();
    assert_eq!(world.judge(None), miss(ForwardToken::UriMiss, true));
    world
        .live
        .state()
        .leads
        .grant(FILL, world.now + Duration::from_secs(5));
    assert_eq!(world.judge(None), Judgement::Partial);
    assert_eq!(world.judge(Some("-5")), Judgement::Partial);
}

#[test]
fn after_a_declined_answer_requests_go_to_the_origin() {
    let world = World::unknown();
    let mut state = world.live.state();
    state.declined_until = Some(world.now + Duration::from_secs(2));
    state.leads.grant(FILL, world.now + Duration::from_secs(5));
    drop(state);
    assert_eq!(world.judge(None), miss(ForwardToken::UriMiss, false));
}

#[test]
fn hit_partial_and_miss_are_told_by_what_is_stored() {
    let world = World::storing(true, &[(0, 500)]);
    assert_eq!(world.judge(Some("0-499")), Judgement::Hit);
    assert_eq!(world.judge(Some("100-199")), Judgement::Hit);
    assert_eq!(world.judge(Some("0-500")), Judgement::Partial);
    assert_eq!(world.judge(None), Judgement::Partial);
    assert_eq!(world.judge(Some("500-")), miss(ForwardToken::Partial, true));
    assert_eq!(world.judge(Some("-500")), miss(ForwardToken::Partial, true));
    // 416 needs no byte.
    assert_eq!(world.judge(Some("1000-")), Judgement::Hit);
}

#[test]
fn a_lead_or_another_viewer_makes_a_miss_a_partial() {
    let world = World::storing(true, &[]);
    world.lead(0, 600);
    assert_eq!(world.judge(Some("500-")), Judgement::Partial);
    assert_eq!(world.judge(Some("600-")), miss(ForwardToken::Partial, true));
    world.live.state().readers.enter();
    assert_eq!(world.judge(Some("600-")), Judgement::Partial);
}

#[test]
fn a_stale_entity_is_asked_for_anew() {
    let mut world = World::storing(true, &[(0, 1000)]);
    assert_eq!(world.judge(None), Judgement::Hit);
    world.wall += Duration::from_secs(61);
    // The sidecar asks whether it is still the one.
    assert_eq!(world.judge(None), Judgement::Partial);
    let mut nameless = World::storing(false, &[(0, 1000)]);
    nameless.wall += Duration::from_secs(61);
    assert_eq!(nameless.judge(None), miss(ForwardToken::Stale, true));
    nameless
        .live
        .state()
        .leads
        .grant(FILL, nameless.now + Duration::from_secs(5));
    assert_eq!(nameless.judge(None), Judgement::Partial);
    // Nothing of this is stored, so a validation would save nothing.
    let mut world = World::storing(true, &[(0, 500)]);
    world.wall += Duration::from_secs(61);
    assert_eq!(world.judge(Some("500-")), miss(ForwardToken::Stale, true));
}

#[test]
fn a_stale_entity_is_used_where_the_origin_allows_it() {
    let mut world = World::storing(true, &[(0, 1000)]);
    let directives = "max-age=60, stale-while-revalidate=10, stale-if-error=100";
    let directives = ("cache-control".to_owned(), directives.to_owned());
    let generation = |state: &mut State| {
        let generation = state.record.generation.as_mut().unwrap();
        generation.headers = vec![directives.clone()];
    };
    generation(&mut world.live.state());
    world.wall += Duration::from_secs(65);
    assert_eq!(world.judge(None), Judgement::Hit);
    world.wall += Duration::from_secs(10);
    assert_eq!(world.judge(None), Judgement::Partial);
    let excused = |world: &World| world.live.state().excused(world.live.id, world.wall);
    assert!(excused(&world).is_some());
    world.live.state().excused_until = Some(world.now + Duration::from_secs(2));
    assert_eq!(world.judge(None), Judgement::Hit);
    world.wall += Duration::from_secs(100);
    assert_eq!(world.judge(None), Judgement::Partial);
    assert!(excused(&world).is_none());
}

#[test]
fn several_ranges_are_answered_when_all_are_stored_and_in_order() {
    let world = World::storing(true, &[(0, 500)]);
    let judge = |set: &str| {
        let mut wanted = wanted(None);
        wanted.parts = RangeSpec::parse_set(set).unwrap();
        world.judge_request(&wanted.into())
    };
    assert_eq!(judge("0-9,20-29"), Judgement::Hit);
    assert_eq!(judge("0-9,10-19,499-499"), Judgement::Hit);
    // Those that lie past the end are left out; without any it is a 416.
    assert_eq!(judge("0-9,2000-"), Judgement::Hit);
    assert_eq!(judge("1000-,2000-"), Judgement::Hit);
    let forwarded = miss(ForwardToken::Partial, false);
    for set in ["0-9,600-609", "20-29,0-9", "0-9,5-14", "0-9,-1"] {
        assert_eq!(judge(set), forwarded, "{set}");
    }
    assert_eq!(
        World::unknown().judge_request(&{
            let mut wanted = wanted(None);
            wanted.parts = RangeSpec::parse_set("0-9,20-29").unwrap();
            wanted.into()
        }),
        miss(ForwardToken::UriMiss, false)
    );
}

#[test]
fn conditions_and_heads_are_answered_from_what_is_known() {
    fn tag() -> Option<String> {
        Some("\"v\"".to_owned())
    }
    fn other() -> Option<String> {
        Some("\"w\"".to_owned())
    }
    let world = World::storing(true, &[(0, 500)]);
    {
        let mut state = world.live.state();
        let generation = state.record.generation.as_mut().unwrap();
        generation
            .headers
            .push(("etag".to_owned(), "\"v\"".to_owned()));
    }
    let request = |range, change: fn(&mut DecideRequest)| {
        let mut request = DecideRequest::from(wanted(range));
        change(&mut request);
        world.judge_request(&request)
    };
    let head = request(None, |r| r.head = true);
    assert_eq!(head, Judgement::Hit);
    let same = request(None, |r| r.conditions.if_none_match = tag());
    assert_eq!(same, Judgement::Hit);
    let changed = request(None, |r| r.conditions.if_none_match = other());
    assert_eq!(changed, Judgement::Partial);
    let ranged = request(Some("0-99"), |r| r.conditions.if_range = tag());
    assert_eq!(ranged, Judgement::Hit);
    let whole = request(Some("0-99"), |r| r.conditions.if_range = other());
    assert_eq!(whole, Judgement::Partial);
    let forwarded = request(Some("0-99"), |r| r.conditions.if_match = other());
    assert_eq!(forwarded, miss(ForwardToken::Bypass, false));
    // Of an entity that is not known, the origin answers both.
    let unknown = World::unknown();
    let mut request = DecideRequest::from(wanted(None));
    request.head = true;
    let expect = miss(ForwardToken::UriMiss, false);
    assert_eq!(unknown.judge_request(&request), expect);
}

#[test]
fn only_what_every_request_hits_is_memorable() {
    let mut world = World::storing(true, &[(0, 1000)]);
    let memorable = |world: &World| world.live.state().memorable(world.wall);
    assert_eq!(memorable(&world), Some(MEMORY));
    // Its freshness ends after 60 s.
    world.wall += Duration::from_secs(55);
    assert_eq!(memorable(&world), Some(Duration::from_secs(4)));
    world.wall += Duration::from_secs(4);
    assert_eq!(memorable(&world), None);
    world.wall += Duration::from_secs(100);
    assert_eq!(memorable(&world), None);

    assert_eq!(memorable(&World::unknown()), None);
    assert_eq!(memorable(&World::storing(true, &[(0, 999)])), None);
    let world = World::storing(false, &[(0, 1000)]);
    assert_eq!(memorable(&world), Some(MEMORY));
    let mut state = world.live.state();
    let generation = state.record.generation.as_mut().unwrap();
    let vary = ("vary".to_owned(), "accept-encoding".to_owned());
    generation.headers.push(vary);
    assert_eq!(state.memorable(world.wall), None);
}

#[test]
fn without_a_validator_only_one_transfer_is_used() {
    let world = World::storing(false, &[(0, 500)]);
    assert_eq!(world.judge(Some("0-499")), Judgement::Hit);
    assert_eq!(world.judge(None), miss(ForwardToken::Partial, true));
    // A response that followed the running transfer would be cut when that ends early.
    world.lead(500, 1000);
    assert_eq!(world.judge(None), miss(ForwardToken::Partial, false));
}

#[test]
fn a_response_goes_on_with_what_there_is() {
    let world = World::storing(true, &[(0, 100), (400, 500)]);
    assert_eq!(world.next(0, 1000), Next::Stored(100));
    assert_eq!(world.next(0, 50), Next::Stored(50));
    assert_eq!(world.next(100, 1000), Next::Fetch(range(100, 400)));
    assert_eq!(world.next(500, 1000), Next::Fetch(range(500, 1000)));
    world.live.state().writing.insert(range(100, 150));
    assert_eq!(world.next(100, 1000), Next::Follow(world.now + STALL));
    // What does not come from the origin, and the disk hangs.
    assert_eq!(
        world.next_after(100, 1000, STALL),
        Next::Fetch(range(100, 150))
    );
    let bytes = Bytes::from_static(&[7; 50]);
    world.live.state().unwritten.hold(100, bytes.clone());
    assert_eq!(world.next(110, 120), Next::Recent(bytes.slice(10..20)));
    assert_eq!(world.next(110, 1000), Next::Recent(bytes.slice(10..)));
    let place = generation(1, true, world.wall).place(world.live.id);
    world.live.state().finish(place, range(100, 150));
    assert_eq!(world.next(100, 1000), Next::Fetch(range(100, 400)));
    world.lead(600, 1000);
    assert_eq!(world.next(500, 1000), Next::Fetch(range(500, 600)));
    assert_eq!(world.next(600, 1000), Next::Follow(world.now + STALL));
    let spot = world.spot(0, 10, world.now);
    assert_eq!(world.live.state().next(2, spot, world.now), Next::Gone);
}

#[test]
fn reserved_bytes_are_written_once() {
    let world = World::storing(true, &[(0, 100)]);
    let mut state = world.live.state();
    let (_, parts) = state.reserve(1, range(50, 200)).unwrap();
    assert_eq!(parts, [range(100, 200)]);
    let (_, parts) = state.reserve(1, range(150, 300)).unwrap();
    assert_eq!(parts, [range(200, 300)]);
    let place = generation(1, true, world.wall).place(world.live.id);
    assert_eq!(store(&mut state, range(100, 200), 5), Ok(()));
    assert!(state.finish(place, range(100, 200)).is_none());
    assert!(state.finish(place, range(200, 300)).is_none());
    assert!(state.stored.covers(range(0, 200)) && !state.stored.touches(range(200, 300)));
    assert!(state.writing.is_empty());
    assert!(state.reserve(2, range(0, 10)).is_none());
    // Bytes beyond the complete length belong to nothing.
    let (_, parts) = state.reserve(1, range(990, 1100)).unwrap();
    assert_eq!(parts, [range(990, 1000)]);
}

#[test]
fn a_new_generation_forgets_the_old_ones_bytes() {
    let world = World::storing(true, &[(0, 100)]);
    let mut state = world.live.state();
    state.reserve(1, range(100, 200)).unwrap();
    // What is being written of the old one is waited for.
    assert!(state.open(generation(2, true, world.wall)).is_none());
    assert_eq!(state.stored.bytes(), 0);
    let place = generation(1, true, world.wall).place(world.live.id);
    let old = state.finish(place, range(100, 200)).unwrap();
    assert_eq!((old.place, &old.segments[..]), (place, &[0][..]));
    let spot = world.spot(0, 10, world.now);
    assert_eq!(state.next(1, spot, world.now), Next::Gone);
}

#[test]
fn an_overtaken_chunk_is_waited_for_a_little() {
    let world = World::storing(true, &[]);
    world.lead(0, 1000);
    world.live.state().leads.advance(FILL, 300, world.now);
    assert_eq!(world.next(100, 1000), Next::Follow(world.now + OVERTAKEN));
    assert_eq!(
        world.next_after(100, 1000, OVERTAKEN),
        Next::Fetch(range(100, 300))
    );
}

#[test]
fn what_has_just_arrived_comes_from_memory() {
    let world = World::storing(true, &[(0, 100)]);
    world.lead(100, 1000);
    let bytes = Bytes::from_static(&[7; 50]);
    let mut state = world.live.state();
    state.recent.push(FILL, 100, bytes.clone(), 1000, u64::MAX);
    drop(state);
    assert_eq!(world.next(100, 1000), Next::Recent(bytes.clone()));
    assert_eq!(world.next(140, 145), Next::Recent(bytes.slice(40..45)));
    assert_eq!(world.next(150, 1000), Next::Follow(world.now + STALL));
}

#[test]
fn short_stored_runs_inside_a_gap_are_bridged() {
    let world = World::storing(true, &[(100, 110), (200, 250), (300, 1000)]);
    assert_eq!(world.next(0, 1000), Next::Fetch(range(0, 100)));
    world.live.state().terms.bridge = 10;
    assert_eq!(world.next(0, 1000), Next::Fetch(range(0, 200)));
    world.live.state().terms.bridge = 50;
    assert_eq!(world.next(0, 1000), Next::Fetch(range(0, 300)));
    // One that is wanted last is not fetched for its own sake.
    assert_eq!(world.next(0, 105), Next::Fetch(range(0, 100)));
}

#[test]
fn the_next_gap_is_seen_before_it_is_reached() {
    let world = World::storing(true, &[(0, 100), (400, 500)]);
    assert_eq!(world.upcoming(0, 1000, 50), None);
    assert_eq!(world.upcoming(50, 1000, 51), Some(range(100, 400)));
    world.lead(100, 400);
    assert_eq!(world.upcoming(50, 1000, 300), None);
    assert_eq!(world.upcoming(50, 1000, 451), Some(range(500, 1000)));
    // Nobody asks an origin that has just failed.
    world.live.state().trouble.failed(None, world.now);
    assert_eq!(world.upcoming(50, 1000, 451), None);
}

#[test]
fn an_origin_that_asks_for_a_pause_has_it() {
    let world = World::storing(true, &[]);
    let pause = Duration::from_secs(3);
    world.live.state().trouble.failed(Some(pause), world.now);
    assert_eq!(world.next(0, 1000), Next::Follow(world.now + pause));
    world.live.state().trouble.over();
    assert_eq!(world.next(0, 1000), Next::Fetch(range(0, 1000)));
}

#[test]
fn a_relayed_profile_leaves_no_miss_to_the_origin() {
    let world = World::unknown();
    world.live.state().terms.miss = Miss::Relay;
    assert_eq!(world.judge(None), Judgement::Partial);
    let world = World::storing(true, &[(0, 100)]);
    world.live.state().terms.miss = Miss::Relay;
    assert_eq!(world.judge(Some("500-")), Judgement::Partial);
}

#[test]
fn a_sequential_viewer_is_read_ahead_for_when_the_operator_says_so() {
    let world = World::storing(true, &[]);
    let mut state = world.live.state();
    state.terms.read_ahead = 100;
    for spec in ["0-99", "100-199"] {
        state.note(&wanted(Some(spec)));
    }
    drop(state);
    assert_eq!(world.judge(Some("200-299")), Judgement::Partial);
    assert_eq!(
        world.judge(Some("400-499")),
        miss(ForwardToken::Partial, true)
    );
}

#[test]
fn watched_bytes_count_once_and_outlive_a_generation_of_the_same_length() {
    let world = World::storing(true, &[(0, 1000)]);
    let mut state = world.live.state();
    state.delivered(range(0, 100), 100);
    state.delivered(range(50, 150), 0);
    assert_eq!(state.record.watched.bytes(), 150);
    assert_eq!(state.record.bytes_from_cache, 100);
    state.open(generation(2, true, world.wall));
    assert_eq!(state.record.watched.bytes(), 150);
    let mut longer = generation(3, true, world.wall);
    longer.identity.complete_length = 2000;
    state.open(longer);
    assert_eq!(state.record.watched.bytes(), 0);
}

#[test]
fn a_transfer_ends_where_another_has_begun() {
    let world = World::storing(true, &[(700, 1000)]);
    world.lead(0, 1000);
    let mut state = world.live.state();
    let other = FillId(2);
    let begun = Begun::own(other, false);
    state.leads.begin(begun, 1, range(300, 700), world.now);
    assert!(!state.meets(FILL, 300, 100));
    state.leads.advance(other, 310, world.now);
    // It has passed, but its chunk was lost.
    assert!(!state.meets(FILL, 300, 100));
    let bytes = Bytes::from_static(&[0; 10]);
    assert!(state.publish(1, other, 300, bytes, WINDOW, u64::MAX));
    assert!(state.meets(FILL, 300, 100));
    // The rest of the other is not worth a request.
    assert!(!state.meets(FILL, 300, 500));
    assert!(!state.meets(other, 310, 100));
    assert!(state.meets(other, 700, 300));
}
