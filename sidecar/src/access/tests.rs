//! The whole judgement as a table.

use super::*;

const READ: &str = "Bearer reader-reader-reader";
const ADMIN: &str = "Bearer keeper-keeper-keeper";

fn tokens() -> Tokens {
    Tokens::parse("read reader-reader-reader\nadmin keeper-keeper-keeper").unwrap()
}

/// The reason for which a request is not let in: `""` when it is.
fn judged(
    tokens: &Tokens,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: bool,
) -> String {
    let fields = fields.iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, value.parse().unwrap())
    });
    let headers: HeaderMap = fields.collect();
    let head = Head {
        method: &method.parse().unwrap(),
        uri: &target.parse().unwrap(),
        headers: &headers,
        body,
    };
    let hosts = Hosts::new([127, 0, 0, 1].into(), &[]);
    let judged = judge(head, &hosts, tokens);
    judged.map_or_else(
        |denial| denial.counted().as_str().to_owned(),
        |()| String::new(),
    )
}

#[test]
fn who_may_do_what() {
    let tokens = tokens();
    // Method, path, and why nobody, a reader and an admin may not.
    for (method, path, nobody, reader, admin) in [
        ("GET", "/", "", "", ""),
        ("HEAD", "/", "", "", ""),
        ("GET", "/dashboard/page.js", "", "", ""),
        ("GET", "/healthz", "", "", ""),
        ("HEAD", "/readyz", "", "", ""),
        ("GET", "/metrics", "no-token", "", ""),
        ("GET", "/v1/entities", "no-token", "", ""),
        ("HEAD", "/v1/entities", "no-token", "", ""),
        ("GET", "/v1/events", "no-token", "", ""),
        ("GET", "/v1/openapi.json", "no-token", "", ""),
        ("GET", "//", "no-token", "", ""),
        ("GET", "/dashboard", "no-token", "", ""),
        ("GET", "/healthz/", "no-token", "", ""),
        ("GET", "/nothing", "no-token", "", ""),
        ("POST", "/", "no-token", "role", ""),
        ("POST", "/healthz", "no-token", "role", ""),
        ("PUT", "/v1/entities/1/pin", "no-token", "role", ""),
        ("DELETE", "/v1/entities/1", "no-token", "role", ""),
        ("POST", "/v1/evictions", "no-token", "role", ""),
        ("OPTIONS", "/v1/policy", "no-token", "role", ""),
        ("PURGE", "/v1/entities", "no-token", "role", ""),
    ] {
        let host = ("host", "localhost:7070");
        let check = |fields: &[(&str, &str)], expect: &str| {
            let judged = judged(&tokens, method, path, fields, false);
            assert_eq!(judged, expect, "{method} {path} {fields:?}");
        };
        check(&[host], nobody);
        check(&[host, ("authorization", READ)], reader);
        check(&[host, ("authorization", ADMIN)], admin);
        let wrong = [host, ("authorization", "Bearer somebody-elses-token")];
        check(&wrong, if nobody.is_empty() { "" } else { "wrong-token" });
        check(&[host, ("authorization", "Basic YTpi")], nobody);
        // Without tokens everybody may do everything.
        let open = judged_openly(method, path);
        assert_eq!(open, "", "{method} {path}");
    }
}

fn judged_openly(method: &str, path: &str) -> String {
    let host = [("host", "localhost:7070")];
    judged(&Tokens::default(), method, path, &host, false)
}

#[test]
fn a_page_of_another_site_reaches_nothing() {
    for tokens in [Tokens::default(), tokens()] {
        let check = |method: &str, path: &str, fields: &[(&str, &str)], expect: &str| {
            let fields = [fields, &[("authorization", ADMIN)]].concat();
            let json = [&fields[..], &[("content-type", "application/json")]].concat();
            let judged = judged(&tokens, method, path, &json, true);
            assert_eq!(judged, expect, "{method} {path} {fields:?}");
        };
        let (here, page) = (
            ("host", "localhost:7070"),
            ("origin", "http://localhost:7070"),
        );
        for (method, path) in [
            ("GET", "/v1/entities"),
            ("GET", "/v1/events"),
            ("GET", "/metrics"),
            ("GET", "/"),
            ("POST", "/v1/downloads"),
            ("PATCH", "/v1/policy"),
            ("DELETE", "/v1/entities/1"),
        ] {
            check(method, path, &[here], "");
            check(method, path, &[here, page], "");
            check(
                method,
                path,
                &[here, page, ("sec-fetch-site", "same-origin")],
                "",
            );
            check(
                method,
                path,
                &[here, ("origin", "http://evil.example")],
                "origin",
            );
            check(method, path, &[here, ("origin", "null")], "origin");
            check(method, path, &[here, page, page], "origin");
            check(
                method,
                path,
                &[here, ("sec-fetch-site", "cross-site")],
                "site",
            );
            check(
                method,
                path,
                &[here, page, ("sec-fetch-site", "same-site")],
                "site",
            );
            // Its name made to lead here, so that it is its own page's site.
            let rebound = [
                ("host", "evil.example:7070"),
                ("origin", "http://evil.example:7070"),
            ];
            check(method, path, &rebound, "host");
            check(method, path, &[], "host");
            check(method, path, &[here, here], "host");
            check(method, path, &[("host", "")], "host");
            check(method, path, &[("host", "a b")], "host");
        }
        // Whoever looks after the process knows it by any name.
        check("GET", "/healthz", &[("host", "10.0.0.7:7070")], "");
        check("GET", "/readyz", &[], "");
        // A target with an authority says whom it is for, whatever Host says.
        check("GET", "http://evil.example/v1/entities", &[here], "host");
        check("GET", "http://localhost/v1/entities", &[("host", "x")], "");
    }
}

#[test]
fn a_form_of_another_site_changes_nothing() {
    let check = |kind: Option<&str>, body: bool, expect: &str| {
        let kind = kind.map(|kind| ("content-type", kind));
        let fields: Vec<_> = [("host", "localhost")].into_iter().chain(kind).collect();
        let judged = judged(&Tokens::default(), "POST", "/v1/downloads", &fields, body);
        assert_eq!(judged, expect, "{kind:?} {body}");
    };
    check(Some("application/json"), true, "");
    check(None, false, "");
    check(None, true, "content-type");
    check(Some("text/plain"), true, "content-type");
    check(
        Some("application/x-www-form-urlencoded"),
        false,
        "content-type",
    );
}
