//! What can go wrong in a use case, and whose fault it is.

use strum::VariantArray;
use thiserror::Error;
use viewcache_protocol::{ByteRange, MessageError};

use crate::store::StoreError;

/// What an error was caused by in the end: those around it say only what was being done.
pub fn cause<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// Why a use case ended without its result.
#[derive(Debug, Error)]
pub enum Error {
    /// The filter sent something that cannot be read.
    #[error("{0}")]
    Message(#[from] MessageError),
    /// The filter sent JSON that is not the message.
    #[error("message: {0}")]
    Json(#[from] serde_json::Error),
    /// A complete length that is absurd, or that ends before the range does.
    #[error("complete_length: {0} does not go with the range {1}")]
    Length(u64, ByteRange),
    /// The store failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// A blocking task died.
    #[error("task: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// Whether stored bytes turned out to be damaged or gone.
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Store(StoreError::Damaged(..)))
    }
}

/// Why bytes that were offered are not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
pub enum Refusal {
    /// More is being written already than the memory for it allows.
    Busy,
    /// They belong to a generation that is not the living one.
    Dead,
    /// There is no room and nothing may be evicted.
    Full,
    /// The disk failed.
    Disk,
    /// The entity is stored in too many pieces already, and this is a small one more.
    Fragments,
    /// It is not known to be worth keeping, and what is took the place of others fast enough today.
    Turnover,
}

impl Refusal {
    /// The token in logs, metric labels and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Dead => "dead",
            Self::Full => "full",
            Self::Disk => "disk",
            Self::Fragments => "fragments",
            Self::Turnover => "turnover",
        }
    }
}
