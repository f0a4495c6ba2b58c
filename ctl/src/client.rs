//! Calls of the management API.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

/// The longest that a call may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest answer that is read.
const MAX_ANSWER: u64 = 64 << 20;

/// The sidecar, as one can be called.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(url: &str, token_file: Option<&Path>) -> Result<Self> {
        if !url.starts_with("http://") {
            bail!("url: {url:?} does not begin with http://");
        }
        let token = match token_file {
            Some(file) => {
                let text = fs::read_to_string(file)
                    .with_context(|| format!("token-file: {}", file.display()))?;
                Some(token_in(&text).to_owned())
            }
            None => std::env::var("VIEWCACHE_TOKEN").ok(),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE));
        Ok(Self {
            agent: config.build().into(),
            base: url.trim_end_matches('/').to_owned(),
            token: token.filter(|token| !token.is_empty()),
        })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.call("GET", path, None)
    }

    /// What the API answers; `null` when that is nothing. What it refuses is an error with the
    /// detail of its problem.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let sent = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string())?)
            }
            // Said to be empty: without a length one would be announced, as if it were to come.
            None if method != "GET" && method != "DELETE" => {
                self.agent.run(request.body(String::new())?)
            }
            None => self.agent.run(request.body(())?),
        };
        let mut response = sent.with_context(|| url.clone())?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_ANSWER);
        let text = body.read_to_string().with_context(|| url.clone())?;
        let value = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        };
        if status.is_success() {
            return Ok(value);
        }
        let hint = match status.as_u16() {
            401 => " (give a token by --token-file or VIEWCACHE_TOKEN)",
            _ => "",
        };
        let detail = value["detail"].as_str().unwrap_or("no detail");
        bail!("{}: {detail}{hint}", status.as_u16());
    }

    /// The items of a list, page by page, until `limit` have come; 0 is all.
    pub(crate) fn list(&self, path: &str, limit: usize) -> Result<Vec<Value>> {
        let most = if limit == 0 { usize::MAX } else { limit };
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = match &cursor {
                Some(cursor) => self.get(&format!("{path}&cursor={}", escape(cursor)))?,
                None => self.get(path)?,
            };
            let more = page["items"].as_array().context("items: not a list")?;
            items.extend(more.iter().cloned());
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() || most <= items.len() {
                items.truncate(most);
                return Ok(items);
            }
        }
    }
}

/// The token of a file that has it alone, or of the first line of one that has roles before tokens.
fn token_in(text: &str) -> &str {
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().unwrap_or("");
    line.split_whitespace().last().unwrap_or("")
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3).
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_with_a_role_before_it_or_alone() {
        assert_eq!(token_in("abc\n"), "abc");
        assert_eq!(token_in("# for people\n\nadmin abc\nread def\n"), "abc");
        assert_eq!(token_in("\n"), "");
    }

    #[test]
    fn what_is_reserved_is_escaped() {
        assert_eq!(escape("a-b_c.d~e"), "a-b_c.d~e");
        assert_eq!(escape("a b/ü?"), "a%20b%2F%C3%BC%3F");
    }
}
