//! Free ports for processes that are told theirs on the command line.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;

use anyhow::{Context, Result, bail};
use tokio::net::TcpSocket;

/// Below the range from which the kernel takes the ports of outgoing connections: so none of those
/// gets into the way between the choice of a port and its use.
const UNNAMED: Range<u16> = 11_000..32_000;

/// An address that is kept from others by a socket that never listens.
#[derive(Debug)]
pub struct Port {
    /// The address, its port chosen.
    pub address: SocketAddr,
    holder: Option<TcpSocket>,
}

impl Port {
    /// For a process that binds with `SO_REUSEPORT`, as Envoy's listeners do: it can bind while
    /// this holds, and gets every connection. `wanted` must be free if it names a port.
    pub fn shared(wanted: Option<SocketAddr>) -> Result<Self> {
        let wanted = wanted.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        if wanted.port() != 0 {
            check_free(wanted)?;
        }
        let socket = if wanted.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(wanted).with_context(|| wanted.to_string())?;
        Ok(Self {
            address: socket.local_addr()?,
            holder: Some(socket),
        })
    }

    /// For any process: it can bind after [`Port::release`]. `wanted` must be free if it names a
    /// port, which is then not held.
    pub fn exclusive(wanted: Option<SocketAddr>) -> Result<Self> {
        let mut address = wanted.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        if address.port() != 0 {
            check_free(address)?;
            return Ok(Self {
                address,
                holder: None,
            });
        }
        // Randomly keyed: another process begins elsewhere.
        let random = RandomState::new();
        for attempt in 0..1000_u32 {
            let offset = random.hash_one(attempt) % UNNAMED.len() as u64;
            address.set_port(UNNAMED.start + offset as u16);
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            // Without `SO_REUSEADDR`, with which two holders could share.
            if socket.bind(address).is_ok() {
                return Ok(Self {
                    address,
                    holder: Some(socket),
                });
            }
        }
        bail!("{}: no free port", address.ip())
    }

    /// Lets the process that it is for bind it.
    pub fn release(&mut self) {
        self.holder = None;
    }
}

/// Fails when somebody listens there.
pub fn check_free(address: SocketAddr) -> Result<()> {
    TcpListener::bind(address)
        .map(drop)
        .with_context(|| address.to_string())
}
