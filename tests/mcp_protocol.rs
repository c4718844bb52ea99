//! The command `mcp` against a messaging socket that the test serves: both generations of the
//! protocol, HTTP and standard input, and the limits for clients. Needs no server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "mcp_protocol/http.rs"]
mod http;
#[path = "mcp_protocol/limits.rs"]
mod limits;
#[path = "mcp_protocol/stdio.rs"]
mod stdio;
#[path = "mcp_protocol/world.rs"]
mod world;
