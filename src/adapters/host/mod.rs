//! The machine: its files, its disks, and which programs listen at its ports.

pub(crate) mod disks;
pub mod files;
pub(super) mod holders;
