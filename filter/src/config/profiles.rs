//! The field `profiles`: JSON → [`Rules`].

use serde_json::{Map, Value};
use viewcache_protocol::{Allowance, OwnProfile, Profile};

use super::{ConfigError, authorities, strings};
use crate::profile::{Key, Part, Rules, Template};

const LIST: &str = "a list of objects";
const NAME: &str = "a name of lower-case letters, digits, - and _, other than generic and youtube";
const PATH: &str = "a path such as \"/films/{id}/{file*}\"";
const AUTHORITIES: &str = "a list of authorities such as [\"media.example:8080\"]";
const METHODS: &str = "[\"GET\"] or [\"GET\", \"HEAD\"]";
const KEY: &str = "a list of parts such as [\"{id}\", \"?quality\", \"header:x-cut\"], each once and its captures in the path";
const NAMES: &str = "a list of query parameters";
const PARAMETER: &str = "the name of a query parameter";
const FLAG: &str = "true or false";
const STORE: &str = "a list of \"private\", \"set-cookie\", \"no-store\" and \"authorization\"";
const FIELDS: &str = "a field of a profile";
const ALONE: &str = "of use without key only";
const NEEDS_LENGTH: &str = "of use with length_parameter only";
const NOT_NAMED: &str = "a parameter that names the entity: in key, or not in ignore; else whoever asks could make a long film a short one";

/// The fields of one, as written.
struct Written<'a> {
    index: usize,
    fields: &'a Map<String, Value>,
}

impl Written<'_> {
    fn error(&self, field: &str, value: &Value, expected: &'static str) -> ConfigError {
        ConfigError::Value {
            field: format!("profiles[{}].{field}", self.index).into(),
            value: value.to_string(),
            expected,
        }
    }

    /// A field's value, if it is there.
    fn read<T>(
        &self,
        field: &str,
        expected: &'static str,
        convert: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let value = self.fields.get(field);
        let converted =
            value.map(|value| convert(value).ok_or_else(|| self.error(field, value, expected)));
        converted.transpose()
    }

    /// The value of a field that must be there.
    fn need<T>(
        &self,
        field: &str,
        expected: &'static str,
        convert: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let read = self.read(field, expected, convert)?;
        read.ok_or_else(|| self.error(field, &Value::Null, expected))
    }

    fn rules(&self) -> Result<Rules, ConfigError> {
        const KNOWN: [&str; 10] = [
            "name",
            "path",
            "authorities",
            "methods",
            "key",
            "ignore",
            "range_parameter",
            "length_parameter",
            "immutable",
            "store",
        ];
        let mut fields = self.fields.iter();
        if let Some((field, value)) = fields.find(|(field, _)| !KNOWN.contains(&field.as_str())) {
            return Err(self.error(field, value, FIELDS));
        }
        let mut allows = self.read("store", STORE, allowances)?.unwrap_or_default();
        if self.read("immutable", FLAG, Value::as_bool)? == Some(true) {
            allows.push(Allowance::Immutable);
        }
        let own = |name: &Value| OwnProfile::new(name.as_str()?, &allows);
        let profile = Profile::Own(self.need("name", NAME, own)?);
        let path = self.need("path", PATH, |path| Template::parse(path.as_str()?))?;
        let parts = self.read("key", KEY, |key| parts(key, &path))?;
        let ignored = self.read("ignore", NAMES, names)?;
        let key = match (parts, ignored) {
            (Some(_), Some(_)) => {
                let value = self.fields.get("ignore").unwrap_or(&Value::Null);
                return Err(self.error("ignore", value, ALONE));
            }
            (Some(parts), None) => Key::Parts(parts),
            (None, ignored) => Key::Url {
                ignored: ignored.unwrap_or_default(),
            },
        };
        let range_parameter = self.read("range_parameter", PARAMETER, parameter)?;
        let length_parameter = self.read("length_parameter", PARAMETER, parameter)?;
        if let (Some(range), None) = (&range_parameter, &length_parameter) {
            let value = Value::from(range.as_str());
            return Err(self.error("range_parameter", &value, NEEDS_LENGTH));
        }
        if let Some(length) = &length_parameter {
            let names = match &key {
                Key::Url { ignored } => !ignored.contains(length),
                Key::Parts(parts) => parts.contains(&Part::Query(length.clone())),
            };
            if !names {
                let value = Value::from(length.as_str());
                return Err(self.error("length_parameter", &value, NOT_NAMED));
            }
        }
        Ok(Rules {
            profile,
            path,
            authorities: self
                .read("authorities", AUTHORITIES, authorities)?
                .unwrap_or_default(),
            head: self.read("methods", METHODS, methods)?.unwrap_or(true),
            key,
            range_parameter,
            length_parameter,
        })
    }
}

