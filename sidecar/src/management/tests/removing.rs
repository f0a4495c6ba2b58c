use serde_json::{Value, json};
use viewcache_protocol::Profile;

use super::World;

async fn purge(world: &World, selector: Value) -> (u64, u64) {
    let got = world.send("POST", "/v1/purges", &selector, &[]).await;
    assert_eq!(got.status, 200, "{selector}");
    let purged = got.json();
    (
        purged["entities"].as_u64().unwrap(),
        purged["bytes"].as_u64().unwrap(),
    )
}

async fn left(world: &World) -> u64 {
    let page = world.get("/v1/entities?limit=1000").await.json();
    assert_eq!(page["next"], Value::Null);
    page["items"].as_array().unwrap().len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_removes_what_its_selector_names() {
    let world = World::new();
    let one = world.quality("a", 22, 400).await;
    world.quality("a", 140, 100).await;
    world.quality("b", 22, 300).await;
    world.quality("c", 22, 200).await;
    for path in ["http://a/films/1", "http://a/films/2", "http://a/songs/1"] {
        world.store(Profile::Generic, path, 1000, (0, 500)).await;
    }
    let said = json!({"channel": "UC"});
    assert_eq!(
        world.send("PUT", "/v1/videos/c", &said, &[]).await.status,
        200
    );
    assert_eq!(purge(&world, json!({"entity": one})).await, (1, 400));
    assert_eq!(purge(&world, json!({"entity": one})).await, (0, 0));
    assert_eq!(purge(&world, json!({"video": "a"})).await, (1, 100));
    assert_eq!(purge(&world, json!({"video": "a"})).await, (0, 0));
    assert_eq!(purge(&world, json!({"channel": "UC"})).await, (1, 200));
    let films = json!({"prefix": "generic:http://a/films/"});
    assert_eq!(purge(&world, films).await, (2, 1000));
    assert_eq!(left(&world).await, 2);
    assert_eq!(purge(&world, json!({"all": true})).await, (2, 800));
    assert_eq!(left(&world).await, 0);
    let stats = world.get("/v1/stats").await.json();
    assert_eq!(stats["entities"], 0);
    // What is said of a video stays.
    assert_eq!(world.get("/v1/videos/c").await.json()["channel"], "UC");
}

#[tokio::test(flavor = "multi_thread")]
async fn room_that_is_evicted_is_told() {
    let world = World::new();
    let kept = world.quality("a", 22, 100_000).await;
    let pin = format!("/v1/entities/{kept}/pin");
    assert_eq!(world.call("PUT", &pin).await.status, 204);
    let mut others = Vec::new();
    for video in ["b", "c", "d"] {
        others.push(world.quality(video, 22, 100_000).await);
        // Ages are told apart by milliseconds.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let evict = async |asked: Value| {
        let got = world.send("POST", "/v1/evictions", &asked, &[]).await;
        assert_eq!(got.status, 200, "{asked}");
        got.json()
    };
    // 100,000 bytes take 25 blocks.
    let one = 25 * 4096;
    assert_eq!(
        evict(json!({"unused_seconds": 3600})).await,
        json!({"segments": 0, "bytes": 0})
    );
    assert_eq!(
        evict(json!({"bytes": 0})).await,
        json!({"segments": 0, "bytes": 0})
    );
    assert_eq!(
        evict(json!({"bytes": 1})).await,
        json!({"segments": 1, "bytes": one})
    );
    world
        .get(&format!("/v1/entities/{}", others[0]))
        .await
        .problem(404);
    let history = world
        .get(&format!("/v1/entities/{}/history", others[0]))
        .await
        .json();
    assert_eq!(history["evicted"]["operator"]["times"], 1);
    assert_eq!(
        evict(json!({"unused_seconds": 0, "bytes": one})).await,
        json!({"segments": 1, "bytes": one})
    );
    assert_eq!(world.cached(&others[2]).await, 100_000);
    assert_eq!(
        evict(json!({"unused_seconds": 0})).await,
        json!({"segments": 1, "bytes": one})
    );
    assert_eq!(world.cached(&kept).await, 100_000);
    assert_eq!(
        evict(json!({"bytes": 1 << 40})).await,
        json!({"segments": 0, "bytes": 0})
    );
}
