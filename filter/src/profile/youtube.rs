//! `/videoplayback` URLs: signed and expiring, so only the parameters that name the bytes make
//! the key. A `range` parameter is a range whose answer is a 200.

use viewcache_protocol::{EntityKey, Profile, Wanted};

use super::query::Query;
use super::{BypassReason, key, query_range};

/// Names under which front-ends hand the video id on. The URL's own `id` is one per session.
const VIDEO_ID: [&str; 3] = ["v", "video_id", "vid"];

/// What changes with every request and says nothing of the bytes, taken out for the origin.
const PER_REQUEST: [&str; 3] = ["range", "rn", "rbuf"];

/// Reads path and query.
pub(super) fn identify(target: &str) -> Result<Wanted, BypassReason> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != "/videoplayback" {
        return Err(BypassReason::NotAVideo);
    }
    let query = Query(query);
    if query.is_on("ump") || query.is_on("sabr") {
        return Err(BypassReason::Ump);
    }
    let video_id = video_id(query)?;
    let itag = query.one("itag")?;
    let lmt = query.one("lmt")?;
    let xtags = query.one("xtags")?;
    let clen = query.one("clen")?;
    let dur = query.one("dur")?;
    let mime = query.one("mime")?;
    let is_named =
        itag.is_some() && lmt.is_some() && (video_id.is_some() || dur.is_some() || mime.is_some());
    let complete_length: Option<u64> = clen.as_deref().and_then(|digits| digits.parse().ok());
    let Some(complete_length) = complete_length.filter(|&n| n > 0 && is_named) else {
        return Err(BypassReason::MissingParameters);
    };
    // Duration and type tell videos apart only where no id does.
    let (dur, mime) = if video_id.is_some() {
        (None, None)
    } else {
        (dur, mime)
    };
    let clen = Some(complete_length.to_string());
    let parts = [
        ("v", video_id),
        ("itag", itag),
        ("lmt", lmt),
        ("xtags", xtags),
        ("clen", clen),
        ("dur", dur),
        ("mime", mime),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    let range = query.one("range")?;
    let range = range.map(|text| query_range(&text)).transpose()?;
    Ok(Wanted {
        range,
        range_in_query: range.is_some(),
        complete_length: Some(complete_length),
        origin_path: query
            .without(&PER_REQUEST)
            .map(|query| format!("{path}?{query}")),
        ..Wanted::whole(key(Profile::Youtube, &parts.collect::<Vec<_>>().join("&"))?)
    })
}

/// The key of the same video and quality whatever its `lmt`: a file that was downloaded before does
/// not tell it. `None` for keys without one.
pub fn versionless(key: &EntityKey) -> Option<EntityKey> {
    key.part("lmt")?;
    if key.profile() != Profile::Youtube || 0 < key.number() {
        return None;
    }
    let (_, rest) = key.as_str().split_once(':')?;
    let parts = rest.split('&').filter(|part| !part.starts_with("lmt="));
    let rest = parts.collect::<Vec<_>>().join("&");
    EntityKey::new(Profile::Youtube, &rest).ok()
}

