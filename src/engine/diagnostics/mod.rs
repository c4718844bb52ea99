//! Collecting the evidence for `audit` and `doctor`, and the objects for `export`.

pub(super) mod audit;
mod collect;
pub(super) mod doctor;
pub(super) mod export;
