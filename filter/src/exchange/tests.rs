use viewcache_protocol::message::ForwardToken;
use viewcache_protocol::{EntityKey, FillId, Generation, Grant, Profile, Validator};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::callout::Answer;
use crate::config::MirrorLimits;
use crate::head::Fields;

const FILL: FillId = FillId(7);
const HIT: Decision = Decision::Hit { remember_ms: None };

fn fields(fields: &[(&str, &[u8])]) -> Fields {
    Fields(
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
            .collect(),
    )
}

fn get(more: &[(&str, &[u8])]) -> RequestHead {
    let usual: [(&str, &[u8]); 4] = [
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"a"),
        (":path", b"/v"),
    ];
    let all = [&usual[..], more].concat();
    RequestHead {
        fields: fields(&all),
        end_of_stream: true,
        address: Vec::new(),
    }
}

fn response(status: &str, more: &[(&str, &[u8])]) -> ResponseHead {
    let all = [&[(":status", status.as_bytes())], more].concat();
    ResponseHead {
        fields: fields(&all),
        ..ResponseHead::default()
    }
}

/// A whole entity of 10 bytes.
fn ten() -> ResponseHead {
    response("200", &[("content-length", b"10"), ("etag", b"\"v\"")])
}

/// An exchange and what it was seen to do. Chunks are of 4 bytes and of 8.
struct Script {
    exchange: Exchange,
    budget: Rc<Budget>,
    /// What it is told at once when it looks up what is remembered.
    recalled: Recalled,
}

impl Script {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let mirror = MirrorLimits {
            chunk_min: 4,
            chunk_max: 8,
            budget: 16,
            max_mirrors: 1,
        };
        let config = Rc::new(Config { mirror, ..config });
        let budget = Rc::new(Budget::default());
        Self {
            exchange: Exchange::new(config, Rc::clone(&budget)),
            budget,
            recalled: Recalled::default(),
        }
    }

    /// One whose request has come and awaits its decision.
    fn asking(more: &[(&str, &[u8])]) -> Self {
        let mut script = Self::new();
        let effects = script.on(Event::Request(&get(more)));
        assert!(matches!(effects[..], [Effect::Decide(_)]), "{effects:?}");
        assert!(script.exchange.waiting());
        script
    }

    fn granted(forward: ForwardToken, more: &[(&str, &[u8])]) -> Self {
        let mut script = Self::asking(more);
        let grant = Some(Grant {
            admission: Default::default(),
            fill: FILL,
            ttl_ms: 1000,
            variant: 0,
        });
        let effects = script.on(Event::Decided(Ok(Decision::Miss { forward, grant })));
        assert_eq!(effects, [Effect::Count(Counter::Miss), Effect::Resume]);
        assert!(!script.exchange.waiting());
        script
    }

    /// One whose body of 10 bytes is about to pass.
    fn filling() -> Self {
        let mut script = Self::granted(ForwardToken::UriMiss, &[]);
        let effects = script.on(Event::Response(&ten()));
        assert!(
            matches!(effects[..], [_, _, Effect::Begin { .. }]),
            "{effects:?}"
        );
        assert!(script.exchange.mirroring());
        script
    }

    fn on(&mut self, event: Event<'_>) -> Vec<Effect> {
        let mut effects = self.exchange.on(event);
        if matches!(effects.last(), Some(Effect::Recall(_))) {
            effects.pop();
            effects.extend(self.exchange.on(Event::Recalled(self.recalled.clone())));
        }
        effects
    }

    fn frame(&mut self, len: usize, last: bool) -> Vec<Effect> {
        self.on(Event::Frame { len, last })
    }

    /// Whatever comes now does nothing, and no memory is held.
    fn assert_over(mut self) {
        for event in [
            Event::Recalled(Recalled::default()),
            Event::Decided(Ok(HIT)),
            Event::Decided(Err(Failure::Timeout)),
            Event::Response(&ten()),
            Event::Frame { len: 5, last: true },
            Event::BeginAnswered(Answer::Stop),
            Event::ChunkAnswered(Answer::Lost),
            Event::Unreadable,
            Event::Done,
            Event::Done,
        ] {
            assert_eq!(self.on(event.clone()), [], "{event:?}");
            assert!(!self.exchange.waiting() && !self.exchange.mirroring());
        }
        assert_eq!((self.budget.bytes(), self.budget.mirrors()), (0, 0));
    }
}

