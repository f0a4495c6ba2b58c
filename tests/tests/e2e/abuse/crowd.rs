//! Very many at once: ranges in one header, connections that hardly move, viewers that leave at
//! once. Others are served meanwhile, memory has a bound, and when they are gone nothing is left of
//! them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use e2e::client::{HOST, Request};
use e2e::envoy_config::OriginUrl;
use e2e::poll::until;
use e2e::process::rss;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::ask;
use super::echo::{Echo, LENGTH, to_the_byte};
use crate::world::{KIB, MIB, SOON, World};

#[tokio::test]
async fn ten_thousand_ranges_cost_no_more_than_one_response() {
    let echo = Echo::start(to_the_byte).await;
    let mut world = World::with(|options| options.origin = OriginUrl::http(echo.address())).await;
    let ingress = world.stack.ingress();
    let get = |range: &str| Request::get("/film").field("range", range);
    let many = |range: &str, count: usize| format!("bytes={}", vec![range; count].join(","));
    let apart = |count: usize| {
        let ranges = (0..count).map(|n| format!("{n}-{n}"));
        format!("bytes={}", ranges.collect::<Vec<_>>().join(","))
    };
    let ranges = [
        many("0-", 10_000),
        many("0-0", 10_000),
        many("-1", 10_000),
        many("", 10_000),
        many("0-19999", 5_000),
        many("0-", 101),
        apart(5_000),
        apart(101),
        format!("bytes={}", " ,\t".repeat(10_000)),
        "bytes=18446744073709551615-18446744073709551615".to_owned(),
        "bytes=18446744073709551616-".to_owned(),
        "bytes=0-18446744073709551615".to_owned(),
        "bytes=0-18446744073709551616".to_owned(),
        "bytes=-18446744073709551616".to_owned(),
        "bytes=18446744073709551614-18446744073709551615,0-0".to_owned(),
        format!("bytes=0-{}", "9".repeat(10_000)),
        format!("bytes={}-", "0".repeat(10_000)),
        format!("bytes={}0-5", "0".repeat(10_000)),
    ];
    let pids = [world.stack.envoy().pid(), world.stack.sidecar(0).pid()];
    let memory = || pids.map(|pid| rss(pid).unwrap());
    let mut before = None;
    // Where nothing is stored, and where all is.
    for round in 0..3 {
        for range in &ranges {
            let shown = &range[..range.len().min(60)];
            let uncached = get(range).field("cache-control", "no-store");
            let expected = ask(ingress, &uncached).await;
            for _ in 0..5 {
                let began = Instant::now();
                let got = ask(ingress, &get(range)).await;
                assert!(began.elapsed() < Duration::from_secs(5), "{shown}");
                // All of it is always an answer to several ranges, and 416 to what is beyond.
                let whole = got.status == 200 && got.body.len() as u64 == LENGTH;
                let parts = got.status == 206 && got.body.len() as u64 <= 2 * LENGTH + 100 * 200;
                let right = got.is_like(&expected) || whole || got.status == 416 || parts;
                assert!(right, "{shown}: {} not {}", got.status, expected.status);
            }
        }
        let stored = until("the whole is a hit", SOON, async || {
            let got = ask(ingress, &Request::get("/film")).await;
            got.is_hit().then_some(())
        });
        stored.await.unwrap();
        if round == 0 {
            before = Some(memory());
        }
    }
    for (before, after) in before.unwrap().into_iter().zip(memory()) {
        assert!(
            after < before + 32 * MIB,
            "memory grew from {before} to {after}"
        );
    }
    // More than Envoy takes as a head.
    let got = ask(ingress, &get(&many("1000-1000", 10_000))).await;
    assert_eq!(got.status, 431);
    world.filter_lives().await;
}

/// As many descriptors as this process and its children may have; whether that is enough.
fn descriptors(wanted: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let new = Rlimit {
        current: Some(most.min(wanted.max(limit.current.unwrap_or(0)))),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, new).is_ok() && wanted <= most
}

/// The descriptors that a process has.
fn open(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// One that takes little at a time.
async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    socket.connect(to).await
}

const SLOW_HEADS: usize = 4_500;
const SLOW_READERS: usize = 500;

