//! Judging collected evidence: the security checklist of `audit`, and the diagnosis of `doctor`.
//!
//! Pure. The engine collects the evidence, and collecting never fails: a value that could not
//! be collected is unknown, with the reason. [`audit`] and [`doctor`] are lists of [`Check`]s,
//! and each check gives a [`Finding`]. Each publishes its findings in its own JSON format.

pub mod audit;
mod check;
pub mod doctor;
mod text;

pub use check::{Check, Finding, Verdict};
