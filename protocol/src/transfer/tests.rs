use super::*;
use crate::cache_control::TARGETED;

const ETAG: (&str, &str) = ("etag", "\"v1\"");

fn asked(range: Option<&str>) -> Asked {
    Asked {
        profile: Profile::Generic,
        range: range.map(|text| text.parse().unwrap()),
        range_in_query: false,
        complete_length: None,
        open_ended: false,
    }
}

fn headers(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn judge(asked: &Asked, status: u16, fields: &[(&str, &str)]) -> Result<Transfer, DeclineReason> {
    Transfer::judge(asked, &TARGETED, status, &headers(fields))
}

fn bytes(transfer: Result<Transfer, DeclineReason>) -> Result<(u64, u64, u64), DeclineReason> {
    transfer.map(|t| (t.range.start(), t.range.end(), t.generation.complete_length))
}

#[test]
fn a_chunked_200_ends_with_its_last_chunk() {
    const CHUNKED: (&str, &str) = ("transfer-encoding", "Chunked");
    let whole = Asked {
        open_ended: true,
        ..asked(None)
    };
    let transfer = judge(&whole, 200, &[ETAG, CHUNKED]).unwrap();
    assert!(transfer.open_ended);
    let most = MAX_COMPLETE_LENGTH;
    assert_eq!(bytes(Ok(transfer)), Ok((0, most, most)));
    let known = judge(&whole, 200, &[ETAG, ("content-length", "100")]).unwrap();
    assert!(!known.open_ended);

    let declined = |asked: &Asked, status, fields: &[(&str, &str)]| {
        let judged = judge(asked, status, fields);
        assert_eq!(bytes(judged), Err(DeclineReason::NoLength), "{fields:?}");
    };
    declined(&whole, 200, &[ETAG]);
    declined(&whole, 200, &[ETAG, ("transfer-encoding", "gzip, chunked")]);
    declined(&whole, 200, &[ETAG, CHUNKED, ("content-length", "x")]);
    declined(&asked(None), 200, &[ETAG, CHUNKED]);
    let told = Asked {
        complete_length: Some(100),
        ..whole
    };
    declined(&told, 200, &[ETAG, CHUNKED]);
    let part = [ETAG, CHUNKED, ("content-range", "bytes 0-9/100")];
    let asked_part = Asked {
        range: "0-9".parse().ok(),
        ..whole
    };
    declined(&asked_part, 206, &part);
}

#[test]
fn a_200_is_the_whole_entity() {
    let whole = judge(&asked(None), 200, &[ETAG, ("content-length", "100")]);
    assert_eq!(bytes(whole), Ok((0, 100, 100)));
    let range_ignored = judge(
        &asked(Some("50-59")),
        200,
        &[ETAG, ("content-length", "100")],
    );
    assert_eq!(bytes(range_ignored), Ok((0, 100, 100)));
}

#[test]
fn a_206_is_the_part_that_was_asked_for() {
    let check = |range: Option<&str>, content_range: &str, length: &str, expect| {
        let fields = [
            ETAG,
            ("content-length", length),
            ("content-range", content_range),
        ];
        assert_eq!(
            bytes(judge(&asked(range), 206, &fields)),
            expect,
            "{range:?} {content_range}"
        );
    };
    check(Some("10-19"), "bytes 10-19/100", "10", Ok((10, 20, 100)));
    check(Some("10-"), "bytes 10-99/100", "90", Ok((10, 100, 100)));
    check(Some("-10"), "bytes 90-99/100", "10", Ok((90, 100, 100)));
    // A shorter part than asked is legal (RFC 9110 section 15.3.7).
    check(Some("10-"), "bytes 10-19/100", "10", Ok((10, 20, 100)));
    let wrong = Err(DeclineReason::ContentRange);
    check(Some("10-19"), "bytes 0-9/100", "10", wrong);
    check(Some("10-19"), "bytes 10-29/100", "20", wrong);
    check(Some("10-19"), "bytes 10-19/*", "10", wrong);
    check(Some("10-19"), "bytes 10-19/15", "10", wrong);
    check(Some("10-19"), "nonsense", "10", wrong);
    check(None, "bytes 0-99/100", "100", wrong);
    check(
        Some("10-19"),
        "bytes 10-19/100",
        "11",
        Err(DeclineReason::NoLength),
    );
}

#[test]
fn a_range_in_the_url_is_answered_by_a_200() {
    let query = Asked {
        profile: Profile::Youtube,
        range: Some("10-19".parse().unwrap()),
        range_in_query: true,
        complete_length: Some(100),
        open_ended: false,
    };
    assert_eq!(
        bytes(judge(&query, 200, &[("content-length", "10")])),
        Ok((10, 20, 100))
    );
    let longer = judge(&query, 200, &[("content-length", "100")]);
    assert_eq!(bytes(longer), Err(DeclineReason::ContentRange));
}

#[test]
fn what_must_not_be_stored_is_declined() {
    let check = |status, fields: &[(&str, &str)], expect| {
        let mut all = vec![ETAG, ("content-length", "100")];
        all.extend_from_slice(fields);
        assert_eq!(
            judge(&asked(None), status, &all).err(),
            Some(expect),
            "{fields:?}"
        );
    };
    check(404, &[], DeclineReason::Status);
    check(200, &[("content-length", "100")], DeclineReason::NoLength);
    check(
        200,
        &[("content-encoding", "gzip")],
        DeclineReason::Encoding,
    );
    check(
        200,
        &[("vary", "accept-encoding, cookie")],
        DeclineReason::Vary,
    );
    check(
        200,
        &[("cache-control", "no-store")],
        DeclineReason::NoStore,
    );
    check(
        200,
        &[("cache-control", "private, max-age=9")],
        DeclineReason::Private,
    );
    check(200, &[("set-cookie", "a=b")], DeclineReason::SetCookie);
    check(
        200,
        &[("set-cookie", "a=b"), ("set-cookie", "c=d")],
        DeclineReason::SetCookie,
    );
    check(
        200,
        &[("x-long", &"x".repeat(20_000))],
        DeclineReason::Headers,
    );
    check(
        206,
        &[("content-type", "multipart/byteranges; boundary=x")],
        DeclineReason::Multipart,
    );
    let absurd = [
        ETAG,
        ("content-length", "10"),
        ("content-range", "bytes 0-9/4398046511105"),
    ];
    assert_eq!(
        judge(&asked(Some("0-9")), 206, &absurd).err(),
        Some(DeclineReason::TooLong)
    );
    let missing = judge(&asked(None), 200, &[ETAG]);
    assert_eq!(missing.err(), Some(DeclineReason::NoLength));
    let empty = judge(&asked(None), 200, &[("content-length", "0")]);
    assert_eq!(empty.err(), Some(DeclineReason::Empty));
}

#[test]
fn the_youtube_profile_stores_private_responses() {
    let youtube = Asked {
        profile: Profile::Youtube,
        ..asked(None)
    };
    let fields = [
        ("content-length", "100"),
        ("cache-control", "private, max-age=9"),
    ];
    assert!(judge(&youtube, 200, &fields).is_ok());
}

#[test]
fn only_a_strong_validator_counts() {
    let check = |fields: &[(&str, &str)], expect: Option<Validator>| {
        let mut all = vec![("content-length", "100")];
        all.extend_from_slice(fields);
        let transfer = judge(&asked(None), 200, &all).unwrap();
        assert_eq!(transfer.generation.validator, expect, "{fields:?}");
    };
    let modified = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    check(&[ETAG], Some(Validator::Etag("\"v1\"".to_owned())));
    check(
        &[
            ("etag", "W/\"v1\""),
            modified,
            ("date", "Sun, 06 Nov 1994 09:49:37 GMT"),
        ],
        None,
    );
    check(
        &[modified, ("date", "Sun, 06 Nov 1994 08:49:38 GMT")],
        Some(Validator::LastModified(
            "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(),
        )),
    );
    check(&[modified, ("date", "Sun, 06 Nov 1994 08:49:37 GMT")], None);
    check(&[modified], None);
    check(&[], None);
}

#[test]
fn headers_of_a_connection_a_range_or_a_client_are_not_stored() {
    let transfer = judge(
        &asked(None),
        200,
        &[
            (":status", "200"),
            ETAG,
            ("content-length", "100"),
            ("content-type", "video/mp4"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("x-envoy-upstream-service-time", "3"),
            ("x-viewcache-served", "1"),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ],
    )
    .unwrap();
    let names: Vec<&str> = transfer
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["etag", "content-type", "date"]);
}

#[test]
fn a_video_is_neither_words_nor_frames() {
    let asked = Asked {
        profile: Profile::Youtube,
        range_in_query: true,
        complete_length: Some(1000),
        ..asked(Some("0-99"))
    };
    for (kind, expect) in [
        ("video/mp4", Ok((0, 100, 1000))),
        ("application/octet-stream", Ok((0, 100, 1000))),
        ("text/plain", Err(DeclineReason::ContentType)),
        (" Text/html; charset=x", Err(DeclineReason::ContentType)),
        ("application/vnd.yt-ump", Err(DeclineReason::ContentType)),
    ] {
        let fields = [ETAG, ("content-length", "100"), ("content-type", kind)];
        assert_eq!(bytes(judge(&asked, 200, &fields)), expect, "{kind}");
        let whole = Asked {
            range: None,
            range_in_query: false,
            complete_length: Some(100),
            ..asked
        };
        let expect = expect.map(|_| (0, 100, 100));
        assert_eq!(bytes(judge(&whole, 200, &fields)), expect, "{kind}");
    }
}
