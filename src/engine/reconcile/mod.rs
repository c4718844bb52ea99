//! The phases of one reconciliation: observe, diff, plan, guard, apply, read back.

pub(super) mod apply;
pub(super) mod approvals;
pub(super) mod contention;
pub(super) mod database;
pub(super) mod deferral;
pub(super) mod deletion_impact;
pub(super) mod generation;
pub(super) mod left_behind;
pub(super) mod maintenance;
pub(super) mod object_phase;
pub(super) mod observe;
pub(super) mod origin;
pub(super) mod ownership;
pub(super) mod passwords;
pub(super) mod recheck;
pub(super) mod report;
pub(super) mod retry;
pub(super) mod round;
pub(super) mod server_phase;
pub(super) mod server_steps;
pub(super) mod start;
pub(super) mod summary;
