//! Ranges as RFC 9110 section 14 has them, of a stored entity; the origin is not asked.

use e2e::client::Request;
use e2e::content::Content;
use e2e::multipart;

use crate::world::World;

const LENGTH: u64 = 100_000;

async fn stored() -> (World, Content) {
    let world = World::start().await;
    let content = world.serve("/v", LENGTH);
    world.view(&Request::get("/v"), content).await;
    world.stored("/v", &[(0, LENGTH)]).await;
    (world, content)
}

#[tokio::test]
async fn one_range_is_what_its_section_says() {
    let (world, content) = stored().await;
    let asked = world.origin.seen_at_all().len();
    for (range, status, bytes) in [
        ("0-0", 206, (0, 1)),
        ("0-", 206, (0, LENGTH)),
        ("5-9", 206, (5, 10)),
        ("99999-", 206, (LENGTH - 1, LENGTH)),
        // R4: clamped; R8: digits beyond 64 bits.
        ("0-99999999", 206, (0, LENGTH)),
        ("50000-99999999999999999999999999", 206, (50_000, LENGTH)),
        // R5: a suffix, one longer than the entity.
        ("-1", 206, (LENGTH - 1, LENGTH)),
        ("-500", 206, (LENGTH - 500, LENGTH)),
        ("-99999999999999999999999999", 206, (0, LENGTH)),
        // R5, R6: unsatisfiable.
        ("-0", 416, (0, 0)),
        ("100000-", 416, (0, 0)),
        ("99999999999999999999999999-", 416, (0, 0)),
    ] {
        let view = world.view(&Request::get("/v").range(range), content).await;
        assert!(view.is_hit(), "{range}: {view:?}");
        assert_eq!(view.status, status, "{range}: {view:?}");
        let content_range = view.head.get("content-range");
        if status == 416 {
            assert_eq!(content_range, Some("bytes */100000"), "{range}");
        } else {
            assert_eq!(view.bytes, bytes, "{range}");
            let expected = format!("bytes {}-{}/{LENGTH}", bytes.0, bytes.1 - 1);
            assert_eq!(content_range, Some(&expected[..]), "{range}");
            // R11.
            for name in ["etag", "cache-control", "age", "content-type"] {
                assert!(view.head.get(name).is_some(), "{range}: no {name}");
            }
        }
    }
    let whole = world.hit(&Request::get("/v"), content).await;
    assert_eq!(whole.head.get("accept-ranges"), Some("bytes"), "R15");
    assert_eq!(world.origin.seen_at_all().len(), asked);
}

#[tokio::test]
async fn several_ranges_are_parts_of_one_response() {
    let (world, content) = stored().await;
    let asked = world.origin.seen_at_all().len();
    let get = |ranges: &str| Request::get("/v").range(ranges);
    for (ranges, expected) in [
        ("0-9,20-29", vec![(0, 10), (20, 30)]),
        (
            "0-0,50000-79999,-1",
            vec![(0, 1), (50_000, 80_000), (LENGTH - 1, LENGTH)],
        ),
        // R9: the satisfiable ones.
        ("0-9,20-29,100000-", vec![(0, 10), (20, 30)]),
    ] {
        let mut response = world.open(&get(ranges)).await;
        assert_eq!(response.status, 206, "{ranges}: {response:?}");
        // R10.
        assert_eq!(response.head.get("content-range"), None, "{response:?}");
        assert!(response.cache_status().contains("; hit"), "{response:?}");
        let body = response.rest().await.unwrap();
        let content_type = response.head.get("content-type").unwrap();
        assert!(content_type.starts_with("multipart/byteranges; boundary="));
        let parts = multipart::parts(content_type, &body).unwrap();
        assert_eq!(parts.len(), expected.len(), "{ranges}");
        for (part, (start, end)) in parts.into_iter().zip(expected) {
            assert_eq!(part.content_type.as_deref(), Some("video/mp4"));
            let range = format!("bytes {start}-{}/{LENGTH}", end - 1);
            assert_eq!(part.content_range, range);
            let bytes = part.bytes;
            assert_eq!(bytes.len() as u64, end - start);
            content.check(start, &bytes).unwrap();
        }
    }
    // R10: one range is left, and it is no multipart.
    let view = world.view(&get("5-9,100000-"), content).await;
    assert_eq!(view.expect(206, &["hit"]).bytes, (5, 10));
    let view = world.view(&get("100000-,100001-"), content).await;
    view.expect(416, &["hit"]);
    let many: Vec<String> = (0..100)
        .map(|n| format!("{}-{}", n * 10, n * 10 + 1))
        .collect();
    let mut response = world.open(&get(&many.join(","))).await;
    let body = response.rest().await.unwrap();
    let content_type = response.head.get("content-type").unwrap();
    assert_eq!(multipart::parts(content_type, &body).unwrap().len(), 100);
    let head = Request::new("HEAD", "/v").range("0-1,5-6");
    assert_eq!(world.open(&head).await.status, 200, "R1");
    assert_eq!(world.origin.seen_at_all().len(), asked);
}

#[tokio::test]
async fn ranges_that_are_many_or_out_of_order_go_to_the_origin() {
    let (world, content) = stored().await;
    let many: Vec<String> = (0..101)
        .map(|n| format!("{}-{}", n * 10, n * 10 + 1))
        .collect();
    for ranges in ["20-29,0-9", "0-9,5-14", &many.join(",")] {
        let asked = world.origin.seen_at_all().len();
        // What the scripted origin makes of what is not one range is the whole.
        let request = Request::get("/v").range(ranges);
        let view = world.view(&request, content).await;
        assert!(!view.is_hit(), "{ranges}: {view:?}");
        assert_eq!(view.bytes, (0, LENGTH), "{ranges}");
        view.expect(view.status, &["detail=several-ranges"]);
        assert_eq!(world.origin.seen_at_all().len(), asked + 1, "{ranges}");
    }
    world.hit(&Request::get("/v"), content).await;
}
