//! Floor 4: runtimes, the ways in which the server process is run.

pub mod docker;
mod holders;
mod installation;
pub mod process;
mod space;
