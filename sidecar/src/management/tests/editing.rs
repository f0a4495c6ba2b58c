use serde_json::json;

use super::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_changed_by_whoever_knows_it() {
    let world = World::new();
    let first = world.get("/v1/policy").await;
    let tag = first.field("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let patch = json!({"admit": {"watched_percent": 5}});
    let got = world
        .send("PATCH", "/v1/policy", &patch, &[("if-match", &tag)])
        .await;
    assert_eq!(got.status, 200);
    assert_eq!(
        got.json()["admit"],
        json!({"watched_percent": 5, "viewers": 0})
    );
    let newer = got.field("etag").to_owned();
    assert_ne!(newer, tag);
    // Who read it before that has not seen it.
    for method in ["PATCH", "PUT"] {
        let got = world
            .send(method, "/v1/policy", &patch, &[("if-match", &tag)])
            .await;
        let problem = got.problem(412);
        assert_eq!(
            (&problem["field"], &problem["value"]),
            (&json!("if-match"), &json!(tag))
        );
    }
    let got = world
        .send("PUT", "/v1/policy", &json!({}), &[("if-match", &newer)])
        .await;
    assert_eq!(got.status, 200);
    // The same is the same again, and putting it twice changes nothing.
    assert_eq!(got.field("etag"), tag);
    let again = world
        .send("PUT", "/v1/policy", &json!({}), &[("if-match", "*")])
        .await;
    assert_eq!((again.status, again.field("etag")), (200, &tag[..]));
    assert_eq!(world.get("/v1/policy").await.json(), first.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_video_is_put_patched_and_deleted() {
    let world = World::new();
    let path = "/v1/videos/dQw4%25";
    let said = json!({"title": "A video", "channel": "UC1", "duration": 62.5});
    world
        .send("PATCH", path, &said, &[("if-match", "*")])
        .await
        .problem(412);
    let got = world
        .send("PUT", path, &said, &[("if-none-match", "*")])
        .await;
    assert_eq!(got.status, 200);
    let expected = json!({"id": "dQw4%", "title": "A video", "channel": "UC1", "duration": 62.5});
    assert_eq!(got.json(), expected);
    let tag = got.field("etag").to_owned();
    world
        .send("PUT", path, &said, &[("if-none-match", "*")])
        .await
        .problem(412);
    let shown = world.get(path).await;
    assert_eq!(shown.field("etag"), tag);
    let shown = shown.json();
    assert_eq!(
        (&shown["title"], &shown["entities"]),
        (&json!("A video"), &json!([]))
    );
    assert_eq!(shown["status"], json!(null));
    let patch = json!({"title": null, "duration": 63});
    let got = world
        .send("PATCH", path, &patch, &[("if-match", &tag)])
        .await;
    assert_eq!(
        got.json(),
        json!({"id": "dQw4%", "channel": "UC1", "duration": 63.0})
    );
    let delete = |tag: &str| {
        let request = warp::test::request().method("DELETE").path(path);
        request.header("if-match", tag)
    };
    world.ask(delete(&tag)).await.problem(412);
    assert_eq!(world.ask(delete(got.field("etag"))).await.status, 204);
    world.get(path).await.problem(404);
    // A channel that only a video has named is known for as long as that.
    world.get("/v1/channels/UC1").await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_has_totals_of_what_its_videos_take() {
    let world = World::new();
    let one = world.quality("one", 22, 1000).await;
    world.quality("one", 140, 300).await;
    world.quality("two", 22, 5000).await;
    for video in ["one", "two", "unseen"] {
        let path = format!("/v1/videos/{video}");
        let said = json!({"channel": "UC1"});
        assert_eq!(world.send("PUT", &path, &said, &[]).await.status, 200);
    }
    let pin = format!("/v1/entities/{one}/pin");
    assert_eq!(world.call("PUT", &pin).await.status, 204);
    let expected = json!({
        "id": "UC1", "mode": "inherit",
        "videos": 3, "entities": 3, "cached_bytes": 6300, "pinned_bytes": 1000,
    });
    // Nobody has said anything of it but that videos belong to it.
    assert_eq!(world.get("/v1/channels/UC1").await.json(), expected);
    let put = |id: &str, said: serde_json::Value| {
        let path = format!("/v1/channels/{id}");
        let world = &world;
        async move { world.send("PUT", &path, &said, &[]).await }
    };
    let got = put("UC1", json!({"mode": "auto", "quota_bytes": 9})).await;
    let said = json!({"id": "UC1", "mode": "auto", "quota_bytes": 9});
    assert_eq!(got.json(), said);
    put("UC-", json!({"title": "Empty"})).await;
    put("UC2", json!({})).await;
    let first = world.get("/v1/channels?limit=2").await.json();
    assert_eq!(super::members(&first, "id"), ["UC-", "UC1"]);
    assert_eq!(super::members(&first, "cached_bytes"), [0, 6300]);
    let next = first["next"].as_str().unwrap();
    let last = world
        .get(&format!("/v1/channels?limit=2&cursor={next}"))
        .await
        .json();
    assert_eq!(super::members(&last, "id"), ["UC2"]);
    assert_eq!(last["next"], json!(null));
    let patch = json!({"quota_bytes": null, "watched_percent": 3});
    let got = world.send("PATCH", "/v1/channels/UC1", &patch, &[]).await;
    assert_eq!(
        got.json(),
        json!({"id": "UC1", "mode": "auto", "watched_percent": 3})
    );
    let shown = world.get("/v1/channels/UC1").await;
    assert_eq!(shown.field("etag"), got.field("etag"));
    assert_eq!(world.call("DELETE", "/v1/channels/UC1").await.status, 204);
    // Its videos still name it.
    assert_eq!(world.get("/v1/channels/UC1").await.json(), expected);
    world.call("DELETE", "/v1/channels/UC1").await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_become_channels() {
    let world = World::new();
    let import = |query: &str, body: &'static str| {
        let request = warp::test::request().method("POST");
        let request = request
            .path(&format!("/v1/channels/import{query}"))
            .body(body);
        world.ask(request)
    };
    let list = "Channel Id,Channel Url,Channel Title\nUCc,http://www.youtube.com/channel/UCc,C\n";
    let got = import("?mode=auto", list).await;
    assert_eq!(
        (got.status, got.json()),
        (200, json!({"imported": 1, "known": 0}))
    );
    assert_eq!(
        import("", list).await.json(),
        json!({"imported": 0, "known": 1})
    );
    let shown = world.get("/v1/channels/UCc").await.json();
    assert_eq!(
        (&shown["title"], &shown["mode"]),
        (&json!("C"), &json!("auto"))
    );
    import("", "nothing").await.problem(400);
    let problem = import("?mode=all", list).await.problem(400);
    assert_eq!(
        (&problem["field"], &problem["value"]),
        (&json!("mode"), &json!("all"))
    );
}
