//! The port for the reverse proxy in front of the operator.

use async_trait::async_trait;

use crate::domain::nginx::Directive;

/// The configuration of nginx on this host.
#[async_trait]
pub trait ReverseProxy: Send + Sync {
    /// Reads the configuration with its included files; `None` if this host has no nginx. The error
    /// is a reason in words.
    async fn directives(&self) -> Result<Option<Vec<Directive>>, String>;
}
