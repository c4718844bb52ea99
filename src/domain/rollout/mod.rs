//! Bringing a changed configuration into force.
//!
//! [`Rollout`] is the state machine of one change: checked, kept, put in
//! force, proved good, or taken back. [`difference()`] tells what changed
//! between two configurations, and whether ejabberd takes it up on a reload or
//! has to be started anew.

mod difference;
mod machine;

pub use difference::*;
pub use machine::*;
