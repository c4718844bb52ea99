//! Judges collected evidence: the security checklist of `audit`, and the diagnosis of `doctor`.
//!
//! These modules do no I/O. The engine collects the evidence, and the collection never fails: a
//! value that the engine could not collect is unknown, with the reason. [`audit`] and [`doctor`]
//! each hold a list of [`Check`]s, and each check returns a [`Finding`]. `audit` and `doctor`
//! publish their findings in different JSON formats.

pub mod audit;
mod check;
pub mod doctor;
mod text;

pub use check::{Check, Finding, Verdict};
