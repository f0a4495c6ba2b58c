//! `viewcachectl` as people and scripts run it, and what REST tells of what it did.

mod directing;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use e2e::checkout::Checkout;
use e2e::client::{HOST, Request};
use e2e::content::Content;
use e2e::management;
use e2e::poll::until;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::world::{MIB, SOON, World};

/// How a run has ended and what it said.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// That it worked.
    fn ok(self) -> String {
        assert_eq!((self.code, &self.err[..]), (0, ""), "{self:?}");
        self.out
    }

    /// The same, of JSON.
    fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// That it was refused, and why.
    fn refused(self, code: i32, why: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(why), "{self:?}");
    }
}

fn binary() -> PathBuf {
    Checkout::find().unwrap().path("dist/viewcachectl")
}

fn command(manage: SocketAddr, words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(words)
        .env("VIEWCACHE_URL", format!("http://{manage}"))
        .env_remove("VIEWCACHE_TOKEN")
        .env_remove("VIEWCACHE_TOKEN_FILE")
        .kill_on_drop(true);
    command
}

async fn finish(mut command: Command, input: &str) -> Ran {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let ended = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        code: ended.status.code().unwrap(),
        out: text(ended.stdout),
        err: text(ended.stderr),
    }
}

async fn ctl(world: &World, words: &[&str]) -> Ran {
    finish(command(world.stack.manage(0), words), "").await
}

async fn rest(world: &World, target: &str) -> Value {
    let answer = management::json(world.stack.manage(0), target).await;
    answer.unwrap()
}

/// A world with entities that are stored; their ids come back.
async fn with_films<const N: usize>(paths: [&str; N]) -> (World, [String; N]) {
    let world = World::start().await;
    let mut ids = [const { String::new() }; N];
    for (path, id) in paths.into_iter().zip(&mut ids) {
        let content = world.serve(path, MIB);
        world.view(&Request::get(path), content).await;
        let entity = world.stored(path, &[(0, MIB)]).await;
        *id = entity["id"].as_str().unwrap().to_owned();
    }
    (world, ids)
}