fn key() -> EntityKey {
    "generic:http://a/v".parse().unwrap()
}

fn annotate(value: &str) -> Effect {
    Effect::Annotate(value.to_owned())
}

#[test]
fn a_bypass_says_why() {
    let check = |more: &[(&str, &[u8])], value: &str| {
        let mut script = Script::new();
        let effects = script.on(Event::Request(&get(more)));
        let [Effect::CountBy(Reason::Bypass(reason))] = effects[..] else {
            panic!("{effects:?}");
        };
        assert!(value.ends_with(reason.as_str()), "{reason:?} {value}");
        assert!(!script.exchange.waiting());
        assert_eq!(script.on(Event::Response(&ten())), [annotate(value)]);
        script.assert_over();
    };
    check(
        &[("authorization", b"x")],
        "viewcache; fwd=bypass; detail=authorization",
    );
    check(
        &[("cache-control", b"no-cache")],
        "viewcache; fwd=request; detail=no-cache",
    );
    check(
        &[("range", b"bytes=0-\xff")],
        "viewcache; fwd=bypass; detail=unreadable-header",
    );
    let post = RequestHead {
        fields: fields(&[(":method", b"POST")]),
        ..RequestHead::default()
    };
    let mut script = Script::new();
    script.on(Event::Request(&post));
    let effects = script.on(Event::Response(&ten()));
    assert_eq!(effects, [annotate("viewcache; fwd=method; detail=method")]);
}

#[test]
fn forged_control_headers_are_removed_first() {
    let forged: [(&str, &[u8]); 3] = [
        ("x-viewcache-route", b"hit"),
        ("x-viewcache-key", b"\xff"),
        ("x-viewcache-route", b"partial"),
    ];
    let remove = |name: &str| Effect::RemoveRequestHeader(name.to_owned());
    let removed = [remove("x-viewcache-key"), remove("x-viewcache-route")];
    let effects = Script::new().on(Event::Request(&get(&forged)));
    assert_eq!(effects[..2], removed);
    assert!(matches!(effects[2], Effect::Decide(_)));
    let bypassed = [&forged[..], &[("authorization", b"x")]].concat();
    assert_eq!(
        Script::new().on(Event::Request(&get(&bypassed)))[..2],
        removed
    );
}

#[test]
fn the_sidecar_is_told_what_is_wanted() {
    let effects = Script::new().on(Event::Request(&get(&[("range", b"bytes=5-9")])));
    let [Effect::Decide(DecideRequest { wanted, .. })] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(wanted.key.as_str(), "generic:http://a/v");
    assert_eq!(wanted.range, Some("5-9".parse().unwrap()));
    assert_eq!(wanted.viewer.len(), 16);
}

#[test]
fn the_sidecar_learns_which_fields_name_the_entity() {
    let text = r#"{"profiles": [{"name": "films", "path": "/v", "key": ["header:x-cut", "header:referer"]}]}"#;
    let mut script = Script::with(Config::parse(text.as_bytes()).unwrap());
    script.on(Event::Request(&get(&[("x-cut", b"long")])));
    let effects = script.on(Event::Decided(Ok(Decision::Partial)));
    let set = Effect::SetRequestHeader(header::KEY_FIELDS, "x-cut".to_owned());
    assert!(effects.contains(&set), "{effects:?}");
}

