//! What a field's value must be, and what it means.

use std::time::Duration;

use serde_json::Value;
use viewcache_protocol::{Profile, Secret};

use super::{ConfigError, MAX_BUDGET, MAX_CHUNK, MIN_SIZE};
use crate::head::ViewerPart;

pub(super) const PROFILE: &str = "a profile: \"generic\" or \"youtube\"";
pub(super) const PATHS: &str = "a list of path prefixes such as [\"/videos/\"]";
pub(super) const AUTHORITIES: &str = "a list of authorities such as [\"media.example:8080\"]";
pub(super) const CLUSTER: &str = "the name of a cluster";
pub(super) const TIME: &str = "a duration such as \"100ms\"";
pub(super) const FLAG: &str = "true or false";
pub(super) const CHUNK: &str = "a size from \"1KiB\" to \"4MiB\"";
pub(super) const BUDGET: &str = "a size from \"1KiB\" to \"1GiB\"";
pub(super) const COUNT: &str = "a number above 0";

pub(super) const VIEWER: &str =
    "a list of parts such as [\"address\", \"header:user-agent\", \"cookie:session\"]";
pub(super) const HEADER: &str = "the name of a header field in lower case";

pub(super) fn profile(value: &Value) -> Option<Profile> {
    match value.as_str()? {
        "generic" => Some(Profile::Generic),
        "youtube" => Some(Profile::Youtube),
        _ => None,
    }
}

pub(super) fn paths(value: &Value) -> Option<Vec<String>> {
    let paths = strings(value)?;
    (!paths.is_empty() && paths.iter().all(|path| path.starts_with('/'))).then_some(paths)
}

pub(super) fn authorities(value: &Value) -> Option<Vec<String>> {
    let names = strings(value)?;
    let plain = |name: &String| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'/' && b != b'*')
    };
    names
        .iter()
        .all(plain)
        .then(|| names.iter().map(|n| n.to_ascii_lowercase()).collect())
}

pub(super) fn strings(value: &Value) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
}

pub(super) fn cluster(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

/// Above 0, because to Envoy 0 means no timeout at all, and in the milliseconds of a `u32` that
/// the host takes.
pub(super) fn timeout(value: &Value) -> Option<Duration> {
    let (number, unit) = quantity(value)?;
    let millis = match unit {
        "ms" => number,
        "s" => number.checked_mul(1000)?,
        "m" => number.checked_mul(60_000)?,
        _ => return None,
    };
    let fits = 0 < millis && millis <= u64::from(u32::MAX);
    fits.then(|| Duration::from_millis(millis))
}

pub(super) fn chunk(value: &Value) -> Option<usize> {
    size(value).filter(|bytes| (MIN_SIZE..=MAX_CHUNK).contains(bytes))
}

pub(super) fn budget(value: &Value) -> Option<usize> {
    size(value).filter(|bytes| (MIN_SIZE..=MAX_BUDGET).contains(bytes))
}

pub(super) fn size(value: &Value) -> Option<usize> {
    let (number, unit) = quantity(value)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(factor)?).ok()
}

/// Digits, then a unit.
pub(super) fn quantity(value: &Value) -> Option<(u64, &str)> {
    let text = value.as_str()?;
    let (digits, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    Some((digits.parse().ok()?, unit))
}

pub(super) fn count(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok().filter(|&n| n > 0)
}

pub(super) fn header(value: &Value) -> Option<String> {
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let name = value.as_str()?;
    (!name.is_empty() && name.bytes().all(token)).then(|| name.to_owned())
}

pub(super) fn viewer(value: &Value) -> Option<Vec<ViewerPart>> {
    let part = |part: String| match part.split_once(':') {
        None if part == "address" => Some(ViewerPart::Address),
        Some(("header", name)) => Some(ViewerPart::Header(header(&name.into())?)),
        Some(("cookie", name)) if !name.is_empty() => Some(ViewerPart::Cookie(name.to_owned())),
        _ => None,
    };
    let parts: Option<Vec<ViewerPart>> = strings(value)?.into_iter().map(part).collect();
    parts.filter(|parts| !parts.is_empty())
}

/// Its value is in no message: those end in logs.
pub(super) fn secret(value: &Value) -> Result<Secret, ConfigError> {
    let text = value.as_str().ok_or(ConfigError::NoText)?;
    text.parse().map_err(ConfigError::Secret)
}
