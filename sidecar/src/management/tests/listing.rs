use std::time::Duration;

use serde_json::{Value, json};
use viewcache_protocol::Profile;

use super::{World, members};

/// All items of a list, page by page.
async fn all(world: &World, path: &str, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = world
            .get(&format!("{path}{sign}limit={limit}{cursor}"))
            .await
            .json();
        let new = page["items"].as_array().unwrap();
        assert!(new.len() <= limit);
        items.extend(new.iter().cloned());
        let Some(next) = page["next"].as_str() else {
            return items;
        };
        cursor = format!("&cursor={next}");
    }
}

fn ids(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_are_listed_sorted_and_chosen() {
    let world = World::new();
    for (video, itag, length) in [
        ("a", 22, 400),
        ("a", 140, 100),
        ("b", 22, 300),
        ("c", 18, 200),
    ] {
        world.quality(video, itag, length).await;
        // Times are told apart by milliseconds.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let part = world
        .store(Profile::Generic, "http://a/part", 1000, (0, 50))
        .await;
    let said = json!({"channel": "UC"});
    assert_eq!(
        world.send("PUT", "/v1/videos/b", &said, &[]).await.status,
        200
    );
    let everything = all(&world, "/v1/entities", 2).await;
    assert_eq!(everything.len(), 5);
    assert!(ids(&everything).is_sorted());
    let once = world.get("/v1/entities?limit=5").await.json();
    assert_eq!(
        (members(&once, "id").len(), &once["next"]),
        (5, &Value::Null)
    );
    for (sort, name) in [
        ("cached_bytes", "cached_bytes"),
        ("started_at", "started_at"),
        ("last_accessed", "last_accessed"),
        ("hits", "hits"),
    ] {
        let by = |item: &Value| (item[name].as_u64(), item[name].as_str().map(str::to_owned));
        for limit in [1, 2, 10] {
            let up = all(&world, &format!("/v1/entities?sort={sort}"), limit).await;
            assert_eq!(up.len(), 5, "{sort}");
            assert!(up.is_sorted_by_key(by), "{sort}");
            let down = all(&world, &format!("/v1/entities?sort=-{sort}"), limit).await;
            assert_eq!(down.len(), 5);
            assert!(down.iter().rev().is_sorted_by_key(by), "-{sort}");
        }
    }
    let down = all(&world, "/v1/entities?sort=-id", 2).await;
    assert!(ids(&down).iter().rev().is_sorted());
    for (query, expect) in [
        ("video=a", 2),
        ("video=nobody", 0),
        ("video=a&sort=hits", 2),
        ("itag=22", 2),
        ("video=a&itag=22", 1),
        ("channel=UC", 1),
        ("channel=UC&video=b", 1),
        ("channel=UC&video=a", 0),
        ("channel=nobody", 0),
        ("status=complete", 4),
        ("status=partial", 1),
        ("status=stale", 0),
        ("profile=youtube", 4),
        ("profile=generic", 1),
        ("prefix=youtube%3Av%3Da", 2),
        ("prefix=generic:http://a/", 1),
        ("pinned=true", 0),
        ("pinned=false", 5),
        ("provisional=false", 4),
        ("provisional=true", 1),
        ("provisional=false&status=complete&itag=18", 1),
    ] {
        let found = all(&world, &format!("/v1/entities?{query}"), 3).await;
        assert_eq!(found.len(), expect, "{query}: {found:?}");
    }
    let listed = all(&world, "/v1/entities?prefix=generic&coverage=4", 3).await;
    let id = part.id().to_string();
    assert_eq!(
        (&listed[0]["id"], &listed[0]["coverage"]),
        (&json!(id), &json!("3000"))
    );
    assert_eq!(listed[0]["channel"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_shows_what_of_it_is_stored() {
    let world = World::new();
    let key = world
        .store(Profile::Generic, "http://a/part", 1000, (250, 500))
        .await;
    let path = format!("/v1/entities/{}", key.id());
    let entity = world.get(&path).await.json();
    assert_eq!(entity["ranges"], json!([[250, 500]]));
    assert_eq!(entity["validators"], json!([{"etag": "\"v1\""}]));
    assert_eq!(
        (&entity["status"], &entity["viewers"]),
        (&json!("partial"), &json!(0))
    );
    let coverage = world
        .get(&format!("{path}/coverage?buckets=8"))
        .await
        .json();
    let expected = json!({
        "complete_length": 1000, "cached_bytes": 250, "buckets": 8, "stored": "00ff0000",
        "filling": [], "reading": [],
    });
    assert_eq!(coverage, expected);
    let coverage = world.get(&format!("{path}/coverage")).await.json();
    assert_eq!(coverage["stored"].as_str().unwrap().len(), 256);
    // Into no more parts than it has bytes.
    let coverage = world
        .get(&format!("{path}/coverage?buckets=4096"))
        .await
        .json();
    assert_eq!(coverage["buckets"], 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn videos_are_their_entities_together() {
    let world = World::new();
    world.quality("b", 22, 400).await;
    world.quality("b", 140, 100).await;
    world.quality("a-", 22, 50).await;
    let part = world
        .store(Profile::Generic, "http://a/part", 1000, (0, 500))
        .await;
    // Known, but never seen; and one whose id another's begins with.
    for (id, said) in [
        ("unseen", json!({"title": "Ferris"})),
        ("a", json!({"channel": "UC"})),
    ] {
        let path = format!("/v1/videos/{id}");
        assert_eq!(world.send("PUT", &path, &said, &[]).await.status, 200);
    }
    let alone = part.id().to_string();
    let mut expected = vec![&alone[..], "a", "a-", "b", "unseen"];
    expected.sort_unstable();
    for limit in [1, 2, 5] {
        let videos = all(&world, "/v1/videos", limit).await;
        assert_eq!(ids(&videos), expected);
    }
    let b = world.get("/v1/videos/b?coverage=4").await.json();
    assert_eq!(b["itags"], json!(["140", "22"]));
    assert_eq!(
        (&b["cached_bytes"], &b["complete_length"]),
        (&json!(500), &json!(500))
    );
    assert_eq!(
        (&b["status"], &b["coverage"]),
        (&json!("complete"), &json!("ffff"))
    );
    assert_eq!(b["entities"].as_array().unwrap().len(), 2);
    assert_eq!(b["entities"][0]["video_id"], "b");
    let alone_too = world.get(&format!("/v1/videos/{alone}")).await.json();
    assert_eq!(alone_too["entities"][0]["id"], alone);
    let by_size = all(&world, "/v1/videos?sort=-cached_bytes&coverage=2", 2).await;
    assert_eq!(
        members(&json!({"items": by_size}), "cached_bytes"),
        [500, 500, 50, 0, 0]
    );
    let of = all(&world, "/v1/videos?channel=UC", 2).await;
    assert_eq!(ids(&of), ["a"]);
    assert_eq!(
        ids(&all(&world, "/v1/videos?search=FERR", 2).await),
        ["unseen"]
    );
    assert_eq!(ids(&all(&world, "/v1/videos?search=a-", 2).await), ["a-"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_and_sent_is_counted() {
    let world = World::new();
    world.quality("a", 22, 400).await;
    tokio::spawn(std::sync::Arc::clone(&world.service).observe());
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let stats = loop {
        let stats = world.get("/v1/stats").await.json();
        if stats["windows"]["total"]["requests"] == 1 {
            break stats;
        }
        assert!(std::time::Instant::now() < deadline, "{stats}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let day = &stats["windows"]["day"];
    assert_eq!(
        (&day["misses"], &day["hit_ratio"]),
        (&json!(1), &json!(0.0))
    );
    assert_eq!(
        (&day["bytes_from_origin"], &day["bytes_to_viewers"]),
        (&json!(400), &json!(400))
    );
    assert_eq!(day["origin_bytes_saved"], 0);
    assert_eq!(stats["profiles"]["youtube"]["total"]["misses"], 1);
    assert_eq!(stats["entities"], 1);
    assert_eq!(stats["disk"]["used"], 4096);
    let pools = &stats["pools"];
    let bytes = |pool: &str| pools[pool]["bytes"].as_u64().unwrap();
    assert_eq!(
        bytes("provisional") + bytes("admitted") + bytes("pinned"),
        4096
    );
    assert_eq!(pools["pinned"]["max"], Value::Null);
}
