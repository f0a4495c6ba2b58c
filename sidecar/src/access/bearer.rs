//! The token in an Authorization field (RFC 6750 section 2.1).

use hyper::header::{GetAll, HeaderValue};

/// The token that is shown, if one is: the only line, of the scheme Bearer. Another scheme's
/// credentials are none of ours.
pub(super) fn token<'a>(lines: GetAll<'a, HeaderValue>) -> Option<&'a [u8]> {
    let mut lines = lines.iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let line = line.as_bytes();
    let (scheme, rest) = line.split_at(line.iter().position(|&b| b == b' ')?);
    scheme
        .eq_ignore_ascii_case(b"bearer")
        .then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::AUTHORIZATION;

    use super::*;

    #[test]
    fn the_token_stands_behind_the_scheme() {
        let check = |lines: &[&str], expect: Option<&str>| {
            let lines = lines
                .iter()
                .map(|line| (AUTHORIZATION, line.parse().unwrap()));
            let headers: HeaderMap = lines.collect();
            let token = token(headers.get_all(AUTHORIZATION));
            assert_eq!(token, expect.map(str::as_bytes), "{headers:?}");
        };
        check(&["Bearer abc"], Some("abc"));
        check(&["bearer  abc "], Some("abc"));
        check(&["Bearer "], Some(""));
        check(&["Bearer"], None);
        check(&["Basic YTpi"], None);
        check(&["BearerX abc"], None);
        check(&[], None);
        check(&["Bearer abc", "Bearer def"], None);
    }
}
