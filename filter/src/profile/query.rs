//! Query parameters as they stand in a URL: split, looked up, taken out and put into one form.
//!
//! A name may be percent-encoded, too: `%69tag` is `itag` to whoever decodes it, the origin among
//! them, so it is here. Else a second `itag` could be hidden from us that counts there.

/// The parameters of a query, in order, as written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a>(pub(super) &'a str);

/// A parameter that stands more than once, or without a value where that is not the same as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear;

impl<'a> Query<'a> {
    fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// The parameter's value in one form; an empty one counts as absent.
    pub(super) fn one(self, name: &str) -> Result<Option<String>, Unclear> {
        let mut values = self
            .pairs()
            .filter(|(n, _)| is(n, name))
            .map(|(_, value)| value);
        let value = values.next();
        if values.next().is_some() {
            return Err(Unclear);
        }
        Ok(value.filter(|value| !value.is_empty()).map(normal))
    }

    /// The same where an empty one is none that is absent: the origin may tell them apart.
    pub(super) fn given(self, name: &str) -> Result<Option<String>, Unclear> {
        let value = self.one(name)?;
        if value.is_none() && self.pairs().any(|(n, _)| is(n, name)) {
            return Err(Unclear);
        }
        Ok(value)
    }

    /// Whether the parameter stands there with a value other than empty and 0.
    pub(super) fn is_on(self, name: &str) -> bool {
        self.pairs()
            .any(|(n, value)| is(n, name) && !matches!(value, "" | "0"))
    }

    /// The query without these parameters; `None` when none of them stands there.
    pub(super) fn without(self, names: &[&str]) -> Option<String> {
        let is_kept = |pair: &&str| {
            let written = pair.split_once('=').map_or(*pair, |(name, _)| name);
            !names.iter().any(|name| is(written, name))
        };
        let kept: Vec<&str> = self.0.split('&').filter(is_kept).collect();
        (kept.len() < self.0.split('&').count()).then(|| kept.join("&"))
    }
}

/// Whether a name as written is this one.
fn is(written: &str, name: &str) -> bool {
    written == name || written.contains('%') && decoded(written) == name.as_bytes()
}

/// The bytes that a text stands for.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|&b| char::from(b).to_digit(16));
        let code = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).ok(),
            _ => None,
        };
        bytes.push(code.unwrap_or(first));
        rest = match code {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    bytes
}

/// One form for the forms that mean the same (RFC 3986 section 6.2.2): percent-encoded unreserved
/// characters are decoded, the other codes get upper-case digits. A value with a `%` that begins no
/// code stays as it is: with what is decoded behind it, it could become one.
fn normal(value: &str) -> String {
    let mut normal = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let code = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let is_code = after.bytes().take(2).all(|b| b.is_ascii_hexdigit());
        rest = match code.filter(|_| is_code) {
            Some(byte) => {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    normal.push(char::from(byte));
                } else {
                    normal.push_str(&format!("%{byte:02X}"));
                }
                after.get(2..).unwrap_or_default()
            }
            None => return value.to_owned(),
        };
    }
    normal.push_str(rest);
    normal
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn finds_a_parameter_that_stands_once() {
        let query = Query("a=1&b=&c=3&c=4&d&ab=5");
        assert_eq!(query.one("a"), Ok(Some("1".to_owned())));
        assert_eq!(query.one("b"), Ok(None));
        assert_eq!(query.one("c"), Err(Unclear));
        assert_eq!(query.one("d"), Ok(None));
        assert_eq!(query.one("e"), Ok(None));
        assert_eq!(query.given("a"), Ok(Some("1".to_owned())));
        for name in ["b", "c", "d"] {
            assert_eq!(query.given(name), Err(Unclear), "{name}");
        }
        assert_eq!(query.given("e"), Ok(None));
    }

    #[test]
    fn a_name_may_be_encoded() {
        let query = Query("a=1&%61=2&%62=3&%6&%zz=1&%75mp=1&%2562=4");
        assert_eq!(query.one("a"), Err(Unclear));
        assert_eq!(query.one("b"), Ok(Some("3".to_owned())));
        assert_eq!(query.one("%6"), Ok(None));
        assert_eq!(query.one("%zz"), Ok(Some("1".to_owned())));
        assert!(query.is_on("ump"));
    }

    #[test]
    fn takes_parameters_out() {
        let check = |query, expect: Option<&str>| {
            let got = Query(query).without(&["range", "rn"]);
            assert_eq!(got.as_deref(), expect, "{query}");
        };
        check("a=1&range=0-9&b=2&rn=1", Some("a=1&b=2"));
        check("range=0-9", Some(""));
        check("range&a", Some("a"));
        check("a=range&ranges=1", None);
        check("", None);
        check("%72ange=0-9&a=1&r%6E=1", Some("a=1"));
    }

    #[test]
    fn values_get_one_form() {
        let check = |value, expect: &str| assert_eq!(normal(value), expect, "{value}");
        check("audio%2fmp4", "audio%2Fmp4");
        check("%61%7e%2D", "a~-");
        check("100%", "100%");
        check("%4", "%4");
        check("%zz%+1", "%zz%+1");
        check("%%35B", "%%35B");
        check("%41%", "%41%");
        check("%\u{e9}1", "%\u{e9}1");
        check("%c3%A9", "%C3%A9");
    }
}