/// What Envoy keeps of one slow reader: what it reads ahead of it on either side, 1 MiB each.
const MOST_OF_A_READER: u64 = 2 * MIB + 256 * KIB;

/// And of one connection that has sent half a head.
const MOST_OF_A_HEAD: u64 = 64 * KIB;

#[tokio::test]
async fn thousands_of_slow_connections_hold_nobody_up() {
    if !descriptors(16_000) {
        eprintln!("skipped: not enough file descriptors are allowed here");
        return;
    }
    let mut world = World::start().await;
    let ingress = world.stack.ingress();
    let large = world.serve("/large", 64 * MIB);
    let small = world.serve("/small", 64 * KIB);
    for (path, content) in [("/large", large), ("/small", small)] {
        world.view(&Request::get(path), content).await;
        world.becomes_hit(&Request::get(path), content).await;
    }
    let pids = [world.stack.envoy().pid(), world.stack.sidecar(0).pid()];
    let memory = || pids.map(|pid| rss(pid).unwrap());
    let descriptors = || pids.map(open);
    let (before, opened) = (memory(), descriptors());
    let mut heads = Vec::new();
    for number in 0..SLOW_HEADS {
        let mut stream = connect(ingress).await.unwrap();
        let half = format!("GET /small HTTP/1.1\r\nhost: {HOST}\r\nx-slow: {number}");
        stream.write_all(half.as_bytes()).await.unwrap();
        heads.push(stream);
    }
    let mut readers = Vec::new();
    for _ in 0..SLOW_READERS {
        let mut stream = connect(ingress).await.unwrap();
        let whole = format!("GET /large HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
        stream.write_all(whole.as_bytes()).await.unwrap();
        readers.push(stream);
    }
    // They go on for a while, a byte at a time, and everybody else is served.
    let mut slowest = Duration::ZERO;
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        for stream in heads.iter_mut().step_by(50) {
            stream.write_all(b"x").await.unwrap();
        }
        for stream in readers.iter_mut().step_by(5) {
            let mut byte = [0];
            let read = timeout(Duration::from_secs(30), stream.read_exact(&mut byte));
            read.await.unwrap().unwrap();
        }
        let began = Instant::now();
        world.view(&Request::get("/small"), small).await;
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let after = memory();
    let grown = [
        after[0].saturating_sub(before[0]),
        after[1].saturating_sub(before[1]),
    ];
    eprintln!(
        "{SLOW_HEADS} slow heads and {SLOW_READERS} slow readers: Envoy +{} MiB, the sidecar +{} MiB, others waited {slowest:?} at most",
        grown[0] / MIB,
        grown[1] / MIB
    );
    let bound = SLOW_HEADS as u64 * MOST_OF_A_HEAD + SLOW_READERS as u64 * MOST_OF_A_READER;
    assert!(grown[0] < bound, "Envoy: {grown:?}");
    assert!(grown[1] < 384 * MIB, "the sidecar: {grown:?}");
    // A slow one still gets the right bytes, and one that was half a request becomes one.
    let mut last = heads.pop().unwrap();
    last.write_all(b"\r\n\r\n").await.unwrap();
    let mut start = [0; 15];
    last.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    drop((last, heads, readers));
    let quiet = e2e::poll::until("the descriptors are given back", SOON, async || {
        let now = descriptors();
        let back = now
            .iter()
            .zip(opened)
            .all(|(now, opened)| *now < opened + 100);
        back.then_some(())
    });
    quiet
        .await
        .unwrap_or_else(|error| panic!("{error}: {opened:?} {:?}", descriptors()));
    world.becomes_hit(&Request::get("/large"), large).await;
    world.filter_lives().await;
}

/// How many viewers come and leave in a second, and for how long.
const ABORTS: u64 = 1_000;
const SECONDS: u64 = 10;

/// Comes, and leaves at some moment.
async fn abort(ingress: SocketAddr, number: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(ingress).await?;
    let path = ["/stored", "/half", "/new", "/none"][(number % 4) as usize];
    let start = number * 7919 % (7 * MIB);
    let request = match number % 4 {
        2 => format!(
            "GET {path}-{} HTTP/1.1\r\nhost: {HOST}\r\n\r\n",
            number % 64
        ),
        _ => format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nrange: bytes={start}-\r\n\r\n"),
    };
    let sent = match number % 7 {
        0 => &request[..request.len() / 2],
        _ => &request[..],
    };
    stream.write_all(sent.as_bytes()).await?;
    let mut some = vec![0; (number * 997 % 20_000) as usize];
    let patience = Duration::from_millis(number % 5 * 10);
    // It may come as far or not.
    let _ = timeout(patience, stream.read_exact(&mut some)).await;
    if number.is_multiple_of(2) {
        stream.set_zero_linger()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_thousand_aborts_a_second_leave_nothing_behind() {
    if !descriptors(16_000) {
        eprintln!("skipped: not enough file descriptors are allowed here");
        return;
    }
    let mut world = World::start().await;
    let ingress = world.stack.ingress();
    let stored = world.serve("/stored", 8 * MIB);
    let half = world.serve("/half", 8 * MIB);
    for number in 0..64 {
        world.serve(&format!("/new-{}", number), 8 * MIB);
    }
    world.view(&Request::get("/stored"), stored).await;
    world.becomes_hit(&Request::get("/stored"), stored).await;
    world
        .view(&Request::get("/half").range("0-3999999"), half)
        .await;
    let pids = [world.stack.envoy().pid(), world.stack.sidecar(0).pid()];
    let (before, opened) = (pids.map(|pid| rss(pid).unwrap()), pids.map(open));
    let began = Instant::now();
    let mut ticks = interval(Duration::from_millis(10));
    let mut aborts = JoinSet::new();
    let mut failed = 0;
    for tick in 0..SECONDS * 100 {
        ticks.tick().await;
        for number in 0..ABORTS / 100 {
            aborts.spawn(abort(ingress, tick * ABORTS / 100 + number));
        }
        while let Some(left) = aborts.try_join_next() {
            failed += u64::from(left.unwrap().is_err());
        }
    }
    while let Some(left) = aborts.join_next().await {
        failed += u64::from(left.unwrap().is_err());
    }
    let took = began.elapsed();
    eprintln!(
        "{} aborts in {took:?}, {failed} of them failed to come",
        ABORTS * SECONDS
    );
    assert!(failed < ABORTS * SECONDS / 100, "{failed} failed");
    // The next viewers get what is right, at once.
    world.view(&Request::get("/stored"), stored).await;
    let rest = world.view(&Request::get("/half"), half).await;
    assert_eq!(rest.bytes, (0, 8 * MIB));
    let mut last = String::new();
    let quiet = until("nobody is left", 2 * SOON, async || {
        let manage = world.stack.manage(0);
        let list = e2e::management::json(manage, "/v1/entities?limit=1000")
            .await
            .unwrap();
        let left = list["items"].as_array().unwrap().iter();
        let left = left.filter(|entity| entity["viewers"] != 0);
        let mut fills = 0;
        for path in ["/half", "/stored", "/new-0", "/new-1", "/new-62"] {
            let entity = world.entity(path).await;
            fills += entity.map_or(0, |entity| entity["fills"].as_u64().unwrap());
        }
        let (left, now) = (left.count(), pids.map(open));
        last = format!("{left} watched, {fills} fills, descriptors {opened:?} then {now:?}");
        // Segment files are kept open, 256 at the most, and connections to the sidecar.
        let back = now[0] < opened[0] + 200 && now[1] < opened[1] + 256 + 200;
        (left == 0 && fills == 0 && back).then_some(())
    });
    quiet
        .await
        .unwrap_or_else(|error| panic!("{error}: {last}"));
    let after = pids.map(|pid| rss(pid).unwrap());
    eprintln!(
        "memory: {} and {} MiB before, {} and {} after; {last}",
        before[0] / MIB,
        before[1] / MIB,
        after[0] / MIB,
        after[1] / MIB
    );
    assert!(
        after[0] < before[0] + 128 * MIB,
        "Envoy: {before:?} {after:?}"
    );
    assert!(
        after[1] < before[1] + 256 * MIB,
        "the sidecar: {before:?} {after:?}"
    );
    for (path, content) in [("/half", half), ("/stored", stored)] {
        world.becomes_hit(&Request::get(path), content).await;
    }
    world.filter_lives().await;
}
