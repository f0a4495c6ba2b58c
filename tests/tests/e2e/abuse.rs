//! Viewers, origins and neighbors that mean harm. `docs/ABUSE.md` lists the doors that they try, and
//! which of these tests fails when one opens.

mod asks;
mod control;
mod crowd;
mod echo;
mod films;
mod keys;
mod liar;
mod lies;
mod smuggled;

use std::net::SocketAddr;

use e2e::client::Request;

/// What a viewer got: the status, the body, and how it was answered. Its words alone say why there
/// is none of that.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    status: u16,
    body: Vec<u8>,
    cache_status: String,
    content_range: Option<String>,
}

impl Got {
    /// Whether two are the same to a viewer.
    fn is_like(&self, other: &Self) -> bool {
        (self.status, &self.body, &self.content_range)
            == (other.status, &other.body, &other.content_range)
    }

    fn is_hit(&self) -> bool {
        self.cache_status.contains("; hit")
    }

    fn is_stored(&self) -> bool {
        self.cache_status.contains("; stored")
    }
}

/// Sends a request and reads all of the answer; status 0 is a connection that was closed instead.
async fn ask(to: SocketAddr, request: &Request) -> Got {
    let closed = Got {
        status: 0,
        body: Vec::new(),
        cache_status: String::new(),
        content_range: None,
    };
    let Ok(mut response) = request.send(to).await else {
        return closed;
    };
    let ours = |(name, _): &&(String, String)| name.starts_with("x-viewcache");
    let ours = response.head.fields.iter().find(ours);
    assert!(ours.is_none(), "{request:?}: {ours:?} reached the viewer");
    let mut last = response.head.fields.iter();
    let last = last.rfind(|(name, _)| name == "cache-status");
    let cache_status = last.map(|(_, value)| value.clone()).unwrap_or_default();
    let content_range = response.head.get("content-range").map(str::to_owned);
    let status = response.status;
    match response.rest().await {
        Ok(body) => Got {
            status,
            body,
            cache_status,
            content_range,
        },
        Err(_) => closed,
    }
}
