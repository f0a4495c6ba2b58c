use viewcache_protocol::ByteRange;

use super::*;

fn watched(viewers: &[(&str, u64)]) -> Watchers {
    let mut watchers = Watchers::default();
    for &(viewer, end) in viewers {
        watchers.watched(viewer, ByteRange::new(0, end).unwrap());
    }
    watchers
}

#[test]
fn an_entity_is_worth_keeping_when_one_viewer_has_watched_enough() {
    let judge = |percent, viewers: &[(&str, u64)], length| {
        let admit = Admit {
            watched_percent: Enough::Percent(percent),
            viewers: 0,
        };
        admit.judge(&watched(viewers), length)
    };
    assert_eq!(judge(10, &[("a", 99), ("b", 99)], 1000), None);
    assert_eq!(judge(10, &[("a", 100)], 1000), Some(Reason::Watched));
    assert_eq!(judge(100, &[("a", 999)], 1000), None);
    assert_eq!(judge(100, &[("a", 1000)], 1000), Some(Reason::Watched));
    assert_eq!(judge(0, &[], 1000), Some(Reason::AtOnce));
    assert_eq!(judge(10, &[("a", 1)], u64::MAX), None);
}

#[test]
fn a_channel_has_its_own_rules() {
    let of = Enough::Percent;
    let rules = |mode, channel: Option<(Mode, Option<u8>)>| {
        let policy = Policy {
            mode,
            admit: Admit {
                watched_percent: of(10),
                viewers: 0,
            },
            ..Policy::default()
        };
        let channel = channel.map(|(mode, watched_percent)| Channel {
            mode,
            watched_percent: watched_percent.map(of),
            ..Channel::default()
        });
        let rules = policy.rules(Profile::Generic, channel.as_ref());
        let percent = rules.admit.map(|admit| admit.watched_percent);
        (percent, rules.keep, rules.insistent)
    };
    let inherit = |percent| (Some(of(percent)), Keep::Watched, false);
    assert_eq!(rules(Mode::Inherit, None), inherit(10));
    assert_eq!(
        rules(Mode::Inherit, Some((Mode::Inherit, None))),
        inherit(10)
    );
    assert_eq!(
        rules(Mode::Inherit, Some((Mode::Inherit, Some(3)))),
        inherit(3)
    );
    let auto = (Some(of(0)), Keep::Complete, true);
    assert_eq!(rules(Mode::Inherit, Some((Mode::Auto, Some(3)))), auto);
    assert_eq!(rules(Mode::Auto, Some((Mode::Inherit, None))), auto);
    let manual = (None, Keep::Watched, false);
    assert_eq!(rules(Mode::Auto, Some((Mode::Manual, None))), manual);
    assert_eq!(rules(Mode::Manual, None), manual);
}

#[test]
fn or_when_enough_have_begun_it() {
    let admit = Admit {
        watched_percent: Enough::Percent(50),
        viewers: 2,
    };
    assert_eq!(admit.judge(&watched(&[("a", 1), ("a", 2)]), 1000), None);
    let two = watched(&[("a", 1), ("b", 1)]);
    assert_eq!(admit.judge(&two, 1000), Some(Reason::Viewers));
    let alone = Admit {
        watched_percent: Enough::Never,
        ..admit
    };
    let all = watched(&[("a", 1000)]);
    assert_eq!(alone.judge(&all, 1000), None);
    assert_eq!(alone.judge(&two, 1000), Some(Reason::Viewers));
}

#[test]
fn a_profile_has_what_it_names_and_else_what_all_have() {
    let text = r#"{"admit": {"watched_percent": 20, "viewers": 3},
        "profiles": {"youtube": {"watched_percent": 5}, "films": {"viewers": 0}}}"#;
    let policy: Policy = serde_json::from_str(text).unwrap();
    assert_eq!(policy.check(), Ok(()));
    let admit = |profile| {
        let Admit {
            watched_percent,
            viewers,
        } = policy.admit(profile);
        (watched_percent, viewers)
    };
    let of = Enough::Percent;
    assert_eq!(admit(Profile::Generic), (of(20), 3));
    assert_eq!(admit(Profile::Youtube), (of(5), 3));
    let films = Profile::Own(OwnProfile::new("films", &[]).unwrap());
    assert_eq!(admit(films), (of(20), 0));
}

#[test]
fn a_wrong_value_is_named() {
    let check = |text: &str, expected: &str| {
        let policy: Policy = serde_json::from_str(text).unwrap();
        assert_eq!(policy.check().unwrap_err().to_string(), expected);
    };
    check(
        r#"{"admit": {"watched_percent": 101}}"#,
        "admit.watched_percent: 101 is more than 100",
    );
    check(
        r#"{"profiles": {"youtube": {"viewers": 65}}}"#,
        "profiles.youtube.viewers: 65 is more than 64",
    );
    check(
        r#"{"profiles": {"A b": {}}}"#,
        "profiles: A b is not the name of a profile",
    );
    check(
        r#"{"provisional_percent": 200}"#,
        "provisional_percent: 200 is more than 100",
    );
}

#[test]
fn a_channel_has_its_own_quality_and_else_its_profile_and_else_all() {
    let text = r#"{"quality": ["137", "140"], "drop_lower": true,
        "profiles": {"youtube": {"quality": {"max_height": 720}}}}"#;
    let policy: Policy = serde_json::from_str(text).unwrap();
    let told = |profile, channel: Option<&str>| {
        let channel: Option<Channel> = channel.map(|text| serde_json::from_str(text).unwrap());
        let rules = policy.rules(profile, channel.as_ref());
        let quality = serde_json::to_string(&rules.quality).unwrap();
        (quality, rules.drop_lower)
    };
    let all = r#"["137","140"]"#.to_owned();
    let youtube = r#"{"max_height":720}"#.to_owned();
    assert_eq!(told(Profile::Generic, None), (all, true));
    assert_eq!(told(Profile::Youtube, None), (youtube.clone(), true));
    assert_eq!(told(Profile::Youtube, Some("{}")), (youtube, true));
    for mode in ["inherit", "auto", "manual"] {
        let own = format!(r#"{{"mode": "{mode}", "quality": "watched", "drop_lower": false}}"#);
        let expected = (r#""watched""#.to_owned(), false);
        assert_eq!(told(Profile::Youtube, Some(&own)), expected, "{mode}");
    }
}
