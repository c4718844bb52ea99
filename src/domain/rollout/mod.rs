//! The rollout of a changed configuration.
//!
//! [`Rollout`] is the state machine of one change: check the new files, keep the old files, put the
//! new files in force, and prove that the server is healthy or roll back. [`difference()`] lists
//! the changes between two configurations, and whether each needs a reload or a restart.

mod decide;
mod difference;

pub use decide::*;
pub use difference::*;
