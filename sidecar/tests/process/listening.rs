//! Who listens to the management port's events.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

/// One who listens to events.
pub(crate) struct Listening {
    body: Incoming,
    text: String,
}

/// What was told.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Listening {
    pub(crate) fn new(body: Incoming) -> Self {
        let text = String::new();
        Self { body, text }
    }

    /// The next event; comments are passed over.
    pub(crate) async fn next(&mut self) -> Event {
        const PATIENCE: Duration = Duration::from_secs(10);
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines.find_map(|line| {
                        Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned())
                    })
                };
                let found = field("event").map(|name| Event {
                    name,
                    id: field("id"),
                    data: serde_json::from_str(&field("data").unwrap()).unwrap(),
                });
                self.text = rest.to_owned();
                match found {
                    Some(event) => return event,
                    None => continue,
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let frame = frame
                .expect("nothing is told")
                .expect("the events have ended");
            let bytes = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}