/// Reads them, in their order.
pub(super) fn read(value: &Value) -> Result<Vec<Rules>, ConfigError> {
    let refused = || ConfigError::Value {
        field: "profiles".into(),
        value: value.to_string(),
        expected: LIST,
    };
    let mut all: Vec<Rules> = Vec::new();
    for (index, written) in value.as_array().ok_or_else(refused)?.iter().enumerate() {
        let fields = written.as_object().ok_or_else(refused)?;
        let written = Written { index, fields };
        let rules = written.rules()?;
        if all
            .iter()
            .any(|other| other.profile.name() == rules.profile.name())
        {
            let name = Value::from(rules.profile.name());
            return Err(written.error("name", &name, "another name than those before it"));
        }
        all.push(rules);
    }
    Ok(all)
}

fn allowances(value: &Value) -> Option<Vec<Allowance>> {
    let allowance = |name: String| match name.as_str() {
        "private" => Some(Allowance::Private),
        "set-cookie" => Some(Allowance::SetCookie),
        "no-store" => Some(Allowance::NoStore),
        "authorization" => Some(Allowance::Authorization),
        _ => None,
    };
    strings(value)?.into_iter().map(allowance).collect()
}

fn methods(value: &Value) -> Option<bool> {
    let methods = strings(value)?;
    let known = methods.iter().all(|m| m == "GET" || m == "HEAD");
    let get = methods.iter().any(|m| m == "GET");
    (known && get).then(|| methods.iter().any(|m| m == "HEAD"))
}

fn parts(value: &Value, path: &Template) -> Option<Vec<Part>> {
    let part = |text: String| {
        if let Some(name) = text.strip_prefix('?') {
            return parameter_name(name).map(Part::Query);
        }
        if let Some(name) = text.strip_prefix("header:") {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
            let sound = !name.is_empty() && name.bytes().all(plain);
            let name = name.to_ascii_lowercase();
            return sound.then_some(match name.as_str() {
                "host" => Part::Host,
                _ => Part::Header(name),
            });
        }
        let name = text.strip_prefix('{')?.strip_suffix('}')?;
        let known = path.names().any(|known| known == name);
        known.then(|| Part::Path(name.to_owned()))
    };
    let parts: Vec<Part> = strings(value)?
        .into_iter()
        .map(part)
        .collect::<Option<_>>()?;
    // Two of one name would be one in the key.
    let mut names: Vec<&str> = parts.iter().map(Part::name).collect();
    names.sort_unstable();
    names.dedup();
    (!parts.is_empty() && names.len() == parts.len()).then_some(parts)
}

fn names(value: &Value) -> Option<Vec<String>> {
    let names = strings(value)?;
    names.iter().map(|name| parameter_name(name)).collect()
}

fn parameter(value: &Value) -> Option<String> {
    parameter_name(value.as_str()?)
}

fn parameter_name(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_graphic() && !b"&=#?".contains(&b);
    (!name.is_empty() && name.bytes().all(plain)).then(|| name.to_owned())
}
