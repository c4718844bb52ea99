//! Floor 4: control channels, the ways in which calls reach the server.

pub mod session;
