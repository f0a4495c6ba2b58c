//! From a request's head to the entity and the range it wants, or the reason for which the cache
//! is not consulted.

mod bypass;
mod own;
mod query;
mod template;
mod youtube;

use viewcache_protocol::{
    Allowance, CacheControl, Conditions, DecideRequest, EntityKey, OriginRequest, Profile,
    RangeError, RangeSpec, Selecting, Wanted, header,
};

use crate::config::Config;
use crate::head::{Fields, RequestHead};
pub use bypass::BypassReason;
pub use own::{Key, Part, Rules};
pub use template::Template;
pub use youtube::versionless;

/// What the profile reads from the URL.
struct Url<'a> {
    scheme: &'a str,
    authority: String,
    /// Path and query.
    target: &'a str,
}

impl<'a> Url<'a> {
    fn path(&self) -> &'a str {
        self.split().0
    }

    fn query(&self) -> &'a str {
        self.split().1
    }

    fn split(&self) -> (&'a str, &'a str) {
        self.target.split_once('?').unwrap_or((self.target, ""))
    }
}

/// Turns a request into what it wants.
///
/// # Errors
/// The first reason for which the cache is not consulted.
pub fn identify(config: &Config, head: &RequestHead) -> Result<DecideRequest, BypassReason> {
    let fields = &head.fields;
    let head_only = match fields.first(":method") {
        Some(b"GET") => false,
        Some(b"HEAD") => true,
        _ => return Err(BypassReason::Method),
    };
    let url = url(config, fields)?;
    let rules = rules(config, &url);
    if head_only && rules.is_some_and(|rules| !rules.head) {
        return Err(BypassReason::Method);
    }
    judge(head, rules)?;
    if config.client_directives {
        directives(fields)?;
    }
    let conditions = conditions(fields)?;
    let selecting = Selecting::read(|name| lines(fields, name, Selecting::MAX_LEN))?;
    // Range means something to GET alone (RFC 9110 section 14.2).
    let (range, parts) = match head_only {
        true => (None, Vec::new()),
        false => ranges(fields)?,
    };
    let mut wanted = entity(config, &url, fields)?;
    if wanted.range.is_some() && (range.is_some() || !parts.is_empty()) {
        return Err(BypassReason::SeveralRanges);
    }
    wanted.range = wanted.range.or(range);
    wanted.parts = parts;
    wanted.viewer = head.viewer(&config.viewer);
    Ok(DecideRequest {
        wanted,
        head: head_only,
        conditions,
        selecting,
        channel: channel(config, fields),
        request_id: request_id(fields),
    })
}

/// As Envoy names the request. A viewer may have made it up, so it is kept short.
fn request_id(fields: &Fields) -> Option<String> {
    const MAX_LEN: usize = 128;
    let value = fields.first(header::REQUEST_ID)?;
    let value = std::str::from_utf8(value).ok()?;
    let fits = value.len() <= MAX_LEN && value.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| value.to_owned())
}

/// The channel that a trusted front-end names; text that cannot be one names none.
fn channel(config: &Config, fields: &Fields) -> Option<String> {
    const MAX_LEN: usize = 128;
    let value = fields.first(config.channel_header.as_deref()?)?;
    let value = std::str::from_utf8(value).ok()?;
    let named = (1..=MAX_LEN).contains(&value.len());
    (named && value.bytes().all(|b| b.is_ascii_graphic())).then(|| value.to_owned())
}

/// How the sidecar is to ask the origin for more of what this request wants.
pub fn origin(head: &RequestHead, wanted: &Wanted) -> OriginRequest {
    let text = |name: &str| {
        let value = head.fields.first(name)?;
        String::from_utf8(value.to_vec()).ok()
    };
    let field = |name: &str| {
        let value = match name {
            header::REQUEST_ID => request_id(&head.fields),
            _ => text(name),
        };
        Some((name.to_owned(), value?))
    };
    OriginRequest {
        authority: text(":authority").unwrap_or_default(),
        path: wanted
            .origin_path
            .clone()
            .or_else(|| text(":path"))
            .unwrap_or_default(),
        fields: OriginRequest::FIELDS
            .into_iter()
            .filter_map(field)
            .collect(),
    }
}

