//! Asks an operator's endpoint or program for a new URL of a video whose URL has expired.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use thiserror::Error;
use tokio::io::AsyncReadExt;

use crate::config::{Asks, ResolverTerms, VARIABLES};

/// The longest answer that is read.
const MAX_ANSWER: usize = 64 << 10;

const HOUR: Duration = Duration::from_secs(3600);

/// Why there is no new URL.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// It was asked often enough this hour.
    #[error("the resolver was asked {0} times in an hour")]
    TooOften(u32),
    /// It took too long.
    #[error("the resolver did not answer in {0:?}")]
    Late(Duration),
    /// It could not be asked.
    #[error("the resolver could not be asked: {0}")]
    Unreachable(String),
    /// It has failed.
    #[error("the resolver has failed: {0}")]
    Failed(String),
    /// Its answer names no URL.
    #[error("the resolver's answer names no URL: {0:?}")]
    NoUrl(String),
}

/// What is known of a video now.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Resolved {
    /// A URL of the quality that was asked for.
    pub url: String,
    /// The video's title.
    pub title: Option<String>,
    /// The id of its channel.
    pub channel: Option<String>,
}

/// The resolver.
#[derive(Debug)]
pub struct Resolver {
    terms: ResolverTerms,
    client: Client<HttpConnector, Empty<Bytes>>,
    /// When it was asked in the last hour.
    asked: Mutex<VecDeque<Instant>>,
}

impl Resolver {
    /// One that has not been asked yet.
    pub fn new(terms: ResolverTerms) -> Self {
        Self {
            terms,
            client: Client::builder(TokioExecutor::new()).build_http(),
            asked: Mutex::default(),
        }
    }

    /// Whether it is asked for the channel of a video that is seen for the first time.
    pub const fn tells_channels(&self) -> bool {
        self.terms.channels
    }

    /// Asks for a URL of one quality of a video.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn resolve(&self, video_id: &str, itag: &str) -> Result<Resolved, ResolveError> {
        if !self.may_ask(Instant::now()) {
            return Err(ResolveError::TooOften(self.terms.per_hour));
        }
        let answer = async {
            match &self.terms.asks {
                Asks::Http(uri) => self.call(uri, video_id, itag).await,
                Asks::Command(parts) => run(parts, video_id, itag).await,
            }
        };
        let timeout = self.terms.timeout;
        let answer = tokio::time::timeout(timeout, answer).await;
        read(&answer.map_err(|_| ResolveError::Late(timeout))??)
    }

    fn may_ask(&self, now: Instant) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        while asked.front().is_some_and(|&at| at + HOUR <= now) {
            asked.pop_front();
        }
        let may = asked.len() < self.terms.per_hour as usize;
        if may {
            asked.push_back(now);
        }
        may
    }

    async fn call(&self, uri: &Uri, video_id: &str, itag: &str) -> Result<Vec<u8>, ResolveError> {
        let separator = if uri.query().is_some() { '&' } else { '?' };
        let url = format!("{uri}{separator}video_id={video_id}&itag={itag}");
        let unreachable = |error: &dyn ToString| ResolveError::Unreachable(error.to_string());
        let request = Request::get(url).body(Empty::new());
        let request = request.map_err(|error| unreachable(&error))?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await;
        let body = body.map_err(|error| unreachable(&error))?.to_bytes();
        match status {
            StatusCode::OK => Ok(body.to_vec()),
            _ => Err(ResolveError::Failed(status.to_string())),
        }
    }
}

/// Runs the program; dropped, it is killed.
async fn run(parts: &[String], video_id: &str, itag: &str) -> Result<Vec<u8>, ResolveError> {
    let filled = |part: &String| part.replace("{video_id}", video_id).replace("{itag}", itag);
    let mut filled = parts.iter().map(filled);
    let program = filled.next().unwrap_or_default();
    let failed = |error: &dyn ToString| {
        ResolveError::Unreachable(format!("{program}: {}", error.to_string()))
    };
    let mut command = tokio::process::Command::new(&program);
    // What may be known of the ports is none of its business.
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let mut child = command
        .args(filled)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error))?;
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        let limited = output
            .take(MAX_ANSWER as u64)
            .read_to_end(&mut answer)
            .await;
        limited.map_err(|error| failed(&error))?;
    }
    let status = child.wait().await.map_err(|error| failed(&error))?;
    match status.success() {
        true => Ok(answer),
        false => Err(ResolveError::Failed(status.to_string())),
    }
}

/// JSON with a `url`, or text whose first line with a URL is it.
fn read(answer: &[u8]) -> Result<Resolved, ResolveError> {
    let text = String::from_utf8_lossy(answer);
    let text = text.trim();
    let is_url = |text: &&str| text.starts_with("http://") || text.starts_with("https://");
    let resolved = match text.starts_with('{') {
        true => serde_json::from_str(text).ok(),
        false => text
            .lines()
            .map(str::trim)
            .find(is_url)
            .map(|url| Resolved {
                url: url.to_owned(),
                title: None,
                channel: None,
            }),
    };
    let named = resolved.filter(|resolved| is_url(&&resolved.url[..]));
    named.ok_or_else(|| ResolveError::NoUrl(text.chars().take(100).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_or_a_line() {
        let url = |answer: &str| read(answer.as_bytes()).map(|resolved| resolved.url).ok();
        let found = Some("https://a/v?expire=1".to_owned());
        assert_eq!(url("WARNING: x\nhttps://a/v?expire=1\nhttps://b/\n"), found);
        assert_eq!(
            url(r#"{"url": "https://a/v?expire=1", "ext": "mp4"}"#),
            found
        );
        assert_eq!(url(r#"{"url": "file:///etc/passwd"}"#), None);
        assert_eq!(url(r#"{"title": "x"}"#), None);
        assert_eq!(url(""), None);
        let channel = read(br#"{"url": "http://a/", "channel": "UC1", "title": "T"}"#).unwrap();
        assert_eq!(channel.channel.as_deref(), Some("UC1"));
    }

    #[tokio::test]
    async fn a_program_is_run_without_a_shell_and_not_for_long() {
        let resolver = |command: &[&str], millis| {
            Resolver::new(ResolverTerms {
                asks: Asks::Command(command.iter().map(|&part| part.to_owned()).collect()),
                timeout: Duration::from_millis(millis),
                per_hour: 2,
                channels: false,
            })
        };
        let echo = resolver(&["echo", "http://a/{itag}?v={video_id}"], 10_000);
        let resolved = echo.resolve("$(id);x", "22").await.unwrap();
        assert_eq!(resolved.url, "http://a/22?v=$(id);x");
        echo.resolve("x", "22").await.unwrap();
        let error = echo.resolve("x", "22").await.unwrap_err();
        assert!(matches!(error, ResolveError::TooOften(2)), "{error}");
        let late = resolver(&["sleep", "60{video_id}"], 50)
            .resolve("", "")
            .await;
        assert!(matches!(late, Err(ResolveError::Late(_))), "{late:?}");
        let failed = resolver(&["false", "{video_id}"], 10_000)
            .resolve("", "")
            .await;
        assert!(matches!(failed, Err(ResolveError::Failed(_))), "{failed:?}");
        let absent = resolver(&["no-such-program", "{video_id}"], 10_000);
        let absent = absent.resolve("", "").await;
        assert!(
            matches!(absent, Err(ResolveError::Unreachable(_))),
            "{absent:?}"
        );
    }
}
