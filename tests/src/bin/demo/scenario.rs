//! The scenario: seven plays, each with what it must be.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::client::{HOST, Request};
use e2e::demo_origin::DemoOrigin;
use e2e::management;
use e2e::poll::until;
use e2e::stack::{Options, Stack};

use crate::table::Row;

/// How long the cache may take to store what has passed.
const SOON: Duration = Duration::from_secs(10);

/// A player reads so much at once...
const PIECE: usize = 128 * 1024;
/// ...and then this long nothing: a fast one.
const PAUSE: Duration = Duration::from_millis(5);

/// A video and where it is.
struct Video {
    path: &'static str,
    bytes: Vec<u8>,
}

/// A play and what it must be.
struct Play<'a> {
    what: &'a str,
    video: &'a Video,
    /// What is asked for; `None` is everything.
    range: Option<(u64, u64)>,
    /// How far it is watched; `None` is to the end.
    watched: Option<u64>,
    /// What Cache-Status must contain.
    cache_status: &'a str,
    /// How many bytes the origin must send.
    from_origin: u64,
}

struct Cinema<'a> {
    origin: &'a DemoOrigin,
    stack: Stack,
    rows: Vec<Row>,
}

/// Plays all, and tells how it was.
pub(crate) async fn run(origin: &DemoOrigin, root: &Path, options: Options) -> Result<Vec<Row>> {
    let video = |path: &'static str| {
        let file = root.join(path.trim_start_matches('/'));
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        anyhow::Ok(Video { path, bytes })
    };
    let (first, second) = (video("/videos/first.mp4")?, video("/videos/second.mp4")?);
    let (all, whole) = (first.bytes.len() as u64, second.bytes.len() as u64);
    let half = whole / 2;
    let play = |what, video, cache_status, from_origin| Play {
        what,
        video,
        range: None,
        watched: None,
        cache_status,
        from_origin,
    };
    let mut cinema = Cinema {
        origin,
        stack: Stack::start(options).await?,
        rows: Vec::new(),
    };

    cinema
        .play(play("first view", &first, "fwd=uri-miss; stored", all))
        .await?;
    cinema.stored(&first, all).await?;
    cinema
        .play(play("second view", &first, "viewcache; hit", 0))
        .await?;

    // The network stalls there and the viewer leaves.
    origin.stall(Some((second.path, half)));
    let left = play("left at half", &second, "fwd=uri-miss; stored", half);
    cinema
        .play(Play {
            watched: Some(half),
            ..left
        })
        .await?;
    cinema.stored(&second, half).await?;
    origin.stall(None);
    let rest = whole - half;
    cinema
        .play(play("then watched whole", &second, "fwd=partial", rest))
        .await?;
    cinema.stored(&second, whole).await?;
    let seek = play("a seek", &second, "viewcache; hit", 0);
    let range = Some((whole * 3 / 4, whole * 3 / 4 + 50_000));
    cinema.play(Play { range, ..seek }).await?;

    cinema.stack.sidecar(0).kill().await?;
    let killed = "sidecar killed (-9)";
    cinema
        .play(play(killed, &first, "viewcache; fwd=bypass", all))
        .await?;
    cinema.stack.start_sidecar(0).await?;
    cinema.used_again().await?;
    cinema
        .play(play("sidecar back", &first, "viewcache; hit", 0))
        .await?;
    cinema.stack.stop().await?;
    Ok(cinema.rows)
}

impl Cinema<'_> {
    async fn play(&mut self, play: Play<'_>) -> Result<()> {
        let Play { video, .. } = play;
        let before = self.origin.sent(video.path);
        let mut request = Request::get(video.path);
        let (start, mut end) = play.range.unwrap_or((0, video.bytes.len() as u64));
        if play.range.is_some() {
            request = request.range(&format!("{start}-{}", end - 1));
        }
        end = play.watched.unwrap_or(end);
        let mut response = request.send(self.stack.ingress()).await?;
        let mut body = Vec::new();
        let mut trouble = None;
        while (body.len() as u64) < end - start {
            let left = usize::try_from(end - start)? - body.len();
            match response.take(PIECE.min(left)).await {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => body.extend(piece),
                Err(error) => {
                    trouble = Some(format!("{error:#}"));
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        let from_origin = self.origin.sent(video.path) - before;
        let expected = &video.bytes[usize::try_from(start)?..usize::try_from(end)?];
        let status = if play.range.is_some() { 206 } else { 200 };
        let cache_status = response.cache_status().to_owned();
        let wrong = trouble.or_else(|| {
            if body != expected {
                Some("the bytes are not the origin's".to_owned())
            } else if response.status != status {
                Some(format!("the status is not {status}"))
            } else if !cache_status.contains(play.cache_status) {
                Some(format!("Cache-Status has no {:?}", play.cache_status))
            } else if from_origin != play.from_origin {
                Some(format!("the origin was to send {}", play.from_origin))
            } else {
                None
            }
        });
        self.rows.push(Row {
            request: format!("GET {}  {}", video.path, play.what),
            cache_status,
            status: response.status,
            waited: response.waited,
            from_cache: (body.len() as u64).saturating_sub(from_origin),
            from_origin,
            verified: if body == expected { body.len() } else { 0 },
            wrong,
        });
        Ok(())
    }

    /// Waits until so much of a video is stored.
    async fn stored(&self, video: &Video, bytes: u64) -> Result<()> {
        let key = format!("{HOST}{}", video.path);
        let what = format!("{bytes} bytes of {} are stored", video.path);
        until(&what, SOON, async || {
            let entity = management::entity(self.stack.manage(0), &key)
                .await
                .ok()??;
            (entity["cached_bytes"] == bytes && entity["fills"] == 0).then_some(())
        })
        .await
    }

    /// Waits until Envoy has found the sidecar again.
    async fn used_again(&self) -> Result<()> {
        for cluster in ["viewcache_decide", "viewcache_serve"] {
            let stat = format!("cluster.{cluster}.membership_healthy");
            until(&stat, SOON, async || {
                let healthy = management::envoy_stat(self.stack.admin(), &stat)
                    .await
                    .ok()?;
                (healthy == 1).then_some(())
            })
            .await?;
        }
        Ok(())
    }
}
