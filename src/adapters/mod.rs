//! The adapters connect the engine with Docker, processes, ejabberd's node, files, `SQLite`,
//! Prometheus, browsers and MCP clients. Each adapter implements ports of the engine.
//!
//! Adapters do not use each other, except [`host`], which opens files outside the state directory.

pub mod docker;
pub mod ejabberdctl;
pub mod host;
pub mod messaging;
pub mod metrics;
pub mod process;
pub mod secrets;
pub mod session;
pub mod source;
pub mod sqlite;
pub mod web;
