//! The host: its files, its disks, and the programs that listen on its ports.

pub(crate) mod disks;
pub mod files;
pub(super) mod holders;
