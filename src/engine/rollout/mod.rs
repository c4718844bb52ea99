//! Changes the configuration or the container: compares, checks, executes the change with a health
//! gate, and latches a failed configuration. [`crate::domain::rollout`] decides the steps of a
//! rollout.

mod canary;
pub(super) mod check;
pub(super) mod compare;
pub(super) mod execute;
pub(super) mod failure_log;
pub(super) mod gate;
pub(super) mod latch;
pub(super) mod replacement;
