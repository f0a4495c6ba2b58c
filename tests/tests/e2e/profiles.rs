//! Profiles that the operator defines.

use e2e::client::Request;
use e2e::content::Content;
use e2e::management;
use e2e::origin::{Ranges, Script};
use tempfile::TempDir;

use crate::world::{MIB, World, rules};

const PROFILES: &str = r#""profiles": [
    {
        "name": "films", "path": "/films/{id}/{file*}", "key": ["{id}", "?quality"],
        "immutable": true, "store": ["private", "set-cookie"]
    },
    {
        "name": "clips", "path": "/clips/{name}.mp4", "ignore": ["token", "expires"],
        "range_parameter": "bytes", "length_parameter": "size", "methods": ["GET"]
    },
    {"name": "members", "path": "/members/{name*}", "store": ["authorization"]}
]"#;

async fn world(text: &str) -> (World, TempDir) {
    let (file, folder) = rules(text);
    let world = World::with(|options| {
        options.filter_fields = Some(PROFILES.replace('\n', " "));
        options.sidecar_config = Some(file);
    });
    (world.await, folder)
}

/// A film for one viewer, without a validator, by URLs that say nothing of it but its id.
#[tokio::test]
async fn what_names_an_entity_is_the_operators_to_say() {
    let (world, _folder) = world("").await;
    let content = Content::new("film", MIB);
    for path in ["/films/7/a.mp4", "/films/7/other/b.mp4"] {
        let mut script = Script::new(content).field("set-cookie", "viewer=1");
        script.etag = None;
        script.fields.retain(|(name, _)| name != "cache-control");
        let script = script.field("cache-control", "private, max-age=0");
        world.origin.script(path, script);
    }
    let get = |target: &str, range: &str| Request::get(target).range(range);
    let first = get("/films/7/a.mp4?quality=hd&token=1", "0-499999");
    let view = world.view(&first, content).await;
    view.expect(206, &["fwd=uri-miss", "stored"]);
    let entity = world
        .stored("films+cip:id=7&quality=hd", &[(0, 500_000)])
        .await;
    assert_eq!(entity["profile"], "films+cip");
    // Another URL, authority and transfer, and never stale.
    let rest = get("/films/7/other/b.mp4?token=2&quality=hd", "400000-").host("b.example");
    let view = world.view(&rest, content).await;
    view.expect(206, &["fwd=partial", "stored"]);
    world.stored("films+cip:id=7&quality=hd", &[(0, MIB)]).await;
    let view = world
        .hit(&get("/films/7/a.mp4?quality=hd", "0-"), content)
        .await;
    assert_eq!(view.head.get("set-cookie"), None, "another's cookie");
    let view = world
        .view(&get("/films/7/a.mp4?quality=sd", "0-999"), content)
        .await;
    view.expect(206, &["fwd=uri-miss", "stored"]);
    // What has no profile follows HTTP's rules.
    let private = Script::new(content).field("cache-control", "private");
    world.origin.script("/else", private);
    let view = world.view(&Request::get("/else"), content).await;
    view.expect(200, &["detail=private"]);
}

/// The gaps are asked for in the name of whoever wants them.
#[tokio::test]
async fn members_may_share_what_they_are_authorized_to_see() {
    let (world, _folder) = world("").await;
    let content = world.serve("/members/a", MIB);
    world.serve("/a", MIB);
    let get = |path: &str, name: &str| Request::get(path).field("authorization", name);
    let first = get("/members/a", "Bearer one").range("0-499999");
    world.view(&first, content).await.expect(206, &["stored"]);
    let key = "members+a:http://media.test/members/a";
    world.stored(key, &[(0, 500_000)]).await;
    let view = world.view(&get("/members/a", "Bearer two"), content).await;
    view.expect(200, &["fwd=partial"]);
    let seen = world.origin.seen("/members/a");
    let told = seen.iter().map(|seen| seen.head.get("authorization"));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [Some("Bearer one"), Some("Bearer two")]
    );
    world.stored(key, &[(0, MIB)]).await;
    let hit = world.hit(&get("/members/a", "Bearer three"), content).await;
    hit.expect(200, &["hit"]);
    // What is not theirs follows HTTP's rules.
    let mut other = world.open(&get("/a", "Bearer one")).await;
    other.rest().await.unwrap();
    assert!(
        other.cache_status().contains("detail=authorization"),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_signature_is_ignored_and_a_range_may_stand_in_the_url() {
    let (world, _folder) = world("").await;
    let content = Content::new("clip", MIB);
    let script = Script {
        ranges: Ranges::InQuery,
        ..Script::new(content)
    };
    world.origin.script("/clips/a.mp4", script.clone());
    let get = async |query: &str| {
        let target = format!("/clips/a.mp4?size={MIB}{query}");
        let mut response = world.open(&Request::get(&target)).await;
        assert_eq!(response.status, 200, "{response:?}");
        let body = response.rest().await.unwrap();
        content.check(0, &body).unwrap();
        (body.len() as u64, response.cache_status().to_owned())
    };
    // The scripted origin knows the parameter by another name.
    let plain = get("&token=1&expires=5").await;
    assert_eq!(plain.0, MIB);
    let key = format!("clips:http://media.test/clips/a.mp4?size={MIB}");
    world.stored(&key, &[(0, MIB)]).await;
    let part = get("&token=2&bytes=0-999").await;
    assert_eq!(part.0, 1000);
    assert!(part.1.contains("viewcache; hit"), "{part:?}");
    let whole = get("&expires=6").await;
    assert!(whole.1.contains("viewcache; hit"), "{whole:?}");
    let mut head = world.open(&Request::new("HEAD", "/clips/a.mp4")).await;
    head.rest().await.unwrap();
    assert!(head.cache_status().contains("fwd=method"), "{head:?}");
}

#[tokio::test]
async fn only_the_types_and_sizes_that_are_wanted_are_stored() {
    for miss in ["mirror", "relay"] {
        let rules = format!(
            "[profiles.films]\nmiss = \"{miss}\"\ntypes = [\"video/\"]\nmin_size = \"10KiB\"\nmax_size = \"1MiB\"\n"
        );
        let (world, _folder) = world(&rules).await;
        let view = async |id: &str, content_type: &str, length: u64| {
            let path = format!("/films/{id}/a");
            let content = Content::new(&path, length);
            let mut script = Script::new(content);
            script.fields.retain(|(name, _)| name != "content-type");
            let script = script.field("content-type", content_type);
            world.origin.script(&path, script);
            world.view(&Request::get(&path), content).await
        };
        view("1", "text/html", 50_000).await;
        view("2", "video/mp4", 10_239).await;
        view("3", "video/mp4", MIB + 1).await;
        view("4", "Video/MP4", 10_240).await;
        world.stored("films+cip:id=4", &[(0, 10_240)]).await;
        for id in 1..4 {
            let key = format!("films+cip:id={id}");
            let entity = management::entity(world.stack.manage(0), &key).await;
            let ranges = entity
                .unwrap()
                .map(|entity| management::ranges(&entity).unwrap());
            assert!(
                ranges.is_none_or(|ranges| ranges.is_empty()),
                "{miss}: {id}"
            );
        }
        if miss == "mirror" {
            let declined = view("5", "text/html", 50_000).await;
            declined.expect(200, &["detail=content-type"]);
        }
    }
}