fn video_id(query: Query<'_>) -> Result<Option<String>, BypassReason> {
    let mut found: Option<String> = None;
    for name in VIDEO_ID {
        match (query.one(name)?, &found) {
            (Some(id), None) => found = Some(id),
            (Some(id), Some(other)) if id != *other => {
                return Err(BypassReason::ConflictingParameters);
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn key_of(query: &str) -> Result<String, BypassReason> {
        identify(&format!("/videoplayback?{query}")).map(|wanted| wanted.key.to_string())
    }

    #[test]
    fn the_key_is_what_names_the_bytes() {
        let check = |query: &str, expect: Result<&str, BypassReason>| {
            assert_eq!(key_of(query), expect.map(str::to_owned), "{query}");
        };
        check(
            "expire=1&ei=x&id=o-AB&itag=140&mime=audio%2fmp4&clen=100&dur=9.5&lmt=17&sig=s&range=0-9&v=abc",
            Ok("youtube:v=abc&itag=140&lmt=17&clen=100"),
        );
        check(
            "clen=100&lmt=17&dur=9.5&mime=audio%2fmp4&itag=140&xtags=drc%3D1",
            Ok("youtube:itag=140&lmt=17&xtags=drc%3D1&clen=100&dur=9.5&mime=audio%2Fmp4"),
        );
        check(
            "vid=%61bc&itag=140&lmt=17&clen=0100",
            Ok("youtube:v=abc&itag=140&lmt=17&clen=100"),
        );
        check(
            "v=abc&video_id=abc&itag=1&lmt=1&clen=1",
            Ok("youtube:v=abc&itag=1&lmt=1&clen=1"),
        );
        let missing = Err(BypassReason::MissingParameters);
        check("", missing);
        check("v=abc&itag=140&lmt=17", missing);
        check("v=abc&itag=140&clen=100", missing);
        check("v=abc&lmt=17&clen=100", missing);
        check("itag=140&lmt=17&clen=100", missing);
        check("v=abc&itag=140&lmt=17&clen=many", missing);
        check("v=abc&itag=140&lmt=17&clen=0", missing);
        check("v=&itag=140&lmt=17&clen=100", missing);
        let conflicting = Err(BypassReason::ConflictingParameters);
        check("v=abc&itag=140&itag=251&lmt=17&clen=100", conflicting);
        check("v=abc&vid=abd&itag=140&lmt=17&clen=100", conflicting);
        check(
            "v=abc&itag=140&lmt=17&clen=100&range=0-1&range=2-3",
            conflicting,
        );
        check(
            "v=abc&itag=140&lmt=17&clen=100&ump=1",
            Err(BypassReason::Ump),
        );
        check(
            "v=abc&itag=140&lmt=17&clen=100&sabr=yes",
            Err(BypassReason::Ump),
        );
        check(
            "v=abc&itag=140&lmt=17&clen=100&ump=0&sabr=",
            Ok("youtube:v=abc&itag=140&lmt=17&clen=100"),
        );
        check(
            "v=\u{e9}&itag=140&lmt=17&clen=100",
            Err(BypassReason::UnreadableHeader),
        );
    }

    #[test]
    fn the_range_in_the_query_is_taken_out_for_the_origin() {
        let base = "v=abc&itag=140&lmt=17&clen=100";
        let check = |more: &str, range: Option<&str>, origin_path: Option<&str>| {
            let wanted = identify(&format!("/videoplayback?{base}{more}")).unwrap();
            assert_eq!(
                wanted.range.map(|r| r.to_string()).as_deref(),
                range,
                "{more}"
            );
            assert_eq!(wanted.range_in_query, range.is_some());
            assert_eq!(wanted.complete_length, Some(100));
            assert_eq!(wanted.origin_path.as_deref(), origin_path, "{more}");
        };
        let stripped = format!("/videoplayback?{base}");
        check("", None, None);
        check("&range=5-9&rn=3&rbuf=0", Some("5-9"), Some(&stripped));
        check("&range=5%2D", Some("5-"), Some(&stripped));
        check("&rn=3", None, Some(&stripped));
    }

    #[test]
    fn a_range_that_cannot_be_read_is_no_range() {
        for range in ["-5", "9-5", "x", "1-2,4-5"] {
            let query = format!("v=abc&itag=140&lmt=17&clen=100&range={range}");
            assert_eq!(key_of(&query), Err(BypassReason::MalformedRange), "{range}");
        }
    }

    #[test]
    fn a_key_may_be_known_but_for_its_version() {
        let check = |text: &str, expect: Option<&str>| {
            let key = versionless(&text.parse().unwrap());
            assert_eq!(key.as_ref().map(EntityKey::as_str), expect, "{text}");
        };
        check(
            "youtube:v=abc&itag=140&lmt=17&xtags=drc%3D1&clen=100",
            Some("youtube:v=abc&itag=140&xtags=drc%3D1&clen=100"),
        );
        check("youtube:v=abc&itag=140&clen=100", None);
        check("youtube:v=abc&itag=140&lmt=17&clen=100 (1)", None);
        check("films:id=7&lmt=17", None);
    }

    #[test]
    fn only_videoplayback_is_a_video() {
        for target in [
            "/videoplayback/x?v=1",
            "/",
            "/videoplaybackx",
            "/watch?v=abc",
        ] {
            assert_eq!(identify(target), Err(BypassReason::NotAVideo), "{target}");
        }
    }
}
