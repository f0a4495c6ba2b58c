//! What tells requests apart, taken from them without making a text of it.

use super::Kind;

/// It, as the documentation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// All of the URL, and its query's parameters in order. No query and an empty one are the same
    /// where some of it may be ignored.
    Url {
        scheme: Vec<u8>,
        authority: Vec<u8>,
        path: Vec<u8>,
        query: Option<Vec<Vec<u8>>>,
    },
    /// Some values; an empty one is none.
    Values(Vec<Option<Vec<Symbol>>>),
}

/// What one character of a parameter's value means (RFC 3986 section 6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    /// Itself.
    Plain(u8),
    /// A byte that a code stands for, and that is not the same as itself.
    Coded(u8),
}

/// The parameters of a target's query.
pub(super) fn query(target: &str) -> Vec<(&str, &str)> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect()
}

impl Identity {
    pub(super) fn of(
        kind: Kind,
        scheme: &[u8],
        authority: &[u8],
        target: &[u8],
        fields: &[(String, Vec<u8>)],
    ) -> Self {
        let text = std::str::from_utf8(target).expect("what has a key is text");
        let parameter = |name: &str| {
            let pairs = query(text);
            let value = pairs.iter().find(|(n, _)| *n == name);
            value
                .map(|(_, value)| symbols(value))
                .filter(|value| !value.is_empty())
        };
        match kind {
            Kind::Generic => Self::url(scheme, authority, text, None),
            // The generic profile's.
            Kind::Url if text.len() == 1 || text.starts_with("/?") => {
                Self::url(scheme, authority, text, None)
            }
            Kind::Url => Self::url(
                scheme,
                authority,
                text,
                Some(&["token", "expires", "range"]),
            ),
            Kind::Youtube => {
                let id = ["v", "video_id", "vid"].into_iter().find_map(parameter);
                let alone = id.is_none();
                let clen = query(text).into_iter().find(|(name, _)| *name == "clen");
                let clen = clen.map(|(_, digits)| number(digits));
                let values = [
                    parameter("itag"),
                    parameter("lmt"),
                    parameter("xtags"),
                    clen,
                ];
                let mut values = [&[id][..], &values].concat();
                if alone {
                    values.extend([parameter("dur"), parameter("mime")]);
                }
                Self::Values(values)
            }
            Kind::Parts => {
                let path = text.split('?').next().unwrap_or_default();
                // Others are the generic profile's.
                let Some((id, _)) = path
                    .strip_prefix("/films/")
                    .and_then(|rest| rest.split_once('/'))
                    .filter(|(id, file)| !id.is_empty() && !file.is_empty())
                else {
                    return Self::url(scheme, authority, text, None);
                };
                let cut = fields.iter().find(|(name, _)| name == "x-cut");
                let cut = cut
                    .map(|(_, value)| value)
                    .filter(|value| !value.is_empty());
                let plain = |text: &[u8]| text.iter().map(|&b| Symbol::Plain(b)).collect();
                Self::Values(vec![
                    Some(plain(id.as_bytes())),
                    parameter("q"),
                    cut.map(|cut| plain(cut)),
                ])
            }
        }
    }

    fn url(scheme: &[u8], authority: &[u8], target: &str, ignored: Option<&[&str]>) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let kept = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            !ignored.unwrap_or_default().contains(&name)
        };
        let pairs = query.map(|query| query.split('&').filter(kept));
        let pairs = pairs.map(|pairs| pairs.map(|pair| pair.as_bytes().to_vec()).collect());
        let nothing = |pairs: &Vec<Vec<u8>>| pairs.is_empty() || pairs == &[Vec::<u8>::new()];
        Self::Url {
            scheme: scheme.to_vec(),
            authority: authority.to_ascii_lowercase(),
            path: path.as_bytes().to_vec(),
            query: pairs.filter(|pairs| ignored.is_none() || !nothing(pairs)),
        }
    }
}

/// A number's digits without those before it that mean nothing.
fn number(digits: &str) -> Vec<Symbol> {
    let nothing = |symbol: &Symbol| matches!(symbol, Symbol::Plain(b'0') | Symbol::Coded(b'+'));
    let digits = symbols(digits).into_iter();
    digits
        .skip_while(|s| nothing(s) || *s == Symbol::Plain(b'+'))
        .collect()
}

/// What a value means; where a code is cut short, no more than what stands there.
fn symbols(value: &str) -> Vec<Symbol> {
    let bytes = value.as_bytes();
    let mut symbols = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                let byte = u8::try_from(16 * high + low).expect("two digits");
                let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                symbols.push(match unreserved {
                    true => Symbol::Plain(byte),
                    false => Symbol::Coded(byte),
                });
                at += 3;
            }
            (b'%', _, _) => return bytes.iter().copied().map(Symbol::Plain).collect(),
            (byte, _, _) => {
                symbols.push(Symbol::Plain(byte));
                at += 1;
            }
        }
    }
    symbols
}
