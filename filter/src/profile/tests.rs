use viewcache_protocol::Forward;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// A GET of `/v.mp4` at `A.example`, with these fields added or replaced.
fn head(more: &[(&str, &[u8])]) -> RequestHead {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    let usual: [(&str, &[u8]); 4] = [
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"A.example"),
        (":path", b"/v.mp4"),
    ];
    for (name, value) in usual {
        if more.iter().all(|(n, _)| *n != name) {
            fields.push((name.to_owned(), value.to_vec()));
        }
    }
    fields.extend(
        more.iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_vec())),
    );
    RequestHead {
        fields: Fields(fields),
        end_of_stream: true,
        address: b"10.0.0.1:9".to_vec(),
    }
}

fn reason(config: &Config, more: &[(&str, &[u8])]) -> Option<BypassReason> {
    identify(config, &head(more)).err()
}

#[test]
fn any_url_is_an_entity() {
    let request = identify(&Config::default(), &head(&[(":path", b"/V.mp4?a=%2f&b")])).unwrap();
    assert!(!request.head && request.conditions.is_empty());
    let wanted = request.wanted;
    assert_eq!(
        wanted.key.as_str(),
        "generic:http://a.example/V.mp4?a=%2f&b"
    );
    assert_eq!(wanted.range, None);
    assert_eq!(wanted.viewer.len(), 16);
    assert_eq!(wanted.origin_path, None);
    let request = identify(&Config::default(), &head(&[("range", b"bytes=5-")])).unwrap();
    let wanted = request.wanted;
    assert_eq!(wanted.range, Some(RangeSpec::From { first: 5 }));
    assert!(!wanted.range_in_query);
    let request = identify(&Config::default(), &head(&[("range", b"bytes=0-1,-3")])).unwrap();
    let wanted = request.wanted;
    assert_eq!((wanted.range, wanted.parts.len()), (None, 2));
}

#[test]
fn no_two_urls_are_one_text() {
    let key = |authority: &[u8], path: &[u8]| {
        let request = identify(
            &Config::default(),
            &head(&[(":authority", authority), (":path", path)]),
        );
        request.map(|request| request.wanted.key)
    };
    let unreadable = Err(BypassReason::UnreadableHeader);
    assert!(key(b"a.example", b"/b/v.mp4").is_ok());
    assert_eq!(key(b"a.example/b", b"/v.mp4"), unreadable);
    assert_eq!(key(b"a.example?b", b"/v.mp4"), unreadable);
    let scheme: &[u8] = b"http://a";
    let found = reason(&Config::default(), &[(":scheme", scheme)]);
    assert_eq!(found, Some(BypassReason::UnreadableHeader));
}

#[test]
fn what_is_not_consulted_has_a_reason() {
    use BypassReason as Reason;
    let check = |more: &[(&str, &[u8])], expect: Option<Reason>| {
        assert_eq!(reason(&Config::default(), more), expect, "{more:?}");
    };
    check(&[], None);
    check(&[("cache-control", b"max-age=0")], None);
    check(
        &[("cache-control", b"max-age=0"), ("pragma", b"no-cache")],
        None,
    );
    check(&[("user-agent", b"\xff")], None);
    check(&[(":method", b"HEAD")], None);
    check(&[(":method", b"POST")], Some(Reason::Method));
    check(&[(":method", b"\xff")], Some(Reason::Method));
    check(&[("upgrade", b"websocket")], Some(Reason::Upgrade));
    check(&[("authorization", b"\xff")], Some(Reason::Authorization));
    check(&[("if-match", b"\"v\"")], None);
    check(&[("if-none-match", b"\"\xff\"")], Some(Reason::Condition));
    check(
        &[("if-none-match", &[b'x'; Conditions::MAX_LEN + 1])],
        Some(Reason::Condition),
    );
    check(
        &[("cache-control", b"x"), ("cache-control", b"No-Cache")],
        Some(Reason::NoCache),
    );
    check(
        &[("cache-control", b"no-store, no-cache")],
        Some(Reason::NoStore),
    );
    check(&[("pragma", b"no-cache")], Some(Reason::NoCache));
    check(
        &[("cache-control", b"\xff")],
        Some(Reason::UnreadableHeader),
    );
    check(&[("range", b"items=0-1")], Some(Reason::RangeUnit));
    check(&[("range", b"bytes=0-1,3-4")], None);
    check(
        &[("range", b"bytes=0-1,3--4")],
        Some(Reason::MalformedRange),
    );
    check(
        &[("range", b"bytes=0-1"), ("range", b"bytes=3-4")],
        Some(Reason::SeveralRanges),
    );
    check(&[("range", b"bytes=0--1")], Some(Reason::MalformedRange));
    check(
        &[("range", b"bytes=0-\xff")],
        Some(Reason::UnreadableHeader),
    );
    check(&[(":path", b"/\xff")], Some(Reason::UnreadableHeader));
    check(
        &[(":path", "/\u{e9}".as_bytes())],
        Some(Reason::UnreadableHeader),
    );
    for path in ["/a<b", "/a>b", "/a`b", "/a\"b", "/a?\"", "/a?<", "/a#b"] {
        check(
            &[(":path", path.as_bytes())],
            Some(Reason::UnreadableHeader),
        );
    }
    check(&[(":path", b"/a?b={c}|d^e[f]\\")], None);
    check(&[(":authority", b"\xff")], Some(Reason::UnreadableHeader));
    check(
        &[(":path", &[b"/".as_slice(), &[b'x'; 9000]].concat())],
        Some(Reason::UrlTooLong),
    );
    let with_body = RequestHead {
        end_of_stream: false,
        ..head(&[])
    };
    assert_eq!(identify(&Config::default(), &with_body), Err(Reason::Body));
    assert_eq!(
        identify(&Config::default(), &RequestHead::default()),
        Err(Reason::Method)
    );
}

