//! `docs/EXISTING-ENVOY.md`, followed literally: its commands are run and its edits are made on the
//! example of a site without a cache.

mod kubernetes;
mod loading;
mod opt_in;
mod same;
mod tls;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use e2e::checkout::Checkout;
use e2e::client::Request;
use e2e::content::Content;
use e2e::envoy_config::EnvoyConfig;
use e2e::guide::{Edits, blocks};
use e2e::origin::Origin;
use e2e::stack::Options;
use tempfile::TempDir;

use crate::smoke::Door;
use crate::world::World;

/// As much as may be asked of somebody who adopts viewcache.
const MOST_LINES: usize = 25;

fn shipped(path: &str) -> String {
    let path = Checkout::find().unwrap().path(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn guide(heading: &str, language: &str) -> Vec<String> {
    blocks(&shipped("docs/EXISTING-ENVOY.md"), heading, language)
}

/// The guide's edits of the site's configuration.
fn edits() -> Edits {
    let blocks = guide("Edit your configuration", "diff");
    let [diff] = &blocks[..] else {
        panic!("{blocks:?}");
    };
    Edits::read(diff).unwrap()
}

/// A folder in which the guide's files have been put by the guide's commands.
pub(super) fn installed() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let blocks = guide("Put the files in place", "sh");
    let [script] = &blocks[..] else {
        panic!("{blocks:?}");
    };
    let script = script.replace("/etc/viewcache", &folder.path().display().to_string());
    let status = Command::new("sh")
        .args(["-ec", &script])
        .current_dir(Checkout::find().unwrap().path("."))
        .status()
        .unwrap();
    assert!(status.success(), "{script}");
    folder
}

/// An example as Envoy's own configuration, in a folder of installed files.
pub(super) fn example(folder: &Path, text: &str) -> EnvoyConfig {
    fs::write(folder.join("envoy.yaml"), text).unwrap();
    EnvoyConfig::installed(folder).unwrap()
}

/// A site that has adopted viewcache; its pages are at the same origin as its media if nowhere
/// else.
pub(super) async fn adopted(
    folder: &Path,
    pages: Option<SocketAddr>,
    change: impl FnOnce(&mut EnvoyConfig),
) -> World {
    let text = edits().apply(&shipped("envoy/examples/site.yaml")).unwrap();
    let origin = Origin::start().await.unwrap();
    let mut config = example(folder, &text);
    config.backend("media.internal", origin.address()).unwrap();
    let pages = pages.unwrap_or(origin.address());
    config.backend("pages.internal", pages).unwrap();
    change(&mut config);
    run(origin, config).await
}

/// A world with this configuration, which has all the time that it needs for its decisions, and
/// one worker, so that what happens to its filter happens to all.
pub(super) async fn run(origin: Origin, config: EnvoyConfig) -> World {
    let change = |options: &mut Options| {
        options.own = Some(config);
        options.filter_fields = Some(r#""decide_timeout": "5s""#.to_owned());
        options.concurrency = Some(1);
    };
    World::before(origin, change).await
}

/// What the site's own routes serve from its media servers.
pub(super) const WATCH: Door = Door {
    host: "media.example",
    viewed: "/watch/",
    asked: "/videos/",
    keyed: "/videos/",
};

#[tokio::test]
async fn the_guide_gives_a_site_a_cache() {
    let folder = installed();
    let mut world = adopted(folder.path(), None, |_| {}).await;
    WATCH.works(&mut world).await;
    let films = Door {
        host: "www.example",
        viewed: "/films/",
        asked: "/films/",
        keyed: "/films/",
    };
    films.works(&mut world).await;

    // The site's other cluster is what it was.
    let page = world.serve("/index.html", 1000);
    let request = Request::get("/index.html").host("www.example");
    passed_by(&world, [request.clone(), request], page).await;
}

/// Two requests for the same, neither of which the filter sees.
pub(super) async fn passed_by(world: &World, requests: [Request; 2], content: Content) {
    let before = world.origin.seen_at_all().len();
    for request in requests {
        let mut response = request.send(world.stack.ingress()).await.unwrap();
        assert_eq!(response.cache_status(), "");
        content.check(0, &response.rest().await.unwrap()).unwrap();
    }
    assert_eq!(world.origin.seen_at_all().len(), before + 2);
}

#[test]
fn it_asks_for_few_lines_and_none_of_the_routes() {
    let edits = edits();
    assert!(edits.lines() <= MOST_LINES, "{} lines", edits.lines());
    let told = format!("| {} lines, none of them in", edits.lines());
    assert!(shipped("docs/EXISTING-ENVOY.md").contains(&told), "{told}");
    let site = shipped("envoy/examples/site.yaml");
    let after = edits.apply(&site).unwrap();
    let listener = |text: &str| {
        let (_, rest) = text.split_once("  listeners:\n").unwrap();
        rest.split_once("  clusters:\n").unwrap().0.to_owned()
    };
    assert_eq!(listener(&site), listener(&after), "the site's own listener");
}

#[tokio::test]
async fn forged_control_headers_go_nowhere() {
    let folder = installed();
    let world = adopted(folder.path(), None, |_| {}).await;
    let content = world.serve("/videos/film", 5000);
    for route in ["hit", "partial"] {
        let request = WATCH.request("film").field("x-viewcache-route", route);
        let request = request.field("x-viewcache-key", "00000000000000000000000000000000");
        world.view(&request, content).await.expect(200, &[]);
    }
    // `World` checks what reached the origin.
    assert!(!world.origin.seen_at_all().is_empty());
}