/// The same, with the header fields that name the entity.
pub fn origin_by_key(config: &Config, head: &RequestHead, wanted: &Wanted) -> OriginRequest {
    let mut origin = origin(head, wanted);
    let field = |name: &str| {
        let value = String::from_utf8(head.fields.first(name)?.to_vec()).ok()?;
        Some((name.to_owned(), value))
    };
    let named = key_fields(config, wanted).filter_map(field);
    origin.fields.extend(named);
    origin
}

/// The header fields that name this entity, as far as the sidecar has to have them.
pub fn key_fields<'a>(config: &'a Config, wanted: &Wanted) -> impl Iterator<Item = &'a str> {
    let profile = wanted.key.profile();
    let mut profiles = config.profiles.iter();
    let rules = profiles.find(|rules| rules.profile == profile);
    let fields = rules.into_iter().flat_map(Rules::key_fields);
    fields.filter(|name| OriginRequest::carries(name))
}

/// The operator's profile of a URL, if it has one.
fn rules<'a>(config: &'a Config, url: &Url<'_>) -> Option<&'a Rules> {
    config.profiles.iter().find(|rules| rules.matches(url))
}

/// The entity of a URL, and what else the URL tells.
fn entity(config: &Config, url: &Url<'_>, fields: &Fields) -> Result<Wanted, BypassReason> {
    match (rules(config, url), config.profile) {
        (Some(rules), _) => rules.identify(url, fields),
        (None, Profile::Youtube) => youtube::identify(url.target),
        (None, _) => generic(url),
    }
}

/// Whether the request says nothing by which its answer could differ from another's for the same
/// entity: no condition, no directive, no credentials. Only then need the sidecar not be asked.
pub fn unconditional(head: &RequestHead) -> bool {
    const DIRECTIVES: [&str; 3] = ["authorization", "cache-control", "pragma"];
    let mut names = head.fields.0.iter().map(|(name, _)| name.as_str());
    !names.any(|name| name.starts_with("if-") || DIRECTIVES.contains(&name))
}

/// Whether the client wants nothing that is not stored (RFC 9111 section 5.2.1.7).
pub fn only_if_cached(config: &Config, head: &RequestHead) -> bool {
    let control = texts(&head.fields, "cache-control").unwrap_or_default();
    config.client_directives && CacheControl::parse(control).only_if_cached
}

/// The entity that a request changes when it succeeds: one by a method that is not safe
/// (RFC 9111 section 4.4, RFC 9110 section 9.2.1). What never changes is not.
pub fn changed(config: &Config, head: &RequestHead) -> Option<EntityKey> {
    let safe: [&[u8]; 5] = [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT"];
    let method = head.fields.first(":method")?;
    if safe.contains(&method) {
        return None;
    }
    let url = url(config, &head.fields).ok()?;
    let key = entity(config, &url, &head.fields).ok()?.key;
    (!key.profile().immutable()).then_some(key)
}

fn url<'a>(config: &Config, fields: &'a Fields) -> Result<Url<'a>, BypassReason> {
    // Visible ASCII, because parts of these travel on in headers.
    let required = |name| match fields.first(name).map(std::str::from_utf8) {
        Some(Ok(text)) if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(text),
        _ => Err(BypassReason::UnreadableHeader),
    };
    let target = required(":path")?;
    // No URL has these (RFC 3986 section 2). Envoy and many an origin take them; the sidecar's HTTP
    // does not, so what is routed there with one of them would be an error for the viewer.
    if target.contains(['"', '<', '>', '`', '#']) {
        return Err(BypassReason::UnreadableHeader);
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if !config.paths.iter().any(|prefix| path.starts_with(prefix)) {
        return Err(BypassReason::Path);
    }
    let authority = required(":authority")?.to_ascii_lowercase();
    let scheme = required(":scheme")?;
    // Where one ends and the next begins must be certain, or two URLs could have one key.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    if authority.contains(['/', '?', '#']) || !scheme.bytes().all(plain) {
        return Err(BypassReason::UnreadableHeader);
    }
    if !config.authorities.is_empty() && !config.authorities.contains(&authority) {
        return Err(BypassReason::Authority);
    }
    Ok(Url {
        scheme,
        authority,
        target,
    })
}

