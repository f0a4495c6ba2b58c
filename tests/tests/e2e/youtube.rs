//! The profile for `/videoplayback` URLs.

use e2e::client::Request;
use e2e::content::Content;
use e2e::origin::{Ranges, Script};
use e2e::stack::Profile;

use crate::world::{MIB, World};

const PATH: &str = "/videoplayback";

async fn world() -> (World, Content) {
    let world = World::with(|options| options.profile = Profile::Youtube).await;
    let content = Content::new("youtube", MIB);
    let mut script = Script {
        ranges: Ranges::InQuery,
        ..Script::new(content)
    };
    script.fields.retain(|(name, _)| name != "cache-control");
    world.origin.script(
        PATH,
        script.field("cache-control", "private, max-age=21600"),
    );
    (world, content)
}

fn url(itag: u32, rest: &str) -> String {
    format!("{PATH}?v=abc&itag={itag}&lmt=17&clen={MIB}&mime=video%2Fmp4{rest}")
}

async fn get(world: &World, target: &str) -> (String, Vec<u8>) {
    let mut response = world.open(&Request::get(target)).await;
    assert_eq!(response.status, 200, "{target}");
    (
        response.cache_status().to_owned(),
        response.rest().await.unwrap(),
    )
}

#[tokio::test]
async fn another_signature_is_the_same_video() {
    let (world, content) = world().await;
    let first = url(22, "&expire=1&sig=a&rn=1&range=0-299999");
    let (status, body) = get(&world, &first).await;
    assert!(status.contains("fwd=uri-miss; stored"), "{status}");
    content.check(0, &body).unwrap();
    let key = format!("v=abc&itag=22&lmt=17&clen={MIB}");
    world.stored(&key, &[(0, 300_000)]).await;

    // Another session, another part of what is stored, in the header this time.
    let again = Request::get(&url(22, "&expire=2&sig=b&n=x")).range("1000-1999");
    world.hit(&again, content).await.expect(206, &["hit"]);
    let (status, body) = get(&world, &url(22, "&sig=c&rn=7&range=100-99999")).await;
    assert!(status.starts_with("viewcache; hit"), "{status}");
    assert_eq!(body.len(), 99_900);
    content.check(100, &body).unwrap();

    // Beyond it: the gap is asked for with the viewer's own URL, without the range in it.
    let (status, body) = get(&world, &url(22, "&sig=d&rn=8&range=200000-399999")).await;
    assert!(status.contains("fwd=partial"), "{status}");
    assert_eq!(body.len(), 200_000);
    content.check(200_000, &body).unwrap();
    world.stored(&key, &[(0, 400_000)]).await;
    let gap = world.origin.seen(PATH).pop().unwrap();
    assert_eq!(gap.sent, 100_000);
    assert_eq!(gap.head.query("sig"), Some("d"));
    assert_eq!(gap.head.query("range"), None);
    assert!(
        gap.head.get("range").unwrap().starts_with("bytes=300000-"),
        "{gap:?}"
    );
}

#[tokio::test]
async fn another_quality_is_another_entity() {
    let (world, content) = world().await;
    for itag in [22, 140] {
        let (status, body) = get(&world, &url(itag, "&range=0-99999")).await;
        assert!(status.contains("fwd=uri-miss"), "{status}");
        content.check(0, &body).unwrap();
        world
            .stored(
                &format!("v=abc&itag={itag}&lmt=17&clen={MIB}"),
                &[(0, 100_000)],
            )
            .await;
    }
    assert_eq!(world.origin.seen(PATH).len(), 2);
}

#[tokio::test]
async fn what_is_not_a_plain_video_is_passed_on() {
    let (world, content) = world().await;
    for target in [
        url(22, "&ump=1"),
        url(22, "&sabr=1"),
        format!("{PATH}?v=abc&itag=22"),
    ] {
        let view = world.view(&Request::get(&target), content).await;
        view.expect(200, &["fwd=bypass"]);
    }
    let content = world.serve("/page", 1000);
    let page = world.view(&Request::get("/page"), content).await;
    page.expect(200, &["fwd=bypass", "detail=not-a-video"]);
}
