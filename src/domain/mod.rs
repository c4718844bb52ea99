//! The pure part: names, the desired state, the observed state, the differences, the plan and the
//! status. No I/O, no clock, no randomness, no async.

pub mod checks;
pub mod configuration;
pub mod database;
pub mod diff;
pub mod export;
pub mod inventory;
pub(crate) mod mask;
pub mod messaging;
pub mod model;
pub mod nginx;
pub mod observed;
pub mod plan;
pub mod rollout;
pub mod spec;
pub mod status;
pub mod supervision;
