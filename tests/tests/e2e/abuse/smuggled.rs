//! Messages that two readers may cut into requests in two ways. Whatever Envoy makes of them, no
//! request of nobody's comes out, and no viewer gets the answer to one.

use std::time::Duration;

use e2e::client::{HOST, Request};
use e2e::envoy_config::OriginUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ask;
use super::echo::{Echo, to_the_byte};
use crate::world::World;

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: media.test\r\n\r\n";

/// Heads, without Host, and bodies that may be a request to somebody.
fn messages() -> Vec<String> {
    let length = HIDDEN.len();
    let chunked = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    let after = format!("0\r\n\r\n{HIDDEN}");
    let mut messages = Vec::new();
    for method in ["GET", "POST"] {
        let mut message = |fields: &str, body: &str| {
            messages.push(format!(
                "{method} /film HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n\r\n{body}"
            ));
        };
        for coding in [
            "transfer-encoding: chunked",
            "transfer-encoding : chunked",
            "transfer-encoding:\tchunked",
            "transfer-encoding: xchunked",
            "transfer-encoding: chunked, identity",
            "transfer-encoding: identity, chunked",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity",
            "transfer-encoding:\r\n chunked",
            "transfer-encoding: \x0bchunked",
            "x: y\r\n transfer-encoding: chunked",
            "x: y\rtransfer-encoding: chunked",
            "transfer_encoding: chunked",
        ] {
            message(
                &format!("content-length: {}\r\n{coding}", after.len()),
                &after,
            );
            message(
                &format!("{coding}\r\ncontent-length: {}", after.len()),
                &after,
            );
        }
        for lengths in [
            format!("content-length: {length}\r\ncontent-length: 0"),
            format!("content-length: 0\r\ncontent-length: {length}"),
            format!("content-length: 0, {length}"),
            format!("content-length: +{length}"),
            format!("content-length: -{length}"),
            format!("content-length: 0x{length:x}"),
            format!("content-length: {length}\r\n content-length: 0"),
            "content-length: 18446744073709551616".to_owned(),
            format!("content-length:\u{a0}{length}"),
            format!("content-length\t: {length}"),
        ] {
            message(&lengths, HIDDEN);
        }
        // A body that is one, and is to stay one.
        message(&format!("content-length: {length}"), HIDDEN);
        message("transfer-encoding: chunked", &chunked);
        message(
            "transfer-encoding: chunked\r\ntrailer: x-viewcache-route",
            "0\r\nx-viewcache-route: hit\r\nx-viewcache-entity: generic:http://media.test/other\r\n\r\n",
        );
        message("transfer-encoding: chunked", "0;\nxx\r\n\r\n");
        message(
            "transfer-encoding: chunked",
            "ffffffffffffffff1\r\nx\r\n0\r\n\r\n",
        );
        message("expect: 100-continue\r\ncontent-length: 0", "");
        message(
            "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA",
            "",
        );
    }
    messages
}

/// Sends what may be half a message, and reads until nothing more comes.
async fn send(world: &World, message: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(world.stack.ingress()).await.unwrap();
    // Latin-1, so that a byte is a byte.
    let bytes: Vec<u8> = message
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    let _ = stream.write_all(&bytes).await;
    let mut got = Vec::new();
    // A message that Envoy waits for the rest of stays without an answer.
    let _ = timeout(Duration::from_millis(100), stream.read_to_end(&mut got)).await;
    got
}

#[tokio::test]
async fn no_request_comes_out_of_another() {
    let echo = Echo::start(to_the_byte).await;
    let world = World::with(|options| options.origin = OriginUrl::http(echo.address())).await;
    let film = Request::get("/film");
    let uncached = film.clone().field("cache-control", "no-store");
    let expected = ask(world.stack.ingress(), &uncached).await;
    for message in messages() {
        let got = send(&world, &message).await;
        let heads = got
            .windows(10)
            .filter(|bytes| bytes.starts_with(b"HTTP/1.1 "));
        let answers = heads.filter(|bytes| !bytes.ends_with(b"1")).count();
        assert!(
            answers < 2,
            "{message:?}: {:?}",
            String::from_utf8_lossy(&got)
        );
        for request in [&film, &uncached] {
            let got = ask(world.stack.ingress(), request).await;
            assert!(got.is_like(&expected), "{message:?}: {}", got.status);
        }
    }
    for head in echo.heads() {
        let target = String::from_utf8_lossy(head.target()).into_owned();
        assert_eq!(target, "/film");
    }
    world.filter_lives().await;
}
