//! MCP over HTTP (Streamable HTTP), at the path `/mcp`.
//!
//! A request passes these checks in this order: the number of connections, the time limit of the
//! head, the names of the host and of the origin, the path, the length of the body, the token, the
//! number of requests of the client, the session. Only then the SDK gets the request, without the
//! token in its headers.
//!
//! The server holds no state for a client except the ids of sessions: each request has a token, and
//! each response is one JSON object. So sessions need no task and no stream.

mod gate;
mod listener;
mod requests;
mod response;
mod rules;
mod sessions;

pub use listener::serve;
pub use rules::{RuleError, Rules};

pub(super) use requests::Slot;
