use super::*;

const FILL: FillId = FillId(1);
const STALL: Duration = Duration::from_secs(2);

fn terms() -> Terms {
    Terms::default()
}

fn running(frontier: u64, end: u64, now: Instant) -> Leads {
    let mut leads = Leads::default();
    let range = ByteRange::new(frontier, end).unwrap();
    leads.begin(Begun::own(FILL, false), 1, range, now);
    leads
}

#[test]
fn a_grant_lapses_unless_it_begins() {
    let now = Instant::now();
    let until = now + Duration::from_secs(5);
    let mut leads = Leads::default();
    leads.grant(FILL, until);
    assert_eq!(leads.tentative_until(now), Some(until));
    assert_eq!(leads.awaited(0, now, now, &terms()), None);
    leads.expire(until);
    assert!(leads.is_empty());
}

#[test]
fn a_reader_follows_within_the_lease_only() {
    let now = Instant::now();
    let mut leads = running(100, 100 << 20, now);
    assert_eq!(leads.awaited(100, now, now, &terms()), Some(now + STALL));
    assert_eq!(leads.awaited(99, now, now, &terms()), None);
    assert_eq!(leads.awaited(100 + terms().lease, now, now, &terms()), None);
    leads.advance(FILL, 200, now);
    assert_eq!(
        leads.awaited(100 + terms().lease, now, now, &terms()),
        Some(now + STALL)
    );
    assert_eq!(leads.awaited(150, now, now, &terms()), None);
    let overtaken = |offset| leads.overtaken(offset, now, now).is_some();
    assert!(overtaken(100) && overtaken(199) && !overtaken(99) && !overtaken(200));
}

#[test]
fn a_stalled_lead_is_led_past_and_then_forgotten() {
    let now = Instant::now();
    let mut leads = running(0, 100, now);
    let whole = ByteRange::new(0, 100).unwrap();
    assert!(leads.fetching(whole, now, &terms()));
    assert_eq!(leads.awaited(0, now + STALL, now + STALL, &terms()), None);
    assert!(!leads.fetching(whole, now + STALL, &terms()));
    let underway = |at| leads.underway(at, &terms());
    assert_eq!((underway(now), underway(now + STALL)), (1, 0));
    assert!(!leads.is_empty());
    leads.advance(FILL, 10, now + STALL);
    assert!(
        leads
            .awaited(10, now + STALL, now + STALL, &terms())
            .is_some()
    );
    leads.expire(now + STALL + IDLE);
    assert!(leads.is_empty());
}

#[test]
fn a_fetch_stops_where_another_frontier_begins() {
    let now = Instant::now();
    let mut leads = running(50, 100, now);
    assert_eq!(leads.next_frontier(0, now, &terms()), Some(50));
    assert_eq!(leads.next_frontier(50, now, &terms()), None);
    leads.advance(FILL, 100, now);
    assert_eq!(leads.next_frontier(0, now, &terms()), None);
}

#[test]
fn a_begin_that_was_overtaken_by_its_end_starts_no_lead() {
    let now = Instant::now();
    let mut leads = Leads::default();
    leads.grant(FILL, now + STALL);
    leads.end(FILL, Some(10), now);
    assert!(leads.holds(FILL) && leads.is_empty());
    // It is on its way, or lost.
    assert_eq!(leads.tentative_until(now), Some(now + OVERTAKEN));
    assert_eq!(leads.tentative_until(now + OVERTAKEN), None);
    leads.begin(
        Begun::own(FILL, false),
        1,
        ByteRange::new(0, 10).unwrap(),
        now,
    );
    assert!(leads.is_empty());
    assert_eq!(leads.overtaken(0, now, now), Some(now + OVERTAKEN));
}

#[test]
fn the_begin_of_a_transfer_that_delivered_nothing_is_not_waited_for() {
    let now = Instant::now();
    let mut leads = Leads::default();
    leads.grant(FILL, now + STALL);
    leads.end(FILL, None, now);
    assert_eq!(leads.tentative_until(now), None);
}

#[test]
fn a_transfer_that_ignores_its_range_is_followed_however_far_away_it_is() {
    let now = Instant::now();
    let mut leads = Leads::default();
    let whole = ByteRange::new(0, 100 << 20).unwrap();
    leads.begin(Begun::own(FILL, true), 1, whole, now);
    let far = terms().lease + 1;
    assert_eq!(leads.awaited(far, now, now, &terms()), Some(now + STALL));
    assert_eq!(leads.awaited(100 << 20, now, now, &terms()), None);
    let stalled = now + STALL;
    assert_eq!(leads.awaited(far, stalled, stalled, &terms()), None);
}

