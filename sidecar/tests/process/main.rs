//! The sidecar as a process would run it: its two listeners, a real RocksDB, real HTTP, and an
//! origin that is a program we script. Envoy is not needed: we speak as the filter would.

mod abuse;
mod access;
mod admission;
mod check;
mod crash;
mod downloads;
mod fills;
mod harness;
mod imports;
mod journal;
mod limits;
mod listening;
mod management;
mod metrics;
mod open_ended;
mod origin;
mod pace;
mod peers;
mod quality;
mod races;
mod room;
mod service;
mod trouble;
mod versions;
