//! The pages need no token; what they show does.

use std::os::unix::fs::PermissionsExt;

use e2e::client::Request;
use e2e::management;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::world::World;

const READ: &str = "reader-reader-reader";
const ADMIN: &str = "keeper-keeper-keeper";

const ASKED: &str = "document.getElementById('ask-token').open";

async fn policy(world: &World) -> Value {
    let manage = world.stack.manage(0);
    let request = management::request("GET", manage, "/v1/policy");
    let request = request.field("authorization", format!("Bearer {READ}"));
    let mut response = request.send(manage).await.unwrap();
    serde_json::from_slice(&response.rest().await.unwrap()).unwrap()
}

#[tokio::test]
async fn the_token_is_asked_for_and_kept_with_the_tab() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, format!("read {READ}\nadmin {ADMIN}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let world = World::with(|options| options.tokens_file = Some(file)).await;
    let content = world.serve("/film", 1000);
    world.view(&Request::get("/film"), content).await;
    let browser = Browser::open(world.stack.manage(0)).await;
    browser.go("/").await;
    browser.says("A token, please").await;
    browser.picture("token").await;
    browser
        .write("input[name=token]", "nobody-nobody-nobody")
        .await;
    browser.button("Use it").await;
    browser.says("That token is not known").await;
    browser.write("input[name=token]", READ).await;
    browser.keys("\u{e007}").await;
    browser.says("Hit ratio of the last minute").await;
    browser
        .becomes("document.getElementById('live').dataset.state === 'live'")
        .await;
    browser.becomes(&format!("!{ASKED}")).await;
    // It outlives the page, and no tab.
    browser.reload().await;
    browser.says("Hit ratio of the last minute").await;
    browser.becomes(&format!("!{ASKED}")).await;
    let kept = "return [sessionStorage.length, localStorage.length, document.cookie]";
    assert_eq!(browser.script(kept).await, json!([1, 0, ""]));

    // Who may only look is told so, and can show another.
    browser.go("/policy").await;
    browser
        .write("input[name='admit.watched_percent']", "25")
        .await;
    browser.click("main form button.primary").await;
    browser.says("role is not admin").await;
    assert_eq!(policy(&world).await["admit"]["watched_percent"], 10);
    browser.button("Token").await;
    browser.write("input[name=token]", ADMIN).await;
    browser.button("Use it").await;
    browser
        .becomes(&format!(
            "!{ASKED} && document.querySelector(\"[name='admit.watched_percent']\")?.value === '10'"
        ))
        .await;
    browser
        .write("input[name='admit.watched_percent']", "25")
        .await;
    browser.click("main form button.primary").await;
    browser.says("The policy is in force").await;
    assert_eq!(policy(&world).await["admit"]["watched_percent"], 25);

    browser.button("Token").await;
    browser.button("Forget the other").await;
    browser.says("A token, please").await;
    browser.becomes("sessionStorage.length === 0").await;
}
