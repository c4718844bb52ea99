//! The adapters: what talks to Docker, to a process, to ejabberd's node, to files, to
//! `SQLite`, to Prometheus and to browsers. Each implements ports of the engine.
//!
//! Adapters do not use each other. [`host`] is what several of them need of the machine.

pub mod docker;
pub mod ejabberdctl;
pub mod host;
pub mod metrics;
pub mod process;
pub mod secrets;
pub mod session;
pub mod source;
pub mod sqlite;
pub mod web;
