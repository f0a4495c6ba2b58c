//! A sidecar that is killed while it fills and evicts.

use std::sync::Arc;
use std::time::Duration;

use viewcache_sidecar::store::Problem;

use crate::harness::{Sidecar, check};
use crate::origin::{Origin, Script, body};

const N: u64 = 3_000_000;
const FLAGS: [&str; 2] = ["--max-bytes", "16MiB"];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_indexed_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::start(Script {
        complete_length: N,
        ..Script::default()
    })
    .await;
    for round in 0..6 {
        let (sidecar, mut process) = Sidecar::spawn(dir.path(), origin.addr, &FLAGS).await;
        let sidecar = Arc::new(sidecar);
        let views: Vec<_> = (0..12)
            .map(|number| {
                let sidecar = Arc::clone(&sidecar);
                // Other entities in each round, so that there is always something to evict.
                let path = format!("/{}", (number + 5 * round) % 20);
                tokio::spawn(async move { sidecar.try_routed_at(&path).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(40 + 60 * round)).await;
        process.kill().unwrap();
        process.wait().unwrap();
        for view in views {
            view.await.unwrap();
        }
        let (report, mut problems) = check(dir.path()).await;
        eprintln!("round {round}: {report:?}");
        // A file whose first row had not been written yet, or had just been taken out.
        problems.retain(|problem| !matches!(problem, Problem::Orphan(_)));
        assert_eq!(problems, [], "round {round}");
    }
    // Opened once more, nothing of it is left over.
    let sidecar = Sidecar::start(dir.path(), origin.addr, &FLAGS).await;
    for number in 0..20 {
        let got = sidecar.routed_at(&format!("/{number}"), "").await;
        assert!(got.whole && got.body == body(1, 0, N), "wrong bytes");
    }
    sidecar.stop().await;
    let (report, problems) = check(dir.path()).await;
    assert_eq!(problems, [], "{report:?}");
}
