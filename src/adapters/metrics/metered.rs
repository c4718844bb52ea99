//! Counts and times the calls of a control channel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::Metrics;
use crate::domain::model::ServerVersion;
use crate::ejabberd::{Call, Control, ControlError, Value};

/// A control channel that counts its calls by command and result, and measures their durations.
pub struct Metered {
    control: Arc<dyn Control>,
    metrics: Arc<Metrics>,
}

impl Metered {
    /// Creates a channel that calls `control` and counts the calls in `metrics`.
    #[must_use]
    pub fn new(control: Arc<dyn Control>, metrics: Arc<Metrics>) -> Self {
        Self { control, metrics }
    }

    async fn measure<T>(
        &self,
        command: &'static str,
        response: impl Future<Output = Result<T, ControlError>>,
    ) -> Result<T, ControlError> {
        let began = Instant::now();
        let response = response.await;
        let result = response.as_ref().err().map_or("ok", ControlError::category);
        self.metrics.call(command, result, began.elapsed());
        response
    }
}

#[async_trait]
impl Control for Metered {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        self.measure(call.name(), self.control.call(call, deadline)).await
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        self.measure("version", self.control.version()).await
    }

    async fn close(&self) {
        self.control.close().await;
    }
}
