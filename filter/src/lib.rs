//! The Envoy filter: it identifies the entity of a request, asks the sidecar, routes, and on a
//! miss mirrors the response's body to the sidecar. It holds no cache, and on any trouble the
//! exchange goes to the origin untouched.
//!
//! Everything but `shell` is pure and compiles natively. A panic would take the whole VM of an
//! Envoy worker with it, so outside of tests nothing here may.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

// In reading order.
pub mod head;

pub mod config;

pub mod profile;

pub mod callout;

pub mod remembered;

pub mod budget;

pub mod mirror;

pub mod exchange;

pub mod counter;

// Left out of tests, which run in Node, where there is no host to call.
#[cfg(all(target_arch = "wasm32", not(test)))]
mod shell;