#[test]
fn the_last_chunks_of_an_ended_lead_are_waited_for() {
    let now = Instant::now();
    let mut leads = running(0, 1000, now);
    leads.advance(FILL, 100, now);
    leads.end(FILL, Some(300), now);
    assert!(leads.is_empty());
    let long_ago = now - STALL;
    assert_eq!(leads.overtaken(250, long_ago, now), Some(now + OVERTAKEN));
    assert_eq!(leads.overtaken(300, long_ago, now), None);
    let later = now + OVERTAKEN / 2;
    leads.advance(FILL, 200, later);
    assert_eq!(
        leads.overtaken(250, long_ago, later),
        Some(later + OVERTAKEN)
    );
    leads.expire(later + OVERTAKEN);
    assert!(!leads.holds(FILL));
}

#[test]
fn leads_of_a_dead_generation_end() {
    let now = Instant::now();
    let mut leads = running(0, 100, now);
    leads.grant(FillId(2), now + STALL);
    leads.keep_generation(2);
    assert!(!leads.holds(FILL) && leads.holds(FillId(2)));
}

#[test]
fn a_starved_follower_leads_ahead_of_a_mirror_but_not_of_a_lead_that_it_paces() {
    let now = Instant::now();
    let whole = ByteRange::new(0, 100).unwrap();
    let mut leads = Leads::default();
    leads.begin(Begun::mirrored(FILL), 1, whole, now);
    // Its first chunk is on its way.
    assert_eq!(leads.awaited(0, now, now, &terms()), Some(now + STALL));
    leads.advance(FILL, 10, now);
    assert_eq!(leads.awaited(10, now, now, &terms()), Some(now + STARVED));
    let later = now + STARVED;
    assert_eq!(leads.awaited(10, now, later, &terms()), None);
    // Its own clock begins anew with each byte.
    assert!(leads.awaited(10, later, later, &terms()).is_some());
    let leads = running(0, 100, now);
    assert_eq!(leads.awaited(0, now, later, &terms()), Some(now + STALL));
}

#[test]
fn a_follower_is_not_left_to_the_pace_of_readers_behind_it() {
    let now = Instant::now();
    let mut leads = running(0, 100, now);
    leads.advance(FILL, 10, now);
    let later = now + STARVED;
    // It runs as fast as the origin gives.
    assert_eq!(leads.awaited(50, now, later, &terms()), Some(now + STALL));
    leads.pause(FILL, true, now);
    assert_eq!(leads.awaited(50, now, now, &terms()), Some(now + STARVED));
    assert_eq!(leads.awaited(50, now, later, &terms()), None);
    // Now and then it goes on a little.
    leads.pause(FILL, false, later);
    leads.advance(FILL, 11, later);
    assert_eq!(leads.awaited(50, now, later, &terms()), None);
    // For who is at its frontier it goes on at once.
    assert_eq!(leads.awaited(11, now, later, &terms()), Some(later + STALL));
}

#[test]
fn a_paused_lead_does_not_stall() {
    let now = Instant::now();
    let mut leads = running(0, 100, now);
    leads.pause(FILL, true, now);
    let later = now + 10 * STALL;
    assert_eq!(
        leads.awaited(0, later, later, &terms()),
        Some(later + STALL)
    );
    leads.pause(FILL, false, later);
    assert_eq!(
        leads.awaited(0, later, later, &terms()),
        Some(later + STALL)
    );
    assert_eq!(leads.awaited(0, later, later + STALL, &terms()), None);
}

#[test]
fn a_transfer_promises_all_that_it_covers() {
    let now = Instant::now();
    let mut leads = running(0, 100 << 20, now);
    leads.advance(FILL, 10, now);
    assert_eq!(leads.promised(5, now, &terms()), Some(100 << 20));
    assert_eq!(leads.promised(50 << 20, now, &terms()), Some(100 << 20));
    assert_eq!(leads.promised(100 << 20, now, &terms()), None);
    assert_eq!(leads.promised(5, now + STALL, &terms()), None);
    // Its last chunk may have overtaken others.
    leads.advance(FILL, 100 << 20, now);
    assert_eq!(leads.promised(5, now, &terms()), Some(100 << 20));
    leads.end(FILL, Some(50), now);
    assert_eq!(leads.promised(5, now, &terms()), Some(50));
    assert_eq!(leads.promised(50, now, &terms()), None);
    assert_eq!(leads.promised(5, now + OVERTAKEN, &terms()), None);
}
