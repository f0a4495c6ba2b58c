//! The sidecar is killed again and again while viewers read and fill.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use e2e::checkout::Checkout;
use e2e::client::Request;
use e2e::content::Content;

use crate::world::{MIB, World};

const ENTITIES: u64 = 8;
const LENGTH: u64 = 3 * MIB;
const VIEWERS: u64 = 4;
const VIEWS: u64 = 50;

/// A small generator of numbers that look random; the same at every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Odd while the sidecar is down; goes up at each kill and at each readiness.
#[derive(Debug, Default)]
struct Lives(AtomicU64);

impl Lives {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn step(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn path(entity: u64) -> String {
    format!("/crash-{entity}")
}

/// Views random ranges; how many responses were cut comes back.
async fn view(
    ingress: SocketAddr,
    contents: Arc<Vec<Content>>,
    lives: Arc<Lives>,
    seed: u64,
) -> u64 {
    let mut numbers = Numbers(seed);
    let mut cut = 0;
    for _ in 0..VIEWS {
        let entity = numbers.below(ENTITIES);
        let start = numbers.below(LENGTH);
        let end = (start + 1 + numbers.below(MIB)).min(LENGTH);
        let content = contents[entity as usize];
        let before = lives.now();
        let request = Request::get(&path(entity)).range(&format!("{start}-{}", end - 1));
        let mut response = request.send(ingress).await.unwrap();
        assert_eq!(response.status, 206, "{:?}", response.head);
        match response.rest().await {
            Ok(body) => {
                assert_eq!(body.len() as u64, end - start);
                content.check(start, &body).unwrap();
            }
            Err(error) => {
                let (during, lived) = (before % 2 == 1, before == lives.now());
                assert!(during || !lived, "{error:#}, though nothing was killed");
                cut += 1;
            }
        }
    }
    cut
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_lose_nothing_and_corrupt_nothing() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_owned();
    let mut world = World::with(|options| options.data = Some(folder.clone())).await;
    let contents: Arc<Vec<Content>> = Arc::new(
        (0..ENTITIES)
            .map(|n| world.serve(&path(n), LENGTH))
            .collect(),
    );
    let lives = Arc::new(Lives::default());
    let ingress = world.stack.ingress();
    let viewers: Vec<_> = (0..VIEWERS)
        .map(|n| {
            tokio::spawn(view(
                ingress,
                Arc::clone(&contents),
                Arc::clone(&lives),
                n + 1,
            ))
        })
        .collect();
    let mut numbers = Numbers(7);
    let mut kills = 0;
    while !viewers.iter().all(|viewer| viewer.is_finished()) {
        tokio::time::sleep(Duration::from_millis(50 + numbers.below(400))).await;
        let mut before = Vec::new();
        for entity in 0..ENTITIES {
            before.push(world.ranges(&path(entity)).await);
        }
        lives.step();
        world.stack.sidecar(0).kill().await.unwrap();
        world.stack.start_sidecar(0).await.unwrap();
        for (entity, ranges) in (0..ENTITIES).zip(before) {
            let after = world.ranges(&path(entity)).await;
            for (start, end) in ranges {
                let kept = after.iter().any(|&(s, e)| s <= start && end <= e);
                assert!(
                    kept,
                    "{start}..{end} of {} was lost: {after:?}",
                    path(entity)
                );
            }
        }
        lives.step();
        kills += 1;
    }
    let mut cut = 0;
    for viewer in viewers {
        cut += viewer.await.unwrap();
    }
    eprintln!("{} views, {kills} kills, {cut} cut", VIEWERS * VIEWS);
    for (entity, content) in (0..ENTITIES).zip(contents.iter()) {
        world
            .becomes_hit(&Request::get(&path(entity)), *content)
            .await;
        world.stored(&path(entity), &[(0, LENGTH)]).await;
    }
    world.stack.sidecar(0).kill().await.unwrap();
    let sidecar = Checkout::find()
        .unwrap()
        .product("viewcache-sidecar")
        .unwrap();
    let check = Command::new(sidecar)
        .args(["check", "--data", folder.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    assert_eq!(check.status.code(), Some(0), "{said}");
}
