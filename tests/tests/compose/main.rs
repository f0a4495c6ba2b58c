//! docker-compose.yml as its users run it: real containers, reached through their published ports.
//!
//! `make compose-test` builds the images and starts this; alone it needs what that script sets.

mod nodes;
mod observability;
mod project;
mod stack;
