//! The table `[resolver]` of `viewcache.toml`: whoever gives a new URL for one that has expired.

use std::time::Duration;

use hyper::Uri;
use serde::Deserialize;

use super::{ConfigError, Span};

/// The table as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenResolver {
    http: Option<String>,
    command: Option<Vec<String>>,
    timeout: Option<Span>,
    per_hour: Option<u32>,
    channels: bool,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// This URL, with `video_id` and `itag` in its query.
    Http(Uri),
    /// This program with these arguments, in which `{video_id}` and `{itag}` are replaced; there is
    /// no shell.
    Command(Vec<String>),
}

/// How a new URL is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverTerms {
    /// Who is asked.
    pub asks: Asks,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often it is asked in an hour at the most.
    pub per_hour: u32,
    /// Whether it is asked for the channel of a video that is seen for the first time.
    pub channels: bool,
}

impl WrittenResolver {
    /// The resolver, if there is one.
    ///
    /// # Errors
    /// Names the setting and its value.
    pub(super) fn read(self) -> Result<Option<ResolverTerms>, ConfigError> {
        let error = |name: &'static str, value: String, expected| {
            ConfigError::Value(name.into(), value, expected)
        };
        let asks = match (self.http, self.command) {
            (None, None) => return Ok(None),
            (Some(text), None) => {
                let uri = text.parse::<Uri>().ok();
                let plain = |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some();
                let expected = "is not http://host:port/path";
                let uri = uri.filter(plain);
                Asks::Http(uri.ok_or_else(|| error("resolver.http", text, expected))?)
            }
            (None, Some(command)) if is_command(&command) => Asks::Command(command),
            (None, Some(command)) => {
                let expected = "is not a program and arguments with a {video_id} in them";
                return Err(error("resolver.command", format!("{command:?}"), expected));
            }
            (Some(text), Some(_)) => {
                return Err(error(
                    "resolver.http",
                    text,
                    "stands beside resolver.command",
                ));
            }
        };
        let timeout = self.timeout.map_or(Duration::from_secs(20), Span::get);
        if timeout.is_zero() {
            return Err(error("resolver.timeout", "0s".to_owned(), "is no time"));
        }
        Ok(Some(ResolverTerms {
            asks,
            timeout,
            per_hour: self.per_hour.unwrap_or(60),
            channels: self.channels,
        }))
    }
}

/// Whether an argument names the video; what a viewer's URL says is no program.
fn is_command(parts: &[String]) -> bool {
    let Some((program, arguments)) = parts.split_first() else {
        return false;
    };
    let stands_for = |part: &str| part.contains("{video_id}") || part.contains("{itag}");
    !stands_for(program) && arguments.iter().any(|part| part.contains("{video_id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<bool, &str>) {
        let written: WrittenResolver = toml::from_str(text).unwrap();
        let read = written.read().map(|terms| terms.is_some());
        let read = read.map_err(|error| error.to_string());
        match (read, expect) {
            (Ok(read), Ok(expect)) => assert_eq!(read, expect, "{text}"),
            (Err(error), Err(expect)) => assert!(error.starts_with(expect), "{error}"),
            (read, _) => panic!("{text}: {read:?}"),
        }
    }

    #[test]
    fn it_is_a_url_or_a_command() {
        check("", Ok(false));
        check("http = 'http://127.0.0.1:9000/resolve'", Ok(true));
        check(
            "command = ['yt-dlp', '-g', '--', '{video_id}']\nper_hour = 5",
            Ok(true),
        );
        check(
            "http = 'https://a/'",
            Err("resolver.http: \"https://a/\" is not"),
        );
        check("command = ['yt-dlp']", Err("resolver.command: "));
        for program in ["{video_id}", "/opt/{itag}"] {
            let text = format!("command = ['{program}', '{{video_id}}']");
            check(&text, Err("resolver.command: "));
        }
        check(
            "http = 'http://a/'\ncommand = ['{video_id}']",
            Err("resolver.http: "),
        );
        check(
            "http = 'http://a/'\ntimeout = '0s'",
            Err("resolver.timeout: "),
        );
    }
}
