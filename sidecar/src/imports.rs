//! Imports: files that were downloaded before become entities. What the operator asks for, what
//! the path of a file tells, and what becomes of it. Pure.

mod media_type;
mod outcome;
mod pattern;
mod target;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use media_type::media_type;
pub use outcome::{Counts, OUTCOMES, Outcome, REASONS, Skip, SkipReason, Told};
pub use pattern::{Mismatch, Parts, Pattern, PatternError};
pub use target::{Target, TargetError};

/// How files may be brought into the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ImportMode")]
pub enum Mode {
    /// As the file system can: by reflink, else by hard link, else as a copy.
    #[default]
    Auto,
    /// By reflink alone.
    Reflink,
    /// By hard link alone.
    Hardlink,
    /// As a copy.
    Copy,
}

/// What is to be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ImportRequest")]
pub struct Request {
    /// The files below this folder.
    #[schemars(with = "String", example = &"/videos")]
    pub folder: PathBuf,
    /// What their paths tell.
    #[schemars(example = &"{video_id}-{itag}.{ext}")]
    pub pattern: String,
    /// By which URL viewers ask for such a file. Without one, their paths tell videos and
    /// qualities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"http://media.example/films/{video_id}")]
    pub url: Option<String>,
    /// Their media type, where no origin names it and they do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"video/mp4")]
    pub content_type: Option<String>,
    /// How they are brought.
    #[serde(default)]
    pub mode: Mode,
    /// Whether what was used least recently may go for them.
    #[serde(default)]
    pub evict: bool,
    /// Whether it is only told what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Why a request makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The pattern is none.
    #[error("pattern: {0}")]
    Pattern(#[from] PatternError),
    /// The URL is none.
    #[error("url: {0}")]
    Url(#[from] TargetError),
    /// Without a URL a part is needed.
    #[error("pattern: {{{0}}} is not in it; name it, or a \"url\"")]
    Part(&'static str),
    /// Without a URL the files are videos, and those are not cached as such.
    #[error("url: absent, and the profile of filter_config is not \"youtube\"")]
    NoUrl,
    /// The media type is none.
    #[error("content_type: {0:?} is not a media type such as \"video/mp4\"")]
    ContentType(String),
}

/// A request that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What paths tell.
    pub pattern: Pattern,
    /// Whose bytes files have.
    pub target: Target,
    /// Whether the URL is one of a video whose `lmt` nobody knows: it has 0 in its place.
    pub versionless: bool,
}

impl Request {
    /// Reads it. `videos` is the authority of the URLs of videos, where such are cached.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn plan(&self, videos: Option<&str>) -> Result<Plan, RequestError> {
        let pattern = Pattern::parse(&self.pattern)?;
        if let Some(text) = self
            .content_type
            .as_ref()
            .filter(|text| !is_media_type(text))
        {
            return Err(RequestError::ContentType(text.clone()));
        }
        let names: Vec<&str> = pattern.names().collect();
        let (url, versionless) = match &self.url {
            Some(url) => (url.clone(), false),
            None => {
                let authority = videos.ok_or(RequestError::NoUrl)?;
                for part in ["video_id", "itag"] {
                    if !names.contains(&part) {
                        return Err(RequestError::Part(part));
                    }
                }
                (video(authority, &names), !names.contains(&"lmt"))
            }
        };
        let target = Target::parse(&url, &names)?;
        Ok(Plan {
            pattern,
            target,
            versionless,
        })
    }
}

/// The URL of a video by the parts of a path.
fn video(authority: &str, names: &[&str]) -> String {
    let part = |name: &str, otherwise: &str| match names.contains(&name) {
        true => format!("&{name}={{{name}}}"),
        false => otherwise.to_owned(),
    };
    let (lmt, xtags) = (part("lmt", "&lmt=0"), part("xtags", ""));
    format!(
        "http://{authority}/videoplayback?v={{video_id}}&itag={{itag}}&clen={{size}}{lmt}{xtags}"
    )
}

/// `type/subtype`, perhaps with parameters, and nothing that a header could not have.
fn is_media_type(text: &str) -> bool {
    let printable = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    let essence = text.split(';').next().unwrap_or_default().trim();
    let token = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !part.is_empty() && part.bytes().all(plain)
    };
    let halves = essence.split_once('/');
    printable && text.len() <= 256 && halves.is_some_and(|(kind, sub)| token(kind) && token(sub))
}

