//! Qualities of one video while rules change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use viewcache_protocol::{EntityKey, Profile};

use crate::harness::Sidecar;
use crate::origin::{Origin, Script, body};

const N: u64 = 1_000_000;

fn key(itag: &str) -> EntityKey {
    let rest = format!("v=abc&itag={itag}&lmt=1&clen={N}");
    EntityKey::new(Profile::Youtube, &rest).unwrap()
}

/// Half a hundred viewers of two pictures and their sound, while everything that can be said of
/// qualities is said again and again.
#[tokio::test(flavor = "multi_thread")]
async fn rules_that_change_while_many_watch_change_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script::default()).await;
    let sidecar = Arc::new(Sidecar::start(dir.path(), origin.addr, &[]).await);
    let over = Arc::new(AtomicBool::new(false));
    let viewers: Vec<_> = (0..50)
        .map(|n: u64| {
            let (sidecar, over) = (Arc::clone(&sidecar), Arc::clone(&over));
            tokio::spawn(async move {
                let itag = ["134", "137", "140"][n as usize % 3];
                let viewer = format!("viewer{}", n / 3);
                let mut views = 0;
                while !over.load(Ordering::Relaxed) {
                    let (start, end) = ((n * 17_000 + views * 50_000) % 500_000, N);
                    let range = format!("{start}-{}", end - 1);
                    let got = sidecar
                        .routed_as(&viewer, &key(itag), "/video", &range)
                        .await;
                    assert!(
                        got.whole && got.body == body(1, start, end),
                        "{itag} {range}"
                    );
                    views += 1;
                }
                views
            })
        })
        .collect();
    let qualities = [
        json!("watched"),
        json!(["137", "140"]),
        json!({"max_height": 720}),
        json!(["134"]),
    ];
    for n in 0..24 {
        let mode = ["auto", "inherit", "manual"][n % 3];
        let keep = ["complete", "watched"][n % 2];
        let patch = json!({
            "quality": qualities[n % 4], "mode": mode, "keep": keep, "drop_lower": n % 5 < 3
        });
        sidecar.policy(patch).await;
    }
    over.store(true, Ordering::Relaxed);
    for viewer in viewers {
        assert!(0 < viewer.await.unwrap());
    }
}
