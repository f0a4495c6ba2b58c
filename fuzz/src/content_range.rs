//! Content-Range fields, and what responses that have them may be stored as.

use viewcache_protocol::{
    Asked, ByteRange, ContentRange, MAX_COMPLETE_LENGTH, Profile, RangeSpec, Transfer,
};

/// The text is a field's value.
pub fn content_range(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = text.parse::<ContentRange>();
    let expected = read(text);
    let Ok(value) = parsed else {
        assert_eq!(expected, None, "{text:?}");
        return;
    };
    assert_eq!(expected, Some(meant(value)), "{text:?}");
    let printed = value.to_string();
    assert_eq!(printed.parse(), Ok(value));
    match value {
        ContentRange::Unsatisfied { complete_length } => {
            assert_eq!(printed, format!("bytes */{complete_length}"));
            assert_eq!(stored(&printed, 416, None, 0), None);
            assert_eq!(
                stored(&printed, 206, RangeSpec::From { first: 0 }.into(), 0),
                None
            );
        }
        ContentRange::Part {
            range,
            complete_length,
        } => answers(&printed, range, complete_length),
    }
}

/// First and last position and complete length, as far as they are told.
type Meant = (Option<(u64, u64)>, Option<u64>);

fn meant(value: ContentRange) -> Meant {
    match value {
        ContentRange::Part {
            range,
            complete_length,
        } => (Some((range.start(), range.end() - 1)), complete_length),
        ContentRange::Unsatisfied { complete_length } => (None, Some(complete_length)),
    }
}

/// What RFC 9110 section 14.4 says of a value. Spaces around and between are let pass.
fn read(text: &str) -> Option<Meant> {
    let text = text.trim();
    let (unit, rest) = (text.get(..5)?, text.get(5..)?);
    let rest = rest.strip_prefix(' ')?.trim();
    let slash = rest.find('/')?;
    let (range, complete) = (&rest[..slash], &rest[slash + 1..]);
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let fold = |n: u64, b: u8| n.checked_mul(10)?.checked_add(u64::from(b - b'0'));
        digits.then(|| text.bytes().try_fold(0, fold)).flatten()
    };
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    if range == "*" {
        return Some((None, Some(number(complete)?)));
    }
    let dash = range.find('-')?;
    let (first, last) = (number(&range[..dash])?, number(&range[dash + 1..])?);
    let complete = match complete {
        "*" => None,
        digits => Some(number(digits)?),
    };
    // The last position of all has no end that could be counted.
    let sound = first <= last && last < u64::MAX && complete.is_none_or(|n| last < n);
    sound.then_some((Some((first, last)), complete))
}

/// A 206 is stored as what it says, when that is what was asked for, and not otherwise.
fn answers(value: &str, range: ByteRange, complete_length: Option<u64>) {
    let (first, last) = (range.start(), range.end() - 1);
    let asked = RangeSpec::Closed { first, last };
    let got = stored(value, 206, Some(asked), range.len());
    let bounded = complete_length.filter(|&n| n <= MAX_COMPLETE_LENGTH);
    assert_eq!(got, bounded.map(|length| (range, length)), "{value}");
    let open = stored(value, 206, Some(RangeSpec::From { first }), range.len());
    assert_eq!(open, got);
    // A body that is shorter, an answer to another question, or to none.
    assert_eq!(stored(value, 206, Some(asked), range.len() - 1), None);
    assert_eq!(stored(value, 206, None, range.len()), None);
    let next = first + 1;
    let other = RangeSpec::From { first: next };
    assert_eq!(stored(value, 206, Some(other), range.len()), None);
    if first < last {
        let less = RangeSpec::Closed {
            first,
            last: last - 1,
        };
        assert_eq!(stored(value, 206, Some(less), range.len()), None);
    }
}

/// The bytes and the complete length that a response with this field and a body of this length is
/// stored as.
fn stored(
    value: &str,
    status: u16,
    range: Option<RangeSpec>,
    length: u64,
) -> Option<(ByteRange, u64)> {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = [
        field("content-range", value),
        field("content-length", &length.to_string()),
        field("etag", "\"v\""),
    ];
    let asked = Asked {
        profile: Profile::Generic,
        range,
        range_in_query: false,
        complete_length: None,
        open_ended: false,
    };
    let transfer = Transfer::judge(&asked, &[], status, &headers).ok()?;
    assert!(!transfer.open_ended && transfer.headers == [field("etag", "\"v\"")]);
    Some((transfer.range, transfer.generation.complete_length))
}
