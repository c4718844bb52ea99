//! Floor 4: runtimes, the ways in which the server process is run.

pub mod docker;
pub mod process;