#[test]
fn a_hit_and_a_partial_go_to_the_sidecar() {
    for (decision, counter, route) in [
        (HIT, Counter::Hit, "hit"),
        (Decision::Partial, Counter::Partial, "partial"),
    ] {
        let mut script = Script::asking(&[("range", b"bytes=5-9")]);
        let effects = script.on(Event::Decided(Ok(decision)));
        let set: Vec<(&str, &str)> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::SetRequestHeader(name, value) => Some((*name, value.as_str())),
                _ => None,
            })
            .collect();
        assert!(set.contains(&(header::ENTITY, "generic:http://a/v")));
        assert!(set.contains(&(header::RANGE, "5-9")));
        assert!(set.contains(&(header::ROUTE, route)));
        assert_eq!(
            effects[set.len()..],
            [Effect::Count(counter), Effect::Resume]
        );
        let answer = response(
            "206",
            &[("x-viewcache-served", b"1"), ("cache-status", b"x")],
        );
        let removed = Effect::RemoveResponseHeader("x-viewcache-served".to_owned());
        assert_eq!(script.on(Event::Response(&answer)), [removed]);
        script.assert_over();
    }
}

#[test]
fn what_is_routed_shows_the_secret() {
    let config = Config {
        secret: "0123456789abcdef".parse().ok(),
        ..Config::default()
    };
    let recalled = Recalled {
        slot: Some(crate::remembered::hit(&key().id(), 1000, 500)),
        distrust: None,
        now: 1000,
    };
    let script = |recalled| Script {
        exchange: Exchange::new(Rc::new(config.clone()), Rc::default()),
        recalled,
        ..Script::new()
    };
    let shows = |effects: &[Effect]| effects.contains(&Effect::ShowSecret);
    for decision in [HIT, Decision::Partial] {
        let mut asking = script(Recalled::default());
        assert!(!shows(&asking.on(Event::Request(&get(&[])))));
        let effects = asking.on(Event::Decided(Ok(decision)));
        // Afterwards it would be too late.
        let ends = [Effect::ShowSecret, Effect::Resume];
        let of_these = effects.iter().filter(|effect| ends.contains(effect));
        assert_eq!(of_these.cloned().collect::<Vec<_>>(), ends);
    }
    assert!(shows(&script(recalled).on(Event::Request(&get(&[])))));
    // What goes to the origin does not.
    let miss = Decision::Miss {
        forward: ForwardToken::UriMiss,
        grant: None,
    };
    for decided in [Ok(miss), Err(Failure::Timeout)] {
        let mut asking = script(Recalled::default());
        asking.on(Event::Request(&get(&[])));
        assert!(!shows(&asking.on(Event::Decided(decided))));
    }
}

#[test]
fn a_failover_is_told_and_not_mirrored() {
    let mut script = Script::asking(&[]);
    script.on(Event::Decided(Ok(HIT)));
    let expect = [
        Effect::Count(Counter::Failover),
        Effect::Distrust,
        annotate("viewcache; fwd=bypass; detail=failover"),
    ];
    assert_eq!(script.on(Event::Response(&ten())), expect);
    assert_eq!(script.frame(10, true), []);
    script.assert_over();
}

#[test]
fn every_failure_to_decide_is_a_miss_without_mirroring() {
    for (failure, detail) in [
        (Failure::Misconfigured, "decide-misconfigured"),
        (Failure::Unreachable, "decide-unreachable"),
        (Failure::Timeout, "decide-timeout"),
        (Failure::Refused, "decide-refused"),
        (Failure::Unreadable, "decide-unreadable"),
    ] {
        let mut script = Script::asking(&[]);
        let effects = script.on(Event::Decided(Err(failure)));
        assert_eq!(
            effects,
            [
                Effect::CountBy(Reason::DecideFailure(failure)),
                Effect::Resume
            ]
        );
        let expect = annotate(&format!("viewcache; fwd=bypass; detail={detail}"));
        assert_eq!(script.on(Event::Response(&ten())), [expect]);
        assert_eq!(script.frame(10, true), []);
        script.assert_over();
    }
}

#[test]
fn a_miss_without_a_grant_is_passed_on() {
    let mut script = Script::asking(&[]);
    let decision = Decision::Miss {
        forward: ForwardToken::Partial,
        grant: None,
    };
    let effects = script.on(Event::Decided(Ok(decision)));
    assert_eq!(effects, [Effect::Count(Counter::Miss), Effect::Resume]);
    let expect = [annotate("viewcache; fwd=partial; detail=not-granted")];
    assert_eq!(script.on(Event::Response(&ten())), expect);
    script.assert_over();
}

