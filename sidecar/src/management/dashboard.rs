//! The dashboard: a page with its styles and scripts, compiled in. The files have no data and need
//! no token; whatever the page shows it asks of the API, as anybody else would.

use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY,
};
use warp::reply::Reply;

use super::about::About;
use super::call::Call;
use super::edit::{tag, tagged};
use super::problem::Problem;
use super::route::{Answer, Route};

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// The page, at `/`.
const PAGE: &str = "index.html";

/// Every file: its name below `/dashboard/`, its media type, and what it says.
const FILES: &[(&str, &str, &str)] = &[
    (PAGE, HTML, include_str!("../../dashboard/index.html")),
    (
        "style.css",
        STYLE,
        include_str!("../../dashboard/style.css"),
    ),
    (
        "icon.svg",
        PICTURE,
        include_str!("../../dashboard/icon.svg"),
    ),
    ("main.js", SCRIPT, include_str!("../../dashboard/main.js")),
    ("api.js", SCRIPT, include_str!("../../dashboard/api.js")),
    (
        "stream.js",
        SCRIPT,
        include_str!("../../dashboard/stream.js"),
    ),
    ("dom.js", SCRIPT, include_str!("../../dashboard/dom.js")),
    (
        "format.js",
        SCRIPT,
        include_str!("../../dashboard/format.js"),
    ),
    (
        "coverage.js",
        SCRIPT,
        include_str!("../../dashboard/coverage.js"),
    ),
    (
        "views/overview.js",
        SCRIPT,
        include_str!("../../dashboard/views/overview.js"),
    ),
    (
        "views/videos.js",
        SCRIPT,
        include_str!("../../dashboard/views/videos.js"),
    ),
    (
        "views/video.js",
        SCRIPT,
        include_str!("../../dashboard/views/video.js"),
    ),
    (
        "views/downloads.js",
        SCRIPT,
        include_str!("../../dashboard/views/downloads.js"),
    ),
    (
        "views/channels.js",
        SCRIPT,
        include_str!("../../dashboard/views/channels.js"),
    ),
    (
        "views/policy.js",
        SCRIPT,
        include_str!("../../dashboard/views/policy.js"),
    ),
    (
        "views/events.js",
        SCRIPT,
        include_str!("../../dashboard/views/events.js"),
    ),
];

/// What the page may load and do: only what is here, nothing that is written into it, and no
/// markup that a script makes of text.
const CONTENT_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'";

/// Not among those that the API's description tells of: they are for browsers.
pub(super) fn routes() -> Vec<Route> {
    let about = About::text("dashboard", "A file of the dashboard", &[HTML]);
    vec![
        Route::get("/", page, about),
        Route::get("/dashboard/{file}", file, about),
        Route::get("/dashboard/views/{file}", view, about),
    ]
}

/// Links that people keep may have a query: it means nothing.
async fn page(call: Call) -> Answer {
    show(&call, PAGE)
}

async fn file(call: Call) -> Answer {
    show(&call, &call.name()?)
}

async fn view(call: Call) -> Answer {
    show(&call, &format!("views/{}", call.name()?))
}

fn show(call: &Call, name: &str) -> Answer {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let Some((_, kind, text)) = found else {
        return Err(Problem::missing(name, "is no file of the dashboard"));
    };
    let mut response = match known(&call.headers, &tag(text)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => text.into_response(),
    };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_TYPE, kind);
    // Kept, and asked for again: another version of the sidecar has others.
    set(CACHE_CONTROL, "no-cache");
    set(CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    set(REFERRER_POLICY, "no-referrer");
    Ok(tagged(response, text))
}

/// Whether the browser has it already (RFC 9110 section 13.1.2: by weak comparison).
fn known(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tests::World;
    use super::*;

    fn names(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().display());
            match entry.file_type().unwrap().is_dir() {
                true => names(&entry.path(), &format!("{name}/"), found),
                false => found.push(name),
            }
        }
    }

    #[test]
    fn every_file_is_compiled_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard");
        let mut there = Vec::new();
        names(&folder, "", &mut there);
        there.sort_unstable();
        let mut compiled: Vec<_> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        compiled.sort_unstable();
        assert_eq!(compiled, there);
    }

    /// The policy forbids it, and a browser test sees that nothing is tried.
    #[test]
    fn nothing_is_written_into_the_page() {
        for (name, _, text) in FILES {
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval("] {
                assert!(!text.contains(forbidden), "{name} has {forbidden}");
            }
        }
        let (_, _, page) = FILES[0];
        for forbidden in [" style=", " onclick=", "<style", "<script>"] {
            assert!(!page.contains(forbidden), "the page has {forbidden}");
        }
    }

    #[tokio::test]
    async fn files_are_served_with_their_types_and_a_policy() {
        let world = World::new();
        for (name, kind, text) in FILES {
            let path = match *name {
                PAGE => "/".to_owned(),
                name => format!("/dashboard/{name}"),
            };
            let got = world.get(&path).await;
            assert_eq!(got.status, 200, "{path}");
            assert_eq!(got.field("content-type"), *kind);
            assert_eq!(got.field("cache-control"), "no-cache");
            assert!(
                got.field("content-security-policy")
                    .starts_with("default-src 'self'; ")
            );
            assert_eq!(got.body, text.as_bytes());
        }
        let missing = world.get("/dashboard/nothing.js").await;
        missing.problem(404);
        assert_eq!(world.call("POST", "/").await.status, 405);
    }

    #[tokio::test]
    async fn a_file_that_the_browser_has_is_not_sent_again() {
        let world = World::new();
        let first = world.get("/dashboard/main.js").await;
        let tag = first.field("etag").to_owned();
        let check = async |condition: &str, status: u16| {
            let got = world
                .get_with("/dashboard/main.js", &[("if-none-match", condition)])
                .await;
            assert_eq!(got.status, status, "{condition}");
            assert_eq!(got.body.is_empty(), status == 304);
            assert_eq!(got.field("etag"), tag);
        };
        check(&tag, 304).await;
        check(&format!("\"x\", W/{tag}"), 304).await;
        check("*", 304).await;
        check("\"x\"", 200).await;
    }
}
