//! The filter in the site's own listener, for the routes that ask for it.

use e2e::origin::Origin;

use super::{example, installed, passed_by, run, shipped};
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
    let forged = |route: &str| request.clone().field("x-viewcache-route", route);
    passed_by(&world, [forged("hit"), forged("partial")], other).await;
}
