//! What happens to an exchange and what it wants done.

use viewcache_protocol::{
    Begin, ChunkHead, DecideRequest, Decision, End, EntityId, FillId, Invalidate,
};

use crate::callout::{Answer, Failure};
use crate::counter::{Counter, Reason};
use crate::head::{RequestHead, ResponseHead};
use crate::mirror::Source;
use crate::remembered::Recalled;

/// What happens, in the order of an exchange's life.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The request's headers have come.
    Request(&'a RequestHead),
    /// What is remembered has been looked up.
    Recalled(Recalled),
    /// The decision has come, or will not.
    Decided(Result<Decision, Failure>),
    /// The response's headers have come, the origin's, the sidecar's or a local reply's.
    Response(&'a ResponseHead),
    /// A frame of the response's body passes; trailers are an empty last frame.
    Frame {
        /// Its length.
        len: usize,
        /// Whether the body ends with it.
        last: bool,
    },
    /// The sidecar has answered `begin`, or will not.
    BeginAnswered(Answer),
    /// The sidecar has answered a chunk, or will not.
    ChunkAnswered(Answer),
    /// A frame's bytes could not be had.
    Unreadable,
    /// The exchange is over, however it ended.
    Done,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Remove a control header that the viewer sent.
    RemoveRequestHeader(String),
    /// Look up what is remembered of the entity; answered at once.
    Recall(EntityId),
    /// Ask the sidecar; the entity id is the callout's authority, as for all of them.
    Decide(DecideRequest),
    /// Remember that the entity is a hit.
    Remember {
        /// The entity.
        entity: EntityId,
        /// For how many milliseconds.
        millis: u64,
    },
    /// Let no worker use what is remembered for a while.
    Distrust,
    /// Set a control header; always before [`Effect::Resume`], after which it would be too late.
    SetRequestHeader(&'static str, String),
    /// Show the sidecar the secret in a header; likewise before [`Effect::Resume`].
    ShowSecret,
    /// Let the paused request go on.
    Resume,
    /// Remove a control header that the viewer need not see.
    RemoveResponseHeader(String),
    /// Append a member to Cache-Status.
    Annotate(String),
    /// Tell the sidecar that a body will follow.
    Begin {
        /// The fill.
        fill: FillId,
        /// The message.
        begin: Begin,
    },
    /// Remember nothing of the entity any more.
    Forget(EntityId),
    /// Tell the sidecar that the entity has changed.
    Invalidate(Invalidate),
    /// Answer the paused request by a 504.
    Refuse,
    /// Append the frame's `at..at + len` to the buffer.
    Copy {
        /// Where the run begins in the frame.
        at: usize,
        /// Its length.
        len: usize,
        /// The most that the buffer will hold before it is sent.
        capacity: usize,
    },
    /// Drop the buffer's first `len` bytes.
    Drop {
        /// How many.
        len: usize,
    },
    /// Send a chunk to the sidecar.
    Chunk {
        /// The fill.
        fill: FillId,
        /// What its headers say.
        head: ChunkHead,
        /// By what Envoy picks the sidecar.
        node: EntityId,
        /// Its length.
        len: usize,
        /// Where its bytes are.
        source: Source,
    },
    /// Tell the sidecar that nothing more will come.
    End {
        /// The fill.
        fill: FillId,
        /// The message.
        end: End,
    },
    /// Count.
    Count(Counter),
    /// Count what has a reason.
    CountBy(Reason),
}
