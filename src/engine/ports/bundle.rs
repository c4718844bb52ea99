//! The ports of one server's engine, together.

use std::sync::Arc;

use super::{EventSink, Runtime, Secrets, Store};
use crate::ejabberd::EjabberdClient;

/// Everything outside the engine that the engine of one server uses.
#[derive(Clone)]
pub struct Ports {
    /// The server's commands.
    pub server: EjabberdClient,
    /// The server's process.
    pub runtime: Arc<dyn Runtime>,
    /// What the operator remembers.
    pub store: Arc<dyn Store>,
    /// Passwords and files.
    pub secrets: Arc<dyn Secrets>,
    /// Who hears what happens.
    pub events: Arc<dyn EventSink>,
}
