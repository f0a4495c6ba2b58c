//! What happens to a body whose fill was granted.

use viewcache_protocol::{ByteRange, DeclineReason, End};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::budget::Shed;
use crate::mirror::Source;

fn ended(delivered: Option<(u64, u64)>, outcome: Outcome) -> Effect {
    let delivered = delivered.and_then(|(start, end)| ByteRange::new(start, end));
    let end = End {
        key: "generic:http://a/v".parse().unwrap(),
        // Whoever nobody knows.
        viewer: delivered.map_or_else(String::new, |_| {
            RequestHead::default().viewer(&Config::default().viewer)
        }),
        delivered,
        outcome,
    };
    Effect::End { fill: FILL, end }
}

/// The offset and the length of each chunk.
fn chunks(effects: &[Effect]) -> Vec<(u64, usize)> {
    let chunk = |effect: &Effect| match effect {
        Effect::Chunk { head, len, .. } => Some((head.offset, *len)),
        _ => None,
    };
    effects.iter().filter_map(chunk).collect()
}

#[test]
fn a_granted_miss_is_mirrored() {
    let mut script = Script::granted(ForwardToken::UriMiss, &[]);
    let effects = script.on(Event::Response(&ten()));
    let [started, note, Effect::Begin { fill, begin }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(*started, Effect::Count(Counter::MirrorStarted));
    assert_eq!(*note, annotate("viewcache; fwd=uri-miss; stored"));
    assert_eq!((*fill, begin.range), (FILL, ByteRange::new(0, 10).unwrap()));
    assert_eq!(begin.headers, [("etag".to_owned(), "\"v\"".to_owned())]);

    let effects = script.frame(7, false);
    let [
        Effect::Chunk {
            fill: FILL,
            head,
            node,
            len: 4,
            source: Source::Frame { at: 0 },
        },
        copy,
    ] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!((head.entity, *node), (begin.key.id(), begin.key.id()));
    assert_eq!(
        head.generation,
        begin.generation.id(begin.key.profile(), &FILL.to_string())
    );
    assert_eq!(
        *copy,
        Effect::Copy {
            at: 4,
            len: 3,
            capacity: 8
        }
    );
    assert_eq!(chunks(&script.frame(3, false)), [(4, 6)]);
    let complete = [ended(Some((0, 10)), Outcome::Complete)];
    assert_eq!(script.frame(0, true), complete);
    script.assert_over();
}

#[test]
fn a_part_is_mirrored_where_it_belongs() {
    let mut script = Script::granted(ForwardToken::Partial, &[("range", b"bytes=90-")]);
    let part = response(
        "206",
        &[
            ("content-length", b"10"),
            ("content-range", b"bytes 90-99/100"),
            ("x-bad", b"\xff"),
        ],
    );
    let effects = script.on(Event::Response(&part));
    assert_eq!(
        effects[1],
        annotate("viewcache; fwd=partial; fwd-status=206; stored")
    );
    let effects = script.frame(10, true);
    assert_eq!(chunks(&effects), [(90, 4), (94, 6)]);
    assert_eq!(
        effects.last(),
        Some(&ended(Some((90, 100)), Outcome::Complete))
    );
    script.assert_over();
}

#[test]
fn what_must_not_be_stored_is_declined() {
    let check = |head: &ResponseHead, reason: DeclineReason| {
        let mut script = Script::granted(ForwardToken::UriMiss, &[]);
        let detail = reason.as_str();
        let expect = [
            Effect::CountBy(Reason::MirrorDeclined(reason)),
            annotate(&format!("viewcache; fwd=uri-miss; detail={detail}")),
            ended(None, Outcome::Declined(reason)),
        ];
        assert_eq!(script.on(Event::Response(head)), expect);
        assert_eq!(script.frame(10, true), []);
        script.assert_over();
    };
    let length: (&str, &[u8]) = ("content-length", b"10");
    check(&response("404", &[length]), DeclineReason::Status);
    check(&response("\u{e9}", &[length]), DeclineReason::Status);
    check(&response("200", &[]), DeclineReason::NoLength);
    check(
        &response("200", &[length, ("cache-control", b"no-store")]),
        DeclineReason::NoStore,
    );
    check(
        &response("200", &[length, ("Cache-Control", b"\xff")]),
        DeclineReason::Headers,
    );
    check(
        &response("200", &[length, ("etag", b"\"\xff\"")]),
        DeclineReason::Headers,
    );
}

#[test]
fn a_response_without_a_body_is_no_fill() {
    let mut script = Script::granted(ForwardToken::UriMiss, &[]);
    let head = ResponseHead {
        end_of_stream: true,
        ..ten()
    };
    let expect = [
        annotate("viewcache; fwd=uri-miss; detail=no-body"),
        ended(None, Outcome::Abandoned),
    ];
    assert_eq!(script.on(Event::Response(&head)), expect);
    script.assert_over();
}

#[test]
fn a_cut_body_is_abandoned_and_its_rest_sent() {
    let mut script = Script::filling();
    script.frame(6, false);
    let effects = script.on(Event::Done);
    assert_eq!(chunks(&effects), [(4, 2)]);
    assert_eq!(
        effects.last(),
        Some(&ended(Some((0, 6)), Outcome::Abandoned))
    );
    script.assert_over();

    let mut nothing_came = Script::filling();
    assert_eq!(
        nothing_came.on(Event::Done),
        [ended(None, Outcome::Abandoned)]
    );
    nothing_came.assert_over();

    let mut ended_early = Script::filling();
    let effects = ended_early.frame(6, true);
    assert_eq!(
        effects.last(),
        Some(&ended(Some((0, 6)), Outcome::Abandoned))
    );
    ended_early.assert_over();

    let mut too_long = Script::filling();
    let effects = too_long.frame(12, true);
    assert_eq!(chunks(&effects), [(0, 4), (4, 6)]);
    assert_eq!(
        effects.last(),
        Some(&ended(Some((0, 10)), Outcome::Abandoned))
    );
    too_long.assert_over();
}

#[test]
fn without_memory_only_what_passes_is_told() {
    let mut script = Script::granted(ForwardToken::UriMiss, &[]);
    let other = Lease::start(&script.budget, script.exchange.config.mirror);
    let expect = [
        Effect::CountBy(Reason::MirrorShed(Shed::Streams)),
        annotate("viewcache; fwd=uri-miss; detail=shed"),
        ended(None, Outcome::Abandoned),
    ];
    assert_eq!(script.on(Event::Response(&ten())), expect);
    assert!(!script.exchange.mirroring());
    let complete = [ended(Some((0, 10)), Outcome::Complete)];
    assert_eq!(script.frame(10, true), complete);
    drop(other);
    script.assert_over();
}

#[test]
fn the_sidecar_can_end_the_mirroring() {
    const UNHEARD: Effect = Effect::CountBy(Reason::MirrorShed(Shed::Begin));
    const UNREADABLE: Effect = Effect::CountBy(Reason::MirrorShed(Shed::Unreadable));
    let check = |answers: &[(Event<'_>, &[Effect])]| {
        let mut script = Script::filling();
        for (event, expect) in answers {
            assert_eq!(script.on(event.clone()), *expect, "{event:?}");
        }
        assert!(!script.exchange.mirroring());
        let complete = [ended(Some((0, 10)), Outcome::Complete)];
        assert_eq!(script.frame(10, true), complete);
        script.assert_over();
    };
    check(&[(Event::BeginAnswered(Answer::Stop), &[])]);
    check(&[(Event::BeginAnswered(Answer::Lost), &[UNHEARD])]);
    check(&[(Event::ChunkAnswered(Answer::Stop), &[])]);
    check(&[(Event::Unreadable, &[UNREADABLE])]);
}

#[test]
fn a_lost_chunk_is_counted_and_ends_nothing() {
    let mut script = Script::filling();
    let lost = Event::ChunkAnswered(Answer::Lost);
    assert_eq!(
        script.on(lost.clone()),
        [
            Effect::Count(Counter::ChunkLost),
            Effect::Count(Counter::MirrorPaused)
        ]
    );
    assert_eq!(script.on(lost), [Effect::Count(Counter::ChunkLost)]);
    assert!(script.exchange.mirroring());
}

#[test]
fn what_is_stored_already_is_not_sent_again() {
    let mut script = Script::filling();
    script.frame(2, false);
    let taken = Event::ChunkAnswered(Answer::Taken {
        skip_until: Some(5),
    });
    assert_eq!(script.on(taken), [Effect::Drop { len: 2 }]);
    assert_eq!(chunks(&script.frame(8, true)), [(5, 4), (9, 1)]);
    script.assert_over();
}
