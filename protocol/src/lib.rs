//! What crosses the wire between the filter and the sidecar, and the decisions that both must
//! make alike: ranges, entity keys, generations, what may be stored, and Cache-Status.
//!
//! Everything here is pure: no clock, no IO, no async. It compiles natively and for wasm32, and
//! no input, however malformed, makes it panic.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
#![warn(missing_docs)]

pub mod admission;
pub mod cache_control;
pub mod cache_status;
pub mod conditions;
pub mod content_range;
pub mod entity;
pub mod header;
pub mod message;
pub mod profile;
pub mod range;
pub mod secret;
pub mod transfer;
pub mod vary;
pub mod version;

pub use admission::Admission;
pub use cache_control::CacheControl;
pub use cache_status::{CacheStatus, Forward};
pub use conditions::Conditions;
pub use content_range::ContentRange;
pub use entity::{EntityId, EntityKey, Generation, GenerationId, Validator};
pub use message::{
    Begin, ChunkHead, DecideRequest, Decision, End, FillId, Grant, Invalidate, MessageError,
    OriginRequest, Outcome, Route, Wanted,
};
pub use profile::{Allowance, OwnProfile, Profile};
pub use range::{ByteRange, RangeError, RangeSpec};
pub use secret::{Secret, SecretError};
pub use transfer::{Asked, DeclineReason, MAX_COMPLETE_LENGTH, Transfer, date, stored_headers};
pub use vary::Selecting;
pub use version::{PROTOCOL_VERSION, UnknownVersion};
