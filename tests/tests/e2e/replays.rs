//! What players, downloaders and readers of libraries send, as scripts: each is played cold, again
//! over what that has left, and once more when all of it is stored.

use std::time::Duration;

use e2e::client::Request;
use e2e::content::Content;
use e2e::origin::Script;
use tokio::task::JoinSet;

use crate::world::{KIB, MIB, World, first_position};

const LENGTH: u64 = 4 * MIB;

/// A request and what must come of it.
struct Step {
    request: Request,
    status: u16,
    /// The bytes of its body, half-open.
    bytes: (u64, u64),
    /// How many of them the client reads before it leaves.
    reads: u64,
}

impl Step {
    /// Leaves after so many bytes.
    fn leaving(self, reads: u64) -> Self {
        Self { reads, ..self }
    }

    fn field(self, name: &str, value: &str) -> Self {
        let request = self.request.field(name, value);
        Self { request, ..self }
    }

    /// A client that answers to another status too does so with these bytes.
    fn gets(self, status: u16, bytes: (u64, u64)) -> Self {
        Self {
            status,
            bytes,
            reads: bytes.1 - bytes.0,
            ..self
        }
    }

    /// `when` is told if it goes wrong.
    async fn play(self, world: &World, content: Content, when: &str) {
        let said = format!("{when}: {:?}", self.request);
        let mut response = world.open(&self.request).await;
        assert_eq!(response.status, self.status, "{said}: {response:?}");
        if response.status == 206 {
            let range = response.head.get("content-range").unwrap();
            assert_eq!(first_position(range), self.bytes.0, "{said}: {range}");
            let total = range.rsplit('/').next();
            assert_eq!(total, Some("4194304"), "{said}: {range}");
        }
        let (start, end) = self.bytes;
        let got = if self.reads < end - start {
            response.take(self.reads as usize).await.unwrap()
        } else {
            response.rest().await.unwrap()
        };
        assert_eq!(got.len() as u64, self.reads, "{said}");
        content.check(start, &got).unwrap();
    }
}

/// `bytes=start-`.
fn from(path: &str, start: u64) -> Step {
    part(path, &format!("{start}-"), (start, LENGTH))
}

/// `bytes=start-(end-1)`.
fn closed(path: &str, start: u64, end: u64) -> Step {
    part(path, &format!("{start}-{}", end - 1), (start, end))
}

fn part(path: &str, range: &str, bytes: (u64, u64)) -> Step {
    Step {
        request: Request::get(path).range(range),
        status: 206,
        bytes,
        reads: bytes.1 - bytes.0,
    }
}

/// No Range.
fn whole(path: &str) -> Step {
    Step {
        request: Request::get(path),
        status: 200,
        bytes: (0, LENGTH),
        reads: LENGTH,
    }
}

fn head(path: &str) -> Step {
    Step {
        request: Request::new("HEAD", path),
        ..whole(path).gets(200, (0, 0))
    }
}

/// A client's requests, one after another.
type Play = fn(&str) -> Vec<Step>;

/// The numbers are those of the list in tests/CONFORMANCE.md.
const PLAYS: [(&str, Play); 17] = [
    (
        "1, 3, 6 Chrome plays, seeks to the index at the end and back, and reopens",
        |p| {
            let identity = |step: Step| step.field("accept-encoding", "identity;q=1, *;q=0");
            vec![
                identity(from(p, 0)).leaving(200_000),
                identity(from(p, LENGTH - 65_536)),
                identity(from(p, 48)).leaving(700_000),
                identity(from(p, 700_048)),
            ]
        },
    ),
    ("5 Chrome finds the end", |p| {
        vec![from(p, 0), part(p, "4194304-", (0, 0)).gets(416, (0, 0))]
    }),
    ("7 Chrome's cache fills holes and probes by a byte", |p| {
        vec![
            closed(p, 0, 100_000),
            closed(p, 300_000, 400_000),
            closed(p, 0, 1).field("if-range", "\"v1\""),
            closed(p, 100_000, 300_000).field("if-range", "\"v1\""),
        ]
    }),
    ("9 a weak If-Range near the end gets the whole", |p| {
        vec![
            from(p, 0).leaving(10_000),
            from(p, LENGTH - 10)
                .field("if-range", "W/\"v1\"")
                .gets(200, (0, LENGTH)),
        ]
    }),
    (
        "10, 11 Firefox reopens where it was, the last byte too",
        |p| {
            vec![
                from(p, 0).leaving(1_000_000),
                from(p, 1_000_000),
                from(p, LENGTH - 1),
            ]
        },
    ),
    (
        "12, 13 Safari probes two bytes, then asks to the end",
        |p| {
            vec![
                closed(p, 0, 2).field("x-playback-session-id", "A1"),
                closed(p, 0, LENGTH).field("accept-encoding", "identity"),
            ]
        },
    ),
    (
        "14 Safari leaves and asks from a little further, again and again",
        |p| {
            (0..12)
                .map(|n| closed(p, n * 200_000, LENGTH).leaving(260_000))
                .collect()
        },
    ),
    ("15 Safari plays sound", |p| {
        vec![closed(p, 0, 2), whole(p).field("icy-metadata", "1")]
    }),
    ("16 ffmpeg seeks by a new connection", |p| {
        let close = |step: Step| step.field("connection", "close").field("icy-metadata", "1");
        vec![
            close(from(p, 0)).leaving(32_768),
            close(from(p, 4_100_000)),
            close(from(p, 32_768)),
        ]
    }),
    ("17 ffmpeg asks for 64 KiB, then for 1 MiB at a time", |p| {
        let rest = (0..3).map(|n| closed(p, 65_536 + n * MIB, 65_536 + (n + 1) * MIB));
        [closed(p, 0, 65_536)].into_iter().chain(rest).collect()
    }),
    ("19, 20 VLC seeks under a condition", |p| {
        vec![
            from(p, 0).leaving(100_000),
            from(p, 3_000_000).field("if-match", "\"v1\""),
            from(p, 100_000).field("if-match", "\"v1\""),
        ]
    }),
    ("21 yt-dlp takes uneven chunks, is ended and resumes", |p| {
        let edges = [0, 1_010_000, 2_050_000, 3_000_001];
        let chunks = edges.windows(2).map(|edge| closed(p, edge[0], edge[1]));
        chunks.chain([from(p, 3_000_001)]).collect()
    }),
    ("24 curl and wget resume what is complete", |p| {
        vec![
            whole(p).leaving(1_500_000),
            from(p, 1_500_000),
            part(p, "4194304-", (0, 0)).gets(416, (0, 0)),
        ]
    }),
    ("25 a reader of documents begins at the end", |p| {
        vec![
            part(p, "-1024", (LENGTH - 1024, LENGTH)),
            part(p, "-65536", (LENGTH - 65_536, LENGTH)),
            closed(p, 0, 65_536),
        ]
    }),
    (
        "26 ExoPlayer asks for the head, the whole, and parts",
        |p| {
            vec![
                head(p),
                whole(p).leaving(300_000),
                from(p, 2_000_000).leaving(300_000),
                closed(p, 2_300_000, 2_400_000),
                head(p),
            ]
        },
    ),
    (
        "27, 28 segments of one file: index, neighbours, one given up",
        |p| {
            vec![
                closed(p, 0, 700),
                closed(p, 700, 1_900),
                closed(p, 1_900, 500_000),
                closed(p, 500_000, 900_000).leaving(123_456),
                closed(p, 900_000, 1_300_000),
            ]
        },
    ),
    (
        "30 a scanner reads the head and the tail, a file system a little at a time",
        |p| {
            let little = (0..6).map(|n| from(p, n * 128 * KIB).leaving(16 * KIB));
            [from(p, 0).leaving(4 * KIB), from(p, LENGTH - 4 * KIB)]
                .into_iter()
                .chain(little)
                .collect()
        },
    ),
];

