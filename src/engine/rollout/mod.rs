//! Changes the configuration or the container: compare, check, execute behind a health
//! gate, and latch what failed. [`crate::domain::rollout`] decides.

mod canary;
pub(super) mod check;
pub(super) mod compare;
pub(super) mod execute;
pub(super) mod failure_log;
pub(super) mod gate;
pub(super) mod latch;
pub(super) mod replacement;
