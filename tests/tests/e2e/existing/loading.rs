//! The table of the guide: what becomes of viewers when the filter cannot be loaded, or fails. Each
//! test is a row of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use e2e::checkout::Checkout;
use e2e::client::{Request, Response};
use e2e::content::Content;
use e2e::demo_origin::DemoOrigin;
use e2e::envoy_config::EnvoyConfig;
use e2e::management::envoy_stat;
use e2e::origin::Script;
use e2e::poll::until;
use tempfile::TempDir;

use super::{WATCH, adopted, guide, installed};
use crate::config::{self, validate};
use crate::world::{MIB, SOON, World};

/// A plugin whose VM traps at its second request.
const TRAP: &str = include_str!("trap.wat");

/// Views past the cache: the bytes are the origin's, and nothing says that the filter was there.
async fn served(world: &World, name: &str, content: Content) {
    let mut response = open(world, name).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.cache_status(), "");
    content.check(0, &response.rest().await.unwrap()).unwrap();
}

async fn open(world: &World, name: &str) -> Response {
    let request: Request = WATCH.request(name);
    request.send(world.stack.ingress()).await.unwrap()
}

/// Puts a file in place in one step, as Envoy wants to see it.
fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let new = folder.join(format!(".{name}"));
    fs::write(&new, bytes).unwrap();
    fs::rename(new, folder.join(name)).unwrap();
}

/// Waits for one of the counters of the file that the filter is loaded from.
async fn loaded(world: &World, counter: &str, count: u64) {
    let stat = format!("extension_config_discovery.http_filter.viewcache.{counter}");
    let reached = until(&stat, SOON, async || {
        let now = envoy_stat(world.stack.admin(), &stat).await.unwrap();
        (now == count).then_some(())
    });
    reached.await.unwrap();
}

/// Waits until the filter of the file is at work.
async fn cached(world: &World, name: &str, content: Content) {
    let request = WATCH.request(name);
    let hit = until("it is a hit", SOON, async || {
        let mut response = request.send(world.stack.ingress()).await.unwrap();
        content.check(0, &response.rest().await.unwrap()).unwrap();
        response.cache_status().contains("; hit").then_some(())
    });
    hit.await.unwrap();
}