/// The decision (or its failure), the response (here a local reply, if the decision has not come)
/// and the end of the stream, in every order.
#[test]
fn what_succeeds_and_is_not_safe_invalidates() {
    for (status, invalidates) in [("200", true), ("303", true), ("404", false), ("", false)] {
        let mut script = Script::new();
        let mut request = get(&[]);
        request.fields.0[0].1 = b"POST".to_vec();
        script.on(Event::Request(&request));
        let effects = script.on(Event::Response(&response(status, &[])));
        let told = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Invalidate(_)));
        let forgotten = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Forget(_)));
        assert_eq!((told, forgotten), (invalidates, invalidates), "{status}");
        script.assert_over();
    }
}

#[test]
fn what_is_not_stored_is_refused_to_whom_wants_nothing_else() {
    let only: (&str, &[u8]) = ("cache-control", b"only-if-cached");
    let miss = Decision::Miss {
        forward: ForwardToken::UriMiss,
        grant: None,
    };
    for decided in [Ok(miss), Ok(Decision::Partial), Err(Failure::Timeout)] {
        let mut script = Script::asking(&[only]);
        assert_eq!(script.on(Event::Decided(decided)), [Effect::Refuse]);
        script.assert_over();
    }
    let mut script = Script::asking(&[only]);
    let effects = script.on(Event::Decided(Ok(HIT)));
    assert!(effects.contains(&Effect::Resume), "{effects:?}");
}

#[test]
fn the_orders_of_decision_response_and_end_are_harmless() {
    let grant = Some(Grant {
        admission: Default::default(),
        fill: FILL,
        ttl_ms: 1000,
        variant: 0,
    });
    let miss = Decision::Miss {
        forward: ForwardToken::UriMiss,
        grant,
    };
    let decisions = [
        Ok(HIT),
        Ok(Decision::Partial),
        Ok(miss),
        Err(Failure::Timeout),
    ];
    let local_reply = response("504", &[]);
    for decision in decisions {
        for order in ["DRE", "DER", "RDE", "RED", "EDR", "ERD"] {
            let mut script = Script::asking(&[]);
            let mut effects = Vec::new();
            let mut over = false;
            for letter in order.chars() {
                let event = match letter {
                    'D' => Event::Decided(decision.clone()),
                    'R' => Event::Response(&local_reply),
                    _ => Event::Done,
                };
                let new = script.on(event);
                assert!(!over || new.is_empty(), "{decision:?} {order}: {new:?}");
                over |= letter == 'E' || (letter == 'R' && order.starts_with('R'));
                effects.extend(new);
            }
            let count = |is: fn(&Effect) -> bool| effects.iter().filter(|e| is(e)).count();
            let resumed = count(|effect| matches!(effect, Effect::Resume));
            assert_eq!(
                resumed,
                usize::from(order.starts_with('D')),
                "{decision:?} {order}"
            );
            assert!(count(|effect| matches!(effect, Effect::End { .. })) <= 1);
            let granted = matches!(decision, Ok(Decision::Miss { .. }));
            let ends = count(|effect| matches!(effect, Effect::End { .. }));
            assert_eq!(
                ends,
                usize::from(granted && order.starts_with('D')),
                "{order}"
            );
            script.assert_over();
        }
    }
}

#[test]
fn a_response_without_a_request_is_harmless() {
    let mut script = Script::new();
    assert_eq!(script.on(Event::Response(&ten())), []);
    assert_eq!(script.frame(3, true), []);
    assert_eq!(script.on(Event::Done), []);
    script.assert_over();
}

mod mirroring;
mod remembering;

/// The same literals stand in protocol's tests: here they are checked on wasm32, where a usize has
/// 4 bytes.
#[test]
fn identities_are_the_same_on_every_platform() {
    let key = EntityKey::new(Profile::Generic, "http://a/v").unwrap();
    assert_eq!(key.id().to_string(), "7c881a6401b0af2df386c6877192f704");
    let validator = Some(Validator::Etag("\"v1\"".to_owned()));
    let generation = Generation {
        validator,
        complete_length: 10,
    };
    assert_eq!(
        generation.id(Profile::Generic, "").to_string(),
        "a895ec58956f9a20"
    );
}
