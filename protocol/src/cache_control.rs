//! Cache-Control, as far as a shared cache reads it (RFC 9111 section 5.2), and its targeted forms
//! (RFC 9213).

use sfv::{Dictionary, ListEntry, Parser};

/// The response fields that are for this cache, or for every cache of a network, unless the operator
/// names others.
pub const TARGETED: [&str; 2] = ["viewcache-cache-control", "cdn-cache-control"];

/// The field of a response that counts instead of Cache-Control and Expires: the first of `targeted`
/// that is valid (RFC 9213 section 2.2). All names are in lower case.
pub fn governing<'a>(
    headers: &[(String, String)],
    targeted: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let mut targeted = targeted.into_iter();
    targeted.find(|name| CacheControl::of_dictionary(headers, name).is_some())
}

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
    /// Whether it is from a targeted field, so that Expires does not count.
    pub targeted: bool,
}

impl CacheControl {
    /// What a response says to this cache, by the field that is [`governing`] or by Cache-Control.
    pub fn of_response(headers: &[(String, String)], governing: Option<&str>) -> Self {
        let found = governing.and_then(|name| Self::of_dictionary(headers, name));
        found.unwrap_or_else(|| Self::parse(values(headers, "cache-control")))
    }

    /// A targeted field is a Structured Fields dictionary; one that is empty or malformed is no
    /// field (RFC 9213 section 2.1), and a number that is no integer no directive.
    fn of_dictionary(headers: &[(String, String)], name: &str) -> Option<Self> {
        let lines: Vec<&str> = values(headers, name).collect();
        let dictionary: Dictionary = Parser::new(&lines.join(", ")).parse().ok()?;
        if dictionary.is_empty() {
            return None;
        }
        let mut found = Self {
            targeted: true,
            ..Self::default()
        };
        for (name, entry) in &dictionary {
            let ListEntry::Item(item) = entry else {
                continue;
            };
            let on = item.bare_item.as_boolean() == Some(true);
            let integer = item.bare_item.as_integer();
            let seconds = integer.and_then(|n| u64::try_from(i64::from(n)).ok());
            match name.as_str() {
                "no-store" => found.no_store = on,
                "no-cache" => found.no_cache = on,
                "private" => found.private = on,
                "must-revalidate" => found.must_revalidate = on,
                "max-age" => found.max_age = seconds,
                "stale-while-revalidate" => found.stale_while_revalidate = seconds,
                "stale-if-error" => found.stale_if_error = seconds,
                _ => {}
            }
        }
        Some(found)
    }

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

/// The values of a field's lines.
fn values<'a>(headers: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.iter().filter(move |(n, _)| n == name);
    lines.map(|(_, value)| value.as_str())
}

fn seconds(argument: &str) -> u64 {
    if argument.is_empty() || !argument.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    argument.parse().unwrap_or(u64::MAX)
}

/// Where a character stands in a field value (RFC 9110 section 5.6.4).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    Quoted,
    Escaped,
}

impl Place {
    const fn after(self, c: char) -> Self {
        match (self, c) {
            (Self::Plain, '"') | (Self::Escaped, _) => Self::Quoted,
            (Self::Quoted, '"') => Self::Plain,
            (Self::Quoted, '\\') => Self::Escaped,
            (same, _) => same,
        }
    }
}

/// Splits at commas that do not stand in a quoted string; at every comma when a string does not
/// end, so that it hides no directive.
fn split_unquoted(value: &str) -> impl Iterator<Item = &str> {
    let ends = value.chars().fold(Place::Plain, Place::after) == Place::Plain;
    let mut place = Place::Plain;
    value.split(move |c| {
        if ends {
            place = place.after(c);
        }
        c == ',' && place == Place::Plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_targeted_field_counts_instead() {
        let of = |fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
            let headers: Vec<_> = fields.collect();
            CacheControl::of_response(&headers, governing(&headers, TARGETED))
        };
        let plain = ("cache-control", "no-store");
        let ours = |value| [("viewcache-cache-control", value), plain];
        let found = of(&ours("max-age=60;a=b, must-revalidate"));
        assert!(found.targeted && found.must_revalidate && !found.no_store);
        assert_eq!(found.max_age, Some(60));
        // RFC 9213 section 2.1: malformed or empty, it is as if it were not there.
        for ignored in ["", "max-age=", "Max-Age=60", "max-age=60,,", "é"] {
            let found = of(&ours(ignored));
            assert!(found.no_store && !found.targeted, "{ignored}");
        }
        // A number of another kind is none.
        for no_number in ["max-age=6.5", "max-age=\"60\"", "max-age=-1", "max-age"] {
            let found = of(&ours(no_number));
            assert!(found.targeted, "{no_number}");
            assert_eq!(found.max_age, None, "{no_number}");
        }
        let both = of(&[
            ("cdn-cache-control", "no-store"),
            ("viewcache-cache-control", "max-age=1"),
        ]);
        assert!(!both.no_store);
        assert!(of(&[("cdn-cache-control", "no-store=?0, private")]).private);
        assert!(of(&[plain]).no_store);
    }

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

    #[test]
    fn a_quoted_string_hides_no_directive_behind_it() {
        let parse = |value: &str| CacheControl::parse([value]);
        for value in [
            r#"ext="a\"b", no-store"#,
            r#"ext="a\\", no-store"#,
            r#"ext="a, no-store"#,
            r#"ext="a\", no-store"#,
            r#"a"b, no-store, max-age=60"#,
            r#"no-store, ext="a\"#,
        ] {
            assert!(parse(value).no_store, "{value}");
        }
        assert!(!parse(r#"ext="a\", no-store", max-age=60"#).no_store);
        assert_eq!(
            parse(r#"ext="a\", no-store", max-age=60"#).max_age,
            Some(60)
        );
        // Each line for itself.
        assert!(CacheControl::parse([r#"ext="a"#, r#"private, b""#]).private);
    }
}
