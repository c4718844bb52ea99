//! The control channel to the server.

use std::time::Duration;

use async_trait::async_trait;

use super::call::{Call, Value};
use super::error::ControlError;
use crate::domain::model::ServerVersion;

/// The control channel to one server, which can carry several calls at the same time.
#[async_trait]
pub trait Control: Send + Sync {
    /// Sends one call, and returns its response. Ends within `deadline`.
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError>;

    /// The version of the server.
    async fn version(&self) -> Result<ServerVersion, ControlError>;

    /// Closes the channel. The next call opens the channel again.
    async fn close(&self);
}
