//! The black box: starts the shipped Envoy configuration, the shipped filter and the sidecar as
//! processes, puts an origin behind them and viewers in front, and compares every byte.
//!
//! Nothing here shares code with the filter or the sidecar. Names of headers and fields are
//! written out: these tests are the specification of what users rely on.

pub mod checkout;
pub mod client;
pub mod content;
pub mod demo_origin;
pub mod envoy;
pub mod envoy_config;
pub mod guide;
pub mod http1;
pub mod interrupt;
pub mod maglev;
pub mod management;
pub mod multipart;
pub mod origin;
pub mod poll;
pub mod ports;
pub mod process;
pub mod stack;
