//! The management port.

use serde_json::Value;

use super::{Framing, bodies, is_problem, kept, message, send, start};
use crate::harness::Sidecar;

/// An operation of the API's description.
#[derive(Debug)]
struct Operation {
    method: String,
    path: String,
    /// The media types of its body; none when it takes none.
    takes: Vec<String>,
}

async fn operations(sidecar: &Sidecar) -> Vec<Operation> {
    let described = sidecar.manage("GET", "/v1/openapi.json").await;
    let described: Value = serde_json::from_slice(&described.body).unwrap();
    let mut operations = Vec::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !["get", "put", "post", "delete", "patch"].contains(&&method[..]) {
                continue;
            }
            let content = operation["requestBody"]["content"].as_object();
            let takes = content.map(|types| types.keys().cloned().collect());
            operations.push(Operation {
                method: method.to_ascii_uppercase(),
                path: path.clone(),
                takes: takes.unwrap_or_default(),
            });
        }
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_nobody_means_are_refused_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (_origin, sidecar, mut process) = start(dir.path()).await;
    let operations = operations(&sidecar).await;
    assert!(25 < operations.len(), "{}", operations.len());
    let before = kept(&sidecar).await;
    let grown = process.peak();
    let port = sidecar.manage_address();
    for Operation {
        method,
        path,
        takes,
    } in &operations
    {
        if takes.is_empty() {
            continue;
        }
        let target = path.replace("{id}", "0123456789abcdef0123456789abcdef");
        for kind in takes {
            for (name, body, framing) in bodies() {
                // What is no JSON may be something else, and an empty list of channels is one.
                let any = !kind.contains("json") || kind == "*/*";
                let told = format!("{method} {target} {kind}: {name}");
                let fields = match kind.as_str() {
                    "*/*" => "content-type: application/octet-stream\r\n".to_owned(),
                    kind => format!("content-type: {kind}\r\n"),
                };
                let got = send(port, &message(method, &target, &fields, &body, framing)).await;
                let patches = method == "PATCH" && name == "unknown";
                if any || patches {
                    let status = got.as_ref().map_or(400, |got| got.0);
                    assert!(status < 500, "{told}: {status}");
                    continue;
                }
                is_problem(&got, &told);
            }
            for fields in [
                "",
                "content-type: text/plain\r\n",
                "content-type: \u{ff}\r\n",
            ] {
                if kind != "*/*" {
                    let request = message(method, &target, fields, b"{}", Framing::Length);
                    let got = send(port, &request).await;
                    is_problem(&got, &format!("{method} {target} {fields:?}"));
                }
            }
        }
        assert_eq!(kept(&sidecar).await, before, "{method} {path}");
    }
    // Those that take none do what they do, whatever comes with it; nothing is there to be done.
    for Operation {
        method,
        path,
        takes,
    } in &operations
    {
        if !takes.is_empty() || !path.contains("{id}") {
            continue;
        }
        let target = path.replace("{id}", "0123456789abcdef0123456789abcdef");
        for (name, body, framing) in bodies() {
            let got = send(port, &message(method, &target, "", &body, framing)).await;
            is_problem(&got, &format!("{method} {target}: {name}"));
        }
    }
    assert_eq!(kept(&sidecar).await, before);
    let grown = process.peak() - grown;
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert!(process.lives(), "it has ended");
}

/// In the place of an id: a way out of a folder, a NUL, what is too long or no text.
#[tokio::test(flavor = "multi_thread")]
async fn ids_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    let (_origin, sidecar, mut process) = start(&data).await;
    let before = kept(&sidecar).await;
    let ids = [
        "..",
        "../secret",
        "../../secret",
        "..%2fsecret",
        "..%2F..%2Fsecret",
        "%2e%2e%2fsecret",
        "..%5csecret",
        "..\\secret",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "%00",
        "secret%00",
        "%ff%fe",
        "%c0%ae%c0%ae%c0%afsecret",
        "%0d%0ax:%20y",
        "%",
        "%2",
        "-1",
        "0x10",
        "18446744073709551616",
        "0123456789abcdef0123456789abcdeg",
        "0123456789abcdef0123456789abcdef0",
        "0123456789abcdef0123456789abcdef%00",
        "0123456789ABCDEF0123456789ABCDEF%2f..",
        "%F0%9F%92%A9",
        "*",
        "",
    ];
    let long = "a".repeat(9000);
    let longer = "a".repeat(60_000);
    for Operation {
        method,
        path,
        takes,
    } in operations(&sidecar).await
    {
        if !path.contains("{id}") {
            continue;
        }
        for id in ids.into_iter().chain([&long[..], &longer]) {
            let target = path.replace("{id}", id);
            let fields = takes
                .first()
                .map(|kind| format!("content-type: {kind}\r\n"));
            let fields = fields.unwrap_or_default();
            // What would be refused but for the id is no test of it.
            let body = if takes.is_empty() { "" } else { "{}" };
            let request = message(&method, &target, &fields, body.as_bytes(), Framing::Length);
            let got = send(sidecar.manage_address(), &request).await;
            let shown = &target[..target.len().min(120)];
            let said = format!("{method} {shown}");
            // Some of these may be the name of a video or a channel: then it is one, and no more.
            let named = path.starts_with("/v1/videos") || path.starts_with("/v1/channels");
            if named && got.as_ref().is_some_and(|got| got.0 < 300) {
                let remove = message("DELETE", &target, "", b"", Framing::Length);
                send(sidecar.manage_address(), &remove).await;
                continue;
            }
            is_problem(&got, &said);
            let body = got.map(|got| got.2).unwrap_or_default();
            assert!(!body.starts_with(b"secret"), "{said}");
        }
    }
    assert_eq!(kept(&sidecar).await, before);
    // The dashboard's files are compiled in: nothing of the disk is a page.
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "//etc/passwd",
        "/dashboard/../../secret",
        "/index.html%00",
        "/style.css/../../secret",
    ] {
        let got = send(
            sidecar.manage_address(),
            &message("GET", path, "", b"", Framing::Length),
        )
        .await;
        let (status, ..) = got.unwrap();
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(process.lives(), "it has ended");
}
