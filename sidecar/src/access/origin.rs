//! Which site a request comes from. Browsers say it in Origin and Sec-Fetch-Site, which no page can
//! change; programs say nothing. What another site's page makes its visitor's browser send is not
//! let in, whether it would change something or only hold a connection (an event stream).

use hyper::http::uri::{Authority, Scheme};
use hyper::{Method, Uri};

use super::Denial;

/// What a browser says.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    /// The page's scheme, host and port, or `null`.
    pub(super) origin: Option<String>,
    /// Where the page is as seen from here.
    pub(super) site: Option<String>,
    /// What the browser does with the answer.
    pub(super) mode: Option<String>,
    /// What it becomes.
    pub(super) dest: Option<String>,
}

/// Whether no other site's page has sent it.
///
/// # Errors
/// When one has.
pub(super) fn judge(sent: &Sent, method: &Method, host: &Authority) -> Result<(), Denial> {
    if let Some(origin) = &sent.origin
        && !is_here(origin, host)
    {
        return Err(Denial::Origin(origin.clone()));
    }
    match sent.site.as_deref() {
        None | Some("same-origin" | "none") => Ok(()),
        // Somebody follows a link that leads here: what is shown is shown to no page.
        Some(_)
            if *method == Method::GET
                && sent.mode.as_deref() == Some("navigate")
                && sent.dest.as_deref() == Some("document") =>
        {
            Ok(())
        }
        Some(site) => Err(Denial::Site(site.to_owned())),
    }
}

/// Whether an origin is where the request went: the same host and port. The scheme may differ,
/// because whatever adds TLS in front is not seen from here.
fn is_here(origin: &str, host: &Authority) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else {
        return false;
    };
    let usual = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => 80,
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        _ => return false,
    };
    let Some(authority) = uri.authority() else {
        return false;
    };
    let plain = uri.path() == "/" && !origin.ends_with('/') && !origin.contains('@');
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    plain && authority.host().eq_ignore_ascii_case(host.host()) && port(authority) == port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_host_and_port_of_the_request() {
        let check = |origin: &str, host: &str, expect: bool| {
            let host = host.parse().unwrap();
            assert_eq!(is_here(origin, &host), expect, "{origin} at {host}");
        };
        check("http://localhost:7070", "localhost:7070", true);
        check("http://LOCALHOST:7070", "localhost:7070", true);
        check("http://localhost", "localhost", true);
        check("http://localhost", "localhost:80", true);
        check("https://cache.example", "cache.example", true);
        check("https://cache.example", "cache.example:443", true);
        check("http://[::1]:7070", "[::1]:7070", true);
        check("http://localhost:3000", "localhost:7070", false);
        check("http://localhost", "localhost:7070", false);
        check("http://127.0.0.1:7070", "localhost:7070", false);
        check("https://evil.example", "localhost:7070", false);
        check(
            "http://localhost:7070.evil.example",
            "localhost:7070",
            false,
        );
        check(
            "http://localhost:7070@evil.example",
            "localhost:7070",
            false,
        );
        check(
            "http://evil.example@localhost:7070",
            "localhost:7070",
            false,
        );
        check("null", "localhost:7070", false);
        check("", "localhost:7070", false);
        check("file://", "localhost:7070", false);
        check("ftp://localhost:7070", "localhost:7070", false);
        check("localhost:7070", "localhost:7070", false);
        check("http://localhost:7070/", "localhost:7070", false);
        check("http://localhost:7070/a", "localhost:7070", false);
        check(
            "http://localhost:7070, http://localhost:7070",
            "localhost:7070",
            false,
        );
    }

    #[test]
    fn only_a_link_leads_here_from_another_site() {
        let check = |method: &Method, site: &str, mode: &str, dest: &str, expect: bool| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let sent = Sent {
                origin: None,
                site: text(site),
                mode: text(mode),
                dest: text(dest),
            };
            let judged = judge(&sent, method, &"localhost".parse().unwrap());
            assert_eq!(judged.is_ok(), expect, "{method} {sent:?}");
        };
        let (get, post) = (&Method::GET, &Method::POST);
        for method in [get, post] {
            check(method, "", "", "", true);
            check(method, "same-origin", "cors", "empty", true);
            check(method, "none", "navigate", "document", true);
            check(method, "cross-site", "cors", "empty", false);
            check(method, "cross-site", "no-cors", "image", false);
            check(method, "same-site", "no-cors", "empty", false);
            check(method, "cross-site", "navigate", "iframe", false);
            check(method, "cross-site", "", "", false);
            check(method, "same-origin, cross-site", "", "", false);
            check(method, "elsewhere", "cors", "empty", false);
        }
        check(get, "cross-site", "navigate", "document", true);
        check(get, "same-site", "navigate", "document", true);
        check(post, "cross-site", "navigate", "document", false);
    }
}