/// Whether the answer may come from a store.
fn judge(head: &RequestHead, rules: Option<&Rules>) -> Result<(), BypassReason> {
    let fields = &head.fields;
    if fields.has("upgrade") {
        return Err(BypassReason::Upgrade);
    }
    if !head.end_of_stream {
        return Err(BypassReason::Body);
    }
    let shared = rules.is_some_and(|rules| rules.profile.allows(Allowance::Authorization));
    if fields.has("authorization") && !shared {
        return Err(BypassReason::Authorization);
    }
    Ok(())
}

/// What the client's own directives ask for (RFC 9111 section 5.2.1).
fn directives(fields: &Fields) -> Result<(), BypassReason> {
    let control = texts(fields, "cache-control")?;
    let control = if control.is_empty() {
        // Pragma counts only where Cache-Control is absent (RFC 9111 section 5.4).
        texts(fields, "pragma")?
    } else {
        control
    };
    let control = CacheControl::parse(control);
    if control.no_store {
        return Err(BypassReason::NoStore);
    }
    if control.no_cache {
        return Err(BypassReason::NoCache);
    }
    Ok(())
}

fn conditions(fields: &Fields) -> Result<Conditions, BypassReason> {
    let read = |name| lines(fields, name, Conditions::MAX_LEN);
    Conditions::read(read).map_err(|_| BypassReason::Condition)
}

/// The lines of a field, which together are no longer than this.
fn lines(fields: &Fields, name: &'static str, max_len: usize) -> Result<Vec<String>, BypassReason> {
    let lines = texts(fields, name)?;
    let len: usize = lines.iter().map(|line| line.len()).sum();
    if max_len < len {
        return Err(BypassReason::UnreadableHeader);
    }
    Ok(lines.into_iter().map(str::to_owned).collect())
}

fn texts<'a>(fields: &'a Fields, name: &'a str) -> Result<Vec<&'a str>, BypassReason> {
    let text = |value| std::str::from_utf8(value).map_err(|_| BypassReason::UnreadableHeader);
    fields.all(name).map(text).collect()
}

/// One range, or several.
fn ranges(fields: &Fields) -> Result<(Option<RangeSpec>, Vec<RangeSpec>), BypassReason> {
    let mut values = fields.all("range");
    let Some(value) = values.next() else {
        return Ok((None, Vec::new()));
    };
    if values.next().is_some() {
        return Err(BypassReason::SeveralRanges);
    }
    if std::str::from_utf8(value).is_err() {
        return Err(BypassReason::UnreadableHeader);
    }
    match RangeSpec::parse_header(value) {
        Ok(range) => Ok((Some(range), Vec::new())),
        Err(RangeError::Several) => Ok((None, RangeSpec::parse_parts(value)?)),
        Err(error) => Err(error.into()),
    }
}

/// Every URL is one entity, its query taken as it stands.
fn generic(url: &Url<'_>) -> Result<Wanted, BypassReason> {
    let key = key(
        Profile::Generic,
        &format!("{}://{}{}", url.scheme, url.authority, url.target),
    )?;
    Ok(Wanted::whole(key))
}

/// The key, or why the URL does not make one.
fn key(profile: Profile, rest: &str) -> Result<EntityKey, BypassReason> {
    let prefix = profile.tag().len().saturating_add(1);
    let too_long = EntityKey::MAX_LEN < rest.len().saturating_add(prefix);
    EntityKey::new(profile, rest).map_err(|_| {
        if too_long {
            BypassReason::UrlTooLong
        } else {
            BypassReason::UnreadableHeader
        }
    })
}

/// A range in the URL: `a-b` or `a-`; there is no suffix form.
fn query_range(text: &str) -> Result<RangeSpec, BypassReason> {
    match text.parse()? {
        RangeSpec::Suffix { .. } => Err(BypassReason::MalformedRange),
        range => Ok(range),
    }
}

#[cfg(test)]
mod tests;
