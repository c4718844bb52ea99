//! The pure part: names, the desired state, what is observed, what differs, what is to
//! be done, and what the status says. No I/O, no clock, no randomness, no async.

pub mod checks;
pub mod configuration;
pub mod database;
pub mod diff;
pub mod export;
pub mod inventory;
pub(crate) mod mask;
pub mod model;
pub mod observed;
pub mod plan;
pub mod rollout;
pub mod spec;
pub mod status;
pub mod supervision;
