//! Messaging for programs: the tools, their arguments and results, and the rights of a client.
//!
//! The MCP server sends an [`Operation`] and the token of its client to the operator, and the
//! operator decides. Both processes use these types.

pub mod operation;
pub mod pattern;
pub mod rate;
pub mod rights;
pub mod text;
pub mod token;
pub mod tool;

pub use operation::*;
pub use pattern::JidPattern;
pub use tool::{Tool, View};

/// The path of the MCP server over HTTP.
pub const MCP_PATH: &str = "/mcp";
