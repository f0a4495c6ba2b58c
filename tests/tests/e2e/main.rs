//! The shipped Envoy configuration, filter and sidecar against an origin that misbehaves on
//! demand. Needs Envoy and the products of `make build`; run by `make e2e`.

mod world;
mod worth;

mod access;
mod admission;
mod bad_input;
mod cache_status;
mod channels;
mod clients;
mod collapse;
mod completion;
mod conditions;
mod config;
mod crash;
mod directives;
mod disconnect;
mod downloads;
mod existing;
mod expiry;
mod fail_open;
mod first_view;
mod freshness;
mod generations;
mod hand_back;
mod hostile;
mod http2;
mod imports;
mod lower;
mod managing;
mod memory;
mod pairs;
mod partial;
mod profiles;
mod quality;
mod quotas;
mod ranges;
mod remembered;
mod replays;
mod restart;
mod scale_out;
mod smoke;
mod stack;
mod vary;
mod versions;
mod youtube;
