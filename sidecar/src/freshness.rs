//! How long a stored entity may be used without asking (RFC 9111 section 4.2). Pure.

use std::time::{Duration, SystemTime};

use viewcache_protocol::CacheControl;

/// What applies when a response says nothing about its freshness (RFC 9111 section 4.2.2): a
/// tenth of its age since Last-Modified, at least this long. Media files are replaced rarely, and
/// one that was uploaded a minute ago must not go stale while it is watched.
const HEURISTIC_MIN: Duration = Duration::from_secs(3600);
/// And at most this long.
const HEURISTIC_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long a response may be used from `received` on, which is when its head came; `governing` is
/// the targeted field that counts for it, if one does.
pub fn lifetime(
    headers: &[(String, String)],
    governing: Option<&str>,
    received: SystemTime,
) -> Duration {
    let field = |name: &str| {
        headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    let date = |name| httpdate::parse_http_date(field(name)?.trim()).ok();
    let control = CacheControl::of_response(headers, governing);
    if control.no_cache {
        return Duration::ZERO;
    }
    if let Some(seconds) = control.s_maxage.or(control.max_age) {
        return Duration::from_secs(seconds.min(u64::from(u32::MAX)));
    }
    let sent = date("date").unwrap_or(received);
    if field("expires").is_some() && !control.targeted {
        // An invalid date means already expired (RFC 9111 section 5.3).
        return date("expires")
            .and_then(|e| e.duration_since(sent).ok())
            .unwrap_or_default();
    }
    let since_modified = date("last-modified").and_then(|m| sent.duration_since(m).ok());
    (since_modified.unwrap_or_default() / 10).clamp(HEURISTIC_MIN, HEURISTIC_MAX)
}

/// For how long a response may be used although it is stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leniency {
    /// While it is being validated (RFC 5861 section 3).
    pub while_revalidate: Duration,
    /// While the origin fails (RFC 5861 section 4).
    pub if_error: Duration,
}

/// What a response's directives allow; nothing where one forbids stale answers
/// (RFC 9111 section 4.2.4).
pub fn leniency(headers: &[(String, String)], governing: Option<&str>) -> Leniency {
    let control = CacheControl::of_response(headers, governing);
    if control.must_revalidate || control.no_cache || control.s_maxage.is_some() {
        return Leniency::default();
    }
    let seconds = |n: Option<u64>| Duration::from_secs(n.unwrap_or(0).min(u64::from(u32::MAX)));
    Leniency {
        while_revalidate: seconds(control.stale_while_revalidate),
        if_error: seconds(control.stale_if_error),
    }
}

/// Seconds of freshness left at `now`; negative when stale.
pub fn ttl(
    headers: &[(String, String)],
    governing: Option<&str>,
    received: SystemTime,
    now: SystemTime,
) -> i64 {
    let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    seconds(lifetime(headers, governing, received))
        .saturating_sub(seconds(age(headers, received, now)))
}

/// The response's age at `now` (RFC 9111 section 4.2.3): what it had when it came, by its Age or
/// its Date, and how long it has been here. A clock that went backwards adds nothing.
pub fn age(headers: &[(String, String)], received: SystemTime, now: SystemTime) -> Duration {
    let field = |name: &str| {
        headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.trim())
    };
    let told = field("age")
        .and_then(|value| value.parse::<u32>().ok())
        .unwrap_or(0);
    let sent = field("date").and_then(|value| httpdate::parse_http_date(value).ok());
    let apparent = sent
        .and_then(|sent| received.duration_since(sent).ok())
        .unwrap_or_default();
    let initial = apparent.max(Duration::from_secs(told.into()));
    initial + now.duration_since(received).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use viewcache_protocol::cache_control;

    use super::*;

    const RECEIVED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn check(fields: &[(&str, &str)], seconds: u64) {
        let headers: Vec<(String, String)> = fields
            .iter()
            .map(|&(n, v)| (n.to_owned(), v.to_owned()))
            .collect();
        let received = httpdate::parse_http_date(RECEIVED).unwrap();
        let governing = cache_control::governing(&headers, ["cdn-cache-control"]);
        assert_eq!(
            lifetime(&headers, governing, received),
            Duration::from_secs(seconds),
            "{fields:?}"
        );
    }

    #[test]
    fn explicit_lifetimes_win_in_their_order() {
        check(&[("cache-control", "max-age=60")], 60);
        check(&[("cache-control", "max-age=60, s-maxage=90")], 90);
        check(&[("cache-control", "max-age=60"), ("expires", "0")], 60);
        check(&[("cache-control", "no-cache, max-age=60")], 0);
        check(
            &[
                ("date", RECEIVED),
                ("expires", "Sun, 06 Nov 1994 08:50:37 GMT"),
            ],
            60,
        );
        check(&[("expires", "0")], 0);
        check(
            &[
                ("cdn-cache-control", "max-age=70"),
                ("cache-control", "max-age=60"),
            ],
            70,
        );
        check(&[("cdn-cache-control", "private"), ("expires", "0")], 3600);
    }

    #[test]
    fn without_one_a_tenth_of_the_age_counts_within_bounds() {
        check(&[], 3600);
        check(&[("last-modified", "Sun, 06 Nov 1994 08:49:30 GMT")], 3600);
        check(&[("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT")], 8640);
        check(&[("last-modified", "Tue, 06 Nov 1984 08:49:37 GMT")], 86400);
    }

    #[test]
    fn stale_answers_are_as_the_directives_say() {
        let check = |value: &str, while_revalidate, if_error| {
            let headers = [("cache-control".to_owned(), value.to_owned())];
            let expect = Leniency {
                while_revalidate: Duration::from_secs(while_revalidate),
                if_error: Duration::from_secs(if_error),
            };
            assert_eq!(leniency(&headers, None), expect, "{value}");
        };
        check("max-age=1", 0, 0);
        check(
            "max-age=1, stale-while-revalidate=5, stale-if-error=9",
            5,
            9,
        );
        for forbids in [
            "must-revalidate",
            "proxy-revalidate",
            "no-cache",
            "s-maxage=1",
        ] {
            check(
                &format!("stale-while-revalidate=5, stale-if-error=9, {forbids}"),
                0,
                0,
            );
        }
    }

    #[test]
    fn the_age_that_a_response_came_with_counts() {
        let received = httpdate::parse_http_date(RECEIVED).unwrap();
        let fields = [("cache-control", "max-age=60"), ("age", "50")];
        let headers = fields.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(
            ttl(&headers, None, received, received + Duration::from_secs(9)),
            1
        );
    }

    #[test]
    fn a_clock_that_goes_backwards_makes_nothing_older() {
        let received = httpdate::parse_http_date(RECEIVED).unwrap();
        assert_eq!(
            ttl(&[], None, received, received - Duration::from_secs(9)),
            3600
        );
    }
}