#[test]
fn conditions_go_to_the_sidecar() {
    let fields: [(&str, &[u8]); 3] = [
        ("if-none-match", b"\"a\""),
        ("if-none-match", b"W/\"b\""),
        ("if-range", b"\"c\""),
    ];
    let request = identify(&Config::default(), &head(&fields)).unwrap();
    let conditions = request.conditions;
    assert_eq!(conditions.if_none_match.as_deref(), Some("\"a\", W/\"b\""));
    assert_eq!(conditions.if_range.as_deref(), Some("\"c\""));
    assert_eq!(conditions.if_match, None);
}

#[test]
fn a_head_has_no_range() {
    let fields: [(&str, &[u8]); 2] = [(":method", b"HEAD"), ("range", b"bytes=0-1,3-4")];
    let request = identify(&Config::default(), &head(&fields)).unwrap();
    assert!(request.head);
    assert_eq!(request.wanted.range, None);
}

#[test]
fn an_operator_may_ignore_what_clients_direct() {
    let config = Config {
        client_directives: false,
        ..Config::default()
    };
    let control: (&str, &[u8]) = ("cache-control", b"no-cache, only-if-cached");
    assert_eq!(reason(&config, &[control]), None);
    assert!(!only_if_cached(&config, &head(&[control])));
    assert!(only_if_cached(&Config::default(), &head(&[control])));
}

#[test]
fn what_is_not_safe_changes_an_entity() {
    let of = |config: &Config, method: &[u8]| {
        let key = changed(config, &head(&[(":method", method)]));
        key.map(|key| key.to_string())
    };
    let config = Config::default();
    let key = Some("generic:http://a.example/v.mp4".to_owned());
    for method in [b"POST".as_slice(), b"PUT", b"DELETE", b"PATCH", b"NEW"] {
        assert_eq!(of(&config, method), key);
    }
    for method in [b"GET".as_slice(), b"HEAD", b"OPTIONS"] {
        assert_eq!(of(&config, method), None);
    }
    let youtube = Config {
        profile: Profile::Youtube,
        ..Config::default()
    };
    assert_eq!(of(&youtube, b"POST"), None);
}

#[test]
fn paths_and_authorities_can_be_chosen() {
    let config = Config {
        paths: vec!["/a/".to_owned(), "/v".to_owned()],
        authorities: vec!["a.example".to_owned()],
        ..Config::default()
    };
    assert_eq!(reason(&config, &[]), None);
    assert_eq!(reason(&config, &[(":path", b"/a/b?c")]), None);
    assert_eq!(
        reason(&config, &[(":path", b"/a")]),
        Some(BypassReason::Path)
    );
    assert_eq!(
        reason(&config, &[(":path", b"/?/v")]),
        Some(BypassReason::Path)
    );
    assert_eq!(
        reason(&config, &[(":authority", b"b.example")]),
        Some(BypassReason::Authority)
    );
    assert_eq!(
        reason(&config, &[(":authority", b"a.example:80")]),
        Some(BypassReason::Authority)
    );
}