#[tokio::test]
async fn a_missing_or_corrupt_file_is_passed_by_and_a_good_one_taken() {
    let folder = installed();
    let wasm = fs::read(folder.path().join("viewcache.wasm")).unwrap();
    fs::remove_file(folder.path().join("viewcache.wasm")).unwrap();
    let world = adopted(folder.path(), None, |_| {}).await;
    let filter = fs::read_to_string(folder.path().join("filter.yaml")).unwrap();
    let named = |name: &str| filter.replace("viewcache.wasm", name);
    let film = world.serve("/videos/film", MIB);
    loaded(&world, "update_rejected", 1).await;
    served(&world, "film", film).await;

    put(folder.path(), "corrupt.wasm", &wasm[..wasm.len() / 2]);
    put(folder.path(), "filter.yaml", named("corrupt.wasm"));
    loaded(&world, "update_rejected", 2).await;
    served(&world, "film", film).await;

    put(folder.path(), "good.wasm", &wasm);
    put(folder.path(), "filter.yaml", named("good.wasm"));
    loaded(&world, "update_success", 1).await;
    cached(&world, "film", film).await;

    // From now on it keeps what it has.
    put(folder.path(), "filter.yaml", named("none.wasm"));
    loaded(&world, "update_rejected", 3).await;
    let wrong = named("good.wasm").replace(r#""generic""#, r#""other""#);
    put(folder.path(), "filter.yaml", wrong);
    loaded(&world, "update_rejected", 4).await;
    cached(&world, "film", film).await;
}

#[tokio::test]
async fn an_origin_that_cuts_switches_nothing_off() {
    let folder = installed();
    let world = adopted(folder.path(), None, |_| {}).await;
    let film = world.serve("/videos/film", MIB);
    cached(&world, "film", film).await;
    // Each for the first time: what was cut before is taken up where it ended.
    for name in ["one", "two", "three"] {
        let path = format!("/videos/{name}");
        let cut = Script {
            cut_after: Some(100_000),
            ..Script::new(Content::new(&path, MIB))
        };
        world.origin.script(&path, cut);
        let mut response = open(&world, name).await;
        response.rest().await.unwrap_err();
        let mut response = open(&world, "film").await;
        assert!(response.cache_status().contains("; hit"), "{response:?}");
        film.check(0, &response.rest().await.unwrap()).unwrap();
    }
}

#[tokio::test]
async fn files_that_are_no_configuration_are_passed_by() {
    let folder = installed();
    for name in ["listeners.yaml", "filter.yaml"] {
        let path = folder.path().join(name);
        let torn = format!("torn: [\n{}", fs::read_to_string(&path).unwrap());
        fs::write(path, torn).unwrap();
    }
    let world = adopted(folder.path(), None, |_| {}).await;
    let film = world.serve("/videos/film", MIB);
    // Nobody listens behind the cache's cluster: the first request finds that out, and the workers
    // hear of it a moment later.
    let found = until("the origin answers", SOON, async || {
        let mut response = open(&world, "film").await;
        let _ = response.rest().await;
        (response.status == 200).then_some(())
    });
    found.await.unwrap();
    for _ in 0..5 {
        served(&world, "film", film).await;
    }
}

/// The filter's configuration in the listener itself instead of in a file of its own.
fn inline(folder: &Path) -> String {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let filter = read("filter.yaml");
    let (_, config) = filter.split_once("  typed_config:\n").unwrap();
    let indented: String = config
        .lines()
        .map(|line| format!("        {line}\n"))
        .collect();
    let listeners = read("listeners.yaml");
    let (before, rest) = listeners
        .split_once("          config_discovery:\n")
        .unwrap();
    let (_, after) = rest.split_once("        - &strip\n").unwrap();
    format!("{before}          typed_config:\n{indented}        - &strip\n{after}")
}

#[tokio::test]
async fn a_listener_whose_filter_cannot_be_loaded_is_refused() {
    let folder = installed();
    let listeners = inline(folder.path());
    fs::write(folder.path().join("listeners.yaml"), listeners).unwrap();
    // Its configuration stands in the listener now.
    fs::remove_file(folder.path().join("filter.yaml")).unwrap();
    let world = adopted(folder.path(), None, |_| {}).await;
    let film = world.serve("/videos/film", MIB);
    cached(&world, "film", film).await;

    let running = fs::read_to_string(folder.path().join("listeners.yaml")).unwrap();
    let missing = running.replace("viewcache.wasm", "none.wasm");
    put(folder.path(), "listeners.yaml", missing);
    let refused = "listener_manager.lds.update_rejected";
    let reached = until(refused, SOON, async || {
        let count = envoy_stat(world.stack.admin(), refused).await.unwrap();
        (count == 1).then_some(())
    });
    reached.await.unwrap();
    cached(&world, "film", film).await;
}

#[test]
fn envoy_does_not_start_without_the_file_of_a_listener_of_its_own() {
    let wasm = fs::read(Checkout::find().unwrap().product("viewcache.wasm").unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("viewcache.wasm");
    let check = |bytes: Option<&[u8]>, named: &str| {
        if let Some(bytes) = bytes {
            fs::write(&file, bytes).unwrap();
        }
        let (valid, said) = validate(&config::shipped(&file));
        assert_eq!(valid, named.is_empty(), "{said}");
        assert!(said.contains(named), "{said}");
    };
    check(None, "Invalid path");
    check(Some(&wasm[..wasm.len() / 2]), "corrupted Wasm module");
    check(Some(&wasm), "");
}

#[tokio::test]
async fn without_a_default_nobody_is_served() {
    let folder = installed();
    fs::remove_file(folder.path().join("viewcache.wasm")).unwrap();
    let default = "            apply_default_config_without_warming: true
            default_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
";
    let change = |config: &mut EnvoyConfig| {
        config.replace(default, "").unwrap();
    };
    let world = adopted(folder.path(), None, change).await;
    world.serve("/videos/film", MIB);
    loaded(&world, "update_rejected", 1).await;
    assert_eq!(open(&world, "film").await.status, 500);
}

/// What the guide has you write instead of the file's name, with this checksum.
fn remote(folder: &Path, sha256: &str) -> String {
    let blocks = guide("Code from a server", "yaml");
    let [block] = &blocks[..] else {
        panic!("{blocks:?}");
    };
    let shipped = fs::read_to_string(folder.join("filter.yaml")).unwrap();
    let (before, rest) = shipped.split_once("        code: ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let (hash, _) = block.split_once("sha256: ").unwrap();
    format!("{before}{hash}sha256: \"{sha256}\"\n{after}")
}

#[tokio::test]
async fn code_from_a_server_is_taken_by_its_checksum_alone() {
    let wasm = Checkout::find().unwrap().product("viewcache.wasm").unwrap();
    let right = sha256(&wasm);
    let check = async |served_as: &str, sha256: &str, works: bool| {
        let files = tempfile::tempdir().unwrap();
        fs::copy(&wasm, files.path().join(served_as)).unwrap();
        let server = Arc::new(DemoOrigin::new(files.path().to_owned(), Duration::ZERO));
        let folder = installed();
        let filter = remote(folder.path(), sha256);
        fs::write(folder.path().join("filter.yaml"), filter).unwrap();
        let pages = server.start().await.unwrap();
        let world = adopted(folder.path(), Some(pages), |_| {}).await;
        let film = world.serve("/videos/film", MIB);
        loaded(&world, "update_success", 1).await;
        if works {
            cached(&world, "film", film).await;
            // A later one that cannot be had takes its place all the same.
            let running = fs::read_to_string(folder.path().join("filter.yaml")).unwrap();
            let wrong = running.replace(sha256, &"1".repeat(64));
            put(folder.path(), "filter.yaml", wrong);
            loaded(&world, "update_success", 2).await;
        }
        for _ in 0..5 {
            served(&world, "film", film).await;
        }
    };
    check("viewcache.wasm", &right, true).await;
    check("viewcache.wasm", &"0".repeat(64), false).await;
    check("elsewhere.wasm", &right, false).await;
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    line.split(' ').next().unwrap().to_owned()
}

/// A site whose filter traps, and a download that is under way when it does.
struct Trapped {
    world: World,
    film: Content,
    download: Response,
    _folder: TempDir,
}

impl Trapped {
    async fn begin(policy: &str) -> Self {
        let folder = installed();
        let trap = wat::parse_str(TRAP).unwrap();
        fs::write(folder.path().join("viewcache.wasm"), trap).unwrap();
        let change = |config: &mut EnvoyConfig| {
            config.replace("fail_open: true", policy).unwrap();
        };
        let world = adopted(folder.path(), None, change).await;
        let film = world.serve("/videos/film", MIB);
        let slow = Script {
            pace: Some((64 * 1024, Duration::from_millis(50))),
            ..Script::new(film)
        };
        world.origin.script("/videos/slow", slow);
        loaded(&world, "update_success", 1).await;
        let mut download = open(&world, "slow").await;
        download.take(1).await.unwrap();
        Self {
            world,
            film,
            download,
            _folder: folder,
        }
    }

    /// Whatever the policy, the filter is passed by from then on.
    async fn others(&self) {
        for _ in 0..5 {
            served(&self.world, "film", self.film).await;
        }
    }
}

#[tokio::test]
async fn a_trap_costs_nobody_anything() {
    let mut trapped = Trapped::begin("fail_open: true").await;
    served(&trapped.world, "film", trapped.film).await;
    trapped.others().await;
    let rest = trapped.download.rest().await.unwrap();
    trapped.film.check(1, &rest).unwrap();
    assert_eq!(rest.len() as u64, MIB - 1);
}

#[tokio::test]
async fn the_newer_policy_cuts_what_is_under_way() {
    let mut trapped = Trapped::begin("failure_policy: FAIL_OPEN").await;
    assert_eq!(open(&trapped.world, "film").await.status, 503);
    trapped.others().await;
    assert!(trapped.download.rest().await.is_err());
}