#[tokio::test]
async fn what_clients_send_is_answered_alike_cold_half_and_wholly_stored() {
    let world = World::start().await;
    for (n, (client, play)) in PLAYS.into_iter().enumerate() {
        let path = format!("/{n}");
        let content = world.serve(&path, LENGTH);
        for round in ["cold", "again"] {
            let when = format!("{client}, {round}");
            for step in play(&path) {
                step.play(&world, content, &when).await;
            }
        }
        world.becomes_hit(&Request::get(&path), content).await;
        let before = world.origin.sent(&path);
        for step in play(&path) {
            step.play(&world, content, &format!("{client}, stored"))
                .await;
        }
        assert_eq!(world.origin.sent(&path), before, "{client}: fetched again");
    }
}

/// 8, 18, 23, 29: players that ask for slivers or several places at once, downloaders with many
/// connections.
#[tokio::test]
async fn many_ranges_at_once_are_each_right() {
    let world = World::start().await;
    for (path, size) in [
        ("/slivers", 3_072),
        ("/pieces", 256 * KIB),
        ("/odd", 77_777),
    ] {
        let content = world.serve(path, LENGTH);
        for _ in 0..2 {
            let mut asked = JoinSet::new();
            for n in 0..16 {
                // In an order that is not theirs.
                let start = n * 7 % 16 * (LENGTH / 16) + n;
                let end = (start + size).min(LENGTH);
                let request = closed(path, start, end).request;
                let ingress = world.stack.ingress();
                asked.spawn(async move {
                    let mut response = request.send(ingress).await.unwrap();
                    assert_eq!(response.status, 206);
                    let body = response.rest().await.unwrap();
                    assert_eq!(body.len() as u64, end - start);
                    content.check(start, &body).unwrap();
                });
            }
            while let Some(ended) = asked.join_next().await {
                ended.unwrap();
            }
        }
    }
}

/// 2: a browser that has enough reads on when it needs more. Nobody waits for it meanwhile.
/// `VIEWCACHE_PAUSE` has the seconds; by default it is longer than any lead may stall.
#[tokio::test]
async fn a_viewer_that_pauses_reads_on_and_holds_nobody_up() {
    const LONG: u64 = 48 * MIB;
    let pause = std::env::var("VIEWCACHE_PAUSE").map_or(4, |seconds| seconds.parse().unwrap());
    let world = World::start().await;
    for miss in ["cold", "stored"] {
        let content = world.serve("/long", LONG);
        let script = Script::new(content);
        world.origin.script("/long", script);
        let mut paused = world.open(&Request::get("/long")).await;
        let mut body = paused.take(MIB as usize).await.unwrap();
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let request = Request::get("/long");
        let other = world.view(&request, content);
        let other = tokio::time::timeout(Duration::from_secs(20), other);
        assert_eq!(other.await.expect(miss).bytes, (0, LONG));
        body.extend(paused.rest().await.unwrap());
        assert_eq!(body.len() as u64, LONG);
        content.check(0, &body).unwrap();
        world.becomes_hit(&Request::get("/long"), content).await;
    }
}
