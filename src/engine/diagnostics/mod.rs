//! Collecting evidence for `audit` and `doctor`, and everything for `export`.

pub(super) mod audit;
pub(super) mod doctor;
pub(super) mod export;
