//! The way from a sidecar that fails to the origin, with a sidecar that fails as told.

use std::time::Duration;

use e2e::client::Request;
use e2e::content::Content;
use e2e::http1::Head;
use e2e::origin::Script;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::world::World;

/// What becomes of a routed request; decisions are always `hit`.
#[derive(Clone, Copy, Debug)]
enum Routed {
    Hangs,
    Closes,
    HandsBack,
    Unavailable,
}

async fn world(latency: Duration, routed: Routed) -> (World, Content) {
    let mut world = World::with(|options| options.start_sidecars = false).await;
    let content = world.serve("/v", 100_000);
    world.origin.script(
        "/v",
        Script {
            latency,
            ..Script::new(content)
        },
    );
    let listener = TcpListener::bind(world.stack.free_data_port(0))
        .await
        .unwrap();
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(play(stream, routed));
        }
    });
    // Until the health checks have found it.
    let decided = e2e::poll::until("decisions are made", crate::world::SOON, async || {
        world.view(&Request::get("/v"), content).await;
        (1 <= world.count("hit").await).then_some(())
    });
    decided.await.unwrap();
    (world, content)
}

async fn play(stream: TcpStream, routed: Routed) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(head) = Head::read(&mut stream).await? {
        let length: u64 = head.get("content-length").unwrap_or("0").parse()?;
        (&mut stream)
            .take(length)
            .read_to_end(&mut Vec::new())
            .await?;
        let answer = match (head.get("x-viewcache-route"), routed) {
            (None, _) if head.path() == "/decide" => {
                "200 OK\r\ncontent-length: 18\r\n\r\n{\"decision\":\"hit\"}"
            }
            (None, _) => "405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n",
            (Some(_), Routed::Hangs) => std::future::pending().await,
            (Some(_), Routed::Closes) => return Ok(()),
            (Some(_), Routed::HandsBack) => {
                "421 Misdirected Request\r\nx-viewcache-handback: late\r\ncontent-length: 0\r\n\r\n"
            }
            (Some(_), Routed::Unavailable) => {
                "503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
            }
        };
        stream
            .write_all(format!("HTTP/1.1 {answer}").as_bytes())
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn before_the_head_every_failure_leads_to_the_origin() {
    for routed in [Routed::Closes, Routed::HandsBack, Routed::Unavailable] {
        let (world, content) = world(Duration::ZERO, routed).await;
        for _ in 0..10 {
            let view = world
                .view(&Request::get("/v").range("1000-1999"), content)
                .await;
            assert_eq!(view.expect(206, &[]).bytes, (1000, 2000), "{routed:?}");
            assert!(!view.is_hit(), "{routed:?}: {view:?}");
        }
        assert!(1 <= world.count("failover").await, "{routed:?}");
    }
}

#[tokio::test]
async fn a_slow_origin_after_a_hung_sidecar_is_waited_for() {
    // Longer than the time that the hit route leaves the sidecar for its head.
    let latency = Duration::from_millis(1500);
    let (world, content) = world(latency, Routed::Hangs).await;
    let view = world.view(&Request::get("/v"), content).await;
    view.expect(200, &[]);
    assert!(view.waited < latency + Duration::from_secs(2), "{view:?}");
}