#[test]
fn a_range_may_stand_in_one_place_only() {
    let config = Config {
        profile: Profile::Youtube,
        ..Config::default()
    };
    let path: &[u8] = b"/videoplayback?v=a&itag=1&lmt=1&clen=9";
    let request = identify(&config, &head(&[(":path", path), ("range", b"bytes=1-2")])).unwrap();
    let header = request.wanted;
    assert!(header.range.is_some() && !header.range_in_query);
    let both: &[u8] = b"/videoplayback?v=a&itag=1&lmt=1&clen=9&range=1-2";
    let range: (&str, &[u8]) = ("range", b"bytes=1-2");
    assert_eq!(
        reason(&config, &[(":path", both), range]),
        Some(BypassReason::SeveralRanges)
    );
}

#[test]
fn reasons_map_to_forwards() {
    assert_eq!(BypassReason::Method.forward(), Forward::Method);
    assert_eq!(BypassReason::NoStore.forward(), Forward::Request);
    assert_eq!(BypassReason::Condition.forward(), Forward::Bypass);
}

#[test]
fn a_request_keeps_the_name_that_envoy_gives_it() {
    let check = |value: &[u8], expect: Option<&str>| {
        let head = head(&[("x-request-id", value)]);
        let request = identify(&Config::default(), &head).unwrap();
        assert_eq!(request.request_id.as_deref(), expect);
        let told = origin(&head, &request.wanted).fields;
        let told = told.iter().find(|(name, _)| name == "x-request-id");
        assert_eq!(told.map(|(_, value)| &value[..]), expect);
    };
    let usual = "3c0f9b2a-7a4e-4c65-9d1c-5e1b8f7a2d10";
    check(usual.as_bytes(), Some(usual));
    check(&[b'a'; 128], Some(&"a".repeat(128)));
    // What a viewer may have made up.
    check(&[b'a'; 129], None);
    check(b"a b", None);
    check(b"\xff", None);
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            path: Vec<u8>, query in "[a-z0-9%=&-]{0,40}", authority: Vec<u8>, range: Vec<u8>, control: Vec<u8>,
            profile in prop_oneof![Just(Profile::Generic), Just(Profile::Youtube)],
        ) {
            let config = Config { profile, ..Config::default() };
            let _ = identify(&config, &head(&[
                (":path", &path), (":authority", &authority), ("range", &range), ("cache-control", &control),
            ]));
            let path = format!("/videoplayback?itag=1&clen=5&lmt=1&{query}");
            let _ = identify(&config, &head(&[(":path", path.as_bytes())]));
        }
    }
}

#[test]
fn conditions_directives_and_credentials_are_seen() {
    let check = |name: &str, expect| {
        assert_eq!(unconditional(&head(&[(name, b"\xff")])), expect, "{name}");
    };
    for name in ["range", "cookie", "user-agent", "referer", "iffy"] {
        check(name, true);
    }
    for name in [
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "cache-control",
        "pragma",
        "authorization",
    ] {
        check(name, false);
    }
}

#[test]
fn what_names_an_entity_is_told_to_the_sidecar() {
    let text = r#"{"profiles": [{"name": "films", "path": "/films/{id}", "key": [
        "{id}", "header:X-Cut", "header:Host", "header:Accept-Language", "header:User-Agent", "header:Range"
    ]}]}"#;
    let config = Config::parse(text.as_bytes()).unwrap();
    let head = head(&[
        (":path", b"/films/7"),
        ("x-cut", b"long one"),
        ("accept-language", b"de"),
        ("user-agent", b"player"),
        ("x-forwarded-proto", b"https"),
        ("x-other", b"1"),
    ]);
    let wanted = identify(&config, &head).unwrap().wanted;
    assert_eq!(
        wanted.key.as_str(),
        "films:id=7&x-cut=long%20one&host=a.example&accept-language=de&user-agent=player"
    );
    let fields = origin_by_key(&config, &head, &wanted).fields;
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    let expect = [
        ("user-agent", "player"),
        ("x-forwarded-proto", "https"),
        ("x-cut", "long one"),
        ("accept-language", "de"),
    ];
    assert_eq!(fields, expect);
    let names: Vec<&str> = key_fields(&config, &wanted).collect();
    assert_eq!(names, ["x-cut", "accept-language"]);
    // Another profile's are not.
    let wanted = identify(&config, &self::head(&[])).unwrap().wanted;
    assert_eq!(key_fields(&config, &wanted).count(), 0);
}
