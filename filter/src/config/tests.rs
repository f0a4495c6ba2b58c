#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[test]
fn nothing_written_means_the_defaults() {
    for text in ["", "  \n", "{}"] {
        assert_eq!(
            Config::parse(text.as_bytes()),
            Ok(Config::default()),
            "{text:?}"
        );
    }
}

#[test]
fn every_field_is_read() {
    let text = r#"{
        "profile": "youtube", "paths": ["/videoplayback"], "authorities": ["A.example:80"],
        "decide_cluster": "d", "ingest_cluster": "i",
        "decide_timeout": "50ms", "ingest_timeout": "1m", "remember": false, "client_directives": false,
        "viewer": ["cookie:s", "header:x-user", "address"], "channel_header": "x-channel",
        "secret": "0123456789abcdef",
        "chunk_min": "1KiB", "chunk_max": "4MiB", "mirror_budget": "1GiB", "max_mirrors": 3
    }"#;
    let expect = Config {
        profiles: Vec::new(),
        profile: Profile::Youtube,
        paths: vec!["/videoplayback".to_owned()],
        authorities: vec!["a.example:80".to_owned()],
        decide_cluster: "d".to_owned(),
        ingest_cluster: "i".to_owned(),
        decide_timeout: Duration::from_millis(50),
        ingest_timeout: Duration::from_secs(60),
        remember: false,
        client_directives: false,
        viewer: vec![
            ViewerPart::Cookie("s".to_owned()),
            ViewerPart::Header("x-user".to_owned()),
            ViewerPart::Address,
        ],
        channel_header: Some("x-channel".to_owned()),
        secret: "0123456789abcdef".parse().ok(),
        mirror: MirrorLimits {
            chunk_min: 1024,
            chunk_max: 4 << 20,
            budget: 1 << 30,
            max_mirrors: 3,
        },
    };
    assert_eq!(Config::parse(text.as_bytes()), Ok(expect));
}

