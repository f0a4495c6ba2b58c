//! Qualities that go because a better one is complete.

use std::time::Duration;

use e2e::management;
use e2e::origin::{Gate, Script};
use e2e::poll::until;
use serde_json::{Value, json};

use crate::downloads::{becomes, call, start};
use crate::quality::{FEW, N, PATH, complete, get, history_of, key, put, restart, withheld, world};
use crate::world::{MIB, World};

/// Waits until nothing of a quality is stored any more: it is not while somebody has just asked.
async fn goes(world: &World, video: &str, itag: &str) {
    let gone = until("it goes", Duration::from_secs(30), async || {
        let entity = world.entity(&key(video, itag)).await;
        entity.is_none().then_some(())
    });
    gone.await
        .unwrap_or_else(|error| panic!("{video} {itag}: {error}"));
}

#[tokio::test]
async fn lower_qualities_go_when_a_better_one_is_complete() {
    let (mut world, content, _folder) = world("").await;
    let completion = json!({"yields": false});
    world
        .policy(json!({"mode": "auto", "completion": completion}))
        .await;
    let own = |drop_lower: bool| json!({"mode": "auto", "drop_lower": drop_lower});
    put(&world, "/v1/channels/UCall", own(false)).await;
    put(&world, "/v1/videos/kept", json!({"channel": "UCall"})).await;
    let mut ids = Vec::new();
    for itag in ["134", "133", "135", "139", "249", "18", "137", "140"] {
        world.view(&get("abc", itag).range(FEW), content).await;
        complete(&world, "abc", itag).await;
        ids.push(world.entity(&key("abc", itag)).await.unwrap());
    }
    // One is downloaded, and one pinned.
    let downloaded = start(&world, json!({"entity": ids[1]["id"]})).await;
    becomes(&world, &downloaded, "complete").await;
    let pin = format!("/v1/entities/{}/pin", ids[2]["id"].as_str().unwrap());
    assert_eq!(call(&world, "PUT", &pin, Value::Null).await.0, 204);
    world.policy(json!({"drop_lower": true})).await;
    // One is watched, by somebody who pauses.
    let gate = Gate::at_byte(MIB);
    let gated = Script {
        gate: Some(gate.clone()),
        ..Script::new(content)
    };
    world.origin.script(PATH, gated);
    let mut viewer = world.open(&get("seen", "134")).await;
    viewer.take(1000).await.unwrap();
    world.origin.script(PATH, Script::new(content));
    for (video, itag) in [
        ("seen", "137"),
        ("late", "134"),
        ("late", "137"),
        ("kept", "134"),
        ("kept", "137"),
    ] {
        world.view(&get(video, itag).range(FEW), content).await;
        complete(&world, video, itag).await;
    }
    // The lower picture, the lower sound of the same codec, and both in one.
    for itag in ["134", "139", "18"] {
        goes(&world, "abc", itag).await;
    }
    goes(&world, "late", "134").await;
    let told = history_of(&world, &ids[0]).await;
    assert_eq!(told["evicted"]["lower"]["bytes"], N, "{told}");
    let metrics = management::get(world.stack.manage(0), "/metrics").await;
    let metrics = metrics.unwrap();
    let label = r#"viewcache_evictions_total{reason="lower"}"#;
    assert!(metrics.contains(label), "{metrics}");
    for itag in ["133", "135", "137", "140", "249"] {
        complete(&world, "abc", itag).await;
    }
    complete(&world, "kept", "134").await;
    assert!(world.entity(&key("seen", "134")).await.is_some());
    // Who watches it gets all of it.
    gate.open();
    let rest = viewer.rest().await.unwrap();
    content.check(1000, &rest).unwrap();
    drop(viewer);
    goes(&world, "seen", "134").await;
    // A rule that changes holds for what has been there for long, too.
    restart(&mut world, content).await;
    complete(&world, "kept", "134").await;
    put(&world, "/v1/channels/UCall", own(true)).await;
    goes(&world, "kept", "134").await;
    // What is not pinned any more goes, what is downloaded stays.
    assert_eq!(call(&world, "DELETE", &pin, Value::Null).await.0, 204);
    goes(&world, "abc", "135").await;
    complete(&world, "abc", "133").await;
    // Whoever wants a lower one gets it, and it is not completed.
    world.view(&get("abc", "134").range(FEW), content).await;
    withheld(&world, "abc", "134", "better-complete").await;
    world.stored(&key("abc", "134"), &[(0, 100_000)]).await;
}
