//! Runs whole reconciliations of the engine against a world in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail the test"
)]

mod support;

#[path = "round/config.rs"]
mod config;
#[path = "round/properties.rs"]
mod properties;
#[path = "round/registered.rs"]
mod registered;
#[path = "round/scenarios.rs"]
mod scenarios;
#[path = "round/sieve.rs"]
mod sieve;
#[path = "round/store.rs"]
mod store;
#[path = "round/teams.rs"]
mod teams;
