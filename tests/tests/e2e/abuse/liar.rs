//! An origin that says, byte for byte, what it is told to say.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use e2e::http1::Head;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is written in answer, and whether more of it follows without an end.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    /// Written again and again, until nobody reads.
    pub(super) endless: Option<Vec<u8>>,
    /// Whether the connection is closed behind it.
    pub(super) closes: bool,
}

/// Answers each path with a message, byte for byte, and anything else with 404.
pub(super) struct Liar {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    messages: HashMap<String, Message>,
    /// What it was asked for.
    asked: Vec<String>,
}

impl Liar {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let known = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let known = Arc::clone(&known);
                tokio::spawn(async move { tell(stream, &known).await });
            }
        });
        Self {
            address,
            state,
            accepting,
        }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it was asked for a path.
    pub(super) fn asked(&self, path: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|asked| *asked == path).count()
    }

    pub(super) fn says(&self, path: &str, message: Message) {
        let mut state = self.state.lock().unwrap();
        state.messages.insert(path.to_owned(), message);
    }

    /// A head, its lines parted by `|`, and a body.
    pub(super) fn answers(&self, path: &str, head: &str, body: &[u8]) {
        let head = head.replace('|', "\r\n");
        let bytes = [latin(&head), b"\r\n\r\n".to_vec(), body.to_vec()].concat();
        let closes = true;
        self.says(
            path,
            Message {
                bytes,
                closes,
                ..Message::default()
            },
        );
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A character a byte, so that any byte can be written.
fn latin(text: &str) -> Vec<u8> {
    let bytes = text.chars().map(|c| u8::try_from(u32::from(c)));
    bytes.collect::<Result<_, _>>().unwrap()
}

async fn tell(stream: TcpStream, known: &Mutex<State>) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(head) = Head::read(&mut stream).await? {
        let message = {
            let mut known = known.lock().unwrap();
            known.asked.push(head.path().to_owned());
            known.messages.get(head.path()).cloned()
        };
        let missing = || Message {
            bytes: b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
            ..Message::default()
        };
        let message = message.unwrap_or_else(missing);
        stream.write_all(&message.bytes).await?;
        while let Some(more) = &message.endless {
            stream.write_all(more).await?;
        }
        if message.closes {
            break;
        }
    }
    Ok(())
}
