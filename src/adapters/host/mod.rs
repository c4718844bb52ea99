//! The host: its files, its disks, its nginx, the programs that listen on its ports, and connections
//! with a time limit for writes.

pub(crate) mod disks;
pub mod files;
pub(super) mod holders;
pub mod nginx;
pub(super) mod write_timeout;
