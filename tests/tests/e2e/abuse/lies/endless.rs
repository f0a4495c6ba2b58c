//! What has no end.

use std::time::Duration;

use e2e::client::Request;
use e2e::management;
use e2e::poll::until;
use e2e::process::rss;

use super::{BODY, an_honest_one_is_stored, is_not_stored, open, with, world};
use crate::abuse::liar::{Liar, Message};
use crate::abuse::{Got, ask};
use crate::world::{MIB, SOON};

/// A thousand interim responses, and bodies without an end: nothing waits, nothing grows, nothing
/// stays.
#[tokio::test]
async fn what_has_no_end_ends_with_its_viewer() {
    let liar = Liar::start().await;
    let mut world = world(&liar).await;
    let hints = "HTTP/1.1 103 Early Hints|link: </a>||"
        .replace('|', "\r\n")
        .repeat(1000);
    let bytes = [
        hints.as_bytes(),
        with("").replace('|', "\r\n").as_bytes(),
        b"\r\n\r\n",
        BODY,
    ]
    .concat();
    liar.says(
        "/hints",
        Message {
            bytes,
            closes: true,
            ..Message::default()
        },
    );
    let got: Got = ask(world.stack.ingress(), &Request::get("/hints")).await;
    assert!(matches!(got.status, 200 | 502 | 503), "{got:?}");

    let mib = |chunked: bool| match chunked {
        true => [
            format!("{MIB:x}\r\n").as_bytes(),
            &vec![b'x'; MIB as usize],
            b"\r\n",
        ]
        .concat(),
        false => vec![b'x'; MIB as usize],
    };
    let head = "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncache-control: max-age=3600\r\n";
    for (path, fields, endless) in [
        ("/chunked", "transfer-encoding: chunked\r\n\r\n", mib(true)),
        ("/closed", "connection: close\r\n\r\n", mib(false)),
        (
            "/claimed",
            "content-length: 4398046511104\r\n\r\n",
            mib(false),
        ),
    ] {
        let bytes = format!("{head}{fields}").into_bytes();
        let endless = Some(endless);
        liar.says(
            path,
            Message {
                bytes,
                endless,
                closes: true,
            },
        );
    }
    let pids = [world.stack.envoy().pid(), world.stack.sidecar(0).pid()];
    let memory = || pids.map(|pid| rss(pid).unwrap());
    let before = memory();
    for path in ["/chunked", "/closed", "/claimed"] {
        let mut viewers = Vec::new();
        for _ in 0..4 {
            viewers.push(open(&world, Request::get(path)).await);
        }
        for viewer in &mut viewers {
            assert!(
                viewer
                    .take(8 << 20)
                    .await
                    .unwrap()
                    .iter()
                    .all(|&b| b == b'x')
            );
        }
        // They stop reading and do not leave: the origin has to wait.
        tokio::time::sleep(Duration::from_millis(300)).await;
        for (before, after) in before.into_iter().zip(memory()) {
            assert!(after < before + 128 * MIB, "{path}: {before} {after}");
        }
    }
    let quiet = until("nobody fetches", SOON, async || {
        let stats = management::json(world.stack.manage(0), "/v1/stats")
            .await
            .ok()?;
        let used = stats["disk"]["used"].as_u64()?;
        let mut fills = 0;
        for path in ["/chunked", "/closed", "/claimed"] {
            let entity = world.entity(path).await;
            fills += entity.map_or(0, |entity| entity["fills"].as_u64().unwrap());
        }
        // What came of the one whose length is known is kept.
        (fills == 0 && used < 64 * MIB).then_some(())
    });
    quiet.await.unwrap();
    for path in ["/chunked", "/closed"] {
        is_not_stored(&world, path).await;
    }
    an_honest_one_is_stored(&world, &liar, "/honest").await;
    world.filter_lives().await;
}
