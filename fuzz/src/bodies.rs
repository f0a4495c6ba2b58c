//! Bodies of the REST API, and what imports read from paths.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use viewcache_sidecar::catalogue::{Channel, Video, subscriptions};
use viewcache_sidecar::fuzzing::{patched, said};
use viewcache_sidecar::imports::{Pattern, Request, Target};
use viewcache_sidecar::policy::Policy;
use viewcache_sidecar::service;

/// The first byte says what the others are.
pub fn bodies(data: &[u8]) {
    match data.split_first() {
        Some((b'p', body)) => document(body, |policy: &Policy| {
            policy.check().map_err(|e| e.to_string())
        }),
        Some((b'c', body)) => document(body, |channel: &Channel| {
            channel.fault().map_or(Ok(()), Err)
        }),
        Some((b'v', body)) => document(body, |video: &Video| video.fault().map_or(Ok(()), Err)),
        Some((b'd', body)) => {
            let _ = read::<service::Request>(body);
        }
        Some((b'i', body)) => import(body),
        Some((b't', text)) => pattern(text),
        Some((b's', text)) => lists(text),
        _ => {}
    }
}

/// What a body says; what is wrong with it is named by a path that leads there.
fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let document = serde_json::from_slice::<Value>(body);
    match said(body) {
        Ok(said) => {
            assert!(document.is_ok_and(|document| document.is_object()));
            Some(said)
        }
        Err(detail) => {
            named(document.ok().as_ref(), &detail);
            None
        }
    }
}

fn named(document: Option<&Value>, detail: &str) {
    let (field, why) = detail.split_once(": ").expect("a field and what is wrong");
    assert!(!why.is_empty());
    if field == "body" {
        return;
    }
    let document = document.expect("what has a field is JSON");
    // A name may have a dot in it, and one that is missing leads to where it should be.
    let first = field.split(['.', '[']).next().unwrap_or_default();
    let leads = document.as_object().is_some_and(|members| {
        members.keys().any(|name| name.starts_with(first)) || !field.contains('.')
    });
    assert!(leads, "{detail} of {document}");
}

/// Something that can be read, replaced and changed.
fn document<T>(body: &[u8], check: impl Fn(&T) -> Result<(), String>)
where
    T: Serialize + DeserializeOwned + Default + PartialEq + Debug,
{
    if let Some(value) = read::<T>(body) {
        let told = serde_json::to_value(&value).expect("an object");
        if let Err(detail) = check(&value) {
            named(Some(&told), &detail);
        }
        // What is told can be said again, whole or as a change of anything else.
        let text = told.to_string();
        assert_eq!(said(text.as_bytes()).as_ref(), Ok(&value));
        assert_eq!(patched(&T::default(), text.as_bytes()).as_ref(), Ok(&value));
        assert_eq!(patched(&value, b"{}").as_ref(), Ok(&value));
    }
    match patched(&T::default(), body) {
        Ok(value) => {
            // A change that is made again changes nothing.
            assert_eq!(patched(&value, body).as_ref(), Ok(&value));
            // What it named and is taken away again has its default.
            if let Ok(Value::Object(members)) = serde_json::from_slice(body) {
                let nulls: Value = members
                    .keys()
                    .map(|name| (name.clone(), Value::Null))
                    .collect();
                let bare = patched(&value, nulls.to_string().as_bytes());
                assert_eq!(bare.as_ref(), Ok(&T::default()));
            }
        }
        Err(detail) => assert!(detail.contains(": "), "{detail}"),
    }
}

fn import(body: &[u8]) {
    let Some(request) = read::<Request>(body) else {
        return;
    };
    let told = serde_json::to_vec(&request).expect("an object");
    assert_eq!(said(&told).as_ref(), Ok(&request));
    for videos in [None, Some("videos.example")] {
        match request.plan(videos) {
            Ok(plan) => assert_eq!(Pattern::parse(&request.pattern), Ok(plan.pattern)),
            Err(error) => named(
                serde_json::from_slice(&told).ok().as_ref(),
                &error.to_string(),
            ),
        }
    }
}

/// A pattern, a path, and a URL; a line each.
fn pattern(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, path, url) = (line(), line(), line());
    // Longer ones are refused by file systems.
    if 256 < path.len() {
        return;
    }
    let Ok(read) = Pattern::parse(pattern) else {
        return;
    };
    let names: Vec<&str> = read.names().collect();
    let Ok(parts) = read.parts(path) else {
        return;
    };
    assert!(
        parts
            .iter()
            .map(|(name, _)| &name[..])
            .eq(names.iter().copied())
    );
    assert!(parts.iter().all(|(_, text)| !text.is_empty()));
    // Put together again they are the path.
    let mut whole = String::new();
    let mut rest = pattern;
    for (_, text) in &parts {
        let (before, after) = rest.split_once('{').expect("a part");
        whole.push_str(before);
        whole.push_str(text);
        rest = after.split_once('}').expect("its end").1;
    }
    whole.push_str(rest);
    assert_eq!(whole, path, "{pattern}");
    if let Ok(target) = Target::parse(url, &names) {
        let made = target.url(&parts, 7);
        // What a part has adds no query.
        let marks = |text: &str| text.matches('?').count();
        assert_eq!(marks(&made), marks(url), "{made}");
    }
}

/// Subscriptions from elsewhere.
fn lists(text: &[u8]) {
    let Ok(found) = subscriptions(text) else {
        return;
    };
    for (id, _) in found {
        assert!(viewcache_sidecar::catalogue::is_id(&id), "{id:?}");
    }
}
