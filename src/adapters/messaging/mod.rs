//! Messaging for programs: the socket of the operator, and the MCP server that uses the socket.
//!
//! The operator serves the socket with [`serve`]. The process `ejabberd-operator mcp` connects to
//! the socket with [`OperatorClient`], and serves MCP with [`mcp`]. The operator checks the token
//! and the rights of each request, so the process `mcp` needs no rights.

mod client;
mod frames;
mod listener;
pub mod mcp;
mod socket;
#[cfg(test)]
mod tests;

pub use client::OperatorClient;
pub use listener::bind;
pub use socket::serve;
