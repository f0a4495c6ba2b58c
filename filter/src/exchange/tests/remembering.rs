//! Hits that are routed without asking.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::remembered;

const NOW: u64 = 1_700_000_000_000;
const MEMORABLE_HIT: Decision = Decision::Hit {
    remember_ms: Some(3000),
};

/// One that is told that its entity is a hit for 3 seconds.
fn remembering() -> Script {
    let mut script = Script::new();
    script.recalled = Recalled {
        slot: Some(remembered::hit(&key().id(), NOW, 3000)),
        distrust: None,
        now: NOW,
    };
    script
}

fn without(remember: bool) -> Script {
    let config = Config {
        remember,
        ..Config::default()
    };
    Script {
        exchange: Exchange::new(Rc::new(config), Rc::default()),
        ..remembering()
    }
}

fn asks(script: &mut Script, more: &[(&str, &[u8])]) -> bool {
    let effects = script.on(Event::Request(&get(more)));
    let asks = effects.iter().any(|e| matches!(e, Effect::Decide(_)));
    assert_eq!(asks, script.exchange.waiting(), "{effects:?}");
    asks
}

#[test]
fn what_is_remembered_is_looked_up_first() {
    let mut exchange = Script::new().exchange;
    let effects = exchange.on(Event::Request(&get(&[])));
    assert_eq!(effects, [Effect::Recall(key().id())]);
    let effects = exchange.on(Event::Recalled(Recalled::default()));
    assert!(matches!(effects[..], [Effect::Decide(_)]), "{effects:?}");
    assert!(exchange.waiting());
}

#[test]
fn a_remembered_hit_is_routed_like_any_other() {
    let range: [(&str, &[u8]); 1] = [("range", b"bytes=5-9")];
    let mut script = remembering();
    let effects = script.on(Event::Request(&get(&range)));
    assert_eq!(effects[0], Effect::Count(Counter::Remembered));
    // It is not paused, so there is nothing to resume.
    assert!(!script.exchange.waiting());
    let mut decided = Script::asking(&range).on(Event::Decided(Ok(HIT)));
    decided.truncate(decided.len() - 2);
    assert_eq!(effects[1..], decided);
    let answer = response("206", &[("x-viewcache-served", b"1")]);
    let removed = Effect::RemoveResponseHeader("x-viewcache-served".to_owned());
    assert_eq!(script.on(Event::Response(&answer)), [removed]);
    script.assert_over();
}

#[test]
fn a_request_with_more_to_say_asks() {
    assert!(!asks(&mut remembering(), &[("cookie", b"a=b")]));
    for (name, value) in [
        ("cache-control", "max-age=0"),
        ("cache-control", "only-if-cached"),
        ("pragma", "anything"),
    ] {
        let asked = asks(&mut remembering(), &[(name, value.as_bytes())]);
        assert!(asked, "{name}: {value}");
    }
}

#[test]
fn another_entity_asks() {
    let other: EntityKey = "generic:http://a/other".parse().unwrap();
    let mut script = remembering();
    script.recalled.slot = Some(remembered::hit(&other.id(), NOW, 3000));
    assert!(asks(&mut script, &[]));
}

#[test]
fn what_is_distrusted_asks() {
    let mut script = remembering();
    script.recalled.distrust = Some(remembered::distrust(NOW - 1000));
    assert!(asks(&mut script, &[]));
}

#[test]
fn only_what_the_sidecar_lets_be_is_remembered() {
    let remembered = |decision| {
        let effects = Script::asking(&[]).on(Event::Decided(Ok(decision)));
        let remember = |effect: &&Effect| matches!(effect, Effect::Remember { .. });
        effects.iter().find(remember).cloned()
    };
    let expect = Effect::Remember {
        entity: key().id(),
        millis: 3000,
    };
    assert_eq!(remembered(MEMORABLE_HIT), Some(expect));
    assert_eq!(remembered(HIT), None);
    assert_eq!(remembered(Decision::Partial), None);
}

#[test]
fn a_hit_that_fails_over_ends_the_trust() {
    let failover = [
        Effect::Count(Counter::Failover),
        Effect::Distrust,
        annotate("viewcache; fwd=bypass; detail=failover"),
    ];
    for answer in [ten(), response("503", &[]), response("504", &[])] {
        let mut script = remembering();
        assert!(!asks(&mut script, &[]));
        assert_eq!(script.on(Event::Response(&answer)), failover);
        script.assert_over();
    }
    // The sidecar hands back what it need not serve: that is no sign of trouble.
    let mut script = Script::asking(&[]);
    script.on(Event::Decided(Ok(Decision::Partial)));
    let effects = script.on(Event::Response(&ten()));
    assert!(!effects.contains(&Effect::Distrust), "{effects:?}");
}

#[test]
fn without_memory_every_request_asks() {
    assert!(!asks(&mut without(true), &[]));
    let mut script = without(false);
    assert!(asks(&mut script, &[]));
    let effects = script.on(Event::Decided(Ok(MEMORABLE_HIT)));
    let remembers = |effect: &Effect| matches!(effect, Effect::Remember { .. });
    assert!(!effects.iter().any(remembers), "{effects:?}");
    let effects = script.on(Event::Response(&ten()));
    assert!(!effects.contains(&Effect::Distrust), "{effects:?}");
}