/// Whether a name is that of a file which some program has not finished yet.
pub fn is_unfinished(path: &str) -> bool {
    const UNFINISHED: [&str; 8] = [
        "part",
        "ytdl",
        "tmp",
        "temp",
        "crdownload",
        "download",
        "aria2",
        "partial",
    ];
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| {
        let mut unfinished = UNFINISHED.iter();
        unfinished.any(|known| known.eq_ignore_ascii_case(extension))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str, videos: Option<&str>) -> Result<Plan, String> {
        let request: Request = serde_json::from_str(json).map_err(|error| error.to_string())?;
        request.plan(videos).map_err(|error| error.to_string())
    }

    fn url(json: &str, videos: Option<&str>, path: &str) -> (String, bool) {
        let plan = plan(json, videos).unwrap();
        let parts = plan.pattern.parts(path).unwrap();
        (plan.target.url(&parts, 7), plan.versionless)
    }

    #[test]
    fn a_path_tells_whose_bytes_a_file_has() {
        let videos = Some("v.test");
        let check = |pattern: &str, more: &str, path: &str, expect: &str, versionless| {
            let json = format!(r#"{{"folder": "/v", "pattern": "{pattern}"{more}}}"#);
            assert_eq!(url(&json, videos, path), (expect.to_owned(), versionless));
        };
        let base = "http://v.test/videoplayback?v=abc&itag=22&clen=7";
        check(
            "{video_id}-{itag}.{ext}",
            "",
            "abc-22.mp4",
            &format!("{base}&lmt=0"),
            true,
        );
        check(
            "{video_id}.{itag}.{lmt}.{ext}",
            "",
            "abc.22.17.mp4",
            &format!("{base}&lmt=17"),
            false,
        );
        check(
            "{video_id}.{itag}.{lmt}.{xtags}.mp4",
            "",
            "abc.22.17.drc=1.mp4",
            &format!("{base}&lmt=17&xtags=drc%3D1"),
            false,
        );
        check(
            "{id}/{file}",
            r#", "url": "http://m.test/films/{id}/{file}""#,
            "7/a.mp4",
            "http://m.test/films/7/a.mp4",
            false,
        );
    }

    #[test]
    fn what_makes_no_sense_names_the_field() {
        let check = |fields: &str, videos: Option<&str>, expect: &str| {
            let json = format!(r#"{{"folder": "/v", {fields}}}"#);
            let error = plan(&json, videos).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        let videos = Some("v.test");
        check(r#""pattern": """#, videos, "pattern: it is empty");
        check(
            r#""pattern": "{itag}.mp4""#,
            videos,
            "pattern: {video_id} is not in it",
        );
        check(
            r#""pattern": "{video_id}-{itag}.mp4""#,
            None,
            "url: absent, and the profile",
        );
        check(
            r#""pattern": "{id}.mp4", "url": "http://a/{name}""#,
            None,
            "url: {name} is not in the pattern",
        );
        check(
            r#""pattern": "{id}.mp4", "url": "http://a/{id}", "content_type": "video""#,
            None,
            "content_type: \"video\" is not a media type",
        );
        check(
            r#""pattern": "{id}.mp4", "mode": "move""#,
            None,
            "unknown variant `move`",
        );
    }

    #[test]
    fn a_media_type_can_be_a_header() {
        let check = |text: &str, expect| assert_eq!(is_media_type(text), expect, "{text:?}");
        check("video/mp4", true);
        check("video/mp4; codecs=\"avc1\"", true);
        check("video/", false);
        check("video/mp4\r\nx: y", false);
        check("", false);
    }

    #[test]
    fn what_is_not_finished_says_so() {
        assert!(is_unfinished("a/b.mp4.part") && is_unfinished("a.PART"));
        assert!(!is_unfinished("a.part/b.mp4") && !is_unfinished("part"));
    }
}
