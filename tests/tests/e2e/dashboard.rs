//! The dashboard in a browser: every action of it, and what it did as REST tells it.

mod actions;
mod live;
mod looks;
mod many;
mod token;

use e2e::client::Request;
use e2e::content::Content;
use e2e::management;
use e2e::poll::until;
use serde_json::Value;

use crate::browser::Browser;
use crate::world::{MIB, SOON, World};

/// How long the film is.
const N: u64 = 4 * MIB;

/// A world, a browser for its dashboard, and a film that is stored, with its video's id.
async fn film() -> (World, Browser, Content, String) {
    let world = World::start().await;
    let browser = Browser::open(world.stack.manage(0)).await;
    let content = world.serve("/film", N);
    world.view(&Request::get("/film"), content).await;
    let entity = world.stored("/film", &[(0, N)]).await;
    let video = entity["video_id"].as_str().unwrap().to_owned();
    (world, browser, content, video)
}

async fn call(world: &World, target: &str) -> Value {
    let answer = management::json(world.stack.manage(0), target).await;
    answer.unwrap()
}

/// Waits until REST says so.
async fn told(world: &World, target: &str, what: impl Fn(&Value) -> bool) {
    let mut last = Value::Null;
    let told = until(target, SOON, async || {
        let answer = management::json(world.stack.manage(0), target).await;
        last = answer.unwrap_or_default();
        what(&last).then_some(())
    });
    if let Err(error) = told.await {
        panic!("{error}: {last}");
    }
}
