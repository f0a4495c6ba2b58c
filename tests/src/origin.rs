//! An origin that does as it is told, wrong things included, and remembers what it was asked.

mod script;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::http1::Head;

use script::Answer;
pub use script::{Framing, Gate, Ranges, Script};

/// The most that is written at once.
const PIECE: u64 = 64 * 1024;

/// A request that was received and what became of it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its head.
    pub head: Head,
    /// The bytes of body that were written in answer.
    pub sent: u64,
}

/// A running origin; it stops when dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// With it end the connections.
    accepting: Mutex<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    scripts: HashMap<String, Script>,
    seen: Vec<Seen>,
}

impl Origin {
    /// Starts one on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::<Mutex<State>>::default();
        let accepting = Mutex::new(accept(listener, &state));
        Ok(Self {
            address,
            state,
            accepting,
        })
    }

    /// Goes away: its connections are closed, and further ones are refused.
    pub fn close(&self) {
        lock(&self.accepting).abort();
    }

    /// Comes back where it was.
    pub async fn reopen(&self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        *lock(&self.accepting) = accept(listener, &self.state);
        Ok(())
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does from now on when asked for a path, whatever the query.
    pub fn script(&self, path: &str, script: Script) {
        lock(&self.state).scripts.insert(path.to_owned(), script);
    }

    /// The requests for a path so far.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let state = lock(&self.state);
        state
            .seen
            .iter()
            .filter(|seen| seen.head.path() == path)
            .cloned()
            .collect()
    }

    /// Every request so far.
    pub fn seen_at_all(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }

    /// The bytes of body written for a path so far.
    pub fn sent(&self, path: &str) -> u64 {
        self.seen(path).iter().map(|seen| seen.sent).sum()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.close();
    }
}

fn accept(listener: TcpListener, state: &Arc<Mutex<State>>) -> JoinHandle<()> {
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            let state = Arc::clone(&state);
            // An error is a peer that left or that speaks nonsense: what a test makes of it is in
            // what was seen.
            connections.spawn(async move { serve(stream, &state).await });
        }
    })
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(stream: TcpStream, state: &Mutex<State>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = Head::read(&mut stream).await? {
        let (index, script) = {
            let mut state = lock(state);
            let script = state.scripts.get(head.path()).cloned();
            state.seen.push(Seen {
                head: head.clone(),
                sent: 0,
            });
            (state.seen.len() - 1, script)
        };
        let Some(script) = script else {
            stream
                .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                .await?;
            continue;
        };
        tokio::time::sleep(script.latency).await;
        let answer = Answer::new(&script, &head);
        if script.early_hints {
            let hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n";
            stream.write_all(hints).await?;
        }
        stream.write_all(answer.head.as_bytes()).await?;
        if head.method() != "HEAD" {
            let note = |bytes| lock(state).seen[index].sent += bytes;
            send_body(&mut stream, &script, &answer, note).await?;
        }
        if script.framing == Framing::Close || answer.cut.is_some() {
            if script.resets {
                stream.get_ref().set_zero_linger()?;
            }
            break;
        }
    }
    Ok(())
}

async fn send_body(
    stream: &mut BufReader<TcpStream>,
    script: &Script,
    answer: &Answer,
    mut note: impl FnMut(u64),
) -> Result<()> {
    let (start, end) = answer.bytes;
    let mut at = start;
    let cut = answer.cut.map_or(end, |bytes| end.min(start + bytes));
    while at < cut {
        let mut next = cut.min(at + script.pace.map_or(PIECE, |(bytes, _)| bytes));
        if let Some(gate) = &script.gate {
            if at < gate.at() {
                next = next.min(gate.at());
            } else {
                gate.passed().await;
            }
        }
        let bytes = script.content.bytes(at..next);
        if answer.chunked {
            stream
                .write_all(format!("{:x}\r\n", bytes.len()).as_bytes())
                .await?;
            stream.write_all(&bytes).await?;
            stream.write_all(b"\r\n").await?;
        } else {
            stream.write_all(&bytes).await?;
        }
        note(next - at);
        at = next;
        if let Some((_, every)) = script.pace {
            tokio::time::sleep(every).await;
        }
    }
    if answer.chunked && answer.cut.is_none() {
        let trailer = match script.framing {
            Framing::Trailed => "x-sum: 1\r\n",
            _ => "",
        };
        let last = format!("0\r\n{trailer}\r\n");
        stream.write_all(last.as_bytes()).await?;
    }
    Ok(())
}
