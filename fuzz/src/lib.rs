//! What the fuzzer calls with bytes of its making, and what must hold for all of them. A panic is
//! a finding.
//!
//! The targets are functions of bytes alone, so that what the fuzzer has kept is tried again
//! without it by a plain `cargo test`. None of them computes what it expects by the code that it
//! looks at.

#![warn(missing_docs)]

mod bodies;
mod config;
mod content_range;
mod identify;
mod ingest;
mod memory;
mod range;
mod values;

pub use bodies::bodies;
pub use config::config;
pub use content_range::content_range;
pub use identify::identify;
pub use ingest::ingest;
pub use range::range;
pub use values::values;

/// A target's name and itself.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("range", range),
    ("content_range", content_range),
    ("identify", identify),
    ("ingest", ingest),
    ("values", values),
    ("config", config),
    ("bodies", bodies),
];
