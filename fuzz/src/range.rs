//! Range fields: what is read of them, which bytes it means, and what is written again.

use viewcache_protocol::{ByteRange, RangeError, RangeSpec};

/// The first line is a complete length, the rest a field's value.
pub fn range(data: &[u8]) {
    let Some((length, value)) = split(data) else {
        return;
    };
    let one = RangeSpec::parse_header(value);
    let several = RangeSpec::parse_parts(value);
    let expected = read(value);
    match (one, several) {
        (Ok(spec), Err(_)) => {
            assert_eq!(expected.as_deref(), Some(&[meant(spec)][..]), "{spec}");
            round_trip(spec);
            resolves(spec, length);
        }
        (Err(error), Ok(specs)) => {
            assert_eq!(error, RangeError::Several);
            assert!((2..=RangeSpec::MAX_PARTS).contains(&specs.len()));
            let all: Vec<Meant> = specs.iter().copied().map(meant).collect();
            assert_eq!(expected, Some(all), "{specs:?}");
            for spec in specs {
                round_trip(spec);
                resolves(spec, length);
            }
        }
        (Err(_), Err(_)) => {
            // A list of one and empty members, or of more than are answered.
            let alone = expected.as_ref().is_some_and(|all| all.len() == 1);
            let many = expected
                .as_ref()
                .is_some_and(|all| RangeSpec::MAX_PARTS < all.len());
            let list = value.contains(&b',');
            assert!(
                expected.is_none() || (alone && list) || many,
                "{expected:?}"
            );
        }
        (Ok(one), Ok(several)) => panic!("{one} and {several:?} at once"),
    }
}

fn split(data: &[u8]) -> Option<(u64, &[u8])> {
    let at = data.iter().position(|&b| b == b'\n')?;
    let length = std::str::from_utf8(&data[..at]).ok()?;
    Some((length.parse().ok()?, &data[at + 1..]))
}

/// The inclusive positions of a range, either of which may be open; beyond `u64` they are its last.
type Meant = (Option<u64>, Option<u64>);

fn meant(spec: RangeSpec) -> Meant {
    match spec {
        RangeSpec::Closed { first, last } => (Some(first), Some(last)),
        RangeSpec::From { first } => (Some(first), None),
        RangeSpec::Suffix { len } => (None, Some(len)),
    }
}

/// What RFC 9110 section 14.1.2 says of a value, digit by digit. Empty members are none.
fn read(value: &[u8]) -> Option<Vec<Meant>> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let set = text.get(6..)?;
    if !text[..6].eq_ignore_ascii_case("bytes=") {
        return None;
    }
    let members = set.split(',').map(str::trim);
    let meant: Option<Vec<Meant>> = members.filter(|m| !m.is_empty()).map(member).collect();
    meant.filter(|all| !all.is_empty())
}

fn member(text: &str) -> Option<Meant> {
    let mut halves = [None::<u64>; 2];
    let mut half = 0;
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                let before = halves[half].unwrap_or(0);
                let digit = u64::from(byte - b'0');
                halves[half] = Some(before.saturating_mul(10).saturating_add(digit));
            }
            b'-' if half == 0 => half = 1,
            _ => return None,
        }
    }
    let ordered = match halves {
        [Some(first), Some(last)] => first <= last,
        [None, None] => false,
        _ => true,
    };
    (half == 1 && ordered).then_some((halves[0], halves[1]))
}

fn round_trip(spec: RangeSpec) {
    let text = spec.to_string();
    assert_eq!(text.parse(), Ok(spec));
    assert_eq!(
        RangeSpec::parse_header(format!("bytes={text}").as_bytes()),
        Ok(spec)
    );
    let json = serde_json::to_string(&spec).expect("a range is text");
    assert_eq!(serde_json::from_str::<RangeSpec>(&json).ok(), Some(spec));
}

/// Whether a range has the byte at `at` of an entity of this length.
fn has(spec: RangeSpec, at: u64, length: u64) -> bool {
    let (at, length) = (u128::from(at), u128::from(length));
    let within = match meant(spec) {
        (Some(first), Some(last)) => u128::from(first) <= at && at <= u128::from(last),
        (Some(first), None) => u128::from(first) <= at,
        (None, Some(len)) => length <= at + u128::from(len),
        (None, None) => false,
    };
    within && at < length
}

fn resolves(spec: RangeSpec, length: u64) {
    // Byte by byte where that is few.
    let few = length % 70;
    let bytes: Vec<u64> = (0..few).filter(|&at| has(spec, at, few)).collect();
    let resolved = spec.resolve(few);
    let got: Vec<u64> = resolved.map_or_else(Vec::new, |r| (r.start()..r.end()).collect());
    assert_eq!(got, bytes, "{spec} of {few}");
    // Else at its edges.
    let resolved = spec.resolve(length);
    let Some(range) = resolved else {
        for at in [0, length / 2, length.saturating_sub(1)] {
            assert!(!has(spec, at, length), "{spec} of {length} has {at}");
        }
        return;
    };
    assert!(range.start() < range.end() && range.end() <= length);
    assert!(has(spec, range.start(), length) && has(spec, range.end() - 1, length));
    assert!(range.start() == 0 || !has(spec, range.start() - 1, length));
    assert!(!has(spec, range.end(), length));
    assert_eq!(ByteRange::from_len(range.start(), range.len()), Some(range));
    if let Some(first) = spec.first() {
        assert_eq!(range.start(), first);
    }
}
