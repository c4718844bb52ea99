//! The MCP server.
//!
//! Serves two generations of the Model Context Protocol: revision 2026-07-28, in which each request
//! is complete, and the revisions 2025-06-18 and 2025-11-25, which begin with `initialize`. The
//! transports are [`stdio`] and [`http`]. Each call of a tool becomes one operation on the
//! messaging socket, with the token of the client.

mod caller;
mod handler;
pub mod http;
mod operations;
pub mod stdio;
mod tools;

pub use handler::McpServer;
