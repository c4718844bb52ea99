//! Logs every call of the control channel at level debug: command, duration and result. Never logs
//! arguments, which can contain passwords.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::domain::model::ServerVersion;
use crate::ejabberd::{Call, Control, ControlError, Value};

/// A control channel that logs the calls of another channel.
pub(super) struct LoggedControl(pub(super) Arc<dyn Control>);

#[async_trait]
impl Control for LoggedControl {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        let (command, since) = (call.name(), Instant::now());
        let response = self.0.call(call, deadline).await;
        let result = response.as_ref().map_or_else(ControlError::category, |_| "responded");
        let ms = since.elapsed().as_secs_f64() * 1000.0;
        // Round the duration to tenths of a millisecond.
        tracing::debug!(command, ms = (ms * 10.0).round() / 10.0, result, "call");
        response
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        self.0.version().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
