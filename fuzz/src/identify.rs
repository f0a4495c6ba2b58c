//! Requests: which entity they are of, by each kind of profile. Two that are different never have
//! one key, and what is to be ignored changes none.

mod model;

use std::sync::LazyLock;

use viewcache_filter::config::Config;
use viewcache_filter::head::{Fields, RequestHead};
use viewcache_filter::profile::{self, BypassReason, versionless};
use viewcache_protocol::{DecideRequest, EntityKey, Profile, Wanted};

use model::Identity;

/// How URLs become entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As they stand.
    Generic,
    /// `/videoplayback`.
    Youtube,
    /// As they stand but for parameters `token`, `expires` and `range`.
    Url,
    /// By `{id}` of `/films/{id}/{file*}`, parameter `q` and field `x-cut`.
    Parts,
}

static CONFIGS: LazyLock<[(Kind, Config); 4]> = LazyLock::new(|| {
    let config = |text: &str| Config::parse(text.as_bytes()).expect("a configuration");
    [
        (Kind::Generic, config("{}")),
        (
            Kind::Youtube,
            config(r#"{"profile": "youtube", "viewer": ["cookie:sid", "header:user-agent"]}"#),
        ),
        (
            Kind::Url,
            config(
                r#"{"profiles": [{"name": "films", "path": "/{all*}", "ignore": ["token", "expires"],
                "range_parameter": "range", "length_parameter": "size", "store": ["authorization"]}],
                "channel_header": "x-channel"}"#,
            ),
        ),
        (
            Kind::Parts,
            config(
                r#"{"profiles": [{"name": "films", "path": "/films/{id}/{file*}",
                "key": ["{id}", "?q", "header:x-cut"], "immutable": true}],
                "client_directives": false}"#,
            ),
        ),
    ]
});

/// The lines: a number for the configuration, method, scheme, then an authority and a target, and
/// another authority and target, and header fields as `name: value`.
pub fn identify(data: &[u8]) {
    let mut lines = data.split(|&b| b == b'\n');
    let mut line = || lines.next();
    let (Some(number), Some(method), Some(scheme)) = (line(), line(), line()) else {
        return;
    };
    let (Some(authority), Some(target)) = (line(), line()) else {
        return;
    };
    let (Some(other_authority), Some(other_target)) = (line(), line()) else {
        return;
    };
    let number = usize::from(number.first().copied().unwrap_or(0));
    let (kind, config) = &CONFIGS[number % CONFIGS.len()];
    let fields: Vec<(String, Vec<u8>)> = lines.filter_map(field).collect();
    let head = |authority: &[u8], target: &[u8]| {
        let pseudo = [
            (":method", method),
            (":scheme", scheme),
            (":authority", authority),
            (":path", target),
        ];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.to_vec()));
        let end_of_stream = !fields.iter().any(|(name, _)| name == "content-length");
        RequestHead {
            fields: Fields([&pseudo[..], &fields].concat()),
            end_of_stream,
            address: b"192.0.2.1:1234".to_vec(),
        }
    };
    let one = look(*kind, config, &head(authority, target));
    let other = look(*kind, config, &head(other_authority, other_target));
    if let (Ok(one), Ok(other)) = (&one, &other) {
        let (a, b) = (&one.wanted.key, &other.wanted.key);
        let identity = |authority, target| Identity::of(*kind, scheme, authority, target, &fields);
        let same = identity(authority, target) == identity(other_authority, other_target);
        assert_eq!(a == b, same, "{a} {b}");
        assert_eq!(a.id() == b.id(), same, "{a} {b}");
    }
    if let Ok(one) = one {
        let key = &one.wanted.key;
        let whole = [authority, target].concat();
        // Read in another way, the same text is another's.
        for at in (0..whole.len()).filter(|&at| whole[at] == b'/' && at != authority.len()) {
            let (authority, target) = whole.split_at(at);
            let other = profile::identify(config, &head(authority, target));
            let named = key.as_str().contains("://");
            let same = other.is_ok_and(|other| other.wanted.key == *key);
            assert!(
                !(named && same),
                "{key} is also of {:?}",
                authority.escape_ascii()
            );
        }
        ignores(*kind, config, &one.wanted, authority, target, head);
    }
}

fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let at = line.iter().position(|&b| b == b':').filter(|&at| 0 < at)?;
    let name = std::str::from_utf8(&line[..at]).ok()?.to_ascii_lowercase();
    Some((name, line[at + 1..].trim_ascii().to_vec()))
}

/// What must hold for a request alone.
fn look(kind: Kind, config: &Config, head: &RequestHead) -> Result<DecideRequest, BypassReason> {
    let identified = profile::identify(config, head);
    let changed = profile::changed(config, head);
    let _ = (
        profile::unconditional(head),
        profile::only_if_cached(config, head),
    );
    let viewer = head.viewer(&config.viewer);
    assert!(viewer.len() == 16 && viewer.bytes().all(|b| b.is_ascii_hexdigit()));
    if let Some(key) = &changed {
        sound(key);
        assert!(!key.profile().immutable());
    }
    let request = match identified {
        Ok(request) => request,
        Err(reason) => {
            assert!(!reason.as_str().is_empty());
            return Err(reason);
        }
    };
    // Safe methods change nothing.
    assert_eq!(changed, None);
    let wanted = &request.wanted;
    sound(&wanted.key);
    assert_eq!(wanted.viewer, viewer);
    assert!(wanted.range.is_none() || wanted.parts.is_empty());
    assert!(!wanted.range_in_query || (wanted.range.is_some() && wanted.complete_length.is_some()));
    if kind == Kind::Generic {
        assert!(!wanted.range_in_query && wanted.origin_path.is_none());
    }
    if let Some(key) = versionless(&wanted.key) {
        sound(&key);
        assert!(key.part("lmt").is_none() && key.part("itag") == wanted.key.part("itag"));
    }
    let headers = wanted.to_headers();
    for (_, value) in &headers {
        // Whatever stands in a header of ours could end it otherwise.
        assert!(
            value.bytes().all(|b| b.is_ascii_graphic() || b == b' '),
            "{value:?}"
        );
    }
    let find = |name: &str| headers.iter().find(|(n, _)| *n == name);
    let read = Wanted::from_headers(|name| find(name).map(|(_, value)| &value[..]));
    assert_eq!(read.as_ref(), Ok(wanted));
    let json = serde_json::to_vec(&request).expect("a message");
    assert_eq!(
        serde_json::from_slice::<DecideRequest>(&json).ok().as_ref(),
        Some(&request)
    );
    let origin = profile::origin(head, wanted);
    if let Some(path) = &wanted.origin_path {
        assert_eq!(origin.path, *path);
        assert!(
            !model::query(path).iter().any(|(name, _)| *name == "range"),
            "{path}"
        );
    }
    Ok(request)
}

/// A key is one header's worth of visible text, and tells its profile.
fn sound(key: &EntityKey) {
    let text = key.as_str();
    assert!(text.len() <= EntityKey::MAX_LEN);
    assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{text:?}");
    assert!(text.starts_with(&format!("{}:", key.profile().tag())));
    assert_eq!(text.parse().as_ref(), Ok(key));
    assert_eq!(key.number(), 0);
    let second = key.variant(2);
    assert_eq!(second.as_str().parse().as_ref(), Ok(&second));
    assert!(second.id() != key.id() && second.node() == key.node() && second.variant(0) == *key);
}

/// A request for the same with a parameter more that says nothing.
fn ignores(
    kind: Kind,
    config: &Config,
    wanted: &Wanted,
    authority: &[u8],
    target: &[u8],
    head: impl Fn(&[u8], &[u8]) -> RequestHead,
) {
    let mark = if target.contains(&b'?') { "&" } else { "?" };
    let with = |more: &str| {
        let target = [target, mark.as_bytes(), more.as_bytes()].concat();
        let identified = profile::identify(config, &head(authority, &target));
        identified.map(|request| request.wanted.key)
    };
    // Of the others too, where the path is none of theirs.
    if wanted.key.profile() == Profile::Generic {
        return;
    }
    let (said, meant) = match kind {
        Kind::Generic => return,
        Kind::Youtube => ("expire=1&sig=a%20b&rn=7", "dur=1&xtags=zz"),
        Kind::Url => ("token=a&expires=9", "tokens=a"),
        Kind::Parts => ("other=1", "q=zz"),
    };
    assert_eq!(with(said).as_ref(), Ok(&wanted.key));
    // It is another entity, or it is not known which.
    assert_ne!(with(meant).as_ref(), Ok(&wanted.key));
}
