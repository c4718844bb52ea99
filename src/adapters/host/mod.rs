//! The machine: its files, its disks, and which programs listen at its ports.

pub mod files;
pub(super) mod holders;
pub(super) mod space;
