//! The policy.

use std::io::Read;
use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::args::PolicyAction;
use crate::client::Client;
use crate::output;

const PATH: &str = "/v1/policy";

/// Shows the policy, after it was changed if it is to be.
pub(super) fn run(client: &Client, action: Option<PolicyAction>, json: bool) -> Result<()> {
    let policy = match action {
        None => client.get(PATH)?,
        Some(PolicyAction::Set { changes }) => {
            client.call("PATCH", PATH, Some(&patch(&changes)?))?
        }
        Some(PolicyAction::Replace { file }) => client.call("PUT", PATH, Some(&read(&file)?))?,
    };
    if json {
        return output::json(&policy);
    }
    let mut rules = Vec::new();
    flatten("", &policy, &mut rules);
    let rules: Vec<_> = rules
        .iter()
        .map(|(name, value)| (&name[..], value.clone()))
        .collect();
    output::facts(&rules)
}

/// The rules by the names that `set` knows them by, and as it takes them.
fn flatten(name: &str, value: &Value, rules: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (member, value) in members {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(&format!("{name}{dot}{member}"), value, rules);
            }
        }
        Value::String(word) => rules.push((name.to_owned(), word.clone())),
        other => rules.push((name.to_owned(), other.to_string())),
    }
}

fn read(file: &Path) -> Result<Value> {
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin().read_to_string(&mut text)?;
    } else {
        text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// What merges into the policy (RFC 7396).
fn patch(changes: &[String]) -> Result<Value> {
    let mut patch = Map::new();
    for change in changes {
        let Some((path, text)) = change.split_once('=') else {
            bail!("{change:?} is not NAME=VALUE");
        };
        let value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
        let (parents, name) = match path.rsplit_once('.') {
            Some((parents, name)) => (parents.split('.').collect(), name),
            None => (Vec::new(), path),
        };
        let mut inside = &mut patch;
        for parent in parents {
            let next = inside.entry(parent).or_insert_with(|| Map::new().into());
            inside = next
                .as_object_mut()
                .with_context(|| format!("{path}: {parent} is given a value as well"))?;
        }
        inside.insert(name.to_owned(), value);
    }
    Ok(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_told_as_they_can_be_set() {
        let policy = json!({
            "keep": "complete",
            "admit": {"watched_percent": 10},
            "profiles": {"youtube": {"quality": ["137", "136"]}},
            "none": {},
        });
        let mut rules = Vec::new();
        flatten("", &policy, &mut rules);
        rules.sort_unstable();
        let expected = [
            ("admit.watched_percent", "10"),
            ("keep", "complete"),
            ("none", "{}"),
            ("profiles.youtube.quality", r#"["137","136"]"#),
        ];
        assert_eq!(rules, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn names_and_values_become_a_patch() {
        let changes = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            patch(&words).map_err(|error| error.to_string())
        };
        assert_eq!(
            changes(&[
                "admit.watched_percent=5",
                "admit.viewers=2",
                "keep=complete",
                "mode=null"
            ]),
            Ok(
                json!({"admit": {"watched_percent": 5, "viewers": 2}, "keep": "complete", "mode": null})
            ),
        );
        assert_eq!(
            changes(&["keep"]),
            Err("\"keep\" is not NAME=VALUE".to_owned())
        );
        assert_eq!(
            changes(&["a=1", "a.b=2"]),
            Err("a.b: a is given a value as well".to_owned()),
        );
    }
}
