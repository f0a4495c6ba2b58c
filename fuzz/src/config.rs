//! Configurations: the filter's JSON, the sidecar's TOML and its flags. What is refused is named,
//! what is secret is not told, and what is taken means the same however it is spelled.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::{CommandFactory, Parser};
use serde_json::{Map, Value};
use viewcache_filter::config::{Config as FilterConfig, ConfigError as FilterError};
use viewcache_sidecar::config::{ByteSize, Config, MinFree, Written};

/// No other text has it.
const SECRET: &str = "QzQzQzQzQ";

/// The first byte says which, the others are its text.
pub fn config(data: &[u8]) {
    if data
        .windows(SECRET.len())
        .any(|some| some == SECRET.as_bytes())
    {
        return;
    }
    match data.split_first() {
        Some((b'f', text)) => filter(text),
        Some((b's', text)) => sidecar(text),
        Some((b'a', text)) => flags(text),
        _ => {}
    }
}

fn filter(text: &[u8]) {
    let document = serde_json::from_slice::<Value>(text);
    let read = FilterConfig::parse(text);
    let blank = text.trim_ascii().is_empty();
    let Some(fields) = document.as_ref().ok().and_then(Value::as_object) else {
        assert!(blank || read.is_err());
        return;
    };
    let again = |fields: &Map<String, Value>| {
        let text = serde_json::to_vec(fields).expect("a document");
        FilterConfig::parse(&text)
    };
    match read {
        Ok(config) => {
            assert_eq!(again(fields).as_ref(), Ok(&config));
            // What is said with the defaults' own words says nothing.
            let mut more = fields.clone();
            more.entry("remember").or_insert(Value::Bool(true));
            more.entry("chunk_min").or_insert("64KiB".into());
            if fields.contains_key("chunk_min") || config.mirror.chunk_min == 64 * 1024 {
                assert_eq!(again(&more).as_ref(), Ok(&config));
            }
        }
        Err(error) => {
            let text = error.to_string();
            if let FilterError::Value { field, .. } = &error {
                assert!(text.starts_with(&**field), "{text}");
                let field = field.split(['.', '[']).next().unwrap_or_default();
                // It is that field's fault, and no other's.
                let mut less = fields.clone();
                assert!(less.remove(field).is_some(), "{text}");
                assert_ne!(again(&less), Err(error), "{text}");
            } else {
                let known = [
                    "configuration: ",
                    "secret: ",
                    "chunk_max: ",
                    "mirror_budget: ",
                ];
                assert!(known.iter().any(|known| text.starts_with(known)), "{text}");
            }
        }
    }
    let mut secret = fields.clone();
    for value in [
        SECRET.into(),
        SECRET.repeat(40).into(),
        Value::from([SECRET]),
    ] {
        secret.insert("secret".to_owned(), value);
        if let Err(error) = again(&secret) {
            assert!(!error.to_string().contains(SECRET), "{error}");
        }
    }
}

/// The settings that files have, flags and those that stand in the file only.
static SETTINGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let command = Written::command();
    let flags = command
        .get_arguments()
        .filter_map(|argument| argument.get_long());
    let tables = [
        "tokens", "secret", "profiles", "resolver", "peers", "config",
    ];
    let names = flags.chain(tables);
    names.map(|name| name.replace('-', "_")).collect()
});

/// Settings that name files, which are not opened here.
const FILES: [&str; 4] = ["tokens_file", "secret_file", "token_file", "filter_config"];

fn sidecar(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let path = Path::new("viewcache.toml");
    let read = Written::parse(path, text);
    if FILES.iter().any(|file| text.contains(file)) {
        return;
    }
    let document = toml::from_str::<toml::Table>(text);
    let Ok(mut document) = document else {
        let error = read.expect_err("what is no TOML is no configuration");
        assert!(
            error
                .to_string()
                .starts_with("config: viewcache.toml: line ")
        );
        return;
    };
    let again = |document: &toml::Table| {
        let text = toml::to_string(document).expect("a document");
        let written = Written::parse(path, &text).map_err(|error| error.to_string())?;
        Config::over(Written::default(), written).map_err(|error| error.to_string())
    };
    match read.and_then(|written| Config::over(Written::default(), written)) {
        Ok(config) => {
            assert_eq!(again(&document).as_ref(), Ok(&config));
            sound(&config);
        }
        Err(error) => named(&error.to_string()),
    }
    let secret = || toml::Value::from(SECRET);
    let tokens = [("admin".to_owned(), secret())].into_iter().collect();
    let told = |document: &toml::Table| {
        if let Err(error) = again(document) {
            assert!(!error.contains(SECRET), "{error}");
        }
    };
    for (name, value) in [
        ("secret", secret()),
        ("secret", toml::Value::Array(vec![secret()])),
        ("tokens", toml::Value::Table(tokens)),
        ("tokens", secret()),
    ] {
        let before = document.insert(name.to_owned(), value);
        told(&document);
        match before {
            Some(before) => document.insert(name.to_owned(), before),
            None => document.remove(name),
        };
    }
}

fn named(error: &str) {
    let end = error
        .find([':', '.'])
        .expect("a field and what is wrong with it");
    let name = &error[..end];
    assert!(SETTINGS.iter().any(|known| known == name), "{error}");
}

/// What is printed is read again, and the bounds hold.
fn sound(config: &Config) {
    for size in [config.max_bytes, config.ingest_memory] {
        assert_eq!(size.to_string().parse(), Ok(size));
        assert!(1 << 20 <= size.bytes());
    }
    assert_eq!(
        config.data_listen.to_string().parse(),
        Ok(config.data_listen.clone())
    );
    assert_eq!(config.egress.scheme_str(), Some("http"));
    match config.min_free {
        MinFree::Bytes(size) => assert_eq!(size.to_string().parse(), Ok(size)),
        MinFree::Part(_) => {
            // All of a disk cannot be left free.
            for total in [0, 10_000, 1 << 40] {
                let free = config.min_free.bytes(total);
                assert!(
                    free < total || total == 0,
                    "{:?} of {total}",
                    config.min_free
                );
            }
        }
    }
}

/// Flags, one a line.
fn flags(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let args = text.split('\n').filter(|arg| !arg.is_empty());
    let Ok(mut written) = Written::try_parse_from(["viewcache-sidecar"].into_iter().chain(args))
    else {
        return;
    };
    // What they name is not opened here.
    written.config = None;
    written.tokens_file = None;
    written.secret_file = None;
    written.filter_config = None;
    match Config::over(written.clone(), Written::default()) {
        Ok(config) => {
            sound(&config);
            // Flags win over the file.
            let file = Written {
                max_bytes: Some("7GiB".parse::<ByteSize>().expect("a size")),
                data_dir: Some(PathBuf::from("elsewhere")),
                ..Written::default()
            };
            let other = Config::over(written.clone(), file).expect("as before");
            let kept = written.max_bytes.is_none() || other.max_bytes == config.max_bytes;
            assert!(kept && (written.data_dir.is_none() || other.data_dir == config.data_dir));
        }
        Err(error) => named(&error.to_string()),
    }
}
