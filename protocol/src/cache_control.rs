//! Cache-Control, as far as a shared cache reads it (RFC 9111 section 5.2).

/// The directives of one message's Cache-Control fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, with or without field names.
    pub no_cache: bool,
    /// `private`, with or without field names.
    pub private: bool,
    /// `max-age` in seconds.
    pub max_age: Option<u64>,
    /// `s-maxage` in seconds.
    pub s_maxage: Option<u64>,
    /// `must-revalidate` or `proxy-revalidate`.
    pub must_revalidate: bool,
    /// `stale-while-revalidate` in seconds (RFC 5861 section 3).
    pub stale_while_revalidate: Option<u64>,
    /// `stale-if-error` in seconds (RFC 5861 section 4).
    pub stale_if_error: Option<u64>,
    /// `only-if-cached`, in a request.
    pub only_if_cached: bool,
}

impl CacheControl {
    /// Reads every given field value; unknown directives are ignored. An invalid number is 0,
    /// that is stale (RFC 9111 section 4.2.1), and one beyond `u64` saturates.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        for directive in values.into_iter().flat_map(split_unquoted) {
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => (name.trim(), argument.trim().trim_matches('"')),
                None => (directive.trim(), ""),
            };
            match name.to_ascii_lowercase().as_str() {
                "no-store" => found.no_store = true,
                "no-cache" => found.no_cache = true,
                "private" => found.private = true,
                "max-age" => found.max_age = Some(seconds(argument)),
                "s-maxage" => found.s_maxage = Some(seconds(argument)),
                "must-revalidate" | "proxy-revalidate" => found.must_revalidate = true,
                "stale-while-revalidate" => {
                    found.stale_while_revalidate = Some(seconds(argument));
                }
                "stale-if-error" => found.stale_if_error = Some(seconds(argument)),
                "only-if-cached" => found.only_if_cached = true,
                _ => {}
            }
        }
        found
    }
}

fn seconds(argument: &str) -> u64 {
    if argument.is_empty() || !argument.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    argument.parse().unwrap_or(u64::MAX)
}

/// Splits at commas that do not stand in a quoted string.
fn split_unquoted(value: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    value.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_directives() {
        let parse = |value: &str| CacheControl::parse([value]);
        assert_eq!(parse(""), CacheControl::default());
        assert!(parse("No-Store").no_store);
        assert!(parse("private=\"set-cookie, x\"").private);
        assert!(!parse("x=\"a, no-store\"").no_store);
        assert_eq!(parse("max-age=60, s-maxage=\"90\"").s_maxage, Some(90));
        assert_eq!(parse("max-age=60").max_age, Some(60));
        assert_eq!(parse("max-age=soon").max_age, Some(0));
        assert_eq!(parse("max-age=-1").max_age, Some(0));
        assert_eq!(
            parse("max-age=99999999999999999999").max_age,
            Some(u64::MAX)
        );
        assert!(CacheControl::parse(["no-cache", "private"]).private);
    }
}
