//! The bundle of ports that the engine of one server uses.

use std::sync::Arc;

use super::{EventSink, Runtime, Secrets, Store};
use crate::ejabberd::EjabberdClient;

/// The ports of the engine of one server.
#[derive(Clone)]
pub struct Ports {
    /// The server's commands.
    pub server: EjabberdClient,
    /// The server's process.
    pub runtime: Arc<dyn Runtime>,
    /// The state directory.
    pub store: Arc<dyn Store>,
    /// Passwords and files.
    pub secrets: Arc<dyn Secrets>,
    /// The receiver of the engine's events.
    pub events: Arc<dyn EventSink>,
}