#[test]
fn an_error_names_field_and_value() {
    let check = |text: &str, expect: &str| {
        let error = Config::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{text}: {error}");
    };
    check(
        r#"{"decide_timeout": "fast"}"#,
        r#"decide_timeout: "fast" is not a duration such as "100ms""#,
    );
    check(
        r#"{"decide_timeout": "0ms"}"#,
        r#"decide_timeout: "0ms" is not"#,
    );
    check(
        r#"{"viewer": []}"#,
        "viewer: [] is not a list of parts such as",
    );
    check(r#"{"viewer": ["body"]}"#, r#"viewer: ["body"] is not"#);
    check(
        r#"{"channel_header": "X-A"}"#,
        r#"channel_header: "X-A" is not"#,
    );
    check(r#"{"decide_timeout": 100}"#, "decide_timeout: 100 is not");
    check(
        r#"{"ingest_timeout": "99999999m"}"#,
        r#"ingest_timeout: "99999999m" is not"#,
    );
    check(
        r#"{"ingest_timeout": "s"}"#,
        r#"ingest_timeout: "s" is not"#,
    );
    check(
        r#"{"remember": "yes"}"#,
        r#"remember: "yes" is not true or false"#,
    );
    check(r#"{"remember": 1}"#, "remember: 1 is not true or false");
    check(
        r#"{"profile": "netflix"}"#,
        r#"profile: "netflix" is not a profile"#,
    );
    check(
        r#"{"paths": []}"#,
        "paths: [] is not a list of path prefixes",
    );
    check(r#"{"paths": ["videos"]}"#, r#"paths: ["videos"] is not"#);
    check(r#"{"authorities": ["*"]}"#, r#"authorities: ["*"] is not"#);
    check(r#"{"authorities": [7]}"#, "authorities: [7] is not");
    check(
        r#"{"decide_cluster": ""}"#,
        r#"decide_cluster: "" is not the name of a cluster"#,
    );
    check(
        r#"{"chunk_max": "5MiB"}"#,
        r#"chunk_max: "5MiB" is not a size from"#,
    );
    check(
        r#"{"chunk_min": "64kb"}"#,
        r#"chunk_min: "64kb" is not a size from"#,
    );
    check(
        r#"{"chunk_max": "32KiB"}"#,
        "chunk_max: 32768 is less than chunk_min",
    );
    check(
        r#"{"mirror_budget": "32KiB"}"#,
        "mirror_budget: 32768 is less than chunk_min",
    );
    check(
        r#"{"mirror_budget": "9GiB"}"#,
        r#"mirror_budget: "9GiB" is not"#,
    );
    check(
        r#"{"max_mirrors": 0}"#,
        "max_mirrors: 0 is not a number above 0",
    );
    check(r#"{"max_mirrors": -1}"#, "max_mirrors: -1 is not");
    check(
        r#"{"decide_timout": "1s"}"#,
        "configuration: unknown field `decide_timout`",
    );
    check("[]", "configuration: ");
    check("\u{1}", "configuration: ");
}

#[test]
fn a_secret_is_named_in_no_message() {
    let check = |written: &str, expect: &str| {
        let text = format!(r#"{{"secret": {written}}}"#);
        let error = Config::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{written}: {error}");
        assert!(!error.contains("hush"), "{error}");
    };
    check(r#""hush""#, "secret: has 4 characters, not 16 to 256");
    check(r#""hush hush hush hush""#, "secret: has another character");
    check(r#"["hush-hush-hush-hush"]"#, "secret: is no text");
    let config = Config::parse(br#"{"secret": "hush-hush-hush-hush"}"#).unwrap();
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn text_that_is_not_utf8_is_an_error() {
    assert!(Config::parse(b"{\"profile\": \"\xff\"}").is_err());
}

#[test]
fn sizes_stay_below_a_32_bit_address_space() {
    for value in ["4GiB", "4294968320B", "18446744073709551615GiB"] {
        let text = format!(r#"{{"mirror_budget": "{value}"}}"#);
        let error = Config::parse(text.as_bytes()).unwrap_err().to_string();
        let expect = format!(r#"mirror_budget: "{value}" is not a size from "1KiB" to "1GiB""#);
        assert_eq!(error, expect);
    }
}

#[test]
fn every_field_is_in_the_readme() {
    let readme = include_str!("../../../README.md");
    // serde names the known fields when it meets an unknown one.
    let error = Config::parse(br#"{"unknown": 1}"#).unwrap_err().to_string();
    let fields: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    assert_eq!(fields.len(), 17, "{error}");
    for field in fields {
        assert!(readme.contains(&format!("| `{field}` |")), "{field}");
    }
}

#[test]
fn an_operators_profile_is_read() {
    use crate::profile::{Key, Part};

    let text = r#"{"profiles": [
        {"name": "films", "path": "/films/{id}/{file*}", "key": ["{id}", "?q", "header:X-Cut", "header:Host"],
         "authorities": ["A.example"], "immutable": true, "store": ["private", "no-store"]},
        {"name": "clips", "path": "/clips/{name}", "methods": ["GET"],
         "range_parameter": "range", "length_parameter": "size"}
    ]}"#;
    let config = Config::parse(text.as_bytes()).unwrap();
    let [films, clips] = &config.profiles[..] else {
        panic!("{config:?}")
    };
    assert_eq!(films.profile.tag(), "films+inp");
    assert_eq!(films.authorities, ["a.example"]);
    let parts = [
        Part::Path("id".to_owned()),
        Part::Query("q".to_owned()),
        Part::Header("x-cut".to_owned()),
        Part::Host,
    ];
    assert_eq!(films.key, Key::Parts(parts.into()));
    assert!(films.head && !clips.head);
    assert_eq!(clips.profile.tag(), "clips");
    let ignored = Vec::new();
    assert_eq!(clips.key, Key::Url { ignored });
    assert_eq!(clips.range_parameter.as_deref(), Some("range"));
}

#[test]
fn what_is_wrong_in_a_profile_is_named() {
    let check = |profile: &str, expect: &str| {
        let text = format!(r#"{{"profiles": [{{"name": "ok", "path": "/"}}, {profile}]}}"#);
        let error = Config::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{profile}: {error}");
    };
    check("7", "profiles: ");
    check(r#"{"path": "/a"}"#, "profiles[1].name: null");
    check(
        r#"{"name": "generic", "path": "/a"}"#,
        "profiles[1].name: \"generic\"",
    );
    check(
        r#"{"name": "ok", "path": "/a"}"#,
        "profiles[1].name: \"ok\" is not another name",
    );
    check(r#"{"name": "a"}"#, "profiles[1].path: null");
    let check = |fields: &str, expect: &str| {
        check(
            &format!(r#"{{"name": "a", "path": "/a/{{id}}", {fields}}}"#),
            &format!("profiles[1].{expect}"),
        );
    };
    check(r#""key": []"#, "key: []");
    check(r#""key": ["{other}"]"#, "key: ");
    check(r#""key": ["id"]"#, "key: ");
    check(r#""key": ["?a", "header:a"]"#, "key: ");
    check(r#""key": ["?a"], "ignore": ["b"]"#, "ignore: ");
    check(r#""ignore": ["a&b"]"#, "ignore: ");
    check(r#""methods": ["HEAD"]"#, "methods: ");
    check(r#""methods": ["GET", "POST"]"#, "methods: ");
    check(r#""store": ["public"]"#, "store: ");
    check(r#""immutable": "yes""#, "immutable: \"yes\"");
    check(r#""authorities": "a""#, "authorities: \"a\"");
    check(
        r#""range_parameter": "range""#,
        "range_parameter: \"range\"",
    );
    check(r#""length_parameter": """#, "length_parameter: \"\"");
    for key in [r#""key": ["{id}"]"#, r#""ignore": ["a", "size"]"#] {
        let text = format!(r#"{key}, "length_parameter": "size""#);
        check(
            &text,
            "length_parameter: \"size\" is not a parameter that names",
        );
    }
    check(r#""nothing": 1"#, "nothing: 1");
}
