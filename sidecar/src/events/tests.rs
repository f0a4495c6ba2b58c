use super::*;
use crate::policy::Policy;

fn events() -> Arc<Events> {
    Arc::default()
}

fn channel(id: u64) -> Event {
    Event::Channel(Edited { id: id.to_string() })
}

/// The next frame that is not the greeting.
async fn next(hearing: &mut Hearing) -> String {
    loop {
        let frame = hearing.frame().await.unwrap();
        if !frame.starts_with(b":") {
            return String::from_utf8(frame.to_vec()).unwrap();
        }
    }
}

fn line<'a>(frame: &'a str, name: &str) -> &'a str {
    let mut lines = frame
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    lines.next().unwrap_or_default()
}

#[tokio::test]
async fn a_subscriber_hears_what_happens_from_then_on() {
    let events = events();
    events.tell(|| unreachable!("nobody listens"));
    let mut hearing = events.subscribe(None).unwrap();
    assert_eq!(events.subscribers(), 1);
    events.tell(|| channel(7));
    let frame = next(&mut hearing).await;
    assert_eq!(line(&frame, "event"), "channel");
    let data: Value = serde_json::from_str(line(&frame, "data")).unwrap();
    assert_eq!(data["id"], "7");
    assert!(data["at"].as_str().unwrap().ends_with('Z'));
    assert!(frame.ends_with("\n\n"));
    drop(hearing);
    assert_eq!(events.subscribers(), 0);
}

#[tokio::test]
async fn one_who_comes_back_hears_what_it_has_missed() {
    let events = events();
    let mut hearing = events.subscribe(None).unwrap();
    (0..5).for_each(|id| events.tell(|| channel(id)));
    let first = next(&mut hearing).await;
    drop(hearing);
    // Nobody listens, but somebody did a moment ago.
    events.tell(|| channel(5));
    let last: LastId = line(&first, "id").parse().unwrap();
    let mut hearing = events.subscribe(Some(last)).unwrap();
    events.show(Kind::Stats, &serde_json::json!({}));
    events.tell(|| channel(6));
    let mut heard = Vec::new();
    for _ in 0..7 {
        let frame = next(&mut hearing).await;
        let data: Value = serde_json::from_str(line(&frame, "data")).unwrap();
        heard.push((line(&frame, "event").to_owned(), data["id"].clone()));
    }
    let channels = |ids: std::ops::Range<u64>| {
        let ids = ids.map(|id| ("channel".to_owned(), Value::from(id.to_string())));
        ids.collect::<Vec<_>>()
    };
    let stats = ("stats".to_owned(), Value::Null);
    assert_eq!(
        heard,
        [channels(1..6), vec![stats], channels(6..7)].concat()
    );
}

#[tokio::test]
async fn what_is_not_known_any_more_is_a_reset() {
    let events = events();
    let mut hearing = events.subscribe(None).unwrap();
    events.tell(|| channel(0));
    let first: LastId = line(&next(&mut hearing).await, "id").parse().unwrap();
    drop(hearing);
    let resets = async |last| {
        let mut hearing = events.subscribe(Some(last)).unwrap();
        events.tell(|| channel(1));
        line(&next(&mut hearing).await, "event") == "reset"
    };
    assert!(!resets(first).await);
    // Of another process, and of the future.
    assert!(resets(LastId { epoch: 1, ..first }).await);
    assert!(
        resets(LastId {
            number: 1000,
            ..first
        })
        .await
    );
    // Too old.
    (0..REMEMBERED as u64).for_each(|id| events.tell(|| channel(id)));
    assert!(resets(first).await);
    // From a time when nobody listened.
    let now = Instant::now();
    events.rest(now);
    assert!(events.heard());
    events.rest(now + 2 * LINGER);
    assert!(!events.heard());
    let last = LastId {
        number: lock(&events.shared).next - 2,
        ..first
    };
    assert!(resets(last).await);
}

#[tokio::test]
async fn a_slow_subscriber_misses_some_and_is_told_so() {
    let events = events();
    let mut slow = events.subscribe(None).unwrap();
    let most = LATE as u64 + 10;
    (0..most).for_each(|id| events.tell(|| channel(id)));
    assert_eq!(line(&next(&mut slow).await, "event"), "reset");
    let frame = next(&mut slow).await;
    assert!(frame.contains("\"10\""), "{frame}");
}

#[tokio::test]
async fn no_more_listen_than_may() {
    let events = events();
    let mut all: Vec<_> = (0..MAX_SUBSCRIBERS)
        .map(|_| events.subscribe(None).unwrap())
        .collect();
    assert_eq!(events.subscribe(None).unwrap_err(), Full);
    all.pop();
    let mut last = events.subscribe(None).unwrap().only(vec![Kind::Policy]);
    events.tell(|| channel(1));
    events.tell(|| {
        Event::Policy(PolicyChanged {
            policy: Policy::default(),
        })
    });
    assert_eq!(line(&next(&mut last).await, "event"), "policy");
    events.close();
    assert_eq!(last.frame().await, None);
    assert_eq!(events.subscribe(None).unwrap_err(), Full);
}

#[test]
fn what_is_stored_is_told_together_and_bounded() {
    let events = events();
    let range = |start| ByteRange::from_len(start, 10).unwrap();
    let id = |number: u32| EntityId::from_bytes(u128::from(number).to_be_bytes());
    events.stored(id(0), range(0));
    assert!(events.take_stored().is_empty());
    let _hearing = events.subscribe(None).unwrap();
    for start in [0, 10, 50, 55] {
        events.stored(id(0), range(start));
    }
    let stored = events.take_stored();
    let ranges: Vec<_> = stored[&id(0)]
        .iter()
        .map(|r| (r.start(), r.end()))
        .collect();
    assert_eq!(ranges, [(0, 20), (50, 65)]);
    (0..2 * MAX_GROWING as u32).for_each(|number| events.stored(id(number), range(0)));
    (0..1000).for_each(|start| events.stored(id(0), range(start * 20)));
    let stored = events.take_stored();
    assert_eq!(stored.len(), MAX_GROWING);
    assert_eq!(stored[&id(0)].iter().count(), MAX_RUNS);
}

#[test]
fn kinds_and_ids_are_read_as_they_are_written() {
    for kind in Kind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert!("other".parse::<Kind>().is_err());
    assert_eq!(
        "5-7".parse(),
        Ok(LastId {
            epoch: 5,
            number: 7
        })
    );
    for text in ["", "5", "5-", "-7", "a-b", "5-7-9"] {
        assert!(text.parse::<LastId>().is_err(), "{text}");
    }
}
