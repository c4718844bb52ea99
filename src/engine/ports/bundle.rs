//! The bundle of ports that the engine of one server uses.

use std::sync::Arc;

use super::{EventSink, ReverseProxy, Runtime, Secrets, Store};
use crate::ejabberd::EjabberdClient;

/// The ports of the engine of one server.
#[derive(Clone)]
pub struct Ports {
    /// The client for the commands of the server.
    pub server: EjabberdClient,
    /// The runtime of the server, which controls the process and the files.
    pub runtime: Arc<dyn Runtime>,
    /// The store, which is the state directory.
    pub store: Arc<dyn Store>,
    /// The access to passwords and files outside the server and the state directory.
    pub secrets: Arc<dyn Secrets>,
    /// The configuration of the reverse proxy on this host.
    pub proxy: Arc<dyn ReverseProxy>,
    /// The receiver of the engine's events.
    pub events: Arc<dyn EventSink>,
}
