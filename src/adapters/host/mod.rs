//! The machine: its files, its disks, and which programs listen at its ports.

pub(super) mod disks;
pub mod files;
pub(super) mod holders;
