//! A port's listener: TCP or a Unix socket.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::config::DataListen;

/// A bound listener.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket; its file is removed with it.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that is gone already is no loss, and one that stays is taken over at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A connection of either kind.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Listener {
    /// Binds.
    ///
    /// # Errors
    /// When the address is in use or cannot be bound.
    pub async fn bind(listen: &DataListen) -> io::Result<Self> {
        match listen {
            DataListen::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            DataListen::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                Ok(Self::Unix(listener, SocketFile(path.clone())))
            }
        }
    }

    /// Binds any free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn bind_any() -> io::Result<Self> {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        Self::bind(&DataListen::Tcp(any)).await
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local(&self) -> io::Result<DataListen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(DataListen::Tcp),
            Self::Unix(_, file) => Ok(DataListen::Unix(file.0.clone())),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Connection>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A head and a body are two writes: without this the second waits for an ACK.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// A socket file that a killed process left is in the way; one that is answered is not ours.
async fn remove_stale(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(_) => Ok(()),
    }
}
