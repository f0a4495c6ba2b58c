//! Asks an operator's endpoint or program for a new URL of a video whose URL has expired.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

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
    /// The program would take what a viewer's URL says for an option.
    #[error("the resolver is not asked: {0:?} would be an option; put \"--\" before it")]
    Option(String),
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
        let (video_id, itag) = (value(video_id), value(itag));
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

/// A query parameter's value. What is percent-encoded is so already.
fn value(text: &str) -> String {
    const SET: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'%');
    utf8_percent_encode(text, SET).to_string()
}

/// The program and its arguments. What stands for a viewer's words is an argument's value and never
/// an option, such as `--exec=...`: where an argument begins with it, `--` must stand before.
fn filled(parts: &[String], video_id: &str, itag: &str) -> Result<Vec<String>, ResolveError> {
    let mut filled = Vec::with_capacity(parts.len());
    let mut options = true;
    for part in parts {
        // The ids have no braces that were not theirs from the start: each is put in once.
        let text = part
            .split("{video_id}")
            .map(|text| text.replace("{itag}", itag))
            .collect::<Vec<_>>()
            .join(video_id);
        if options && text.starts_with('-') && !part.starts_with('-') {
            return Err(ResolveError::Option(text));
        }
        options &= part != "--";
        filled.push(text);
    }
    Ok(filled)
}

/// Runs the program; dropped, it is killed.
async fn run(parts: &[String], video_id: &str, itag: &str) -> Result<Vec<u8>, ResolveError> {
    let mut filled = filled(parts, video_id, itag)?.into_iter();
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

    fn resolver(command: &[&str], millis: u64) -> Resolver {
        Resolver::new(ResolverTerms {
            asks: Asks::Command(command.iter().map(|&part| part.to_owned()).collect()),
            timeout: Duration::from_millis(millis),
            per_hour: 2,
            channels: false,
        })
    }

    #[test]
    fn what_a_viewer_says_is_no_option() {
        let check = |command: &[&str], id: &str, itag: &str, expect: Option<&[&str]>| {
            let parts: Vec<_> = command.iter().map(|&part| part.to_owned()).collect();
            let got = filled(&parts, id, itag);
            match expect {
                Some(expect) => assert_eq!(got.unwrap(), expect, "{command:?} {id}"),
                None => assert!(matches!(got, Err(ResolveError::Option(_))), "{got:?}"),
            }
        };
        let id = "--exec=reboot";
        check(&["p", "{video_id}"], id, "22", None);
        check(&["p", "{itag}", "{video_id}"], "a", "-f", None);
        check(&["p", "{video_id}", "--"], id, "22", None);
        check(&["{video_id}"], "-x", "", None);
        check(&["p", "--", "{video_id}"], id, "22", Some(&["p", "--", id]));
        check(
            &["p", "v={video_id}"],
            id,
            "",
            Some(&["p", "v=--exec=reboot"]),
        );
        check(
            &["p", "-f{itag}", "{video_id}"],
            "a",
            "-1",
            Some(&["p", "-f-1", "a"]),
        );
        // What stands for one is not looked for in the other.
        check(&["p", "{video_id}"], "{itag}", "-x", Some(&["p", "{itag}"]));
        check(
            &["p", "{itag}"],
            "-x",
            "{video_id}",
            Some(&["p", "{video_id}"]),
        );
    }

    #[test]
    fn what_a_viewer_says_is_one_value_of_the_query() {
        assert_eq!(value("a-b_C.~1%2F"), "a-b_C.~1%2F");
        assert_eq!(
            value("7&&itag=1#x+ \r\n"),
            "7%26%26itag%3D1%23x%2B%20%0D%0A"
        );
    }

    #[tokio::test]
    async fn an_answer_is_short_and_soon() {
        let answers = [
            ("yes http://a/v | head -c 100000000", None),
            ("head -c 200000 /dev/zero", None),
            (
                "printf 'http://a/\\377\\376'",
                Some("http://a/\u{fffd}\u{fffd}"),
            ),
            ("printf '\\377\\376'", None),
            ("printf '{\"url\": \"file:///etc/passwd\"}'", None),
            ("printf '{\"url\": '; yes '[' | head -c 60000", None),
            ("echo gopher://a/v; echo ' http://b/v'", Some("http://b/v")),
            ("echo http://a/v; exit 1", None),
        ];
        for (script, expect) in answers {
            let got = resolver(&["sh", "-c", script, "{video_id}"], 10_000);
            let got = got.resolve("x", "22").await.map(|resolved| resolved.url);
            assert_eq!(got.ok().as_deref(), expect, "{script}");
        }
    }

    #[tokio::test]
    async fn a_program_is_run_without_a_shell_and_not_for_long() {
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
