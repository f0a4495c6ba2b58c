//! The filter in the site's own listener, for the routes that ask for it.

use e2e::origin::Origin;

use super::{example, installed, run, shipped};
use crate::smoke::Door;

#[tokio::test]
async fn only_routes_that_ask_for_it_have_a_cache() {
    let folder = installed();
    let origin = Origin::start().await.unwrap();
    let mut config = example(folder.path(), &shipped("envoy/examples/opt-in.yaml"));
    config.backend("media.internal", origin.address()).unwrap();
    let mut world = run(origin, config).await;

    // The cache is in front of the routes here, so its keys are what viewers ask for; the path at
    // the origin is another, for hits, gaps and after a fail-over alike.
    let door = Door {
        host: "www.example",
        viewed: "/watch/",
        asked: "/videos/",
        keyed: "/watch/",
    };
    door.works(&mut world).await;

    let other = world.serve("/videos/other", 1000);
    let request = Door {
        viewed: "/videos/",
        ..door
    }
    .request("other");
    for forged in ["hit", "partial"] {
        let request = request.clone().field("x-viewcache-route", forged);
        let mut response = request.send(world.stack.ingress()).await.unwrap();
        assert_eq!(response.cache_status(), "");
        other.check(0, &response.rest().await.unwrap()).unwrap();
    }
    assert_eq!(world.origin.seen("/videos/other").len(), 2);
}