#[tokio::test]
async fn what_is_cached_is_listed_and_shown() {
    let (world, [film, _]) = with_films(["/film", "/half"]).await;
    world.serve("/part", MIB);
    let part = Request::get("/part").range("0-9999");
    world.view(&part, Content::new("/part", MIB)).await;
    world.stored("/part", &[(0, 10_000)]).await;

    let list = ctl(&world, &["ls"]).await.ok();
    let lines: Vec<_> = list.lines().collect();
    assert!(
        lines[0].starts_with("ID ") && lines[0].ends_with("KEY"),
        "{list}"
    );
    // The newest comes first.
    assert_eq!(lines.len(), 4, "{list}");
    assert!(
        lines[1].contains("partial") && lines[1].ends_with("/part"),
        "{list}"
    );
    assert!(
        lines[1].contains("provisional") && lines[1].contains("9.77 KiB"),
        "{list}"
    );
    assert!(
        lines[3].starts_with(&film) && lines[3].contains("complete"),
        "{list}"
    );
    assert!(
        lines[3].contains("1.00 MiB") && lines[3].contains("100 %"),
        "{list}"
    );

    let items = ctl(&world, &["ls", "--json"]).await.json();
    assert_eq!(items.as_array().unwrap().len(), 3);
    let check = async |words: &[&str], expect: usize| {
        let items = ctl(&world, &[&["--json", "ls"], words].concat())
            .await
            .json();
        assert_eq!(items.as_array().unwrap().len(), expect, "{words:?}");
    };
    check(&["--status", "complete"], 2).await;
    check(&["--provisional"], 1).await;
    check(&["--pinned"], 0).await;
    check(&["--video", &film], 1).await;
    check(&["--itag", "137"], 0).await;
    check(&["--channel", "UCnone"], 0).await;
    check(&["--prefix", &format!("generic:http://{HOST}/f")], 1).await;
    check(&["-n", "2"], 2).await;
    check(&["-n", "0", "--sort", "id"], 3).await;
    let wrong = ctl(&world, &["ls", "--sort", "beauty"]).await;
    wrong.refused(1, "sort: ");

    let shown = ctl(&world, &["show", &film]).await.ok();
    for line in [
        format!("entity         {film}"),
        format!("key            generic:http://{HOST}/film"),
        "status         complete".to_owned(),
        "kept           yes".to_owned(),
        "stored         1.00 MiB of 1.00 MiB (100 %)".to_owned(),
        format!("ranges         [0, {MIB})"),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    // Nobody counts any more once it is known to be worth keeping.
    let watched = shown.lines().find_map(|line| {
        let watched = line.strip_prefix("watched")?.trim();
        watched.strip_suffix(" % by one viewer")?.parse::<u8>().ok()
    });
    assert!(matches!(watched, Some(10..=100)), "{shown}");
    let shown = ctl(&world, &["show", "--json", &film]).await.json();
    assert_eq!(shown["ranges"], json!([[0, MIB]]));
    let missing = ctl(&world, &["show", &"0".repeat(32)]).await;
    missing.refused(1, "404: ");
}

#[tokio::test]
async fn entities_are_pinned_and_removed() {
    let paths = ["/a", "/b", "/c/1", "/c/2", "/d"];
    let (world, [a, b, c, _, d]) = with_films(paths).await;
    let pinned =
        async |id: &str| rest(&world, &format!("/v1/entities/{id}")).await["pinned"].clone();
    ctl(&world, &["pin", &a, &b]).await.ok();
    assert_eq!(
        (pinned(&a).await, pinned(&b).await),
        (json!(true), json!(true))
    );
    ctl(&world, &["unpin", &b]).await.ok();
    assert_eq!(
        (pinned(&a).await, pinned(&b).await),
        (json!(true), json!(false))
    );
    let list = ctl(&world, &["ls", "--pinned"]).await.ok();
    assert!(list.lines().count() == 2 && list.contains(&a), "{list}");

    let left = async |expect: &[&str]| {
        let items = rest(&world, "/v1/entities").await;
        let items = items["items"].as_array().unwrap().iter();
        let keys: Vec<_> = items.map(|item| item["key"].as_str().unwrap()).collect();
        let is = |path: &&str| keys.iter().any(|key| key.ends_with(*path));
        assert!(
            keys.len() == expect.len() && expect.iter().all(is),
            "{keys:?}"
        );
    };
    let said = ctl(&world, &["rm", &a]).await.ok();
    assert_eq!(said, "removed 1 entity, 1.00 MiB\n");
    left(&["/b", "/c/1", "/c/2", "/d"]).await;
    let video = json!({"channel": "UCone"});
    let target = format!("/v1/videos/{d}");
    let said = management::send("PUT", world.stack.manage(0), &target, &video);
    said.await.unwrap();
    let removed = ctl(&world, &["rm", "--json", "--channel", "UCone"])
        .await
        .json();
    assert_eq!(removed, json!({"entities": 1, "bytes": MIB}));
    left(&["/b", "/c/1", "/c/2"]).await;
    ctl(&world, &["rm", "--video", &c]).await.ok();
    left(&["/b", "/c/2"]).await;
    let prefix = format!("generic:http://{HOST}/c/");
    ctl(&world, &["rm", "--prefix", &prefix]).await.ok();
    left(&["/b"]).await;
    ctl(&world, &["rm", "--all"]).await.ok();
    left(&[]).await;
    ctl(&world, &["rm"]).await.refused(64, "required");
    ctl(&world, &["rm", &a, "--all"])
        .await
        .refused(64, "cannot be used");
}

#[tokio::test]
async fn statistics_are_shown_and_watched() {
    let (world, _) = with_films(["/film"]).await;
    world
        .hit(&Request::get("/film"), Content::new("/film", MIB))
        .await;
    let half = until("half of the bytes were hits", SOON, async || {
        let shown = ctl(&world, &["stats"]).await.ok();
        let minute = shown.lines().find(|line| line.starts_with("minute "))?;
        minute.contains(" 50.0 % ").then_some(shown)
    });
    let shown = half.await.unwrap();
    assert!(
        shown.starts_with("LAST ") && shown.contains("\nentities "),
        "{shown}"
    );
    let stats = ctl(&world, &["stats", "--json"]).await.json();
    assert_eq!(stats["entities"], 1);
    // Into a pipe, one after the other.
    let mut watching = command(world.stack.manage(0), &["stats", "--watch"]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut times = 0;
    while times < 2 {
        let line = lines.next_line().await.unwrap().expect("it goes on");
        times += usize::from(line.starts_with("LAST "));
    }
    watching.kill().await.unwrap();
}

#[tokio::test]
async fn shells_complete_and_mistakes_are_told() {
    let (world, [film]) = with_films(["/film"]).await;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ctl(&world, &["completions", shell]).await.ok();
        assert!(
            script.contains("viewcachectl") && script.contains("download"),
            "{shell}"
        );
    }
    let script = ctl(&world, &["completions", "bash"]).await.ok();
    let mut bash = Command::new("bash");
    let ask = "\nCOMP_WORDS=(viewcachectl pol); COMP_CWORD=1; _viewcachectl viewcachectl pol viewcachectl; echo \"${COMPREPLY[*]}\"";
    bash.args(["-c", &(script + ask)]);
    assert_eq!(finish(bash, "").await.ok(), "policy\n");

    ctl(&world, &["frobnicate"])
        .await
        .refused(64, "unrecognized subcommand");
    assert!(
        ctl(&world, &["--help"])
            .await
            .ok()
            .contains("Usage: viewcachectl")
    );
    // Nobody is there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = nobody.local_addr().unwrap();
    let lost = finish(command(nobody, &["ls"]), "").await;
    lost.refused(1, &format!("http://{nobody}/v1/entities"));
    // A reader that has seen enough.
    let mut head = Command::new("bash");
    let words = format!(
        "set -o pipefail; {} show {film} | head -n 1",
        binary().display()
    );
    head.args(["-c", &words])
        .env("VIEWCACHE_URL", format!("http://{}", world.stack.manage(0)));
    assert_eq!(
        finish(head, "").await.ok(),
        format!("entity         {film}\n")
    );
}

#[tokio::test]
async fn a_token_is_shown() {
    const READ: &str = "reader-reader-reader";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, format!("read {READ}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let tokens = file.clone();
    let world = World::with(|options| options.tokens_file = Some(tokens)).await;
    ctl(&world, &["ls"]).await.refused(
        1,
        "401: authorization: a bearer token is needed (give a token by",
    );
    ctl(&world, &["ls", "--token-file", file.to_str().unwrap()])
        .await
        .ok();
    let mut with = command(world.stack.manage(0), &["policy", "set", "keep=complete"]);
    with.env("VIEWCACHE_TOKEN", READ);
    finish(with, "").await.refused(
        1,
        "403: authorization: the bearer token's role is not admin",
    );
}
